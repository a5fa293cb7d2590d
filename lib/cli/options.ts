import { parseArgs } from 'node:util';
import { FoveaError } from '../errors.js';

export const modelNames = ['lenet', 'resnet20', 'resnet18', 'vgg11'] as const;
export type ModelName = (typeof modelNames)[number];

/** Everything that decides what a run computes; written beside its checkpoint, so that `--resume` needs to be told nothing. */
export interface Settings {
  /** 'glyphs' or a path. */
  readonly data: string;
  readonly model: ModelName;
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly precision: 'highest' | 'high' | 'medium';
  readonly seed: number;
  /** Images of the training and test set to use; undefined: all. */
  readonly trainSize: number | undefined;
  readonly testSize: number | undefined;
}

export interface CommandLine {
  /** Only what was given. */
  readonly settings: Partial<Settings>;
  readonly threads: number | undefined;
  readonly out: string;
  /** Checkpoint to go on from. */
  readonly resume: string | undefined;
  readonly help: boolean;
  readonly version: boolean;
}

export const defaults: Settings = {
  data: 'glyphs',
  model: 'lenet',
  epochs: 5,
  batchSize: 64,
  lr: 0.05,
  precision: 'highest',
  seed: 1,
  trainSize: undefined,
  testSize: undefined,
};

/** Where a run leaves its files unless told otherwise. */
export const defaultOut = 'fovea-run';

export const helpText = `Usage: fovea [options]            (in a checkout: npm start -- [options])

Trains a convolutional network and shows how well it does.

  --data PATH        what to learn from; default: glyphs, digits that the program draws itself.
                     A folder with IDX files (MNIST, Fashion-MNIST), CIFAR-10 batches, or
                     PNG files as train/<class>/*.png and test/<class>/*.png; or an npz file
  --model NAME       ${modelNames.join(', ')}; default: ${defaults.model}
  --epochs N         passes over the training set; default: ${defaults.epochs}
  --batch-size N     images per step; default: ${defaults.batchSize}
  --lr RATE          highest learning rate, falling along a cosine; default: ${defaults.lr}
  --precision NAME   highest, high or medium; default: ${defaults.precision}
  --threads N        default: as many as the process may use
  --seed N           the same seed gives the same result; default: ${defaults.seed}
  --train-size N     use N of the training images, drawn at random
  --test-size N      use N of the test images
  --out DIR          where checkpoint and pictures go; default: ${defaultOut}
  --resume [FILE]    go on from a checkpoint, with the options it was made with;
                     default: the one in --out
  --help, --version

Ctrl-C stops, leaves a checkpoint, and --resume goes on from it.`;

/**
 * Reads the command line.
 * @throws FoveaError ERR_OPTION naming the option and what it takes
 */
export function readCommandLine(args: readonly string[]): CommandLine {
  const { values, positionals } = parse(args);
  const out = values.out ?? defaultOut;
  const resume = values.resume ? (positionals[0] ?? `${out}/checkpoint.safetensors`) : undefined;
  if (positionals.length > (values.resume ? 1 : 0)) {
    throw new FoveaError(
      'ERR_OPTION',
      'options',
      `${JSON.stringify(positionals.at(-1))} does not belong to an option; --help shows them`,
    );
  }
  const settings = {
    data: values.data,
    model: choice('--model', values.model, modelNames),
    epochs: whole('--epochs', values.epochs, 1),
    batchSize: whole('--batch-size', values['batch-size'], 1),
    lr: rate('--lr', values.lr),
    precision: choice('--precision', values.precision, ['highest', 'high', 'medium'] as const),
    seed: whole('--seed', values.seed, 0),
    trainSize: whole('--train-size', values['train-size'], 1),
    testSize: whole('--test-size', values['test-size'], 1),
  };
  return {
    settings: Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)),
    threads: whole('--threads', values.threads, 1),
    out,
    resume,
    help: values.help ?? false,
    version: values.version ?? false,
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      // parseArgs has no options whose value may be left out: --resume=FILE is read as --resume FILE
      args: args.flatMap((arg) => (arg.startsWith('--resume=') ? ['--resume', arg.slice('--resume='.length)] : [arg])),
      allowPositionals: true,
      options: {
        data: text,
        model: text,
        epochs: text,
        'batch-size': text,
        lr: text,
        precision: text,
        threads: text,
        seed: text,
        'train-size': text,
        'test-size': text,
        out: text,
        resume: flag,
        help: { ...flag, short: 'h' },
        version: flag,
      },
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new FoveaError('ERR_OPTION', 'options', `${message.split('. To specify')[0]}; --help shows all options`, {
      cause,
    });
  }
}

function whole(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value;
  throw new FoveaError(
    'ERR_OPTION',
    'options',
    `${name} must be a whole number >= ${least}, got ${JSON.stringify(text)}`,
  );
}

function rate(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new FoveaError('ERR_OPTION', 'options', `${name} must be a number above 0, got ${JSON.stringify(text)}`);
}

function choice<T extends string>(name: string, text: string | undefined, known: readonly T[]): T | undefined {
  if (text === undefined) return undefined;
  const found = known.find((candidate) => candidate === text);
  if (found !== undefined) return found;
  throw new FoveaError(
    'ERR_OPTION',
    'options',
    `${name} must be one of ${known.join(', ')}, got ${JSON.stringify(text)}`,
  );
}
