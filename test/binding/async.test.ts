import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { findAddon, packageRoot } from '../../lib/backend/addon-path.ts';
import type { ProgramSpec } from '../../lib/backend/backend.ts';
import { findNative } from '../../lib/backend/native.ts';
import { chain, relu } from './helpers.ts';

const native = findNative().backend;
const search = findAddon();
const addonPath = 'path' in search ? search.path : '';
const elements = 1 << 20;
const arrays = () => [new Float32Array(elements).fill(-1), new Float32Array(elements)] as const;

/** Runs a script that finds the addon as `addon` and `chain` as in helpers.ts. */
function node(script: string, args: readonly string[] = []) {
  const source = `const addon = require(${JSON.stringify(addonPath)}); const chain = ${chain.toString()}; ${script}`;
  return spawnSync(process.execPath, [...args, '-e', source], { encoding: 'utf8', timeout: 60_000 });
}

describe.runIf(native)('runs off the event loop', () => {
  test('one after the other, in order, each once', async () => {
    const programs = [1, 2, 3].map((threads) => native?.compile(chain(elements, 10, threads)));
    const order: number[] = [];
    await Promise.all(programs.map((program, i) => program?.run(arrays()).then(() => order.push(i))));
    expect(order).toEqual([0, 1, 2]);
    for (const program of programs) program?.dispose();
  });

  test('a program that runs refuses a second run; another one runs now', async () => {
    const program = native?.compile(chain(elements, 2000));
    const other = native?.compile(relu(6));
    const running = program?.run(arrays());
    await expect(program?.run(arrays())).rejects.toMatchObject({ code: 'ERR_BUSY' });
    expect(() => program?.runSync(arrays())).toThrow(/is running/);
    const y = new Float32Array(6);
    other?.runSync([new Float32Array(6).fill(1), y]);
    expect([...y]).toEqual([1, 1, 1, 1, 1, 1]);
    program?.cancel(); // the first is still at work
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    program?.runSync(arrays());
  });

  test('cancel stops well under 200 ms, and the program can be used again', async () => {
    const program = native?.compile(chain(elements, 5000));
    const running = program?.run(arrays());
    await sleep(20);
    const start = performance.now();
    program?.cancel();
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED', name: 'FoveaError' });
    expect(performance.now() - start).toBeLessThan(200);
    program?.cancel(); // idle: nothing to stop
    const short = native?.compile(chain(elements, 4));
    short?.cancel();
    await short?.run(arrays());
    const queued = [native?.compile(chain(elements, 200)), native?.compile(chain(elements, 200))];
    const runs = queued.map((item) => item?.run(arrays()));
    queued[1]?.cancel();
    await expect(runs[1]).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await runs[0];
  });

  test('a cancelled run has changed all that it updates in place, or nothing', async () => {
    // Externals a, b; c = relu(relu(… relu(a))); d = relu(b); a = c; b = c.
    const { values, steps } = chain(elements, 20);
    const readsB = { operator: 'relu', inputs: [1], outputs: [3], attributes: {} };
    const body = steps.map(({ outputs, ...step }, i) => ({
      ...step,
      inputs: i ? step.inputs : [0],
      outputs: outputs.map((id) => (id === 1 ? 2 : id)),
    }));
    const writes = [0, 1].map((output) => ({ operator: 'assign', inputs: [2], outputs: [output], attributes: {} }));
    const spec: ProgramSpec = {
      values,
      steps: [readsB, ...body, ...writes],
      externals: 2,
      arenaBytes: elements * 8,
      threads: 2,
    };
    const program = native?.compile(spec);
    let unchanged = 0;
    for (let round = 0; round < 30; round++) {
      const [a, b] = [new Float32Array(elements).fill(-1), new Float32Array(elements).fill(-1)];
      const running = program?.run([a, b]).then(
        () => 0,
        () => -1,
      );
      await sleep(round / 2);
      program?.cancel();
      const expected = await running;
      expect([a, b].every((array) => array.every((x) => x === expected))).toBe(true);
      if (expected === -1) unchanged++;
    }
    expect(unchanged).toBeGreaterThan(0);
  });

  test('the event loop stays free', async () => {
    const program = native?.compile(chain(elements, 300));
    // Shares of time, not delays, and of several runs: other processes may have the CPU as long as they like.
    const shares: number[] = [];
    for (let run = 0; run < 8; run++) {
      const running = program?.run(arrays());
      await sleep(0);
      const before = performance.eventLoopUtilization();
      await running;
      shares.push(performance.eventLoopUtilization(before).utilization);
    }
    expect(Math.min(...shares)).toBeLessThan(0.5);
  });

  test('the process ends when nothing runs, and not before the run that it waits for', () => {
    const idle = node(
      'const p = addon.createProgram(chain(64, 1)); p.run([new Float32Array(64), new Float32Array(64)]).then(() => console.log("done"))',
    );
    expect([idle.stdout, idle.stderr, idle.status]).toEqual(['done\n', '', 0]);
  });

  test('process.exit in the middle of a run ends the process', () => {
    for (const wait of [0, 1, 5, 20]) {
      const result = node(
        `const p = addon.createProgram(chain(1 << 20, 5000)); p.run([new Float32Array(1 << 20), new Float32Array(1 << 20)]).catch(() => {});
         setTimeout(() => process.exit(7), ${wait})`,
      );
      expect([result.stderr, result.status, result.signal]).toEqual(['', 7, null]);
    }
  });

  test('an exception that nobody catches ends the process in the middle of a run', () => {
    const result = node(
      `const p = addon.createProgram(chain(1 << 20, 5000)); p.run([new Float32Array(1 << 20), new Float32Array(1 << 20)]);
       setTimeout(() => { throw new Error('on purpose') }, 10)`,
    );
    expect(result.stderr).toContain('on purpose');
    expect([result.status, result.signal]).toEqual([1, null]);
  });

  test('8 worker threads are terminated in the middle of a step', async () => {
    const script = `
      const addon = require(${JSON.stringify(addonPath)});
      const chain = ${chain.toString()};
      const program = addon.createProgram(chain(${elements}, 3000, 2));
      const run = () => program.run([new Float32Array(${elements}), new Float32Array(${elements})]);
      run();
      const second = addon.createProgram(chain(64, 1));
      second.run([new Float32Array(64), new Float32Array(64)]);
      require('node:worker_threads').parentPort.postMessage('running');
      if (process.argv.includes('busy')) for (;;) addon.createProgram(chain(64, 50)).runSync([new Float32Array(64), new Float32Array(64)]);
    `;
    for (const argv of [[], ['busy']]) {
      for (let round = 0; round < 2; round++) {
        const workers = Array.from({ length: 8 }, () => new Worker(script, { eval: true, argv }));
        await Promise.all(
          workers.map(
            (worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)),
          ),
        );
        await sleep(round * 7);
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    }
  });

  test('workers alone load the addon, end by themselves or are terminated while it loads', () => {
    const result = spawnSync(
      process.execPath,
      [join(packageRoot(), 'test', 'binding', 'workers-only.mjs'), addonPath],
      { encoding: 'utf8', timeout: 60_000 },
    );
    expect([result.stdout, result.stderr, result.status]).toEqual(['done\n', '', 0]);
  });
});

describe.runIf(native)('FOVEA_CPU', () => {
  const run = (cpu: string, script: string) => {
    const source = `const addon = require(${JSON.stringify(addonPath)}); const chain = ${chain.toString()}; ${script}`;
    return spawnSync(process.execPath, ['-e', source], { encoding: 'utf8', env: { ...process.env, FOVEA_CPU: cpu } });
  };

  test.each(['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'])('%s is a cap', (cpu) => {
    const levels = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'];
    const { isa, detected, problem } = JSON.parse(run(cpu, 'console.log(JSON.stringify(addon.info()))').stdout);
    expect(levels.indexOf(isa)).toBe(Math.min(levels.indexOf(cpu), levels.indexOf(detected)));
    expect(problem).toBeUndefined();
  });

  test('an unknown level is named and nothing runs', () => {
    const result = run(
      'sse9',
      'try { addon.createProgram(chain(64, 1)) } catch (e) { console.log(e.code, e.message) }',
    );
    expect(result.stdout).toMatch(/^ERR_BACKEND .*sse9.*baseline, avx2, avx512, avx512bf16 or amx/);
    expect(result.status).toBe(0);
  });
});
