import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { Tensor } from '../../lib/tensor.js';
import type { Call } from './reference.js';

// The same calls are the oracle of every level and precision, each in a process of its own, and the reference takes most
// of such a suite's time. So its answers are kept for one run of the tests, in a folder that goes with it: no answer is
// older than the code that gave it.

const variable = 'FOVEA_TEST_REFERENCES';
/** Milliseconds that computing must take for the answer to be worth a file. */
const worthwhile = 5;

/** Vitest's global setup: makes the folder, and returns what removes it. Tests that run tests share theirs. */
export default function setup(): (() => void) | undefined {
  if (process.env[variable]) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'fovea-references-'));
  process.env[variable] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}

/** What `compute` gives for this call, from this run's folder where it has been computed before. */
export function remembered(call: Call, compute: (call: Call) => (Tensor | null)[]): (Tensor | null)[] {
  const folder = process.env[variable];
  if (!folder) return compute(call);
  const file = join(folder, keyOf(call));
  const known = read(file);
  if (known) return known;
  const start = performance.now();
  const outputs = compute(call);
  if (performance.now() - start > worthwhile) write(file, outputs);
  return outputs;
}

function keyOf({ inputs, ...rest }: Call): string {
  const hash = createHash('sha1').update(serialize(rest)); // JSON has no ∞, NaN and −0
  for (const tensor of inputs) {
    hash.update(tensor ? `${tensor.dtype} ${tensor.shape};` : 'none;');
    if (tensor) hash.update(tensor.data);
  }
  return hash.digest('hex');
}

function read(file: string): (Tensor | null)[] | undefined {
  try {
    const parts = deserialize(readFileSync(file)) as (Pick<Tensor, 'shape' | 'data'> | null)[];
    return parts.map((part) => part && new Tensor(part.shape, part.data));
  } catch {
    return undefined; // not computed yet
  }
}

/** Whole or not at all: another process may be reading, or writing the same. */
function write(file: string, outputs: readonly (Tensor | null)[]): void {
  const part = `${file}.${process.pid}`;
  try {
    writeFileSync(part, serialize(outputs.map((tensor) => tensor && { shape: tensor.shape, data: tensor.data })));
    renameSync(part, file);
  } catch {
    rmSync(part, { force: true }); // a full disk: computed again where it is needed
  }
}
