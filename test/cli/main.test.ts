import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { backend } from '../../lib/backend/select.js';
import { decodePng } from '../../lib/formats/png.js';
import { readSafetensors } from '../../lib/formats/safetensors.js';
import { idxBytes, temporaryFolder } from '../formats/helpers.js';

const entry = join(import.meta.dirname, '../../dist/esm/cli/main.js');

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
  /** Milliseconds from the signal to the end. */
  readonly stopping: number;
}

/** Runs the command; sends SIGINT when a line of the output matches. */
function fovea(
  args: readonly string[],
  options: { interruptAt?: RegExp; env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [entry, ...args], { env: { ...process.env, ...options.env } });
  let output = '';
  let errors = '';
  let interrupted = Number.NaN;
  child.stdout.on('data', (piece: Buffer) => {
    output += piece.toString();
    if (!options.interruptAt?.test(output) || !Number.isNaN(interrupted)) return;
    interrupted = performance.now();
    child.kill('SIGINT');
  });
  child.stderr.on('data', (piece: Buffer) => {
    errors += piece.toString();
  });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, output, errors, stopping: performance.now() - interrupted }));
  });
}

const native = backend().name === 'native';
const small = ['--train-size', '1280', '--test-size', '200', '--epochs', '2'];

describe.skipIf(!native)('a whole run (skipped without the native backend: the reference takes minutes)', () => {
  test('shows everything in plain lines and leaves pictures and a checkpoint', async () => {
    const out = temporaryFolder();
    const { code, output, errors } = await fovea([...small, '--out', out]);
    expect([code, errors]).toEqual([0, '']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the point
    expect(output).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
    for (const piece of [
      /^Fovea \d+\.\d+/,
      /backend {3}native, (baseline|avx2|avx512|avx512bf16|amx), \d+ threads?/,
      /data {6}glyphs: 1,280 training and 200 test images of 1×28×28, 10 classes/,
      /Conv2d\(1 → 32, 3×3, padding 1\) +64×32×28×28 +3×3 +320/,
      /total +421,642/,
      /kernels +\S/,
      /epoch 1\/2 {2}step 5\/20 {2}loss \d\.\d{4} {2}accuracy [\d.]+ % {2}[\d,]+ images\/s {2}.+ left/,
      /epoch 2\/2 {2}train: .* test: loss \d\.\d{4}, accuracy [\d.]+ %/,
      /test accuracy [\d.]+ %: \d+ of 200 images are wrongly classified/,
      /native was [\d,]+ times faster than the reference backend/,
    ]) {
      expect(output).toMatch(piece);
    }
    for (const name of ['confusion-matrix.png', 'filters.png', 'mistakes.png']) {
      expect(output).toContain(join(out, name));
      expect(decodePng(readFileSync(join(out, name))).width).toBeGreaterThan(300);
    }
    expect(existsSync(join(out, 'checkpoint.safetensors'))).toBe(true);
  });

  test('Ctrl-C leaves a checkpoint, and --resume ends where an uninterrupted run ends', async () => {
    const [whole, parts] = [temporaryFolder(), temporaryFolder()];
    const uninterrupted = await fovea([...small, '--out', whole]);
    const stopped = await fovea([...small, '--out', parts], { interruptAt: /epoch 1\/2 {2}step 10\/20/ });
    expect([stopped.code, stopped.errors]).toEqual([130, '']);
    expect(stopped.stopping).toBeLessThan(5000); // milliseconds; about 100 on an idle machine
    expect(stopped.output).toContain(`stopped; the checkpoint is ${join(parts, 'checkpoint.safetensors')}`);
    expect(stopped.output).not.toContain('test accuracy');
    const resumed = await fovea(['--resume', '--out', parts]);
    expect([resumed.code, resumed.errors]).toEqual([0, '']);
    const accuracy = /test accuracy .*/;
    expect(accuracy.exec(resumed.output)?.[0]).toBe(accuracy.exec(uninterrupted.output)?.[0]);
    const [a, b] = [whole, parts].map(
      (folder) => readSafetensors(readFileSync(join(folder, 'checkpoint.safetensors'))).tensors,
    );
    expect(b).toEqual(a);
  });
});

describe('what goes wrong is said in one line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fovea-'));
  mkdirSync(join(folder, 'empty'));
  mkdirSync(join(folder, 'broken'));
  writeFileSync(join(folder, 'broken', 'train-images-idx3-ubyte'), idxBytes([5, 28, 28], [1, 2, 3, 4]));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['unknown option', ['--epoch', '3'], /^fovea: options: Unknown option '--epoch'.*\n$/],
    ['no such data', ['--data', '/nowhere/at/all'], /^fovea: data: \/nowhere\/at\/all: no such folder.*\n$/],
    ['empty folder', ['--data', join(folder, 'empty')], /^fovea: data: .*empty: .*looked for.*found nothing\n$/],
    [
      'truncated file',
      ['--data', join(folder, 'broken')],
      /^fovea: idx: .*train-images-idx3-ubyte: expected \d+ bytes.*file has 20\n$/,
    ],
    [
      'nothing to resume',
      ['--resume', join(folder, 'none.safetensors')],
      /^fovea: resume: .*none\.safetensors: no such checkpoint.*\n$/,
    ],
    ['unknown level', [], /^fovea: backend: .*\n$/],
  ];
  for (const [name, args, message] of cases) {
    test(name, async () => {
      const env = name === 'unknown level' ? { FOVEA_BACKEND: 'gpu' } : {};
      const { code, errors } = await fovea([...args, '--out', join(folder, 'out')], { env });
      expect(code).toBe(1);
      expect(errors).toMatch(message);
      expect(errors.split('\n')).toHaveLength(2);
    });
  }
});

test('--help and --version', async () => {
  expect((await fovea(['--help'])).output).toMatch(/^Usage: fovea/);
  expect((await fovea(['--version'])).output).toMatch(/^\d+\.\d+\.\d+.*\n$/);
});
