import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Bytes that `body` takes at its peak, beyond what the process had before: resident memory, Linux only.
 * @returns NaN where the system does not tell
 */
export async function peakMemory(body: () => Promise<void>): Promise<number> {
  const before = status('VmRSS');
  try {
    writeFileSync('/proc/self/clear_refs', '5'); // the peak starts over
  } catch {
    return Number.NaN;
  }
  await body();
  return status('VmHWM') - before;
}

function status(field: string): number {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
    return Number(line?.[1]) * 1024;
  } catch {
    return Number.NaN;
  }
}

export const mebibytes = (bytes: number) => (Number.isFinite(bytes) ? (bytes / 2 ** 20).toFixed(0) : '-');
