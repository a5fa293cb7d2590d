import { compileStep, nn, ops, optim, type Precision, Tensor, useBackend } from '../lib/index.js';
import { measure, type Timing } from './helpers/timing.js';
import type { ModelShape } from './shapes/models.js';

type Step = ReturnType<typeof compileStep>;

/** A compiled training step with random data: forward, cross entropy, backward, SGD with momentum. */
export function trainingStep(
  shape: ModelShape,
  options: { batch?: number; threads?: number; precision?: Precision } = {},
) {
  nn.manualSeed(1);
  const model = shape.make();
  const [n, ...image] = shape.inputShape;
  const batch = options.batch ?? n;
  const x = Tensor.randn([batch, ...image], { seed: 2 });
  const y = Int32Array.from({ length: batch }, (_, i) => (i * 7) % shape.classes);
  const compiled = compileStep(model, {
    inputShape: [batch, ...image],
    loss: ops.crossEntropy,
    optimizer: new optim.SGD({ lr: 0.01, momentum: 0.9 }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    precision: options.precision ?? 'highest',
  });
  return { model, compiled, once: () => timedStep(compiled, x, y) };
}

async function timedStep(compiled: Step, x: Tensor, y: Int32Array): Promise<{ milliseconds: number; loss: number }> {
  const start = performance.now();
  const { loss } = await compiled.step(x, y);
  return { milliseconds: performance.now() - start, loss };
}

/** The native step against the reference step: first that three steps give the same losses, then the time. */
export async function compareSteps(
  shape: ModelShape,
  threads: number,
  tolerance: number,
): Promise<{ native: Timing; referencePerSecond: number } | { wrong: string }> {
  const batch = shape.referenceBatch;
  useBackend('reference');
  const reference = trainingStep(shape, { batch });
  const first = await reference.once();
  const second = await reference.once();
  reference.compiled.dispose();
  useBackend('native');
  const checked = trainingStep(shape, { batch, threads });
  const losses = [await checked.once(), await checked.once()];
  checked.compiled.dispose();
  const difference = Math.max(
    ...[first, second].map(({ loss }, i) => Math.abs(loss - (losses[i]?.loss ?? Number.NaN)) / loss),
  );
  if (!(difference <= tolerance * 10)) return { wrong: `losses differ by ${difference.toExponential(1)}` };
  const native = trainingStep(shape, { threads });
  const timing = await measure(async () => (await native.once()).milliseconds, 1500);
  native.compiled.dispose();
  return { native: timing, referencePerSecond: (batch * 1000) / Math.min(first.milliseconds, second.milliseconds) };
}
