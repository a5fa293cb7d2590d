import { flatten } from '../ops/flatten.js';
import type { Value } from '../ops/operator.js';
import { Module } from './module.js';

/** [N, …] → [N, product of the rest] */
export class Flatten extends Module {
  forward(x: Value): Value {
    return flatten(x, { startDim: 1 });
  }
}
