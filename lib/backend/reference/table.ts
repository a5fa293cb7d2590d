import { conv2d, conv2dGradInput, conv2dGradWeight } from './conv2d.js';
import { add, mul, relu, reluBackward, sub, sumTo } from './eltwise.js';
import { col2im, im2col } from './im2col.js';
import { linear, linearGradWeight } from './linear.js';
import { matmul } from './matmul.js';
import { assign, reorder, reshape } from './reshape.js';
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
  relu,
  reluBackward,
  add,
  sub,
  mul,
  sumTo,
  reshape,
  reorder,
  assign,
};
