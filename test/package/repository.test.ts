import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const inRepository = spawnSync('git', ['rev-parse', '--git-dir'], { cwd: root }).status === 0;

test('package-lock.json names versions and hashes and no download address', () => {
  const lock = JSON.parse(read('package-lock.json'));
  const addresses = Object.entries<{ resolved?: string }>(lock.packages).filter(
    ([, entry]) => entry.resolved !== undefined,
  );
  expect(addresses).toEqual([]);
  expect(lock.packages[''].version).toBe(JSON.parse(read('package.json')).version);
});

test.skipIf(!inRepository)('nothing that is built is committed', () => {
  const files = execFileSync('git', ['ls-files', 'dist', 'build', 'out', 'node_modules', '*.node', '*.o', '*.tgz'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(files).toBe('');
});

test('no setting of one machine is committed', () => {
  expect(read('.npmrc')).not.toMatch(/nodedir|registry=|cafile|_auth/);
});
