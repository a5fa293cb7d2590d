import { expect, test } from 'vitest';
import { defaults, helpText, readCommandLine } from '../../lib/cli/options.js';
import { expectError } from '../formats/helpers.js';

test('nothing given, nothing set', () => {
  expect(readCommandLine([])).toEqual({
    settings: {},
    threads: undefined,
    out: 'fovea-run',
    resume: undefined,
    help: false,
    version: false,
  });
});

test('every option', () => {
  const line =
    '--data ../fashion --model resnet18 --epochs 3 --batch-size 32 --lr 1e-2 --precision high --threads 2 --seed 0';
  const read = readCommandLine([
    ...line.split(' '),
    '--train-size=100',
    '--test-size',
    '10',
    '--out',
    'here',
    '--resume',
  ]);
  expect(read).toMatchObject({ threads: 2, out: 'here', resume: 'here/checkpoint.safetensors' });
  expect(read.settings).toEqual({
    data: '../fashion',
    model: 'resnet18',
    epochs: 3,
    batchSize: 32,
    lr: 0.01,
    precision: 'high',
    seed: 0,
    trainSize: 100,
    testSize: 10,
  });
});

test('--resume takes a file or not', () => {
  expect(readCommandLine(['--resume']).resume).toBe('fovea-run/checkpoint.safetensors');
  expect(readCommandLine(['--resume', 'a/b.safetensors', '--epochs', '2']).resume).toBe('a/b.safetensors');
  expect(readCommandLine(['--resume=a/b.safetensors']).resume).toBe('a/b.safetensors');
  expect(readCommandLine(['--resume', '--epochs', '2']).resume).toBe('fovea-run/checkpoint.safetensors');
});

test('the help names every option and default', () => {
  const options = helpText.match(/--[a-z-]+/g) ?? [];
  for (const name of [
    'data',
    'model',
    'epochs',
    'batch-size',
    'lr',
    'precision',
    'threads',
    'seed',
    'train-size',
    'test-size',
    'out',
    'resume',
  ]) {
    expect(options).toContain(`--${name}`);
  }
  expect(helpText).toContain(`default: ${defaults.lr}`);
  expect(Math.max(...helpText.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
});

const wrong: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ['--epochs', '0'],
    ['--epochs must be a whole number >= 1', '"0"'],
  ],
  [['--epochs', '1.5'], ['"1.5"']],
  [
    ['--epochs', ''],
    ['--epochs', '""'],
  ],
  [
    ['--batch-size', 'many'],
    ['--batch-size', '"many"'],
  ],
  [['--lr', '-1'], ['--lr']],
  [['--lr=-1'], ['--lr must be a number above 0', '"-1"']],
  [['--lr', 'NaN'], ['"NaN"']],
  [
    ['--model', 'alexnet'],
    ['lenet, resnet20, resnet18, vgg11', '"alexnet"'],
  ],
  [
    ['--precision', 'low'],
    ['highest, high, medium', '"low"'],
  ],
  [
    ['--epoch', '3'],
    ['--epoch', '--help'],
  ],
  [['--data'], ['--data', '--help']],
  [['fashion-mnist'], ['"fashion-mnist" does not belong to an option']],
  [['--resume', 'a', 'b'], ['"b" does not belong']],
];
for (const [args, pieces] of wrong)
  test(`fovea ${args.join(' ')}`, () => expectError(() => readCommandLine(args), 'ERR_OPTION', ...pieces));
