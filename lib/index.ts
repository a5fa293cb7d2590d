export { type ErrorCode, FoveaError } from './errors.js';
export * as ops from './ops/index.js';
export type { Traced, Value } from './ops/operator.js';
export { type DType, type NestedNumbers, Tensor, type TypedArray, tensor } from './tensor.js';
