import { readdirSync, readFileSync, statSync } from 'node:fs';
import { FoveaError } from '../errors.js';
import { reason } from './atomic-file.js';

/**
 * The bytes of a file.
 * @param wanted  what was looked for, for the message: `IDX images`
 * @throws FoveaError ERR_IO naming the path
 */
export function readBytes(path: string, wanted: string, operator: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new FoveaError('ERR_IO', operator, `${path} (${wanted}) cannot be read: ${reason(cause)}`, { cause });
  }
}

/**
 * Names in a folder, sorted by code unit, so that every machine agrees.
 * @throws FoveaError ERR_IO naming the path
 */
export function listFolder(path: string, wanted: string, operator: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (cause) {
    throw new FoveaError('ERR_IO', operator, `${path} (${wanted}) cannot be listed: ${reason(cause)}`, { cause });
  }
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
