import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { threadId } from 'node:worker_threads';

/** By shape, what was measured: candidate and milliseconds, the one to take first. */
export type Plans = Readonly<Record<string, readonly (readonly [candidate: string, milliseconds: number])[]>>;

/** Plans of another machine or version are none of ours. */
export interface PlanOwner {
  readonly version: string;
  readonly cpu: string;
  readonly isa: string;
}

const mostBytes = 1 << 20;
let serial = 0;

/**
 * Where measured plans are kept: FOVEA_PLAN_DIR, else `fovea` in $XDG_CACHE_HOME or in ~/.cache; one file for each CPU,
 * instruction set and version. Undefined where there is no such place.
 */
export function planPath({ version, cpu, isa }: PlanOwner): string | undefined {
  const folder = process.env.FOVEA_PLAN_DIR || cacheFolder();
  const name = `plans ${version} ${isa} ${cpu}`.replace(/[^\w.]+/g, '-').slice(0, 120);
  return folder === undefined ? undefined : join(folder, `${name}.json`);
}

function cacheFolder(): string | undefined {
  const { XDG_CACHE_HOME } = process.env;
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'fovea');
  try {
    return isAbsolute(homedir()) ? join(homedir(), '.cache', 'fovea') : undefined;
  } catch {
    return undefined; // a user without a home
  }
}

/** What the file holds for this owner. It is only a cache: whatever is wrong with it, the answer is less or nothing. */
export function readPlans(path: string, owner: PlanOwner): Plans {
  try {
    const { size } = fileStat(path);
    if (size > mostBytes) return {};
    const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (!isRecord(content) || !isRecord(content.plans)) return {};
    if (content.version !== owner.version || content.cpu !== owner.cpu || content.isa !== owner.isa) return {};
    return Object.fromEntries(Object.entries(content.plans).filter(isPlan));
  } catch {
    return {};
  }
}

function fileStat(path: string) {
  const stat = statSync(path);
  if (!stat.isFile()) throw new Error('not a file'); // reading a pipe would wait forever
  return stat;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPlan(entry: [string, unknown]): entry is [string, Plans[string]] {
  const [key, rows] = entry;
  const printable = (text: unknown, most: number) =>
    typeof text === 'string' && text.length <= most && /^[\x20-\x7e]+$/.test(text);
  const isRow = (row: unknown) =>
    Array.isArray(row) && row.length === 2 && printable(row[0], 40) && Number.isFinite(row[1]) && row[1] > 0;
  return printable(key, 300) && Array.isArray(rows) && rows.length > 0 && rows.length <= 16 && rows.every(isRow);
}

/**
 * Adds plans to the file, in one rename: a reader sees the file as it was or as it is then. Of two processes that write at
 * the same time one may lose what it added, which it measures again next time. Nothing is said when it cannot be done.
 */
export function writePlans(path: string, owner: PlanOwner, plans: Plans): void {
  const temporary = `${path}.${process.pid}.${threadId}.${++serial}.tmp`;
  try {
    const all = { ...readPlans(path, owner), ...plans };
    const text = `${JSON.stringify({ ...owner, plans: all }, null, 1)}\n`;
    if (Buffer.byteLength(text) > mostBytes) return;
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(temporary, text, { flag: 'wx' });
    renameSync(temporary, path);
  } catch {
    try {
      rmSync(temporary, { force: true });
    } catch {
      // Neither written nor removed: then there was nothing to remove.
    }
  }
}
