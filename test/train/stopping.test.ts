import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { evaluate, FoveaError, fit, nn, ops, optim, Tensor } from '../../lib/index.js';
import { rejection, smallModel, squares } from './helpers.js';

const optimizer = () => new optim.SGD({ lr: 0.01 });

/** What `run` settles with, and how many milliseconds after the abort. */
async function settled(run: PromiseLike<unknown>, stop: AbortController, delay: number) {
  await sleep(delay);
  const start = performance.now();
  stop.abort(new Error('enough'));
  const error = await Promise.race([run, sleep(5000)]).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, milliseconds: performance.now() - start };
}

/** Rejected with ERR_ABORTED by `operator`, in less than the 200 ms that are promised. */
function expectAborted({ error, milliseconds }: Awaited<ReturnType<typeof settled>>, operator = 'fit'): void {
  expect(error).toBeInstanceOf(FoveaError);
  expect(error).toMatchObject({ code: 'ERR_ABORTED', operator, cause: { message: 'enough' } });
  expect(milliseconds).toBeLessThan(200);
}

describe('abort', () => {
  test('in the middle of a long step', async () => {
    const stop = new AbortController();
    const set = { length: 64, get: () => ({ x: Tensor.ones([16, 64, 64]), y: 0 }) };
    const model = new nn.Sequential(
      new nn.Conv2d(16, 64, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.Conv2d(64, 64, 3, { padding: 1 }),
      new nn.AdaptiveAvgPool2d(1),
      new nn.Flatten(),
    );
    const run = fit(model, set, { optimizer: optimizer(), batchSize: 64, epochs: 1000, signal: stop.signal });
    expectAborted(await settled(run, stop, 400));
  });

  test('while a stream gives nothing; the stream is closed when it wakes', async () => {
    let closed = false;
    let wake = () => {};
    async function* stuck() {
      try {
        yield { x: Tensor.ones([1, 8, 8]), y: 1 };
        await new Promise<void>((go) => {
          wake = go;
        });
        yield { x: Tensor.ones([1, 8, 8]), y: 1 };
      } finally {
        closed = true;
      }
    }
    const stop = new AbortController();
    const model = smallModel();
    const run = fit(model, stuck(), { optimizer: optimizer(), signal: stop.signal });
    expectAborted(await settled(run, stop, 30));
    wake();
    await sleep(10);
    expect(closed).toBe(true);
    await fit(model, squares(16), { optimizer: optimizer() });
  });

  test('while nobody reads the events', async () => {
    const stop = new AbortController();
    const run = fit(smallModel(), squares(32), {
      optimizer: optimizer(),
      batchSize: 1,
      epochs: 1000,
      signal: stop.signal,
    });
    await run[Symbol.asyncIterator]().next();
    expectAborted(await settled(run, stop, 300));
  });

  test('during validation', async () => {
    const stop = new AbortController();
    let validating = () => {};
    const started = new Promise<void>((go) => {
      validating = go;
    });
    const validation = {
      length: 1_000_000,
      get: (i: number) => {
        if (i === 1) validating();
        return { x: Tensor.ones([1, 8, 8]), y: 0 };
      },
    };
    const run = fit(smallModel(), squares(16), { optimizer: optimizer(), validation, signal: stop.signal });
    await started;
    expectAborted(await settled(run, stop, 0));
  });

  test('of evaluate', async () => {
    const stop = new AbortController();
    const set = { length: 1_000_000, get: () => ({ x: Tensor.ones([1, 8, 8]), y: 0 }) };
    const run = evaluate(smallModel(), set, { signal: stop.signal });
    expectAborted(await settled(run, stop, 100), 'evaluate');
  });
});

describe('data sets', () => {
  test('may hand over their samples later', async () => {
    const set = squares(32);
    const later = { length: set.length, get: async (i: number) => set.get(i) };
    const { history } = await fit(smallModel(), later, { optimizer: optimizer(), batchSize: 16 });
    const now = await fit(smallModel(), set, { optimizer: optimizer(), batchSize: 16 });
    expect(history[0]?.loss).toBeCloseTo(now.history[0]?.loss as number, 5);
  });

  test('an error of theirs is the error of the run, and closes nothing else', async () => {
    const broken = {
      length: 32,
      get: (i: number) => (i === 20 ? Promise.reject(new Error('mine')) : squares(1).get(0)),
    };
    const model = smallModel();
    await expect(fit(model, broken, { optimizer: optimizer() })).rejects.toThrow('mine');
    await fit(model, squares(16), { optimizer: optimizer() });
  });
});

test('a failure that nobody hears is a warning, and no unhandled rejection', async () => {
  const warned = once(process, 'warning');
  const run = fit(smallModel(), squares(16), { optimizer: optimizer(), loss: () => Tensor.ones([2]) });
  const [warning] = (await warned) as [Error];
  expect(warning.name).toBe('FoveaWarning');
  expect(warning.message).toMatch(/nobody awaits this run, and it failed: loss: the loss must be a scalar/);
  expect(await rejection(run)).toBe('ERR_SHAPE');
});

describe('what cannot be trained', () => {
  const set = squares(16);
  const given = { optimizer: optimizer() };
  test.each<[string, () => unknown, string]>([
    ['no model', () => fit(null as never, set, given), 'ERR_OPTION'],
    ['something else than a model', () => fit({} as never, set, given), 'ERR_OPTION'],
    ['no options', () => fit(smallModel(), set, undefined as never), 'ERR_OPTION'],
    ['a loss in words', () => fit(smallModel(), set, { ...given, loss: 'mse' as never }), 'ERR_OPTION'],
    ['a loss that is a number', () => fit(smallModel(), set, { ...given, loss: () => 5 as never }), 'ERR_GRAPH'],
    ['a signal that is none', () => fit(smallModel(), set, { ...given, signal: {} as never }), 'ERR_OPTION'],
    [
      'a folder that is no path',
      () => fit(smallModel(), set, { ...given, checkpoint: { dir: 5 as never } }),
      'ERR_OPTION',
    ],
    [
      'a checkpoint that is a path',
      () => fit(smallModel(), set, { ...given, checkpoint: 'dir' as never }),
      'ERR_OPTION',
    ],
    ['a number to go on from', () => fit(smallModel(), set, { ...given, resume: 5 as never }), 'ERR_OPTION'],
    ['a shuffle that is no truth', () => fit(smallModel(), set, { ...given, shuffle: 'no' as never }), 'ERR_OPTION'],
    ['too many threads', () => fit(smallModel(), set, { ...given, threads: 1000 }), 'ERR_OPTION'],
    ['nothing to evaluate', () => evaluate({} as never, set), 'ERR_OPTION'],
    ['options that are null', () => evaluate(smallModel(), set, null as never), 'ERR_OPTION'],
    ['an unknown metric', () => evaluate(smallModel(), set, { metrics: ['f1' as never] }), 'ERR_OPTION'],
    ['a loss that is none', () => evaluate(smallModel(), set, { loss: ops as never }), 'ERR_OPTION'],
  ])('%s', async (_, body, code) => {
    expect(await rejection((async () => body())())).toBe(code);
  });
});
