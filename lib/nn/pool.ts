import { adaptiveAvgPool2d } from '../ops/adaptive-avg-pool2d.js';
import { type AvgPool2dOptions, avgPool2d } from '../ops/avg-pool2d.js';
import { globalAvgPool2d } from '../ops/global-avg-pool2d.js';
import { type MaxPool2dOptions, maxPool2d } from '../ops/max-pool2d.js';
import type { Value } from '../ops/operator.js';
import { Module } from './module.js';

type Pair = number | readonly [number, number];

const shown = (size: Pair) => (typeof size === 'number' ? `${size}×${size}` : size.join('×'));

/** The largest value of each window; options as `ops.maxPool2d`. */
export class MaxPool2d extends Module {
  constructor(
    readonly kernelSize: Pair,
    private readonly options: Omit<MaxPool2dOptions, 'kernelSize'> = {},
  ) {
    super();
  }

  forward(x: Value): Value {
    return maxPool2d(x, { ...this.options, kernelSize: this.kernelSize });
  }

  override describe(): string {
    return `MaxPool2d(${shown(this.kernelSize)})`;
  }
}

/** The mean of each window; options as `ops.avgPool2d`. */
export class AvgPool2d extends Module {
  constructor(
    readonly kernelSize: Pair,
    private readonly options: Omit<AvgPool2dOptions, 'kernelSize'> = {},
  ) {
    super();
  }

  forward(x: Value): Value {
    return avgPool2d(x, { ...this.options, kernelSize: this.kernelSize });
  }

  override describe(): string {
    return `AvgPool2d(${shown(this.kernelSize)})`;
  }
}

/** Means over a grid of nearly equal windows, `outputSize` of them. */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly outputSize: Pair) {
    super();
  }

  forward(x: Value): Value {
    return adaptiveAvgPool2d(x, this.outputSize);
  }

  override describe(): string {
    return `AdaptiveAvgPool2d(${shown(this.outputSize)})`;
  }
}

/** The mean of each channel: [N, C, H, W] → [N, C, 1, 1]. */
export class GlobalAvgPool2d extends Module {
  forward(x: Value): Value {
    return globalAvgPool2d(x);
  }
}
