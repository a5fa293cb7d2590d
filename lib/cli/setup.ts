import { type InMemoryDataset, InMemorySplit } from '../data/array-dataset.js';
import { openFolder } from '../data/detect.js';
import { glyphs } from '../data/glyphs.js';
import { FoveaError } from '../errors.js';
import { isFile, isFolder } from '../formats/file.js';
import { manualSeed } from '../nn/init.js';
import { lenet, resnet18, resnet20, vgg11 } from '../nn/models.js';
import type { Module } from '../nn/module.js';
import * as schedules from '../optim/schedules.js';
import { SGD } from '../optim/sgd.js';
import type { Settings } from './options.js';

/**
 * The training and the test set that the settings name.
 * @throws FoveaError ERR_IO, ERR_FORMAT, ERR_DATA
 */
export function openData({ data, seed, trainSize, testSize }: Settings): InMemorySplit {
  if (data === 'glyphs') return glyphs({ train: trainSize ?? 16_000, test: testSize ?? 2_000, seed });
  if (!isFolder(data) && !isFile(data)) {
    throw new FoveaError('ERR_IO', 'data', `${data}: no such folder; --data takes glyphs or the path of a data set`);
  }
  const { set } = openFolder(data);
  if (trainSize === undefined && testSize === undefined) return set;
  const part = (whole: InMemoryDataset, size: number | undefined) =>
    size === undefined ? whole : whole.sample(size, seed);
  return new InMemorySplit(part(set, trainSize), part(set.test, testSize));
}

/** An untrained model; the same for the same seed. */
export function makeModel({ model, seed }: Settings, set: InMemorySplit): Module {
  const [channels = 1, height = 1] = set.imageShape;
  const classes = set.classes?.length ?? set.labels.reduce((most, label) => Math.max(most, label + 1), 2);
  manualSeed(seed);
  const makers = { lenet, resnet18, resnet20, vgg11 };
  return makers[model]({ channels, classes, imageSize: height });
}

/** SGD with momentum, the rate falling to zero along a cosine over the whole training. */
export function makeOptimizer({ lr, epochs, batchSize }: Settings, trainImages: number): SGD {
  const steps = epochs * Math.ceil(trainImages / batchSize);
  return new SGD({ lr: schedules.cosine({ lr, steps }), momentum: 0.9, weightDecay: 5e-4 });
}
