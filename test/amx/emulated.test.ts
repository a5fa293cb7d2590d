import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';

const milliseconds = 500_000; // 113 s alone, more beside other tests

// The AMX kernels on a CPU that has AVX512-BF16 but no AMX: npm run test:amx, which says more. A CPU with AMX runs
// test/precision/bf16-amx.test.ts itself.
test('AMX kernels on emulated tile instructions', { timeout: milliseconds + 10_000 }, ({ skip }) => {
  const { backend } = findNative();
  const isa = backend?.info.detected;
  if (isa !== 'avx512bf16')
    skip(`needs a CPU with AVX512-BF16 and without AMX, this one is ${isa ?? 'without native backend'}`);
  if (spawnSync('g++', ['--version']).status !== 0) skip('needs g++');
  const script = join(import.meta.dirname, '../../scripts/test-variant.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, 'amx'], {
    encoding: 'utf8',
    timeout: milliseconds,
    env: { ...process.env, EMULATED_OPERATIONS: '5e5' }, // npm run test:amx takes twice as long
  });
  // The one is ±∞ in memory as bfloat16, too much work for emulated tiles.
  expect(`${stdout}${stderr}`).toMatch(/\n[1-9]\d{2,} passed, 0 failed, 1 skipped\n/);
  expect(status).toBe(0);
});
