import { windowAxes } from '../geometry/conv.js';
import { checkOptions, perAxis } from '../geometry/options.js';
import { type AdaptiveSize, adaptiveAvgPool2d } from '../ops/adaptive-avg-pool2d.js';
import { type AvgPool2dOptions, avgPool2d } from '../ops/avg-pool2d.js';
import { globalAvgPool2d } from '../ops/global-avg-pool2d.js';
import { type MaxPool2dOptions, maxPool2d } from '../ops/max-pool2d.js';
import type { Value } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

type Pair = number | readonly [number, number];

const windowNames = ['stride', 'padding', 'dilation', 'ceilMode'];

/** The size of a window and its options, looked at when the layer is made. @throws FoveaError ERR_OPTION */
function checkWindow(
  layer: string,
  kernelSize: unknown,
  options: Omit<MaxPool2dOptions, 'kernelSize'>,
  names: readonly string[],
) {
  const kernel = perAxis(layer, 'kernelSize', kernelSize, 2, 1);
  checkOptions(layer, options, names);
  windowAxes(layer, kernel, kernel, options);
}

const shown = (size: AdaptiveSize) => (typeof size === 'number' ? `${size}×${size}` : size.join('×'));

/** The largest value of each window; options as `ops.maxPool2d`. */
export class MaxPool2d extends Module {
  /** @throws FoveaError ERR_OPTION */
  constructor(
    readonly kernelSize: Pair,
    private readonly options: Omit<MaxPool2dOptions, 'kernelSize'> = {},
  ) {
    super();
    checkWindow('MaxPool2d', kernelSize, options, windowNames);
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return maxPool2d(x, { ...this.options, kernelSize: this.kernelSize });
  }

  override describe(): string {
    return `MaxPool2d(${shown(this.kernelSize)})`;
  }
}

/** The mean of each window; options as `ops.avgPool2d`. */
export class AvgPool2d extends Module {
  /** @throws FoveaError ERR_OPTION */
  constructor(
    readonly kernelSize: Pair,
    private readonly options: Omit<AvgPool2dOptions, 'kernelSize'> = {},
  ) {
    super();
    checkWindow('AvgPool2d', kernelSize, options, [...windowNames, 'countIncludePad']);
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return avgPool2d(x, { ...this.options, kernelSize: this.kernelSize });
  }

  override describe(): string {
    return `AvgPool2d(${shown(this.kernelSize)})`;
  }
}

/** Means over a grid of nearly equal windows, `outputSize` of them; null keeps the size of the input along that axis. */
export class AdaptiveAvgPool2d extends Module {
  /** @throws FoveaError ERR_OPTION */
  constructor(readonly outputSize: AdaptiveSize) {
    super();
    perAxis(
      'AdaptiveAvgPool2d',
      'outputSize',
      Array.isArray(outputSize) ? outputSize.map((n) => n ?? 1) : outputSize,
      2,
      1,
    );
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return adaptiveAvgPool2d(x, this.outputSize);
  }

  override describe(): string {
    return `AdaptiveAvgPool2d(${shown(this.outputSize)})`;
  }
}

/** The mean of each channel: [N, C, H, W] → [N, C, 1, 1]. */
export class GlobalAvgPool2d extends Module {
  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return globalAvgPool2d(x);
  }
}
