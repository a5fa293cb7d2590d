import type { Spec } from '../backend/backend.js';
import { FoveaError, show } from '../errors.js';
import type { Value } from '../ops/operator.js';
import { formatShape, Tensor, type TypedArray } from '../tensor.js';
import { gradients, isFloat, zerosLike } from './differentiate.js';
import { compileGraph } from './executable.js';
import { fuse } from './fuse.js';
import { type Graph, withoutDeadNodes } from './graph.js';
import { extend, type GraphBuilder, trace } from './trace.js';

/** A function of operators, of any number of tensors. Other tensors that it uses are constants to it. */
export type TensorFunction = (...inputs: Value[]) => Value;

/**
 * The value of `f` at `inputs`, and the function that pulls gradients back through it:
 * pullback(v) = vᵀ · ∂f/∂inputs, the vector-Jacobian product.
 * @param f       any function of operators; it may use other tensors, too
 * @param inputs  tensors; integers are passed along but have no gradient
 * @returns       `value`, and `pullback(gradOutput)` with gradOutput of the shape of `value`, which gives one gradient for
 *                each input: null for integers, zeros where the input has no influence. It can be called many times.
 * @throws FoveaError ERR_GRAPH, ERR_SHAPE, ERR_DTYPE
 * @example       const { value, pullback } = vjp((x, w) => ops.conv2d(x, w), [x, w]);
 *                const [gx, gw] = pullback(Tensor.ones(value.shape));
 */
export function vjp(
  f: TensorFunction,
  inputs: readonly Tensor[],
): { value: Tensor; pullback: (gradOutput: Tensor) => (Tensor | null)[] } {
  if (typeof f !== 'function' || !Array.isArray(inputs)) {
    const detail = `expected a function and a list of tensors, got ${show(f)} and ${show(inputs)}`;
    throw new FoveaError('ERR_GRAPH', 'vjp', detail);
  }
  for (const input of inputs) {
    if (!(input instanceof Tensor)) throw new FoveaError('ERR_GRAPH', 'vjp', 'the inputs of vjp are tensors');
  }
  const graph = fuse(trace((...values) => f(...values), inputs, 'vjp'));
  if (graph.outputs.length !== 1) {
    throw new FoveaError('ERR_GRAPH', 'vjp', `the function must return one value, it returned ${graph.outputs.length}`);
  }
  const { forward, backward, saved } = splitAtGradient(graph);
  const [valueData, ...savedData] = compute(
    forward,
    inputs.map(({ data }) => data),
  ) as [TypedArray, ...TypedArray[]];
  const value = new Tensor((graph.values[graph.outputs[0] as number] as Spec).shape, valueData);
  const pullback = (gradOutput: Tensor): (Tensor | null)[] => {
    checkGradOutput(gradOutput, value);
    const arrays = [...inputs.map(({ data }) => data), gradOutput.data, ...savedData.slice(0, saved)];
    const found = compute(backward, arrays).values();
    return inputs.map((input) => (isFloat(input) ? new Tensor(input.shape, found.next().value as TypedArray) : null));
  };
  return { value, pullback };
}

/**
 * The function that computes a scalar `f` together with its gradients.
 * @returns  (…inputs) → the value of f, a scalar, and one gradient per input (null for integers)
 * @throws FoveaError ERR_SHAPE when the value is not a scalar
 * @example  const { value, grads } = valueAndGrad((w, x, y) => ops.crossEntropy(ops.linear(x, w), y))(w, x, y);
 */
export function valueAndGrad(f: TensorFunction): (...inputs: Tensor[]) => { value: Tensor; grads: (Tensor | null)[] } {
  return (...inputs) => {
    const { value, pullback } = vjp(f, inputs);
    if (value.shape.length > 0) {
      throw new FoveaError(
        'ERR_SHAPE',
        'valueAndGrad',
        `the function must return a scalar, it returned ${formatShape(value.shape)}`,
      );
    }
    return { value, grads: pullback(Tensor.ones([], value.dtype)) };
  };
}

/**
 * Two graphs from one: `forward` computes the value and everything that `backward` reads of the way there; `backward`
 * takes the inputs, the gradient of the value and those saved values, and gives the gradients of the float inputs.
 */
function splitAtGradient(graph: Graph): { forward: Graph; backward: Graph; saved: number } {
  const before = graph.nodes.length;
  const whole = extend(graph, (inputs, [value]) => {
    const { recorder, shape, dtype } = value as NonNullable<typeof value>;
    const gradient = (recorder as GraphBuilder).input({ shape, dtype });
    const wanted = inputs.filter(isFloat);
    const found = isFloat(gradient) ? gradients([{ value: value as Value, gradient }], wanted) : wanted.map(() => null);
    return found.map((result, i) => result ?? zerosLike(wanted[i] as Spec));
  });
  const backward = withoutDeadNodes({ ...whole, nodes: whole.nodes.slice(before), assigns: [] });
  const computed = new Set(graph.nodes.flatMap((node) => node.outputs));
  const read = new Set([...backward.nodes.flatMap((node) => node.inputs), ...backward.outputs]);
  const saved = [...read].filter((id) => id >= 0 && computed.has(id)); // −1: absent operands
  return {
    forward: { ...graph, outputs: [...graph.outputs, ...saved] },
    backward: { ...backward, inputs: [...whole.inputs, ...saved] },
    saved: saved.length,
  };
}

function compute(graph: Graph, inputs: readonly TypedArray[]): TypedArray[] {
  const executable = compileGraph(graph);
  try {
    return executable.runSync(inputs);
  } finally {
    executable.dispose();
  }
}

function checkGradOutput(gradient: Tensor, { shape, dtype }: Spec): void {
  if (!(gradient instanceof Tensor) || String(gradient.shape) !== String(shape)) {
    const found = gradient instanceof Tensor ? formatShape(gradient.shape) : String(gradient);
    throw new FoveaError(
      'ERR_SHAPE',
      'pullback',
      `the value is ${formatShape(shape)}, the gradient given for it ${found}`,
    );
  }
  if (gradient.dtype !== dtype) {
    throw new FoveaError('ERR_DTYPE', 'pullback', `the value is ${dtype}, the gradient given for it ${gradient.dtype}`);
  }
}
