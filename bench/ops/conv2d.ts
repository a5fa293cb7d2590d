import { compileGraph, type Executable } from '../../lib/graph/executable.js';
import { trace } from '../../lib/graph/trace.js';
import { ops, type Precision, Tensor } from '../../lib/index.js';
import { conv2dGradInputOperator, conv2dGradWeightOperator } from '../../lib/ops/conv2d.js';
import { apply1, type Value } from '../../lib/ops/operator.js';
import type { TypedArray } from '../../lib/tensor.js';
import { type ConvolutionShape, outputSize } from '../shapes/convolutions.js';

export type Pass = 'forward' | 'gradInput' | 'gradWeight';
export const passes: readonly Pass[] = ['forward', 'gradInput', 'gradWeight'];

/** One pass of a convolution, compiled by itself: its operands lie as they do between the layers of a program. */
export interface ConvolutionBench {
  /** Milliseconds of the convolution itself, without the conversions round it. */
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
  const body: Record<Pass, (x: Value, w: Value, dy: Value) => Value> = {
    forward: (x, w) => between(ops.conv2d(outer(x), w, null, { stride, padding, dilation, groups })),
    gradInput: (_, w, dy) =>
      outer(apply1(conv2dGradInputOperator, [between(dy), w], { ...attributes, inputShape: specs.x.shape })),
    gradWeight: (x, _, dy) =>
      apply1(conv2dGradWeightOperator, [outer(x), between(dy)], {
        ...attributes,
        kernelSize: [kernel, kernel],
        withBias: false,
      }),
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
  const milliseconds = () => profiled().reduce((sum, step) => sum + step.milliseconds, 0);
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
