import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { evaluate, type FitEvent, fit, nn, optim, predict, Tensor, tensor } from '../../lib/index.js';
import { bits, rejection, smallModel, squares } from './helpers.js';

const sgd = () => new optim.SGD({ lr: 0.05, momentum: 0.9 });

describe('a training', () => {
  test('learns, tells what it does, and counts rightly', async () => {
    const model = smallModel();
    const train = squares(300);
    const events: FitEvent[] = [];
    const run = fit(model, train, { optimizer: sgd(), epochs: 3, batchSize: 32, validation: squares(100, 2) });
    for await (const event of run) events.push(event);
    const { history } = await run;
    const steps = events.filter((event) => event.type === 'step');
    expect(steps).toHaveLength(3 * Math.ceil(300 / 32)); // the last batch of 12 counts
    expect(steps.at(-1)?.step).toBe(30);
    expect(steps[0]?.stepsPerEpoch).toBe(10);
    expect(history.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    expect(history[2]?.validation?.accuracy).toBeGreaterThan(0.95);
    expect(history[2]?.loss).toBeLessThan(history[0]?.loss as number);
    const after = await evaluate(model, squares(100, 2));
    expect(after.accuracy).toBe(history[2]?.validation?.accuracy);
  });

  test('can be awaited without iterating, and left early without stopping', async () => {
    const run = fit(smallModel(), squares(64), { optimizer: sgd(), batchSize: 16 });
    expect((await run).history).toHaveLength(1);
    const left = fit(smallModel(), squares(64), { optimizer: sgd(), batchSize: 16 });
    for await (const event of left) if (event.type === 'step') break;
    expect((await left).history).toHaveLength(1);
  });

  test('reads data sets of every kind, and gets the same model from the same samples', async () => {
    const set = squares(40);
    const options = () => ({ optimizer: sgd(), batchSize: 16, shuffle: false });
    const inMemory = smallModel();
    await fit(inMemory, set, options());
    const indexed = smallModel();
    await fit(indexed, { length: set.length, get: (i) => set.get(i) }, options());
    const streamed = smallModel();
    async function* stream() {
      for (let i = 0; i < set.length; i++) yield set.get(i);
    }
    await fit(streamed, stream(), options());
    expect(bits(indexed)).toEqual(bits(streamed));
    // normalised natively in float32, or in JavaScript: equal but for rounding
    const names = Object.keys(bits(inMemory));
    for (const name of names) {
      const [a, b] = [bits(inMemory)[name] as Float32Array, bits(indexed)[name] as Float32Array];
      a.forEach((value, i) => {
        expect(value).toBeCloseTo(b[i] as number, 4);
      });
    }
  });

  test('the same seed gives the same model, another seed another one', async () => {
    const train = async (seed: number) => {
      const model = smallModel();
      await fit(model, squares(100), { optimizer: sgd(), batchSize: 16, seed });
      return bits(model);
    };
    expect(await train(1)).toEqual(await train(1));
    expect(await train(1)).not.toEqual(await train(2));
  });
});

describe('checkpoints', () => {
  test('a run that goes on from a checkpoint ends at the same bits as one that was not interrupted', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'fovea-'));
    const options = { epochs: 2, batchSize: 16, seed: 3 };
    const whole = smallModel();
    const { history } = await fit(whole, squares(100), { ...options, optimizer: new optim.Adam() });

    const stop = new AbortController();
    const first = fit(smallModel(), squares(100), {
      ...options,
      optimizer: new optim.Adam(),
      signal: stop.signal,
      checkpoint: { dir, everySteps: 5 },
    });
    const aborted = (async () => {
      for await (const event of first) if (event.type === 'step' && event.step === 9) stop.abort();
    })();
    expect(await rejection(aborted)).toBe('ERR_ABORTED');
    await first.saveCheckpoint(dir);

    const rest = smallModel(99); // other initial values: all comes from the checkpoint
    const resumed = await fit(rest, squares(100), { ...options, optimizer: new optim.Adam(), resume: dir });
    expect(bits(rest)).toEqual(bits(whole));
    const figures = (run: typeof history) => run.map(({ epoch, loss, accuracy }) => ({ epoch, loss, accuracy }));
    expect(figures(resumed.history)).toEqual(figures(history));
  });

  test('a file that is no checkpoint, or cut off, or of another optimizer, is refused and changes nothing', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'fovea-'));
    const model = smallModel();
    await fit(model, squares(32), { optimizer: sgd(), batchSize: 16, checkpoint: { dir } });
    const before = bits(model);
    const path = join(dir, 'checkpoint.safetensors');
    const whole = readFileSync(path);
    const resume = (optimizer: optim.Optimizer) =>
      fit(model, squares(32), { optimizer, batchSize: 16, epochs: 2, resume: path });
    expect(await rejection(resume(new optim.Adam()))).toBe('ERR_DATA');
    writeFileSync(path, whole.subarray(0, whole.length - 100));
    expect(await rejection(resume(sgd()))).toBe('ERR_FORMAT');
    writeFileSync(path, 'nonsense');
    expect(await rejection(resume(sgd()))).toBe('ERR_FORMAT');
    expect(await rejection(fit(model, squares(32), { optimizer: sgd(), resume: join(dir, 'none') }))).toBe('ERR_IO');
    expect(bits(model)).toEqual(before);
  });

  test('a folder that cannot be written is reported', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'fovea-')), 'file');
    writeFileSync(file, '');
    const run = fit(smallModel(), squares(32), {
      optimizer: sgd(),
      batchSize: 16,
      checkpoint: { dir: join(file, 'x') },
    });
    expect(await rejection(run)).toBe('ERR_IO');
  });
});

describe('stopping and refusing', () => {
  test('abort rejects, and the model can be trained again', async () => {
    const model = smallModel();
    const stop = new AbortController();
    const run = fit(model, squares(2000), { optimizer: sgd(), epochs: 1000, batchSize: 16, signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    expect(await rejection(run)).toBe('ERR_ABORTED');
    await fit(model, squares(32), { optimizer: sgd(), batchSize: 16 });
    expect(await rejection(fit(model, squares(32), { optimizer: sgd(), signal: AbortSignal.abort() }))).toBe(
      'ERR_ABORTED',
    );
  });

  test('two trainings of one model at once', async () => {
    const model = smallModel();
    const run = fit(model, squares(64), { optimizer: sgd(), batchSize: 16 });
    expect(() => fit(model, squares(64), { optimizer: sgd() })).toThrow(/being trained already/);
    await run;
    await fit(model, squares(64), { optimizer: sgd() });
  });

  const set = squares(32);
  test.each([
    ['no epochs', { epochs: 0 }, 'ERR_OPTION'],
    ['half a batch', { batchSize: 0.5 }, 'ERR_OPTION'],
    ['a batch that is not a number', { batchSize: Number.NaN }, 'ERR_OPTION'],
    ['threads below one', { threads: 0 }, 'ERR_OPTION'],
    ['a precision that is none', { precision: 'low' as never }, 'ERR_OPTION'],
    ['a misspelt option', { epoch: 3 } as object, 'ERR_OPTION'],
    ['a metric that is none', { metrics: ['f1' as never] }, 'ERR_OPTION'],
  ])('%s', async (_, options, code) => {
    const start = async () => fit(smallModel(), set, { optimizer: sgd(), ...options });
    expect(await rejection(start())).toBe(code);
  });

  test('no optimizer', async () => {
    const start = async () => fit(smallModel(), set, {} as never);
    expect(await rejection(start())).toBe('ERR_OPTION');
  });

  test('data that is none, empty, mixed, or labelled out of range', async () => {
    const sample = (side: number, y: number) => ({ x: Tensor.ones([1, side, side]), y });
    const train = (data: unknown) => rejection(fit(smallModel(), data as never, { optimizer: sgd(), batchSize: 4 }));
    expect(await train(42)).toBe('ERR_DATA');
    expect(await train({ length: 0, get: () => sample(8, 0) })).toBe('ERR_DATA');
    expect(await train({ length: 2, get: () => ({ x: [1, 2], y: 0 }) })).toBe('ERR_DATA');
    expect(await train({ length: 8, get: (i: number) => sample(i === 5 ? 7 : 8, 0) })).toBe('ERR_SHAPE');
    expect(await train({ length: 8, get: () => sample(12, 0) })).toBe('ERR_SHAPE'); // the linear layer wants another size
    expect(await train({ length: 4, get: (i: number) => sample(8, i === 2 ? 4 : 0) })).toBe('ERR_DATA');
    expect(await train({ length: 4, get: (i: number) => sample(8, i === 2 ? 0.5 : 0) })).toBe('ERR_DATA');
  });

  test('a model without parameters', async () => {
    const model = new nn.Sequential(new nn.Flatten());
    expect(await rejection(fit(model, set, { optimizer: sgd() }))).toBe('ERR_GRAPH');
  });
});

describe('predict', () => {
  test('gives what the layers give one by one, for any number of samples', async () => {
    const model = smallModel();
    await fit(model, squares(64), { optimizer: sgd(), batchSize: 16 });
    const x = Tensor.randn([7, 1, 8, 8], { seed: 4 });
    const eager = model.eval().forward(x) as Tensor;
    const whole = await predict(model, x);
    const inPieces = await predict(model, x, { batchSize: 3 });
    expect(whole.shape).toEqual([7, 4]);
    whole.data.forEach((value, i) => {
      expect(value).toBeCloseTo(eager.data[i] as number, 4);
      expect(inPieces.data[i]).toBeCloseTo(value, 5);
    });
    expect(await rejection(predict(model, tensor([])))).toBe('ERR_SHAPE');
  });
});
