import * as ops from '../../lib/ops/index.js';
import { type Tensor, tensor } from '../../lib/tensor.js';
import { permute, type WebnnCase } from './webnn.js';

// WebNN's methods, written in our operators.

type Inputs = Readonly<Record<string, Tensor>>;
type Pair = [number, number];
type Method = (inputs: Inputs, options: WebnnCase['options'], args: WebnnCase['args']) => Tensor;

const toNchw = [0, 3, 1, 2];
const toNhwc = [0, 2, 3, 1];

function input(inputs: Inputs, role: string): Tensor {
  const found = inputs[role];
  if (!found) throw new Error(`the case has no ${role}`);
  return found;
}

/** WebNN's [top, bottom, left, right] as ours. */
function sides(padding: readonly number[]): [Pair, Pair] {
  const [top = 0, bottom = 0, left = 0, right = 0] = padding;
  return [
    [top, bottom],
    [left, right],
  ];
}

const conv2d: Method = (inputs, options) => {
  const nhwc = options.inputLayout === 'nhwc';
  const layout = (options.filterLayout as string | undefined) ?? 'oihw';
  const filter = permute(
    input(inputs, 'filter'),
    [...'oihw'].map((axis) => layout.indexOf(axis)),
  );
  const x = input(inputs, 'input');
  const y = ops.conv2d(nhwc ? permute(x, toNchw) : x, filter, inputs.bias, {
    padding: sides((options.padding as number[] | undefined) ?? [0, 0, 0, 0]),
    stride: (options.strides as Pair | undefined) ?? 1,
    dilation: (options.dilations as Pair | undefined) ?? 1,
    groups: (options.groups as number | undefined) ?? 1,
  });
  return nhwc ? permute(y, toNhwc) : y;
};

/** 'same-upper' puts the odd pixel of padding at the end, 'same-lower' at the beginning. */
function poolPadding(
  options: WebnnCase['options'],
  size: Pair,
  kernel: Pair,
  stride: Pair,
  dilation: Pair,
): [Pair, Pair] {
  const auto = options.autoPad;
  if (auto !== 'same-upper' && auto !== 'same-lower') return sides((options.padding as number[] | undefined) ?? []);
  return size.map((n, i): Pair => {
    const [k, s, d] = [kernel[i] as number, stride[i] as number, dilation[i] as number];
    const total = Math.max(0, (Math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n);
    const less = Math.floor(total / 2);
    return auto === 'same-upper' ? [less, total - less] : [total - less, less];
  }) as [Pair, Pair];
}

function pool(average: boolean): Method {
  return (inputs, options) => {
    const nhwc = options.layout === 'nhwc';
    const given = input(inputs, 'input');
    const x = nhwc ? permute(given, toNchw) : given;
    const size = x.shape.slice(2) as Pair;
    const kernelSize = (options.windowDimensions as Pair | undefined) ?? size;
    const stride = (options.strides as Pair | undefined) ?? [1, 1];
    const dilation = (options.dilations as Pair | undefined) ?? [1, 1];
    const padding = poolPadding(options, size, kernelSize, stride, dilation);
    const floor = size.map((n, i) => {
      const [before, after] = padding[i] as Pair;
      return (
        Math.floor(
          (n + before + after - dilation[i as 0 | 1] * (kernelSize[i as 0 | 1] - 1) - 1) / stride[i as 0 | 1],
        ) + 1
      );
    });
    // Output sizes, when given, say which way to round.
    const wanted = options.outputSizes as Pair | undefined;
    const ceilMode = wanted ? String(wanted) !== String(floor) : options.roundingType === 'ceil';
    const common = { kernelSize, stride, dilation, padding, ceilMode };
    const y = average ? ops.avgPool2d(x, { ...common, countIncludePad: false }) : ops.maxPool2d(x, common);
    return nhwc ? permute(y, toNhwc) : y;
  };
}

/** α·A·B + β·C */
const gemm: Method = (inputs, options) => {
  const { alpha = 1, beta = 1, aTranspose = false, bTranspose = false, c } = options;
  const flags = { transposeA: aTranspose as boolean, transposeB: bTranspose as boolean };
  const product = ops.mul(ops.matmul(input(inputs, 'a'), input(inputs, 'b'), flags), tensor(alpha as number));
  const addend = inputs.c ?? (c === undefined ? undefined : tensor(c as number));
  return addend ? ops.add(product, ops.mul(addend, tensor(beta as number))) : product;
};

/** Over any axis: the axes before it are the batch, those after it one line of pixels. */
const batchNormalization: Method = (inputs, options) => {
  const x = input(inputs, 'input');
  const axis = (options.axis as number | undefined) ?? 1;
  const pixels = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const folded = x.reshape([-1, x.shape[axis] as number, pixels]);
  const y = ops.batchNorm(folded, inputs.scale, inputs.bias, {
    runningMean: input(inputs, 'mean'),
    runningVar: input(inputs, 'variance'),
    eps: (options.epsilon as number | undefined) ?? 1e-5,
  });
  return y.reshape(x.shape);
};

const binary =
  (f: (a: Tensor, b: Tensor) => Tensor): Method =>
  (inputs) =>
    f(input(inputs, 'a'), input(inputs, 'b'));

const reduce =
  (f: typeof ops.sum): Method =>
  (inputs, { axes, keepDimensions }) => {
    const x = input(inputs, 'input');
    const dims = axes as number[] | undefined;
    return f(x, { ...(dims ? { dims } : {}), keepDims: (keepDimensions as boolean | undefined) ?? false });
  };

/** The WebNN operators that the operators of this library express. */
export const methods: Readonly<Record<string, Method>> = {
  conv2d,
  averagePool2d: pool(true),
  maxPool2d: pool(false),
  matmul: (inputs) => ops.matmul(input(inputs, 'a'), input(inputs, 'b')),
  gemm,
  batchNormalization,
  relu: (inputs) => ops.relu(input(inputs, 'input')),
  softmax: (inputs, _options, args) => ops.softmax(input(inputs, 'input'), { dim: args.axis as number }),
  add: binary(ops.add),
  sub: binary(ops.sub),
  mul: binary(ops.mul),
  reshape: (inputs, _options, args) => ops.reshape(input(inputs, 'input'), args.newShape as number[]),
  reduceSum: reduce(ops.sum),
  reduceMean: reduce(ops.mean),
};
