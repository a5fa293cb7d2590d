import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { writeFileAtomic } from '../../lib/formats/atomic-file.js';
import { temporaryFolder } from './helpers.js';

test('writes pieces one after the other, makes folders, leaves no temporary file', async () => {
  const folder = join(temporaryFolder(), 'a', 'b');
  const path = join(folder, 'file');
  await writeFileAtomic(path, [Buffer.from('one '), Buffer.from('two')]);
  await writeFileAtomic(path, Buffer.from('three'));
  expect(readFileSync(path, 'utf8')).toBe('three');
  expect(readdirSync(folder)).toEqual(['file']);
});

test('a full disk leaves the old file and no temporary one', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'checkpoint');
  writeFileSync(path, 'old');
  const probe = await open(path);
  const handlePrototype = Object.getPrototypeOf(probe);
  await probe.close();
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  const write = vi.spyOn(handlePrototype, 'write').mockRejectedValue(full);
  try {
    await expect(writeFileAtomic(path, Buffer.alloc(1000))).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `write: ${path} (1000 bytes) cannot be written: no space left on the disk (ENOSPC)`,
    });
  } finally {
    write.mockRestore();
  }
  expect(readdirSync(folder)).toEqual(['checkpoint']);
  expect(readFileSync(path, 'utf8')).toBe('old');
});

test('a target that cannot be replaced is named, and the temporary file is gone', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'target', 'inside'), { recursive: true });
  await expect(writeFileAtomic(join(folder, 'target'), Buffer.from('x'))).rejects.toMatchObject({ code: 'ERR_IO' });
  expect(readdirSync(folder)).toEqual(['target']);
});

test('a path below a file is named', async () => {
  const path = join(temporaryFolder(), 'file');
  writeFileSync(path, '');
  await expect(writeFileAtomic(join(path, 'below'), Buffer.from('x'))).rejects.toMatchObject({ code: 'ERR_IO' });
});
