import { expect, test } from 'vitest';
import { progressDisplay } from '../../lib/cli/progress.js';
import { count, duration, percent } from '../../lib/cli/terminal.js';

const step = (stepInEpoch: number) =>
  ({
    type: 'step',
    epoch: 1,
    step: stepInEpoch,
    stepInEpoch,
    stepsPerEpoch: 8,
    loss: 0.5,
    accuracy: 0.75,
    learningRate: 0.1,
    imagesPerSecond: 1280,
  }) as const;

test('without a terminal: plain lines', () => {
  const lines: string[] = [];
  const display = progressDisplay({ line: (text = '') => void lines.push(text), isTerminal: false }, 2, 64);
  for (let i = 1; i <= 8; ++i) display.step(step(i));
  const validation = { loss: 0.25, accuracy: 0.9 };
  display.epoch({
    type: 'epoch',
    epoch: 1,
    step: 8,
    loss: 0.5,
    accuracy: 0.75,
    validation,
    seconds: 4,
    imagesPerSecond: 1280,
  });
  display.stop();
  expect(lines).toEqual([
    'epoch 1/2  step 2/8  loss 0.5000  accuracy 75.0 %  1,280 images/s  1 s left',
    'epoch 1/2  step 4/8  loss 0.5000  accuracy 75.0 %  1,280 images/s  1 s left',
    'epoch 1/2  step 6/8  loss 0.5000  accuracy 75.0 %  1,280 images/s  1 s left',
    'epoch 1/2  train: loss 0.5000, accuracy 75.00 %; test: loss 0.2500, accuracy 90.00 %  (4 s, 1,280 images/s)',
  ]);
});

test('numbers for people', () => {
  expect([duration(0.4), duration(59.4), duration(61), duration(3725)]).toEqual(['0 s', '59 s', '1:01', '1:02:05']);
  expect([count(1234567.8), percent(0.98765), percent(1, 1)]).toEqual(['1,234,568', '98.77 %', '100.0 %']);
});
