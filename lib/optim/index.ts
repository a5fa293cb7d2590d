export { Adam, type AdamOptions, AdamW } from './adam.js';
export { type Group, Optimizer, type OptimizerState } from './optimizer.js';
export type { Schedule } from './schedules.js';
export * as schedules from './schedules.js';
export { SGD, type SGDOptions } from './sgd.js';
