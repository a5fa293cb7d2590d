import { flatten } from '../ops/flatten.js';
import type { Value } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/** [N, …] → [N, product of the rest] */
export class Flatten extends Module {
  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return flatten(x, { startDim: 1 });
  }
}
