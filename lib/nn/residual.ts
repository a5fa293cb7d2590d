import { add } from '../ops/add.js';
import type { Value } from '../ops/operator.js';
import type { Module as Layer } from './module.js';
import { Module } from './module.js';

/** body(x) + shortcut(x) (He et al. 2016); without a shortcut, body(x) + x. */
export class Residual extends Module {
  constructor(
    readonly body: Layer,
    readonly shortcut?: Layer,
  ) {
    super();
  }

  forward(x: Value): Value {
    return add(this.body.forward(x), this.shortcut ? this.shortcut.forward(x) : x);
  }
}
