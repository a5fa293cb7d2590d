import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FoveaError } from '../errors.js';

let serial = 0;

/**
 * Writes a file so that at every moment the path holds either the whole old content or the whole new content, even when the
 * disk fills up or the power fails: temporary file beside it, fsync, rename, fsync of the folder. Makes the folder if need be.
 * @param content  the bytes, in one piece or in several that are written one after the other
 * @throws FoveaError ERR_IO; the temporary file is gone then and the old file untouched
 */
export async function writeFileAtomic(path: string, content: Uint8Array | readonly Uint8Array[]): Promise<void> {
  const pieces = content instanceof Uint8Array ? [content] : content;
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${++serial}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    await writeThrough(temporary, pieces);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {}); // the first error is the one to report
    const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    throw new FoveaError('ERR_IO', 'write', `${path} (${bytes} bytes) cannot be written: ${reason(cause)}`, { cause });
  }
  await syncFolder(folder);
}

async function writeThrough(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'wx');
  try {
    for (const piece of pieces) await writeAll(file, piece);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A write may take less than it was given. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength; ) {
    const result = await file.write(bytes, written, bytes.byteLength - written);
    written += result.bytesWritten;
  }
}

/** Makes the rename itself durable. Some systems (Windows, some network disks) cannot sync a folder: nothing is lost but durability. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** What the operating system said, in words. */
export function reason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const words: Readonly<Record<string, string>> = {
    ENOSPC: 'no space left on the disk',
    EDQUOT: 'disk quota exceeded',
    EROFS: 'the file system is read-only',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    ENOENT: 'no such file or folder',
    ENOTDIR: 'a part of the path is a file, not a folder',
    EISDIR: 'it is a folder',
    EEXIST: 'something of that name is in the way',
    EFBIG: 'the file would be larger than allowed',
  };
  return words[code] ? `${words[code]} (${code})` : error instanceof Error ? error.message : String(error);
}
