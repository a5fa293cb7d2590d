import { conv2d, conv2dGradInput, conv2dGradWeight } from './conv2d.js';
import { countCorrect, crossEntropy, crossEntropyBackward } from './cross-entropy.js';
import { dropout } from './dropout.js';
import { add, mul, relu, reluBackward, sub, sumTo } from './eltwise.js';
import { gather, gatherLabels, normalize } from './gather.js';
import { col2im, im2col } from './im2col.js';
import { linear, linearGradWeight } from './linear.js';
import { matmul } from './matmul.js';
import { batchNormInfer, batchNormInferBackward, batchNormTrain, batchNormTrainBackward } from './norm.js';
import {
  adaptiveAvgPool2d,
  adaptiveAvgPool2dBackward,
  avgPool2d,
  avgPool2dBackward,
  maxPool2d,
  maxPool2dBackward,
} from './pool2d.js';
import { assign, reorder, reshape } from './reshape.js';
import { logSoftmax, logSoftmaxBackward, softmax, softmaxBackward } from './softmax.js';
import { adamUpdate, sgdUpdate } from './update.js';
import type { Operation } from './view.js';

/** Every operator that the reference backend computes, by name. */
export const operations: Readonly<Record<string, Operation>> = {
  conv2d,
  conv2dGradInput,
  conv2dGradWeight,
  im2col,
  col2im,
  matmul,
  linear,
  linearGradWeight,
  maxPool2d,
  maxPool2dBackward,
  avgPool2d,
  avgPool2dBackward,
  adaptiveAvgPool2d,
  adaptiveAvgPool2dBackward,
  batchNormTrain,
  batchNormTrainBackward,
  batchNormInfer,
  batchNormInferBackward,
  relu,
  reluBackward,
  add,
  sub,
  mul,
  sumTo,
  softmax,
  softmaxBackward,
  logSoftmax,
  logSoftmaxBackward,
  dropout,
  crossEntropy,
  crossEntropyBackward,
  countCorrect,
  gather,
  gatherLabels,
  normalize,
  sgdUpdate,
  adamUpdate,
  reshape,
  reorder,
  assign,
};
