import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FoveaError } from '../errors.js';
import { writeFileAtomic } from '../formats/atomic-file.js';
import { readBytes } from '../formats/file.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import type { Module } from '../nn/module.js';
import type { Optimizer, OptimizerState } from '../optim/optimizer.js';
import type { Tensor } from '../tensor.js';

/** Where a training run stands. With the model and the optimizer's state it is all that is needed to go on. */
export interface Progress {
  /** Epochs finished. */
  epoch: number;
  /** Steps finished in the epoch that is under way. */
  stepInEpoch: number;
  /** Steps finished in all. */
  step: number;
  /** Sums over the epoch under way, for its mean loss and accuracy. */
  lossSum: number;
  correct: number;
  seen: number;
  seed: number;
  history: readonly unknown[];
}

const formatName = 'fovea-checkpoint-1';

/** The file in a checkpoint folder: always the newest whole checkpoint. */
export function checkpointPath(folder: string): string {
  return join(folder, 'checkpoint.safetensors');
}

/**
 * Writes model, optimizer state and progress into one file, atomically: at any moment, on a kill or a full disk, the
 * path holds a whole checkpoint.
 * @throws FoveaError ERR_IO
 */
export async function saveCheckpoint(
  path: string,
  model: Module,
  optimizer: Optimizer,
  state: OptimizerState,
  progress: Progress,
): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(model.stateDict())) tensors[`model.${name}`] = value;
  const names = model.namedParameters().map(([name]) => name);
  for (const [slot, values] of Object.entries(state.slots)) {
    values.forEach((value, i) => {
      tensors[`optimizer.${slot}.${names[i]}`] = value;
    });
  }
  const metadata = {
    format: formatName,
    optimizer: optimizer.name,
    optimizerStep: String(state.step),
    progress: JSON.stringify(progress),
  };
  // Copied in one go, before the first await: the file is one moment of the training.
  await writeFileAtomic(path, writeSafetensors(tensors, metadata));
}

/**
 * Loads a checkpoint into a model and returns the rest. Nothing is changed when anything is wrong.
 * @param source  the file, or the folder that `checkpoint.dir` named
 * @throws FoveaError ERR_IO, ERR_FORMAT, ERR_SHAPE, ERR_DATA
 */
export async function loadCheckpoint(
  source: string,
  model: Module,
  optimizer: Optimizer,
): Promise<{ state: OptimizerState; progress: Progress }> {
  const folder = await stat(source).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const path = folder ? checkpointPath(source) : source;
  const { tensors, metadata } = readSafetensors(readBytes(path, 'checkpoint', 'resume'), path);
  if (metadata.format !== formatName) {
    throw new FoveaError(
      'ERR_FORMAT',
      'resume',
      `${path}: expected format ${formatName}, got ${metadata.format ?? 'none'}`,
    );
  }
  if (metadata.optimizer !== optimizer.name) {
    const detail = `${path}: written by ${metadata.optimizer}, the optimizer here is ${optimizer.name}`;
    throw new FoveaError('ERR_DATA', 'resume', detail);
  }
  const progress = parseProgress(metadata.progress, path);
  const state = restoreState(tensors, model, optimizer, Number(metadata.optimizerStep), path);
  model.loadStateDict(withPrefix(tensors, 'model.'));
  return { state, progress };
}

function withPrefix(tensors: Readonly<Record<string, Tensor>>, prefix: string): Record<string, Tensor> {
  const found = Object.entries(tensors).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length), value]));
}

function restoreState(
  tensors: Readonly<Record<string, Tensor>>,
  model: Module,
  optimizer: Optimizer,
  step: number,
  path: string,
): OptimizerState {
  const state = optimizer.init(model.parameters());
  const names = model.namedParameters().map(([name]) => name);
  for (const [slot, values] of Object.entries(state.slots)) {
    values.forEach((value, i) => {
      const saved = tensors[`optimizer.${slot}.${names[i]}`];
      if (!saved || saved.size !== value.size) {
        throw new FoveaError(
          'ERR_DATA',
          'resume',
          `${path}: ${slot} of ${names[i]} is ${saved ? 'of another size' : 'missing'}`,
        );
      }
      value.data.set(saved.data);
    });
  }
  if (!Number.isSafeInteger(step) || step < 0)
    throw new FoveaError('ERR_FORMAT', 'resume', `${path}: no optimizer step`);
  return { step, slots: state.slots };
}

function parseProgress(text: string | undefined, path: string): Progress {
  try {
    const progress = JSON.parse(text ?? '') as Progress;
    const counts = [progress.epoch, progress.stepInEpoch, progress.step, progress.seen, progress.seed];
    if (counts.every((n) => Number.isSafeInteger(n) && n >= 0) && Array.isArray(progress.history)) return progress;
  } catch {
    // reported below
  }
  throw new FoveaError('ERR_FORMAT', 'resume', `${path}: the progress of the training cannot be read`);
}
