import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FoveaError } from '../errors.js';
import { reason, writeFileAtomic } from '../formats/atomic-file.js';
import { isFile, isFolder } from '../formats/file.js';
import { defaults, type Settings } from './options.js';

const fileName = 'settings.json';

/** Keeps the settings of a run beside its checkpoint. @throws FoveaError ERR_IO */
export async function writeSettings(folder: string, settings: Settings): Promise<void> {
  await writeFileAtomic(join(folder, fileName), Buffer.from(`${JSON.stringify(settings, null, 2)}\n`));
}

/**
 * The settings with which a checkpoint was made; the defaults for one that has none beside it.
 * @param checkpoint  the file or its folder
 * @throws FoveaError ERR_IO when there is no checkpoint, ERR_FORMAT for settings that cannot be read
 */
export function readSettings(checkpoint: string): Settings {
  const folder = isFolder(checkpoint) ? checkpoint : dirname(checkpoint);
  if (folder !== checkpoint && !isFile(checkpoint)) {
    throw new FoveaError(
      'ERR_IO',
      'resume',
      `${checkpoint}: no such checkpoint; a run writes one into its --out folder`,
    );
  }
  const path = join(folder, fileName);
  if (!isFile(path)) return defaults;
  try {
    const read: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof read === 'object' && read !== null && !Array.isArray(read)) return { ...defaults, ...read };
  } catch (cause) {
    throw new FoveaError('ERR_FORMAT', 'resume', `${path}: not the settings of a run (${reason(cause)})`, { cause });
  }
  throw new FoveaError('ERR_FORMAT', 'resume', `${path}: not the settings of a run`);
}
