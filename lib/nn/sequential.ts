import type { Value } from '../ops/operator.js';
import { Module } from './module.js';

/** Layers one after the other; state names are their numbers, as in torch.nn.Sequential. */
export class Sequential extends Module {
  readonly layers: readonly Module[];

  constructor(...layers: readonly Module[]) {
    super();
    this.layers = layers;
  }

  override children(): [string, Module][] {
    return this.layers.map((layer, i) => [String(i), layer]);
  }

  forward(x: Value): Value {
    return this.layers.reduce((value, layer) => layer.forward(value), x);
  }
}
