import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.ts';
import { planPath, readPlans, writePlans } from '../../lib/backend/plans.ts';

const root = join(import.meta.dirname, '../..');
const folders: string[] = [];
const owner = { version: '1.2.3', cpu: 'A CPU (R) @ 1 GHz', isa: 'avx2' };
const plans = { 'conv2d 1 2 3 B': [['winograd', 7.1] as const, ['brgemm', 20.3] as const] };

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'fovea-plans-'));
  folders.push(made);
  return made;
}

afterAll(() => {
  for (const made of folders) rmSync(made, { recursive: true, force: true });
});

describe('the plan file', () => {
  test('what is written is read, by its owner alone', () => {
    const path = join(folder(), 'deep', 'er', 'plans.json');
    writePlans(path, owner, plans);
    writePlans(path, owner, { more: [['brgemm', 1]] });
    expect(readPlans(path, owner)).toEqual({ ...plans, more: [['brgemm', 1]] });
    for (const other of [{ version: '1.2.4' }, { cpu: 'Another' }, { isa: 'avx512' }]) {
      expect(readPlans(path, { ...owner, ...other })).toEqual({});
    }
    expect(readdirSync(join(path, '..'))).toEqual(['plans.json']);
  });

  test('corrupt, truncated, foreign and huge files hold nothing', () => {
    const path = join(folder(), 'plans.json');
    writePlans(path, owner, plans);
    const whole = readFileSync(path, 'utf8');
    const contents = [
      '',
      '{',
      '[]',
      'null',
      '\0\0\0',
      '{"plans":{}}',
      whole.slice(0, -9),
      `${whole}${' '.repeat(2 ** 20)}`,
    ];
    for (const content of contents) {
      writeFileSync(path, content);
      expect(readPlans(path, owner)).toEqual({});
    }
    expect(readPlans(join(path, 'x'), owner)).toEqual({});
    expect(readPlans(folder(), owner)).toEqual({});
    if (process.platform !== 'win32') expect(readPlans('/dev/zero', owner)).toEqual({});
  });

  test('entries that make no sense are left out', () => {
    const path = join(folder(), 'plans.json');
    const bad = {
      'not rows': 'winograd',
      'no rows': [],
      'no time': [['winograd']],
      'a time below zero': [['winograd', -1]],
      'a name that is none': [[7, 1]],
      'a name of other letters': [['wino\ngrad', 1]],
      'many rows': Array.from({ length: 17 }, () => ['brgemm', 1]),
      ['long '.repeat(100)]: [['brgemm', 1]],
      'line\nfeed': [['brgemm', 1]],
    };
    const text = JSON.stringify({ ...owner, plans: { ...bad, ...plans } });
    writeFileSync(path, text.replace('{"not rows"', '{"__proto__":[["brgemm",1]],"not rows"'));
    expect(Object.keys(readPlans(path, owner)).sort()).toEqual(['__proto__', 'conv2d 1 2 3 B']);
  });

  test('a place that cannot be written to is left alone', () => {
    const path = join(folder(), 'plans.json');
    mkdirSync(path);
    writePlans(path, owner, plans);
    expect(readdirSync(join(path, '..'))).toEqual(['plans.json']);
    writeFileSync(join(path, 'file'), '');
    writePlans(join(path, 'file', 'plans.json'), owner, plans);
    expect(readdirSync(path)).toEqual(['file']);
  });

  test('its place follows the environment', () => {
    const before = { ...process.env };
    try {
      process.env.FOVEA_PLAN_DIR = '/plans';
      expect(planPath(owner)).toBe(join('/plans', 'plans-1.2.3-avx2-A-CPU-R-1-GHz.json'));
      process.env.FOVEA_PLAN_DIR = '';
      process.env.XDG_CACHE_HOME = '/cache';
      expect(planPath(owner)).toMatch(/^.cache.fovea.plans/);
      process.env.XDG_CACHE_HOME = 'not/absolute';
      process.env.HOME = '/home/me';
      process.env.USERPROFILE = '/home/me';
      expect(planPath(owner)).toMatch(/^.home.me..cache.fovea.plans/);
    } finally {
      process.env = before;
    }
  });
});

/** A program of its own that compiles one convolution, 3×3 or 1×1, prints how it is computed and what came out. */
const program = `
import { createHash } from 'node:crypto';
import { isMainThread, Worker } from 'node:worker_threads';
import { compileForward, nn } from ${JSON.stringify(join(root, 'dist/esm/index.js'))};
const layer = process.env.PLAN_POINTWISE
  ? new nn.Conv2d(32, 256, 1, { bias: false })
  : new nn.Conv2d(32, 32, 3, { padding: 1, bias: false });
const weight = layer.parameters()[0].data;
for (let i = 0; i < weight.length; i++) weight[i] = Math.sin(i);
const forward = compileForward(layer, { inputShape: [4, 32, 24, 24], threads: Number(process.env.PLAN_THREADS ?? 2) });
const x = new Float32Array(4 * 32 * 24 * 24).map((_, i) => Math.cos(i));
const y = await forward.run(x);
const found = forward.explain().split('\\n').find((line) => line.includes('candidates') || line.includes('fixed: model')) ?? '';
const text = found.slice(Math.max(0, found.search(/(winograd|brgemm|bf16)/))); // without the times of this run
const line = JSON.stringify({ text: text.trim(), hash: createHash('sha256').update(new Uint8Array(y.data.buffer)).digest('hex') });
console.log(line);
if (isMainThread && process.env.PLAN_WORKER) new Worker(new URL(import.meta.url));
`;

interface Outcome {
  readonly text: string;
  readonly hash: string;
}

function run(env: Record<string, string | undefined>): Promise<readonly Outcome[]> {
  const script = join(folder(), 'program.mjs');
  writeFileSync(script, program);
  const all = { ...process.env, FOVEA_PLAN: undefined, FOVEA_BACKEND: 'native', ...env };
  const child = spawn(process.execPath, [script], { env: all, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, error] = ['', ''];
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (error += data));
  return new Promise((resolve, reject) => {
    child.on('close', (status) => {
      if (status !== 0 || error) reject(new Error(`status ${status}: ${error}`));
      else
        resolve(
          out
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line)),
        );
    });
  });
}

const native = findNative().backend;

describe.runIf(native && /avx512|amx/.test(native.info.isa))('the planner', () => {
  const filesOf = (path: string) => readdirSync(path);
  const contentOf = (path: string) => JSON.parse(readFileSync(join(path, filesOf(path)[0] ?? ''), 'utf8'));

  test('measures once and remembers, the first row being the choice', async () => {
    const FOVEA_PLAN_DIR = folder();
    const [first] = await run({ FOVEA_PLAN_DIR });
    expect(first?.text).toMatch(/measured [2-9] candidates: .*winograd.* ms/);
    expect(filesOf(FOVEA_PLAN_DIR)).toEqual([expect.stringMatching(/^plans-.*-(avx512|amx).*\.json$/)]);
    const [second] = await run({ FOVEA_PLAN_DIR, PLAN_THREADS: '1' });
    expect(second?.hash).toBe(first?.hash);
    expect(second?.text).toContain(first?.text.match(/measured.*/)?.[0]);

    const content = contentOf(FOVEA_PLAN_DIR);
    const [key, rows] = Object.entries<[string, number][]>(content.plans)[0] ?? ['', []];
    const hashes = new Set<string>();
    for (const row of rows) {
      content.plans[key] = [row, ...rows.filter((other) => other !== row)];
      writeFileSync(join(FOVEA_PLAN_DIR, filesOf(FOVEA_PLAN_DIR)[0] ?? ''), JSON.stringify(content));
      const outcomes = [...(await run({ FOVEA_PLAN_DIR })), ...(await run({ FOVEA_PLAN_DIR, PLAN_THREADS: '3' }))];
      expect(outcomes[0]?.text).toContain(`candidates: ${row[0]} `);
      expect(outcomes[1]?.hash).toBe(outcomes[0]?.hash);
      hashes.add(outcomes[0]?.hash ?? '');
    }
    expect(hashes.size).toBeGreaterThan(1);
  });

  test('measures other tiles of the fastest and other cuts: the same bits for any cut and number of threads', async () => {
    const FOVEA_PLAN_DIR = folder();
    await run({ FOVEA_PLAN_DIR, PLAN_POINTWISE: '1' });
    const content = contentOf(FOVEA_PLAN_DIR);
    const [key, rows] = Object.entries<[string, number][]>(content.plans)[0] ?? ['', []];
    const blockings = rows.filter(([name]) => / (x\d+|finer|coarser)$/.test(name));
    expect(blockings.some(([name]) => / x\d+$/.test(name))).toBe(true);
    expect(blockings.some(([name]) => / (finer|coarser)$/.test(name))).toBe(true);
    const bits = new Map<string, string>();
    for (const row of blockings) {
      content.plans[key] = [row, ...rows.filter((other) => other !== row)];
      writeFileSync(join(FOVEA_PLAN_DIR, filesOf(FOVEA_PLAN_DIR)[0] ?? ''), JSON.stringify(content));
      const outcomes = [];
      for (const PLAN_THREADS of ['1', '2', '3']) {
        outcomes.push(...(await run({ FOVEA_PLAN_DIR, PLAN_THREADS, PLAN_POINTWISE: '1' })));
      }
      const tiles = row[0].replace(/ (finer|coarser)$/, '');
      const [algorithm, width = 'x\\d+'] = tiles.split(' ');
      for (const { text, hash } of outcomes) {
        expect(text).toMatch(new RegExp(`^${algorithm}: \\w+ ${width}, .*candidates: ${row[0]} `));
        expect(hash).toBe(bits.get(tiles) ?? hash);
        bits.set(tiles, hash);
      }
    }
  });

  test('FOVEA_PLAN=fixed neither measures nor reads nor writes', async () => {
    const FOVEA_PLAN_DIR = folder();
    await run({ FOVEA_PLAN_DIR });
    const path = join(FOVEA_PLAN_DIR, filesOf(FOVEA_PLAN_DIR)[0] ?? '');
    const content = readFileSync(path, 'utf8').replace(/"[^"]+",(\s+[\d.]+)/, '"brgemm",$1');
    writeFileSync(path, content);
    const [fixed] = await run({ FOVEA_PLAN_DIR, FOVEA_PLAN: 'fixed' });
    expect(fixed?.text).toMatch(/winograd.*fixed: model/);
    expect(readFileSync(path, 'utf8')).toBe(content);
    const elsewhere = join(folder(), 'not-there');
    const [again] = await run({ FOVEA_PLAN_DIR: elsewhere, FOVEA_PLAN: 'fixed' });
    expect([again?.hash, existsSync(elsewhere)]).toEqual([fixed?.hash, false]);
  });

  test('a plan that names what there is not is measured again', async () => {
    const FOVEA_PLAN_DIR = folder();
    await run({ FOVEA_PLAN_DIR });
    const path = join(FOVEA_PLAN_DIR, filesOf(FOVEA_PLAN_DIR)[0] ?? '');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll('"brgemm"', '"quantum"'));
    expect((await run({ FOVEA_PLAN_DIR }))[0]?.text).toMatch(/measured .*brgemm/);
  });

  test('two processes at once, a worker thread, and no place to remember', async () => {
    const FOVEA_PLAN_DIR = folder();
    const outcomes = await Promise.all([run({ FOVEA_PLAN_DIR }), run({ FOVEA_PLAN_DIR, PLAN_WORKER: '1' })]);
    expect(Object.keys(contentOf(FOVEA_PLAN_DIR).plans)).toHaveLength(1);
    const [main, worker] = outcomes[1];
    expect(worker).toEqual(main);
    const [lost] = await run({ FOVEA_PLAN_DIR: join(process.execPath, 'x'), HOME: '/nowhere' });
    expect(lost?.text).toMatch(/measured/);
    const [homeless] = await run({ FOVEA_PLAN_DIR: undefined, XDG_CACHE_HOME: undefined, HOME: '/dev/null' });
    expect(homeless?.text).toMatch(/measured/);
  });

  test('a wish that cannot be obeyed is refused', async () => {
    await expect(run({ FOVEA_PLAN: 'guess' })).rejects.toThrow(/FOVEA_PLAN is 'guess', expected measure or fixed/);
  });
});
