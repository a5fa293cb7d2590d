import { FoveaError, show } from '../errors.js';
import { checkOptions, choice, real } from '../geometry/options.js';
import { checkNotEmpty } from '../geometry/window.js';
import { formatShape, sizeOf, Tensor } from '../tensor.js';
import { operand, optional, sameFloats, shapeOf, spec } from './internal/check.js';
import { apply1, type Maybe, type Operator, touchedBytes, type Value } from './operator.js';

export interface CrossEntropyOptions<T extends Value = Value> {
  /** [C]: factor of each class; 'mean' divides by the sum of the factors that came up. Default: all 1. */
  readonly weight?: Maybe<T>;
  /** Label of what does not count. Default −100. */
  readonly ignoreIndex?: number;
  /** Share of the target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number;
  /** Default 'mean'. */
  readonly reduction?: 'none' | 'mean' | 'sum';
}

/** logits [N,C,...], labels int32 [N,...], weight? [C] → loss [] or [N,...] { ignoreIndex, labelSmoothing, reduction } */
export const crossEntropyOperator: Operator = {
  name: 'crossEntropy',
  infer: (inputs, { reduction }) => [
    { shape: reduction === 'none' ? spec(inputs, 1).shape : [], dtype: spec(inputs, 0).dtype },
  ],
  gradient: ({ inputs, gradOutputs, attributes, wanted }) => [
    wanted[0] ? apply1(crossEntropyBackwardOperator, [gradOutputs[0], ...inputs], attributes) : null,
    null,
    null,
  ],
  cost: (inputs, outputs) => ({
    flops: 5 * sizeOf(spec(inputs, 0).shape),
    bytes: touchedBytes([...inputs, ...outputs]),
  }),
};

/** dloss, logits, labels, weight? → dlogits { as crossEntropy } */
export const crossEntropyBackwardOperator: Operator = {
  name: 'crossEntropyBackward',
  infer: (inputs) => [spec(inputs, 1)],
  cost: (inputs, outputs) => ({
    flops: 6 * sizeOf(spec(outputs, 0).shape),
    bytes: touchedBytes([...inputs, ...outputs]),
  }),
};

/**
 * −Σ_c t_c · log softmax(logits)_c, where t is the class of the label, with labelSmoothing ε: (1 − ε)·[c = label] + ε/C.
 * 'mean' divides the sum by the number (with `weight`: the summed weight) of labels that are not ignoreIndex; it is NaN when all
 * are. Sources: PyTorch `torch.nn.functional.cross_entropy`; Szegedy et al. 2016 for the smoothing.
 * @param logits   [N, C] or [N, C, ...], float32 or float64
 * @param labels   [N] or [N, ...], int32 class numbers 0 … C − 1; checked before anything is computed
 * @param options  weight, ignoreIndex = −100, labelSmoothing = 0, reduction = 'mean'
 * @returns        a scalar; with reduction 'none' the shape of labels
 * @throws FoveaError ERR_DATA (a label out of range: index, value and range; a detached array), ERR_SHAPE, ERR_DTYPE, ERR_OPTION
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options?: CrossEntropyOptions<Tensor>): Tensor;
export function crossEntropy(logits: Value, labels: Value, options?: CrossEntropyOptions): Value;
export function crossEntropy(logits: Value, labels: Value, options: CrossEntropyOptions = {}): Value {
  const name = 'crossEntropy';
  checkOptions(name, options, ['weight', 'ignoreIndex', 'labelSmoothing', 'reduction']);
  const value = operand(name, 'logits', logits);
  const target = operand(name, 'labels', labels);
  const weight = optional(name, 'weight', options.weight);
  sameFloats(name, { logits: value, weight });
  const classes = checkShapes(value, target, weight);
  const ignoreIndex = options.ignoreIndex ?? -100;
  if ((ignoreIndex | 0) !== ignoreIndex) {
    throw new FoveaError('ERR_OPTION', name, `ignoreIndex must be a whole number of 32 bits, got ${show(ignoreIndex)}`);
  }
  const labelSmoothing = real(name, 'labelSmoothing', options.labelSmoothing ?? 0, 0, 1);
  const reduction = choice(name, 'reduction', options.reduction ?? 'mean', ['none', 'mean', 'sum']);
  if (target instanceof Tensor) checkLabels(target, classes, ignoreIndex);
  return apply1(crossEntropyOperator, [value, target, weight], { ignoreIndex, labelSmoothing, reduction });
}

function checkShapes(logits: Value, labels: Value, weight: Value | null): number {
  const { shape } = logits;
  if (shape.length < 2) {
    throw new FoveaError(
      'ERR_SHAPE',
      'crossEntropy',
      `logits must be [N, C] or [N, C, ...], got ${formatShape(shape)} (rank ${shape.length})`,
    );
  }
  checkNotEmpty('crossEntropy', 'logits', shape);
  if (labels.dtype !== 'int32') {
    const hint = 'new Tensor(labels.shape, Int32Array.from(labels.data)) converts them';
    throw new FoveaError(
      'ERR_DTYPE',
      'crossEntropy',
      `labels must be int32 class numbers, got ${labels.dtype}; ${hint}`,
    );
  }
  const classes = shape[1] as number;
  shapeOf(
    'crossEntropy',
    'labels',
    labels,
    [shape[0] as number, ...shape.slice(2)],
    `, one per prediction of logits ${formatShape(shape)}`,
  );
  shapeOf('crossEntropy', 'weight', weight, [classes], `, one per class of logits ${formatShape(shape)}`);
  return classes;
}

/** @throws FoveaError ERR_DATA */
function checkLabels(labels: Tensor, classes: number, ignoreIndex: number): void {
  const i = labels.data.findIndex((label: number) => (label < 0 || label >= classes) && label !== ignoreIndex);
  if (i < 0) return;
  throw new FoveaError(
    'ERR_DATA',
    'crossEntropy',
    `label ${labels.data[i]} at index ${i} is outside 0 … ${classes - 1} (${classes} classes, ignoreIndex ${ignoreIndex})`,
  );
}
