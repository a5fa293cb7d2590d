import { FoveaError, show } from '../errors.js';
import { checkOptions } from '../geometry/options.js';
import { type NestedNumbers, Tensor, type TypedArray, tensor } from '../tensor.js';
import { type ArrayDatasetOptions, InMemoryDataset } from './array-dataset.js';

export interface FromArraysOptions extends ArrayDatasetOptions {
  /** Shape of one sample, [C, H, W]; needed when `x` is a flat typed array. */
  readonly imageShape?: readonly number[];
}

/**
 * A data set from arrays in memory.
 * @param x  [T, C, H, W] (or [T, features]): a tensor, nested arrays, or a typed array with `imageShape`.
 *           uint8 stays bytes, everything else becomes float32. float32 and uint8 storage is shared, not copied.
 * @param y  T whole numbers
 * @throws FoveaError ERR_SHAPE when `x` and `y` differ in number, ERR_DATA for labels that are not whole numbers >= 0
 * @example  const set = data.fromArrays([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]);
 */
export function fromArrays(
  x: Tensor | NestedNumbers | TypedArray,
  y: Tensor | readonly number[] | TypedArray,
  options: FromArraysOptions = {},
): InMemoryDataset {
  checkOptions('fromArrays', options, ['imageShape', 'classes', 'normalization']);
  for (const [name, value] of Object.entries({ x, y })) {
    if (value instanceof Tensor || Array.isArray(value) || ArrayBuffer.isView(value)) continue;
    throw new FoveaError('ERR_DATA', 'fromArrays', `${name} must be a Tensor or an array, got ${show(value)}`);
  }
  const labels = toLabels(y instanceof Tensor ? y.data : y);
  const samples = x instanceof Tensor ? x : toTensor(x, labels.length, options.imageShape);
  if (samples.shape[0] !== labels.length) {
    throw new FoveaError(
      'ERR_SHAPE',
      'fromArrays',
      `x has ${samples.shape[0]} samples ([${samples.shape.join(', ')}]), y has ${labels.length} labels`,
    );
  }
  const { data } = samples;
  const images = data instanceof Uint8Array || data instanceof Float32Array ? data : Float32Array.from(data);
  return new InMemoryDataset(images, labels, options.imageShape ?? samples.shape.slice(1), options);
}

function toTensor(x: NestedNumbers | TypedArray, samples: number, imageShape: readonly number[] | undefined): Tensor {
  if (!ArrayBuffer.isView(x)) return tensor(x);
  if (!imageShape) {
    throw new FoveaError(
      'ERR_OPTION',
      'fromArrays',
      `a flat array of ${(x as TypedArray).length} values needs { imageShape: [C, H, W] }`,
    );
  }
  return tensor(x, [samples, ...imageShape]);
}

/** Labels as int32, checked. @throws FoveaError ERR_DATA */
export function toLabels(values: ArrayLike<number>, source = 'fromArrays'): Int32Array {
  return Int32Array.from(values, (value, index) => {
    if (Number.isInteger(value) && value >= 0 && value <= 0x7fffffff) return value;
    throw new FoveaError('ERR_DATA', 'data', `${source}: label ${value} of sample ${index} is not a whole number >= 0`);
  });
}
