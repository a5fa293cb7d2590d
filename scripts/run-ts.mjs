// Runs a TypeScript file of this repository: node scripts/run-ts.mjs <file.ts> [arguments]
// Compiles to out/ts first, only what changed; types are checked by `npm run lint`.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transpileFolder } from './transpile.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [file, ...args] = process.argv.slice(2);
if (file === undefined || !file.endsWith('.ts')) {
  console.error('usage: node scripts/run-ts.mjs <file.ts> [arguments]');
  process.exit(2);
}

for (const folder of ['lib', 'bench', 'examples', 'test/helpers']) {
  transpileFolder({ from: join(root, folder), to: join(root, 'out/ts', folder), format: 'esm' });
}

const child = spawn(process.execPath, [join(root, 'out/ts', file.replace(/\.ts$/, '.js')), ...args], {
  stdio: 'inherit',
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
child.on('close', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
});
