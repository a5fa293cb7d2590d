import { adaptiveAvgPool2dBackwardOperator, adaptiveAvgPool2dOperator } from './adaptive-avg-pool2d.js';
import { addOperator } from './add.js';
import { avgPool2dBackwardOperator, avgPool2dOperator } from './avg-pool2d.js';
import { col2imOperator } from './col2im.js';
import { conv2dGradInputOperator, conv2dGradWeightOperator, conv2dOperator } from './conv2d.js';
import { crossEntropyBackwardOperator, crossEntropyOperator } from './cross-entropy.js';
import { dropoutOperator } from './dropout.js';
import { im2colOperator } from './im2col.js';
import { assignOperator, reorderOperator } from './internal/copy.js';
import { countCorrectOperator } from './internal/count-correct.js';
import { gatherLabelsOperator, gatherOperator } from './internal/gather.js';
import {
  batchNormInferBackwardOperator,
  batchNormInferOperator,
  batchNormTrainBackwardOperator,
  batchNormTrainOperator,
} from './internal/norm.js';
import { normalizeOperator } from './internal/normalize.js';
import {
  logSoftmaxBackwardOperator,
  logSoftmaxOperator,
  softmaxBackwardOperator,
  softmaxOperator,
} from './internal/softmax.js';
import { linearGradWeightOperator, linearOperator } from './linear.js';
import { matmulOperator } from './matmul.js';
import { maxPool2dBackwardOperator, maxPool2dOperator } from './max-pool2d.js';
import { mulOperator } from './mul.js';
import type { Operator } from './operator.js';
import { reluBackwardOperator, reluOperator } from './relu.js';
import { reshapeOperator } from './reshape.js';
import { subOperator } from './sub.js';
import { sumToOperator } from './sum-to.js';
import { adamUpdateOperator, sgdUpdateOperator } from './update.js';

/** Every primitive operator: what a program may be made of, and both backends compute. */
export const operators: readonly Operator[] = [
  conv2dOperator,
  conv2dGradInputOperator,
  conv2dGradWeightOperator,
  im2colOperator,
  col2imOperator,
  matmulOperator,
  linearOperator,
  linearGradWeightOperator,
  maxPool2dOperator,
  maxPool2dBackwardOperator,
  avgPool2dOperator,
  avgPool2dBackwardOperator,
  adaptiveAvgPool2dOperator,
  adaptiveAvgPool2dBackwardOperator,
  batchNormTrainOperator,
  batchNormTrainBackwardOperator,
  batchNormInferOperator,
  batchNormInferBackwardOperator,
  reluOperator,
  reluBackwardOperator,
  addOperator,
  subOperator,
  mulOperator,
  sumToOperator,
  softmaxOperator,
  softmaxBackwardOperator,
  logSoftmaxOperator,
  logSoftmaxBackwardOperator,
  reshapeOperator,
  dropoutOperator,
  crossEntropyOperator,
  crossEntropyBackwardOperator,
  countCorrectOperator,
  gatherOperator,
  gatherLabelsOperator,
  normalizeOperator,
  sgdUpdateOperator,
  adamUpdateOperator,
  reorderOperator,
  assignOperator,
];

/** The primitive operators by name. */
export const operatorsByName: ReadonlyMap<string, Operator> = new Map(
  operators.map((operator) => [operator.name, operator]),
);
