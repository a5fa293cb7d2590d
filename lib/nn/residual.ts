import { add } from '../ops/add.js';
import type { Value } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';
import { checkModule, Module } from './module.js';

/** body(x) + shortcut(x) (He et al. 2016); without a shortcut, body(x) + x. */
export class Residual extends Module {
  /** @throws FoveaError ERR_OPTION for what is no module */
  constructor(
    readonly body: Module,
    readonly shortcut?: Module,
  ) {
    super();
    checkModule('Residual', 'body', body);
    if (shortcut !== undefined) checkModule('Residual', 'shortcut', shortcut);
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return add(this.body.forward(x), this.shortcut ? this.shortcut.forward(x) : x);
  }
}
