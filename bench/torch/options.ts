import { parseArgs } from 'node:util';
import type { Precision } from '../../lib/index.js';

export const usage = `npm run bench:torch -- --python PATH [--filter TEXT] [--only layers|models] [--precision NAMES]
                          [--threads N] [--rounds N] [--json FILE]
npm run bench:torch -- --from FILE,FILE…     the goals, from what earlier runs wrote with --json
PATH: a Python that can import torch (or set FOVEA_PYTHON). NAMES: highest,high,medium. TEXT: part of a layer or model name.`;

export interface Options {
  readonly python: string;
  readonly filter: string;
  readonly only: 'layers' | 'models' | undefined;
  readonly precisions: readonly Precision[];
  readonly threads: number | undefined;
  readonly rounds: number;
  readonly json: string | undefined;
  readonly from: readonly string[];
}

export const precisions: readonly Precision[] = ['highest', 'high', 'medium'];

/** What PyTorch computes in when it is held against a precision. */
export const torchType: Readonly<Record<Precision, 'float32' | 'bfloat16'>> = {
  highest: 'float32',
  high: 'float32',
  medium: 'bfloat16',
};

/** @throws Error with what is wrong */
export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      python: { type: 'string', default: process.env.FOVEA_PYTHON ?? '' },
      filter: { type: 'string', default: '' },
      only: { type: 'string' },
      precision: { type: 'string', default: precisions.join(',') },
      threads: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'string' },
      from: { type: 'string' },
    },
  });
  const { only } = values;
  if (only !== undefined && only !== 'layers' && only !== 'models')
    throw new Error(`--only: '${only}' is neither layers nor models`);
  const wanted = values.precision.split(',');
  const unknown = wanted.find((name) => !(precisions as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`--precision: '${unknown}' is none of ${precisions.join(', ')}`);
  return {
    python: values.python,
    filter: values.filter,
    only,
    precisions: precisions.filter((name) => wanted.includes(name)),
    threads: values.threads === undefined ? undefined : whole('--threads', values.threads),
    rounds: whole('--rounds', values.rounds),
    json: values.json,
    from: values.from?.split(',') ?? [],
  };
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`${name}: '${text}' is no whole number from 1`);
}
