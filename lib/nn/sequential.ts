import type { Value } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';
import { checkModule, Module } from './module.js';

/** Layers one after the other; state names are their numbers, as in torch.nn.Sequential. */
export class Sequential extends Module {
  readonly layers: readonly Module[];

  /** @throws FoveaError ERR_OPTION for what is no module */
  constructor(...layers: readonly Module[]) {
    super();
    layers.forEach((layer, i) => {
      checkModule('Sequential', `layer ${i}`, layer);
    });
    this.layers = layers;
  }

  override children(): [string, Module][] {
    return this.layers.map((layer, i) => [String(i), layer]);
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return this.layers.reduce((value, layer) => layer.forward(value), x);
  }
}
