import { FoveaError } from '../errors.js';
import { checkElements, checkNotEmpty } from '../geometry/window.js';
import { formatShape, sizeOf, type Tensor } from '../tensor.js';
import type { WeightedGradients } from './conv2d.js';
import { operand, optional, rankOf, sameFloats, shapeOf, spec } from './internal/check.js';
import { spreadLike, withShape } from './internal/shapes.js';
import { matmulOperator } from './matmul.js';
import { apply, apply1, type Maybe, type Operator, touchedBytes, type Value } from './operator.js';
import { beforeActivation } from './relu.js';

/** x [rows, in], weight [out, in], bias? [out] → y [rows, out] { activation: 'none' | 'relu' } */
export const linearOperator: Operator = {
  name: 'linear',
  infer(inputs) {
    const { shape, dtype } = spec(inputs, 0);
    return [{ shape: [...shape.slice(0, -1), spec(inputs, 1).shape[0] as number], dtype }];
  },
  gradient({ inputs, outputs, gradOutputs, attributes, wanted }) {
    const [x, weight] = inputs as [Value, Value];
    const dy = beforeActivation(attributes.activation, gradOutputs[0] as Value, outputs[0] as Value);
    const dx = wanted[0] ? gradInput(dy, weight) : null;
    if (!wanted[1] && !wanted[2]) return [dx, null, null];
    return [dx, ...apply(linearGradWeightOperator, [x, dy], { withBias: wanted[2] === true })];
  },
  cost(inputs, outputs) {
    const y = sizeOf(spec(outputs, 0).shape);
    const flops = 2 * y * (spec(inputs, 1).shape[1] as number) + (inputs[2] ? y : 0);
    return { flops, bytes: touchedBytes([...inputs, ...outputs]) };
  },
};

/** x [rows, in], dy [rows, out] → dw [out, in], db? [out] { withBias } */
export const linearGradWeightOperator: Operator = {
  name: 'linearGradWeight',
  infer(inputs, { withBias }) {
    const { shape, dtype } = spec(inputs, 0);
    const out = spec(inputs, 1).shape.at(-1) as number;
    return [{ shape: [out, shape.at(-1) as number], dtype }, withBias ? { shape: [out], dtype } : null];
  },
  // dw = dyᵀ·x is bilinear.
  gradient({ inputs, gradOutputs, wanted }) {
    const [x, dy] = inputs as [Value, Value];
    const [gw, gb] = gradOutputs;
    if (!gw) return [null, wanted[1] && gb ? spreadLike(dy, gb) : null]; // db alone is the sum of dy over the rows
    return [
      wanted[0] ? gradInput(dy, gw) : null,
      wanted[1] ? apply1(linearOperator, [x, gw, gb], { activation: 'none' }) : null,
    ];
  },
  cost(inputs, outputs) {
    const dy = sizeOf(spec(inputs, 1).shape);
    const flops = 2 * dy * (spec(inputs, 0).shape.at(-1) as number) + (outputs[1] ? dy : 0);
    return { flops, bytes: touchedBytes([...inputs, ...outputs]) };
  },
};

function gradInput(dy: Value, weight: Value): Value {
  return apply1(matmulOperator, [dy, weight], { transposeA: false, transposeB: false });
}

/** [..., last] → [rows, last]: the backends see matrices only. */
function asMatrix(x: Value): Value {
  const last = x.shape.at(-1) as number;
  return withShape(x, [sizeOf(x.shape.slice(0, -1)), last]);
}

/**
 * y = x·weightᵀ + bias over the last axis: M·N + N parameters take M features to N. Source: PyTorch `torch.nn.functional.linear`.
 * @param x       [..., in], float32 or float64
 * @param weight  [out, in]
 * @param bias    [out], or nothing
 * @returns       [..., out]
 * @throws FoveaError ERR_SHAPE (rank, features that differ), ERR_DTYPE, ERR_DATA, ERR_MEMORY
 */
export function linear(x: Tensor, weight: Tensor, bias?: Maybe<Tensor>): Tensor;
export function linear(x: Value, weight: Value, bias?: Maybe<Value>): Value;
export function linear(x: Value, weight: Value, bias?: Maybe<Value>): Value {
  const checked = checkLinear('linear', x, weight, bias);
  const y = apply1(linearOperator, [asMatrix(checked.x), checked.weight, checked.bias], { activation: 'none' });
  return withShape(y, checked.outputShape);
}

function checkLinear(operator: string, x: unknown, weight: unknown, bias: unknown) {
  const operands = {
    x: operand(operator, 'x', x),
    weight: operand(operator, 'weight', weight),
    bias: optional(operator, 'bias', bias),
  };
  sameFloats(operator, operands);
  rankOf(operator, 'weight', operands.weight, 'out, in');
  checkNotEmpty(operator, 'weight', operands.weight.shape);
  const [out, features] = operands.weight.shape as [number, number];
  const { shape } = operands.x;
  if (shape.length === 0) throw new FoveaError('ERR_SHAPE', operator, 'x must be [..., in], got a scalar');
  if (shape.at(-1) !== features) {
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `weight expects ${features} features, x has ${shape.at(-1)} (x ${formatShape(shape)}, weight ${formatShape(operands.weight.shape)})`,
    );
  }
  shapeOf(operator, 'bias', operands.bias, [out], `, one per row of weight ${formatShape(operands.weight.shape)}`);
  const outputShape = [...shape.slice(0, -1), out];
  checkElements(operator, 'the output', outputShape);
  return { ...operands, outputShape };
}

/**
 * The gradient of `linear`, by name: gradInput = gradOutput·weight, gradWeight = gradOutputᵀ·x, gradBias = Σ gradOutput.
 * @param gradOutput  [..., out]
 * @returns gradInput [..., in], gradWeight [out, in], gradBias [out]
 * @throws FoveaError as `linear`, and ERR_SHAPE when gradOutput has another shape
 */
export function linearBackward(gradOutput: Tensor, x: Tensor, weight: Tensor): WeightedGradients<Tensor>;
export function linearBackward(gradOutput: Value, x: Value, weight: Value): WeightedGradients;
export function linearBackward(gradOutput: Value, x: Value, weight: Value): WeightedGradients {
  const checked = checkLinear('linearBackward', x, weight, null);
  const dy = operand('linearBackward', 'gradOutput', gradOutput);
  sameFloats('linearBackward', { x: checked.x, gradOutput: dy });
  shapeOf('linearBackward', 'gradOutput', dy, checked.outputShape, ', the shape of the output');
  const rows = asMatrix(dy);
  const [gradWeight, gradBias] = apply(linearGradWeightOperator, [asMatrix(checked.x), rows], { withBias: true }) as [
    Value,
    Value,
  ];
  return { gradInput: withShape(gradInput(rows, checked.weight), checked.x.shape), gradWeight, gradBias };
}
