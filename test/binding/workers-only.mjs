// Run by async.test.ts in a process of its own whose main thread never loads the addon: its code is unloaded with the last
// worker, so no thread of ours may be left then.
import { Worker } from 'node:worker_threads';

const script = `
  const { parentPort, workerData } = require('node:worker_threads');
  const addon = require(workerData);
  const elements = 1 << 16;
  const value = (place) => ({ shape: [elements], dtype: 'float32', layout: 'plain', ...place });
  const step = { operator: 'relu', inputs: [0], outputs: [1], attributes: {} };
  const spec = { values: [value({ external: 0 }), value({ external: 1 })], steps: new Array(500).fill(step), externals: 2, arenaBytes: 0, threads: 3 };
  const program = addon.createProgram(spec);
  const run = program.run([new Float32Array(elements), new Float32Array(elements)]);
  if (process.argv.includes('cancel')) { program.cancel(); run.catch(() => {}); }
  parentPort.postMessage('running');
`;

for (let round = 0; round < 4; round++) {
  const ends = [];
  for (let i = 0; i < 8; i++) {
    const worker = new Worker(script, { eval: true, workerData: process.argv[2], argv: i % 2 ? [] : ['cancel'] });
    worker.on('error', (error) => {
      console.log(String(error));
      process.exitCode = 1;
    });
    ends.push(new Promise((resolve) => worker.once('exit', resolve)));
    if (i % 4 === 1) worker.once('message', () => worker.terminate());
    if (i % 4 === 3) setTimeout(() => worker.terminate(), 10 * i);
  }
  await Promise.all(ends);
}
console.log('done');
