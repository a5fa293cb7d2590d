import { describe, expect, test } from 'vitest';
import { findAddon } from '../../lib/backend/addon-path.ts';
import type { Precision, ProgramSpec, ProgramValue, Spec } from '../../lib/backend/backend.ts';
import { findNative } from '../../lib/backend/native.ts';
import { Tensor } from '../../lib/tensor.ts';
import { multipliesBf16 } from '../helpers/level.ts';
import { runGuarded } from '../helpers/run.ts';

interface Program {
  loops(): Float64Array[][];
  dispose(): void;
}

const search = findAddon();
const addon = 'exports' in search ? (search.exports as { createProgram(spec: ProgramSpec): Program }) : undefined;

/** N, C, H, W, K, kernel, stride, padding, and how often the network has it: what a training step convolves. */
type Layer = readonly [number, number, number, number, number, number, number, number, number];

const resnet18: readonly Layer[] = [
  [64, 3, 32, 32, 64, 3, 1, 1, 1],
  [64, 64, 32, 32, 64, 3, 1, 1, 4],
  [64, 64, 32, 32, 128, 3, 2, 1, 1],
  [64, 64, 32, 32, 128, 1, 2, 0, 1],
  [64, 128, 16, 16, 128, 3, 1, 1, 3],
  [64, 128, 16, 16, 256, 3, 2, 1, 1],
  [64, 256, 8, 8, 256, 3, 1, 1, 3],
  [64, 256, 8, 8, 512, 3, 2, 1, 1],
  [64, 512, 4, 4, 512, 3, 1, 1, 3],
];

const resnet50: readonly Layer[] = [
  [16, 3, 224, 224, 64, 7, 2, 3, 1],
  [16, 64, 56, 56, 64, 3, 1, 1, 3],
  [16, 64, 56, 56, 256, 1, 1, 0, 4],
  [16, 256, 56, 56, 64, 1, 1, 0, 2],
  [16, 128, 56, 56, 128, 3, 2, 1, 1],
  [16, 128, 28, 28, 128, 3, 1, 1, 3],
  [16, 128, 28, 28, 512, 1, 1, 0, 4],
  [16, 512, 28, 28, 128, 1, 1, 0, 3],
  [16, 256, 14, 14, 256, 3, 1, 1, 5],
  [16, 256, 14, 14, 1024, 1, 1, 0, 6],
  [16, 1024, 14, 14, 256, 1, 1, 0, 5],
  [16, 512, 7, 7, 512, 3, 1, 1, 2],
  [16, 512, 7, 7, 2048, 1, 1, 0, 3],
  [16, 2048, 7, 7, 512, 1, 1, 0, 2],
];

/** The loops of forward, input gradient (not of the first layer) and weight gradient, by the direct sum. */
function loopsOf([n, c, h, w, k, kernel, stride, padding]: Layer, threads: number): Float64Array[] {
  const [p, q] = [h, w].map((size) => Math.floor((size + 2 * padding - kernel) / stride) + 1) as [number, number];
  const value = (shape: number[], layout: 'plain' | 'blocked', external: number): ProgramValue => {
    return { shape, layout, external, dtype: 'float32' };
  };
  const values = [
    value([n, c, h, w], c < 16 ? 'plain' : 'blocked', 0),
    value([k, c, kernel, kernel], 'plain', 1),
    value([n, k, p, q], 'blocked', 2),
  ];
  const pair = [stride, stride];
  const common = { stride: pair, padding: Array(4).fill(padding), dilation: [1, 1], groups: 1, flipKernel: false };
  const attributes = { ...common, paddingMode: 'zeros', algorithm: 'brgemm' };
  const steps = [
    { operator: 'conv2d', inputs: [0, 1], outputs: [2], attributes: { ...attributes, activation: 'none' } },
    {
      operator: 'conv2dGradWeight',
      inputs: [0, 2],
      outputs: [1],
      attributes: { ...attributes, kernelSize: [kernel, kernel], withBias: false },
    },
    {
      operator: 'conv2dGradInput',
      inputs: [2, 1],
      outputs: [0],
      attributes: { ...attributes, inputShape: [n, c, h, w] },
    },
  ].slice(0, c < 16 ? 2 : 3);
  const program = addon?.createProgram({ values, steps, externals: 3, arenaBytes: 0, threads });
  const loops = program?.loops().flat() ?? [];
  program?.dispose();
  return loops;
}

/** When the last of the threads ends that take tasks in order, each the next one as soon as it is free. */
function makespan(costs: Float64Array, threads: number): number {
  const free = new Float64Array(Math.min(threads, costs.length));
  for (const cost of costs) {
    let first = 0;
    for (let i = 1; i < free.length; i++) if ((free[i] as number) < (free[first] as number)) first = i;
    free[first] = (free[first] as number) + cost;
  }
  return Math.max(0, ...free);
}

/** The share of all threads' time in which they wait for the last one. */
function idleShare(layers: readonly Layer[], threads: number): number {
  let [busy, all] = [0, 0];
  for (const layer of layers) {
    for (const costs of loopsOf(layer, threads)) {
      busy += costs.reduce((sum, cost) => sum + cost, 0) * layer[8];
      all += makespan(costs, threads) * threads * layer[8];
    }
  }
  return 1 - busy / all;
}

// What is reached: powers of two lose least. Beyond 64 threads the layers of these batches are too small: some hundred
// tasks of a few hundred microseconds for each loop. Where L1 has 48 KiB (Zen 5), tiles of 64 filters are the best for some
// layers, and leave the fewest tasks: 5.2 % of the time of 14 threads, 9.6 % of 128.
function boundFor(threads: number): number {
  if (threads <= 16) return 0.055;
  const powerOfTwo = Number.isInteger(Math.log2(threads));
  if (threads <= 64) return powerOfTwo ? 0.06 : 0.11;
  return powerOfTwo ? 0.1 : 0.14;
}

describe.runIf(addon)('convolutions of a training step leave no thread waiting', () => {
  for (const [name, layers] of [
    ['ResNet-18', resnet18],
    ['ResNet-50', resnet50],
  ] as const) {
    test(name, () => {
      const counts = [...Array(16).keys()].map((i) => i + 1).concat([24, 32, 48, 61, 64, 96, 100, 128]);
      const shares = counts.map((threads) => ({ threads, share: idleShare(layers, threads) }));
      for (const { threads, share } of shares) {
        expect(share, `${threads} threads`).toBeLessThan(boundFor(threads));
      }
    });
  }
});

/** Channels, filters, kernel and stride of a layer whose weight gradient many threads have to share out to the last tap. */
type Shared = readonly [channels: number, filters: number, kernel: number, stride: number];

function weightGradient([channels, filters, kernel, stride]: Shared, algorithm: string) {
  const padding = (kernel - 1) / 2;
  const size = Math.floor((16 + 2 * padding - kernel) / stride) + 1;
  const spec = (shape: number[]): Spec => ({ shape, dtype: 'float32' });
  const geometry = { stride: [stride, stride], padding: Array(4).fill(padding), dilation: [1, 1], groups: 1 };
  return {
    operator: 'conv2dGradWeight',
    inputs: [
      Tensor.randn([4, channels, 16, 16], { seed: 1 }),
      Tensor.randn([4, filters, size, size], { seed: 2 }),
    ] as const,
    outputs: [spec([filters, channels, kernel, kernel]), spec([filters])],
    attributes: {
      ...geometry,
      ...{ paddingMode: 'zeros', flipKernel: false, kernelSize: [kernel, kernel], withBias: true, algorithm },
    },
  };
}

const bitsOf = (tensor: Tensor | null) =>
  tensor && Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength).toString('base64');

const { backend } = findNative();

describe.runIf(backend)('a weight gradient cut to single taps is the same bits as one that is not', () => {
  const native = backend as NonNullable<typeof backend>;
  const ways: readonly (readonly [string, Precision])[] = [
    ['brgemm', 'highest'],
    ...(multipliesBf16(native?.info.isa)
      ? ([
          ['bf16', 'medium'],
          ['bf16', 'high'],
        ] as const)
      : []),
  ];
  for (const layer of [
    [48, 80, 3, 1],
    [20, 40, 5, 2],
  ] as const) {
    for (const [algorithm, precision] of ways) {
      test(`${layer.join(', ')} by ${algorithm} in '${precision}'`, () => {
        const of = (threads: number) => {
          const call = weightGradient(layer, algorithm);
          return runGuarded(native, call, { threads, layout: 'blocked', precision });
        };
        const [one, many] = [of(1), of(100)];
        expect(many.describe.join()).toMatch(/taps [1-9],/);
        expect(many.describe.join()).not.toContain(`taps ${layer[2] ** 2},`);
        expect(many.damage).toEqual([]);
        expect(many.outputs.map(bitsOf)).toEqual(one.outputs.map(bitsOf));
      });
    }
  }
});
