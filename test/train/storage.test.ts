import { describe, expect, test } from 'vitest';
import { backend, compileForward, compileStep, nn, ops, optim, type Precision, Tensor } from '../../lib/index.js';
import { storesRounded } from '../helpers/level.js';
import { bits } from './helpers.js';

// Which convolution algorithm is measured to be faster must not decide what is compared here.
process.env.FOVEA_PLAN = 'fixed';

const inputShape = [8, 3, 32, 32];
const x = Tensor.randn(inputShape, { seed: 2 });
const y = Int32Array.from({ length: 8 }, (_, i) => i);
/** A level whose programs keep activations as bfloat16 in 'medium'. */
const rounds = () => storesRounded(backend().isa);

function makeModel() {
  nn.manualSeed(1);
  return nn.models.resnet20();
}

async function train(precision: Precision, threads = 2) {
  const model = makeModel();
  const optimizer = new optim.SGD({ lr: 0.05, momentum: 0.9 });
  const step = compileStep(model, { inputShape, loss: ops.crossEntropy, optimizer, precision, threads });
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push((await step.step(x, y)).loss);
  const text = step.explain();
  step.dispose();
  return { losses, state: bits(model), text };
}

const mebibytes = (text: string) => Number(/arena and workspace ([\d.]+)/.exec(text)?.[1]);
const moved = (text: string) => Number(/([\d.]+) MiB over memory/.exec(text)?.[1]);

describe("a step in 'medium'", () => {
  test('keeps activations as bfloat16, in about half of the memory', async () => {
    const [highest, medium] = [await train('highest'), await train('medium')];
    expect(medium.text.includes('blocked bf16')).toBe(rounds());
    expect(highest.text).not.toContain('blocked bf16');
    if (!rounds()) return;
    expect(mebibytes(medium.text)).toBeLessThan(0.65 * mebibytes(highest.text));
    expect(moved(medium.text)).toBeLessThan(0.6 * moved(highest.text));
  });

  test('trains as in float32', async () => {
    const [highest, medium] = [await train('highest'), await train('medium')];
    expect(highest.losses.at(-1)).toBeLessThan(0.8 * (highest.losses[0] as number));
    medium.losses.forEach((loss, i) => {
      expect(Math.abs(loss - (highest.losses[i] as number))).toBeLessThan(0.03 * (highest.losses[0] as number));
    });
  });

  test('gives the same bits for 1, 2 and 3 threads', async () => {
    const one = await train('medium', 1);
    for (const threads of [2, 3]) {
      const { losses, state } = await train('medium', threads);
      expect({ losses, state }).toEqual({ losses: one.losses, state: one.state });
    }
  });
});

test("inference in 'medium' is that of 'highest' within what bfloat16 rounds", async () => {
  const [highest, medium] = await Promise.all(
    (['highest', 'medium'] as const).map(async (precision) => {
      const forward = compileForward(makeModel(), { inputShape, precision });
      const result = await forward.run(x);
      const text = forward.explain();
      forward.dispose();
      return { data: result.data as Float32Array, text };
    }),
  );
  if (!highest || !medium) throw new Error('two were asked for');
  expect(medium.text.includes('blocked bf16')).toBe(rounds());
  const norm = (values: Float32Array) => Math.hypot(...values);
  const difference = medium.data.map((value, i) => value - (highest.data[i] as number));
  expect(norm(difference)).toBeLessThan(2e-2 * norm(highest.data)); // some twenty layers of 1e-3 to 3e-3 each
});
