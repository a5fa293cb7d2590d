import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type ErrorCode, FoveaError } from '../../lib/errors.js';

/** A folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fovea-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs `f` and checks that it throws a FoveaError of that code whose message holds every given piece. */
export function expectError(f: () => unknown, code: ErrorCode, ...pieces: readonly (string | RegExp)[]): void {
  let thrown: unknown;
  try {
    f();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, `expected ${code}`).toBeInstanceOf(FoveaError);
  const { code: got, message } = thrown as FoveaError;
  expect(got, message).toBe(code);
  for (const piece of pieces) expect(message).toMatch(piece);
}

/** Big-endian IDX bytes of uint8 elements. */
export function idxBytes(shape: readonly number[], elements: Uint8Array | readonly number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x0800 + shape.length, 0);
  shape.forEach((size, axis) => {
    header.writeUInt32BE(size, 4 + 4 * axis);
  });
  return Buffer.concat([header, Buffer.from(elements)]);
}
