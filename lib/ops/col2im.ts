import { FoveaError } from '../errors.js';
import { perAxis } from '../geometry/options.js';
import { formatShape, sizeOf, type Tensor } from '../tensor.js';
import { type ColumnAttributes, columnGeometry, type Im2colOptions, im2colOperator } from './im2col.js';
import { operand, rankOf, sameFloats, spec } from './internal/check.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';

/** columns [N, C·R·S, P·Q] → x [N,C,H,W] { outputSize: [H,W], kernelSize, stride, padding, dilation } */
export const col2imOperator: Operator = {
  name: 'col2im',
  infer(inputs, attributes) {
    const { shape, dtype } = spec(inputs, 0);
    const { kernelSize } = attributes as ColumnAttributes;
    const channels = (shape[1] as number) / sizeOf(kernelSize);
    return [{ shape: [shape[0] as number, channels, ...(attributes.outputSize as readonly number[])], dtype }];
  },
  gradient({ gradOutputs, attributes }) {
    const { outputSize: _, ...window } = attributes;
    return [apply1(im2colOperator, [gradOutputs[0]], window)];
  },
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(inputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * Adds each column back to the pixels that `im2col` took it from; pixels in the padding are dropped. The transpose, and so
 * the gradient, of `im2col`. Source: PyTorch `torch.nn.functional.fold`.
 * @param columns     [N, C·R·S, P·Q], float32 or float64
 * @param outputSize  H = W, or [H, W]: size of the image
 * @param kernelSize  R = S, or [R, S]
 * @param options     stride = 1, padding = 0, dilation = 1
 * @returns           [N, C, H, W]
 * @throws FoveaError ERR_SHAPE (rows that R·S does not divide, another number of columns than windows), ERR_OPTION, ERR_DTYPE,
 *   ERR_DATA, ERR_MEMORY
 */
export function col2im(columns: Tensor, outputSize: Pair, kernelSize: Pair, options?: Im2colOptions): Tensor;
export function col2im(columns: Value, outputSize: Pair, kernelSize: Pair, options?: Im2colOptions): Value;
export function col2im(columns: Value, outputSize: Pair, kernelSize: Pair, options: Im2colOptions = {}): Value {
  const name = 'col2im';
  const value = operand(name, 'columns', columns);
  sameFloats(name, { columns: value });
  rankOf(name, 'columns', value, 'N, C·R·S, P·Q');
  const [n, rows, count] = value.shape as [number, number, number];
  const image = perAxis(name, 'outputSize', outputSize, 2, 1);
  const taps = sizeOf(perAxis(name, 'kernelSize', kernelSize, 2, 1));
  if (rows === 0 || rows % taps !== 0) {
    throw new FoveaError(
      'ERR_SHAPE',
      name,
      `R·S = ${taps} does not divide the ${rows} rows of columns ${formatShape(value.shape)}`,
    );
  }
  const { attributes, columns: wanted } = columnGeometry(name, [n, rows / taps, ...image], kernelSize, options);
  if (wanted[1] !== count) {
    throw new FoveaError(
      'ERR_SHAPE',
      name,
      `an image of ${image.join(' × ')} has P·Q = ${wanted[1]} windows, columns ${formatShape(value.shape)} holds ${count}`,
    );
  }
  return apply1(col2imOperator, [value], { ...attributes, outputSize: image });
}

type Pair = number | readonly [number, number];
