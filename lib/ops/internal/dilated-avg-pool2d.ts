import type { PoolGeometry } from '../../geometry/pool.js';
import { span, type WindowAxis } from '../../geometry/window.js';
import { allocate, Tensor } from '../../tensor.js';
import { conv2d, conv2dBackward } from '../conv2d.js';
import { mul } from '../mul.js';
import type { Value } from '../operator.js';
import { constantLike } from './shapes.js';

type Sides = readonly [before: number, after: number];

/** Taps of window `o` that the divisor counts: those on the input, or also those on its padding. */
function tapsCounted(axis: WindowAxis, o: number, countPad: boolean): number {
  const { size, before, after, kernel, stride, dilation } = axis;
  const [low, high] = countPad ? [-before, size + after] : [0, size];
  let count = 0;
  for (let r = 0; r < kernel; r++) {
    const at = o * stride - before + r * dilation;
    if (at >= low && at < high) count++;
  }
  return count;
}

/**
 * Average pooling whose windows have gaps: sums by a depthwise convolution with ones, divided by the taps that count. The backends'
 * own avgPool2d has no dilation, as PyTorch's.
 */
export function dilatedAvgPool2d(x: Value, { axes, outputShape, attributes }: PoolGeometry, countPad: boolean) {
  const channels = x.shape[1] as number;
  const ones = constantLike(x, 1, [channels, 1, ...attributes.kernelSize]);
  const sides = axes.map(({ size, before, kernel, stride, dilation }, i) => {
    const end = ((attributes.outputSize[i] as number) - 1) * stride + span(kernel, dilation); // ceilMode may need more
    return [before, Math.max(end - before - size, 0)] as const;
  });
  const [p, q] = outputShape.slice(2) as [number, number];
  const shares = new Tensor([p, q], allocate(x.dtype, p * q, 'avgPool2d'));
  const [rows, columns] = axes.map((axis, i) =>
    Array.from({ length: outputShape[i + 2] as number }, (_, o) => tapsCounted(axis, o, countPad)),
  ) as [number[], number[]];
  shares.data.set(rows.flatMap((m) => columns.map((n) => 1 / (m * n))));
  const options = {
    stride: attributes.stride as readonly [number, number],
    dilation: attributes.dilation as readonly [number, number],
    padding: [sides[0], sides[1]] as [Sides, Sides],
    groups: channels,
  };
  return {
    forward: (): Value => mul(conv2d(x, ones, null, options), shares),
    backward: (dy: Value): Value => conv2dBackward(mul(dy, shares), x, ones, options).gradInput,
  };
}
