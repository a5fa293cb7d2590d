import { logSoftmax } from '../ops/log-softmax.js';
import type { Value } from '../ops/operator.js';
import { relu } from '../ops/relu.js';
import { softmax } from '../ops/softmax.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/** max(x, 0) */
export class ReLU extends Module {
  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return relu(x);
  }
}

/** exp(x) / Σ exp(x) along one axis. */
export class Softmax extends Module {
  /** @param dim  default: the last axis */
  constructor(readonly dim = -1) {
    super();
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return softmax(x, { dim: this.dim });
  }
}

/** log softmax(x) along one axis. */
export class LogSoftmax extends Module {
  /** @param dim  default: the last axis */
  constructor(readonly dim = -1) {
    super();
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return logSoftmax(x, { dim: this.dim });
  }
}
