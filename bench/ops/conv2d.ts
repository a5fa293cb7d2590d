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
  result(): TypedArray;
  describe(): string;
  dispose(): void;
}

const operatorOf: Readonly<Record<Pass, string>> = {
  forward: 'conv2d',
  gradInput: 'conv2dGradInput',
  gradWeight: 'conv2dGradWeight',
};

/** @param batch  default: the shape's own */
export function convolutionBench(
  layer: ConvolutionShape,
  pass: Pass,
  options: { backend?: 'native' | 'reference'; threads?: number; batch?: number; precision?: Precision } = {},
): ConvolutionBench {
  const { batch = layer.batch, ...compile } = options;
  const { channels, height, width, filters, kernel, stride, padding, groups } = layer;
  const [p, q] = outputSize(layer);
  const specs = {
    x: { shape: [batch, channels, height, width], dtype: 'float32' },
    w: { shape: [filters, channels / groups, kernel, kernel], dtype: 'float32' },
    dy: { shape: [batch, filters, p, q], dtype: 'float32' },
  } as const;
  const attributes = {
    stride: [stride, stride],
    padding: [padding, padding, padding, padding],
    dilation: [1, 1],
    groups,
    paddingMode: 'zeros',
    flipKernel: false,
  };
  const body: Record<Pass, (x: Value, w: Value, dy: Value) => Value> = {
    forward: (x, w) => ops.conv2d(x, w, null, { stride, padding, groups }),
    gradInput: (_, w, dy) => apply1(conv2dGradInputOperator, [dy, w], { ...attributes, inputShape: specs.x.shape }),
    gradWeight: (x, _, dy) =>
      apply1(conv2dGradWeightOperator, [x, dy], { ...attributes, kernelSize: [kernel, kernel], withBias: false }),
  };
  const graph = trace((x, w, dy) => body[pass](x as Value, w as Value, dy as Value), Object.values(specs), pass);
  const program = compileGraph(graph, compile);
  const inputs = Object.values(specs).map(({ shape }, i) => Tensor.randn(shape, { seed: i + 1 }).data);
  return wrap(program, inputs, operatorOf[pass]);
}

function wrap(program: Executable, inputs: readonly TypedArray[], operator: string): ConvolutionBench {
  let result: TypedArray = new Float32Array();
  return {
    once: async () => {
      [result = result] = await program.run(inputs);
      const steps = program.profile().filter((step) => step.operator === operator);
      return steps.reduce((sum, step) => sum + step.milliseconds, 0);
    },
    result: () => result,
    describe: () => program.profile().find((step) => step.operator === operator)?.describe ?? '',
    dispose: () => program.dispose(),
  };
}

/** Largest difference relative to the largest expected value. */
export function relativeError(got: TypedArray, expected: TypedArray): number {
  let scale = 0;
  let worst = got.length === expected.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((got[i] as number) - (expected[i] as number));
    scale = Math.max(scale, Math.abs(expected[i] as number));
    if (!(difference <= worst)) worst = difference;
  }
  return worst / scale;
}
