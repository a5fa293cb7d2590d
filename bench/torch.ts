// npm run bench:torch -- --python DIR/bin/python: PyTorch and Fovea in turn, and the ratio of their times.
import { readFileSync, writeFileSync } from 'node:fs';
import { backend } from '../lib/index.js';
import { header } from './helpers/machine.js';
import { TorchProcess } from './helpers/torch-process.js';
import { convolutions } from './shapes/convolutions.js';
import { largeModels, models } from './shapes/models.js';
import { printGoals, type Result } from './torch/goals.js';
import { benchLayers } from './torch/layers.js';
import { benchModels } from './torch/models.js';
import { type Options, readOptions, usage } from './torch/options.js';

let options: Options;
try {
  options = readOptions();
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
  process.exit(2);
}
if (options.from.length > 0) printGoals(options.from.flatMap(readResults));
else if (options.python !== '') await measure(options.python, options);
else console.log(`${usage}\nNothing was measured.`);

async function measure(python: string, { filter, only, precisions, rounds, json, ...rest }: Options): Promise<void> {
  const threads = rest.threads ?? backend().threads;
  const machine = header(threads);
  const torch = await TorchProcess.start(python, threads);
  console.log(
    `torch     ${torch.version}, channels_last, oneDNN, ${threads} threads, ${torch.allocator}; models also with`,
  );
  console.log('          torch.compile: the faster of the two counts. highest and high stand against its float32,');
  console.log('          medium against its bfloat16 (models: autocast)');
  console.log(
    `method    ${rounds} rounds, all in turn; times are medians of the rounds; ratio = PyTorch time / Fovea time,`,
  );
  console.log('          taken within each round: median, min..max. A layer repeats a pass on the same operands, as');
  console.log(
    '          PyTorch does, and is checked before it is timed, against double precision and by the bound of its',
  );
  console.log(
    '          precision. MiB: peak memory of a training step, each in a fresh process; what the process had',
  );
  console.log('          before the model does not count');
  const bench = { torch, python, threads, rounds, precisions };
  const chosen = <T extends { name: string }>(shapes: readonly T[]) =>
    shapes.filter(({ name }) => name.includes(filter));
  const results = [
    ...(only === 'models' ? [] : await benchLayers(chosen(convolutions), bench)),
    ...(only === 'layers' ? [] : await benchModels(chosen([...models, ...largeModels]), bench)),
  ];
  torch.stop();
  printGoals(results);
  if (json) writeFileSync(json, `${JSON.stringify({ machine, torch: torch.version, results }, null, 2)}\n`);
}

function readResults(file: string): Result[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as { results: Result[] }).results;
}
