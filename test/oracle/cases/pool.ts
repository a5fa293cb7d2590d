import type { Attributes, Spec } from '../../../lib/backend/backend.js';
import type { Tensor } from '../../../lib/tensor.js';
import { runReference } from '../../helpers/reference.js';
import { type Case, type Cases, same } from './case.js';

interface Pool {
  readonly x: readonly [number, number, number, number];
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding?: readonly [top: number, bottom: number, left: number, right: number];
  readonly dilation?: readonly [number, number];
  readonly ceil?: boolean;
}

const pools: readonly Pool[] = [
  { x: [1, 1, 2, 2], kernel: [2, 2], stride: [2, 2] },
  { x: [2, 6, 8, 8], kernel: [2, 2], stride: [2, 2] },
  { x: [1, 16, 7, 9], kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1] },
  { x: [1, 17, 6, 7], kernel: [2, 3], stride: [1, 2], padding: [1, 0, 0, 1] },
  { x: [2, 3, 7, 8], kernel: [3, 3], stride: [2, 3], padding: [1, 1, 1, 1], ceil: true },
  { x: [1, 2, 5, 5], kernel: [4, 3], stride: [3, 2], padding: [2, 2, 1, 1], ceil: true },
  { x: [1, 33, 9, 9], kernel: [3, 2], stride: [2, 2], padding: [1, 1, 1, 1], dilation: [2, 3], ceil: true },
  { x: [1, 2, 10, 10], kernel: [2, 2], stride: [3, 4], dilation: [3, 1] },
  { x: [1, 2, 20, 19], kernel: [17, 17], stride: [1, 1] },
  { x: [1, 32, 4, 4], kernel: [4, 4], stride: [4, 4] },
  { x: [3, 20, 16, 16], kernel: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1] },
];

/** As torch.nn.MaxPool2d: with `ceil`, a window more where it starts inside the input or the padding before it. */
function outputSize({ x, kernel, stride, padding = [0, 0, 0, 0], dilation = [1, 1], ceil = false }: Pool): number[] {
  return ([0, 1] as const).map((axis) => {
    const [before, after] = padding.slice(2 * axis) as [number, number];
    const room = x[2 + axis] as number;
    const steps = (room + before + after - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis];
    const most = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    return ceil && (most - 1) * stride[axis] >= room + before ? most - 1 : most;
  });
}

const nameOf = ({ x, kernel, stride, padding, dilation, ceil }: Pool): string =>
  [
    `[${x}] ${kernel.join('x')} stride ${stride}`,
    ...(padding ? [`padding ${padding}`] : []),
    ...(dilation ? [`dilation ${dilation}`] : []),
    ...(ceil ? ['ceil'] : []),
  ].join(' ');

function window({ kernel, stride, padding = [0, 0, 0, 0] }: Pool): Attributes {
  return { kernelSize: kernel, stride, padding };
}

function maxAttributes(pool: Pool): Attributes {
  const dilation = pool.dilation ?? [1, 1];
  return { ...window(pool), dilation, ceilMode: pool.ceil ?? false, outputSize: outputSize(pool) };
}

/** The indices that maxPool2d gives for x. */
function indicesOf(pool: Pool, x: Tensor): Tensor {
  const shape = [...pool.x.slice(0, 2), ...outputSize(pool)];
  const dtype = pool.kernel[0] * pool.kernel[1] <= 256 ? 'uint8' : 'int32';
  const outputs: Spec[] = [
    { shape, dtype: x.dtype },
    { shape, dtype },
  ];
  return runReference({ operator: 'maxPool2d', inputs: [x], outputs, attributes: maxAttributes(pool) })[1] as Tensor;
}

/** Average pooling has no dilation; with and without padding in the divisor. */
function averages(make: (pool: Pool, attributes: Attributes) => Pick<Case, 'attributes' | 'inputs'>): Case[] {
  return pools
    .filter((pool) => !pool.dilation)
    .flatMap((pool) =>
      [true, false].map(
        (countIncludePad): Case => ({
          name: `${nameOf(pool)}${countIncludePad ? '' : ' without padding'}`,
          agreement: { kind: 'sums', terms: pool.kernel[0] * pool.kernel[1], divides: true },
          ...make(pool, { ...window(pool), outputSize: outputSize(pool), countIncludePad }),
        }),
      ),
    );
}

const adaptive: readonly { x: readonly [number, number, number, number]; to: readonly [number, number] }[] = [
  { x: [1, 1, 1, 1], to: [1, 1] },
  { x: [2, 17, 7, 5], to: [3, 2] },
  { x: [1, 16, 4, 3], to: [5, 1] },
  { x: [2, 33, 8, 8], to: [1, 1] },
  { x: [1, 3, 6, 6], to: [6, 6] },
  { x: [1, 4, 10, 9], to: [7, 7] },
];

const adaptiveAgreement = ([, , h, w]: readonly number[]): Case['agreement'] => ({
  kind: 'sums',
  terms: (h as number) * (w as number),
  divides: true,
});

export const poolCases: Cases = {
  maxPool2d: pools.map((pool) => ({
    name: nameOf(pool),
    attributes: maxAttributes(pool),
    inputs: (make) => [make.float(pool.x)],
    agreement: same,
  })),
  maxPool2dBackward: pools.map((pool) => ({
    name: nameOf(pool),
    attributes: { ...maxAttributes(pool), inputShape: pool.x },
    inputs: (make) => [make.float([...pool.x.slice(0, 2), ...outputSize(pool)]), indicesOf(pool, make.float(pool.x))],
    agreement: { kind: 'sums', terms: pool.kernel[0] * pool.kernel[1] },
  })),
  avgPool2d: averages((pool, attributes) => ({ attributes, inputs: (make) => [make.float(pool.x)] })),
  avgPool2dBackward: averages((pool, attributes) => ({
    attributes: { ...attributes, inputShape: pool.x },
    inputs: (make) => [make.float([...pool.x.slice(0, 2), ...outputSize(pool)])],
  })),
  adaptiveAvgPool2d: adaptive.map(({ x, to }) => ({
    name: `[${x}] to ${to}`,
    attributes: { outputSize: to },
    inputs: (make) => [make.float(x)],
    agreement: adaptiveAgreement(x),
  })),
  adaptiveAvgPool2dBackward: adaptive.map(({ x, to }) => ({
    name: `[${x}] to ${to}`,
    attributes: { outputSize: to, inputShape: x },
    inputs: (make) => [make.float([...x.slice(0, 2), ...to])],
    agreement: adaptiveAgreement(x),
  })),
};
