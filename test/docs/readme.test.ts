import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { packageRoot } from '../../lib/backend/addon-path.js';
import { backend } from '../../lib/index.js';

/** The TypeScript blocks of a page, in order. They use no syntax that plain JavaScript lacks. */
function blocks(page: string): string[] {
  const text = readFileSync(join(packageRoot(), page), 'utf8');
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string);
}

function run(code: string): string {
  mkdirSync(join(packageRoot(), 'out'), { recursive: true });
  const folder = mkdtempSync(join(packageRoot(), 'out', 'readme-'));
  const entry = pathToFileURL(join(packageRoot(), 'dist', 'esm', 'index.js')).href;
  const file = join(folder, 'example.mjs');
  writeFileSync(file, code.replaceAll("'fovea'", `'${entry}'`));
  try {
    return execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 120_000 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('the examples of the README', () => {
  const [first = '', mathematics = '', loop = '', service = ''] = blocks('README.md');

  test('a first model learns', () => {
    expect(first.trim().split('\n').length).toBeLessThanOrEqual(24); // 20 lines and the blank ones
    const native = backend().name === 'native';
    const size = 'train: 2000, test: 500';
    expect(first).toContain(size);
    const output = run(native ? first : first.replace(size, 'train: 128, test: 32')); // the reference takes its time
    const accuracy = Number(/accuracy: ([\d.]+)/.exec(output)?.[1]);
    expect(accuracy).toBeGreaterThan(native ? 0.85 : 0);
    expect(output).toContain('Linear(1568 → 10)');
  });

  test('the mathematics by itself', () => {
    expect(run(mathematics)).toContain('[ 65 ]');
  });

  test('a loop of one’s own', () => {
    const output = run(loop);
    expect(output).toContain('conv2d');
    expect(output.split('\n').slice(0, 3).map(Number).every(Number.isFinite)).toBe(true);
  });

  test('in a service', () => {
    expect(run(service)).toBe('[ 1, 10 ]\n'.repeat(3));
  });
});
