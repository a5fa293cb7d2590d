// Compiles lib/ to dist/esm and dist/cjs, with declarations.
// `--quick`: only the JavaScript of what changed, for starting and testing in a checkout.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesUnder, transpileFolder } from './transpile.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const esm = join(root, 'dist/esm');
const cjs = join(root, 'dist/cjs');

/** The declarations are the same for both; what makes them CommonJS is the package.json beside them. */
function declare() {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  for (const name of filesUnder(esm, /\.d\.ts$/)) copyFileSync(join(esm, name), join(cjs, name));
  return status ?? 1;
}

const quick = process.argv.includes('--quick');
const from = join(root, 'lib');
transpileFolder({ from, to: esm, format: 'esm', all: !quick });
transpileFolder({ from, to: cjs, format: 'cjs', all: !quick });
mkdirSync(cjs, { recursive: true });
if (!existsSync(join(cjs, 'package.json'))) writeFileSync(join(cjs, 'package.json'), '{ "type": "commonjs" }\n');
const main = join(esm, 'cli/main.js');
if (existsSync(main)) chmodSync(main, 0o755);
if (!quick) process.exitCode = declare();
