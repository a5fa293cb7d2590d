import type { Tensor } from '../tensor.js';
import { adaptiveAvgPool2d, adaptiveAvgPool2dBackward } from './adaptive-avg-pool2d.js';
import type { InputGradient, Value } from './operator.js';

/**
 * The mean of each channel: y[n,c] = 1/(H·W) · Σ_{h,w} x[n,c,h,w]. The same as `adaptiveAvgPool2d(x, 1)`.
 * Source: Lin, Chen, Yan, "Network in network", 2013.
 * @param x  [N, C, H, W], float32 or float64
 * @returns  [N, C, 1, 1]
 * @throws FoveaError as `adaptiveAvgPool2d`
 */
export function globalAvgPool2d(x: Tensor): Tensor;
export function globalAvgPool2d(x: Value): Value;
export function globalAvgPool2d(x: Value): Value {
  return adaptiveAvgPool2d(x, 1);
}

/**
 * The gradient of `globalAvgPool2d`, by name: every pixel takes gradOutput / (H·W).
 * @param gradOutput  [N, C, 1, 1]
 * @returns           gradInput [N, C, H, W]
 * @throws FoveaError as `adaptiveAvgPool2dBackward`
 */
export function globalAvgPool2dBackward(gradOutput: Tensor, x: Tensor): InputGradient<Tensor>;
export function globalAvgPool2dBackward(gradOutput: Value, x: Value): InputGradient;
export function globalAvgPool2dBackward(gradOutput: Value, x: Value): InputGradient {
  return adaptiveAvgPool2dBackward(gradOutput, x, 1);
}
