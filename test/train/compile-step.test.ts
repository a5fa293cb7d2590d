import { describe, expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { compileForward, compileStep, nn, optim, Tensor, useBackend } from '../../lib/index.js';
import { bits, loss, rejection, smallModel } from './helpers.js';

const x = Tensor.randn([12, 1, 8, 8], { seed: 2 });
const y = Int32Array.from({ length: 12 }, (_, i) => i % 4);

async function train(options: { threads?: number; steps?: number; optimizer?: optim.Optimizer } = {}) {
  const model = smallModel();
  const optimizer = options.optimizer ?? new optim.SGD({ lr: 0.05, momentum: 0.9 });
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const compiled = compileStep(model, { inputShape: [12, 1, 8, 8], loss, optimizer, ...threads });
  const losses: number[] = [];
  for (let i = 0; i < (options.steps ?? 6); i++) losses.push((await compiled.step(x, y)).loss);
  compiled.dispose();
  return { losses, state: bits(model) };
}

describe('a compiled step', () => {
  test('gives the same bits with 1, 2 and 3 threads', async () => {
    const one = await train({ threads: 1 });
    expect(one.losses.at(-1)).toBeLessThan(one.losses[0] as number);
    for (const threads of [2, 3]) expect(await train({ threads })).toEqual(one);
  });

  test('is the same training on both backends', async () => {
    expect(findNative().reason).toBeUndefined();
    const native = await train();
    useBackend('reference');
    try {
      const reference = await train();
      native.losses.forEach((value, i) => {
        expect(value).toBeCloseTo(reference.losses[i] as number, 4);
      });
    } finally {
      useBackend('native');
    }
  });

  test('takes bytes and normalises them', async () => {
    const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(4, 2, { seed: 1 }));
    const options = { loss, optimizer: new optim.SGD({ lr: 0 }) };
    const bytes = compileStep(model, { ...options, inputShape: [2, 1, 2, 2], inputType: 'uint8' });
    const floats = compileStep(model, { ...options, inputShape: [2, 1, 2, 2] });
    const pixels = Uint8Array.from([0, 51, 102, 153, 204, 255, 25, 75]);
    const labels = Int32Array.from([0, 1]);
    const fromBytes = await bytes.step(pixels, labels);
    const fromFloats = await floats.step(
      Float32Array.from(pixels, (value) => value / 255),
      Uint8Array.from(labels),
    );
    expect(fromBytes.loss).toBeCloseTo(fromFloats.loss, 6);
  });

  test('refuses what does not fit, before anything is changed', async () => {
    const model = smallModel();
    const compiled = compileStep(model, { inputShape: [12, 1, 8, 8], loss, optimizer: new optim.SGD() });
    const before = bits(model);
    expect(await rejection(compiled.step(new Float32Array(5), y))).toBe('ERR_SHAPE');
    expect(await rejection(compiled.step(new Float64Array(12 * 64), y))).toBe('ERR_DTYPE');
    expect(await rejection(compiled.step(x, Int32Array.of(1, 2)))).toBe('ERR_SHAPE');
    expect(
      await rejection(
        compiled.step(
          x,
          y.map(() => 4),
        ),
      ),
    ).toBe('ERR_DATA');
    expect(
      await rejection(
        compiled.step(
          x,
          y.map(() => -1),
        ),
      ),
    ).toBe('ERR_DATA');
    expect(
      await rejection(
        compiled.step(
          x,
          Float32Array.from(y, (label) => label + 0.5),
        ),
      ),
    ).toBe('ERR_DATA');
    expect(bits(model)).toEqual(before);
    const running = compiled.step(x, y);
    expect(await rejection(compiled.step(x, y))).toBe('ERR_BUSY');
    await running;
    compiled.dispose();
    expect(await rejection(compiled.step(x, y))).toBe('ERR_DISPOSED');
  });

  test('refuses what cannot be compiled', async () => {
    const optimizer = new optim.SGD();
    const compile = async (options: object) => compileStep(smallModel(), options as never);
    const inputShape = [12, 1, 8, 8];
    expect(await rejection(compile(undefined as never))).toBe('ERR_OPTION');
    expect(await rejection(compile({ loss, optimizer }))).toBe('ERR_SHAPE');
    expect(await rejection(compile({ inputShape: [0, 1, 8, 8], loss, optimizer }))).toBe('ERR_SHAPE');
    expect(await rejection(compile({ inputShape: [1e9, 1, 8, 8], loss, optimizer }))).toBe('ERR_MEMORY');
    expect(await rejection(compile({ inputShape, optimizer }))).toBe('ERR_OPTION');
    expect(await rejection(compile({ inputShape, loss }))).toBe('ERR_OPTION');
    expect(await rejection(compile({ inputShape, loss, optimizer, inputType: 'int8' }))).toBe('ERR_OPTION');
  });

  test('resident memory is flat over 2,000 steps', async () => {
    const compiled = compileStep(smallModel(), { inputShape: [12, 1, 8, 8], loss, optimizer: new optim.Adam() });
    const steps = async (count: number) => {
      for (let i = 0; i < count; i++) await compiled.step(x, y);
      return process.memoryUsage().rss / 2 ** 20;
    };
    await steps(500); // the JavaScript heap finds its size
    const before = await steps(100);
    const after = await steps(2000);
    expect(after - before).toBeLessThan(16); // MiB; a leak of one batch per step would be 6, of the arena 200
    compiled.dispose();
  });

  test('ten steps of one small network are what they have always been', async () => {
    const { losses } = await train({ steps: 10 });
    const expected = [1.51, 1.367, 1.205, 0.754, 0.284, 0.658, 0.099, 0.013, 0.062, 0.085];
    losses.forEach((value, i) => {
      expect(Math.abs(value - (expected[i] as number))).toBeLessThan(0.005); // instruction sets differ by rounding
    });
  });
});

describe('a compiled forward pass', () => {
  test('sees what training changes', async () => {
    const model = smallModel();
    const forward = compileForward(model, { inputShape: [12, 1, 8, 8] });
    const before = await forward.run(x);
    const compiled = compileStep(model, { inputShape: [12, 1, 8, 8], loss, optimizer: new optim.SGD({ lr: 0.1 }) });
    await compiled.step(x, y);
    const after = await forward.run(x);
    expect(after.shape).toEqual([12, 4]);
    expect(after.data).not.toEqual(before.data);
    expect((model.eval().forward(x) as Tensor).data[0]).toBeCloseTo(after.data[0] as number, 4);
    forward.dispose();
    expect(await rejection(forward.run(x))).toBe('ERR_DISPOSED');
  });
});
