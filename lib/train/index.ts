export type { Precision } from '../backend/backend.js';
export { type CompiledForward, type CompileForwardOptions, compileForward } from './compile-forward.js';
export { type CompiledStep, type CompileStepOptions, compileStep } from './compile-step.js';
export { type EvaluateOptions, evaluate } from './evaluate.js';
export type { CheckpointEvent, EpochEvent, Evaluation, FitEvent, StepEvent } from './events.js';
export type { DataSource } from './feed.js';
export { type FitOptions, type FitResult, FitRun, fit } from './fit.js';
export { type PredictOptions, predict } from './predict.js';
export type { Loss, StepResult } from './trainer.js';
