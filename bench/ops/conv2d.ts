import { compileGraph, type Executable } from '../../lib/graph/executable.js';
import { trace } from '../../lib/graph/trace.js';
import { ops, type Precision, Tensor } from '../../lib/index.js';
import { conv2dGradInputOperator, conv2dGradWeightOperator } from '../../lib/ops/conv2d.js';
import { apply1, type Value } from '../../lib/ops/operator.js';
import type { TypedArray } from '../../lib/tensor.js';
import { median } from '../helpers/timing.js';
import { type ConvolutionShape, outputSize } from '../shapes/convolutions.js';

export type Pass = 'forward' | 'gradInput' | 'gradWeight';
export const passes: readonly Pass[] = ['forward', 'gradInput', 'gradWeight'];

/**
 * One pass of a convolution, compiled by itself, several times over: its operands lie as they do between the layers of a
 * program, and in the caches as the pass before left them, which is how PyTorch is timed.
 */
export interface ConvolutionBench {
  /**
   * Milliseconds of the convolution itself, without the conversions round it: the median of those that follow the first,
   * whose operands a conversion has just written.
   */
  once(): Promise<number>;
  /** The same of the last run. */
  milliseconds(): number;
  /**
   * What this very program, at its whole batch, computes for the first images alone: their part of the result, or the
   * weights' gradient when the gradient of all other images' outputs is zero.
   */
  resultOf(images: number): Promise<TypedArray>;
  describe(): string;
  dispose(): void;
}

export interface ConvolutionBenchOptions {
  readonly backend?: 'native' | 'reference';
  readonly dtype?: 'float32' | 'float64';
  readonly threads?: number;
  /** Default: the shape's own. */
  readonly batch?: number;
  readonly precision?: Precision;
}

/** How often a program of the native backend has the pass. */
const nativeRepeats = 4;

const operatorOf: Readonly<Record<Pass, string>> = {
  forward: 'conv2d',
  gradInput: 'conv2dGradInput',
  gradWeight: 'conv2dGradWeight',
};

export function convolutionBench(
  layer: ConvolutionShape,
  pass: Pass,
  options: ConvolutionBenchOptions = {},
): ConvolutionBench {
  const { batch = layer.batch, dtype = 'float32', ...compile } = options;
  const { channels, height, width, filters, kernel, stride, padding, dilation, groups } = layer;
  const [p, q] = outputSize(layer);
  const specs = {
    x: { shape: [batch, channels, height, width], dtype },
    w: { shape: [filters, channels / groups, kernel, kernel], dtype },
    dy: { shape: [batch, filters, p, q], dtype },
  };
  const attributes = {
    stride: [stride, stride],
    padding: [padding, padding, padding, padding],
    dilation: [dilation, dilation],
    groups,
    paddingMode: 'zeros',
    flipKernel: false,
  };
  // Images between layers are passed on through a pool of one pixel, since what comes from the caller or goes there never
  // lies as bfloat16. The few channels of a stem do come from there, as they are.
  const between = (image: Value) => ops.avgPool2d(image, { kernelSize: 1 });
  const outer = (image: Value) => (channels <= 4 ? image : between(image));
  // Of one result everything is given out; the others are looked at where they are, and give their place to the next.
  const brief = (image: Value) => (channels <= 4 ? image : ops.globalAvgPool2d(image));
  const repeats = compile.backend === 'reference' ? 1 : nativeRepeats;
  const repeat = (once: () => Value, whole: (result: Value) => Value, rest: (result: Value) => Value) => {
    const others = Array.from({ length: repeats - 1 }, () => rest(once()));
    return [whole(once()), ...others];
  };
  const body: Record<Pass, (x: Value, w: Value, dy: Value) => Value[]> = {
    forward: (x, w) => {
      const from = outer(x);
      return repeat(
        () => ops.conv2d(from, w, null, { stride, padding, dilation, groups }),
        between,
        ops.globalAvgPool2d,
      );
    },
    gradInput: (_, w, dy) => {
      const from = between(dy);
      const shape = { ...attributes, inputShape: specs.x.shape };
      return repeat(() => apply1(conv2dGradInputOperator, [from, w], shape), outer, brief);
    },
    gradWeight: (x, _, dy) => {
      const operands = [outer(x), between(dy)];
      const shape = { ...attributes, kernelSize: [kernel, kernel], withBias: false };
      const itself = (result: Value) => result;
      return repeat(() => apply1(conv2dGradWeightOperator, operands, shape), itself, itself);
    },
  };
  const graph = trace((x, w, dy) => body[pass](x as Value, w as Value, dy as Value), Object.values(specs), pass);
  const program = compileGraph(graph, compile);
  // The same numbers whatever the batch: the first images of a large one are a small one.
  const inputs = Object.values(specs).map(({ shape }, i) => {
    const { data } = Tensor.randn(shape, { seed: i + 1 });
    return dtype === 'float64' ? Float64Array.from(data) : data;
  });
  return wrap(program, inputs, pass, batch);
}

function wrap(program: Executable, inputs: readonly TypedArray[], pass: Pass, batch: number): ConvolutionBench {
  const profiled = () => program.profile().filter(({ operator }) => operator === operatorOf[pass]);
  const milliseconds = () => {
    const times = profiled().map((step) => step.milliseconds);
    return median(times.length > 1 ? times.slice(1) : times);
  };
  return {
    once: async () => {
      await program.run(inputs);
      return milliseconds();
    },
    milliseconds,
    resultOf: async (images) => {
      const share = images / batch;
      const [x, w, dy] = inputs as [TypedArray, TypedArray, TypedArray];
      const [whole = x] = await program.run([x, w, dy.slice().fill(0, dy.length * share)]);
      return pass === 'gradWeight' ? whole.slice() : whole.slice(0, whole.length * share);
    },
    describe: () => profiled()[0]?.describe ?? '',
    dispose: () => program.dispose(),
  };
}
