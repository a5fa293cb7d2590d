// Compiles lib/ to dist/esm and dist/cjs. `--if-stale`: only when a source is newer than what was built.
// Types are checked by `npm run lint`, not here: an install must not depend on it.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'dist', '.stamp');

/** @param {string} folder @param {string} suffix @returns {string[]} */
const filesUnder = (folder, suffix) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(suffix))
    .map((name) => join(folder, name));

function isFresh() {
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  const sources = filesUnder(join(root, 'lib'), '.ts');
  if (sources.length !== Number(readFileSync(stamp, 'utf8'))) return false;
  return [...sources, join(root, 'tsconfig.esm.json'), join(root, 'tsconfig.cjs.json')].every(
    (file) => statSync(file).mtimeMs <= built,
  );
}

function findCompiler() {
  try {
    return createRequire(import.meta.url).resolve('typescript/bin/tsc');
  } catch {
    return undefined;
  }
}

/** CommonJS has no import.meta; the two forms of a module's own address are the only difference between the builds. */
function finishCommonJs() {
  const folder = join(root, 'dist', 'cjs');
  writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n');
  for (const file of filesUnder(folder, '.js')) {
    const code = readFileSync(file, 'utf8');
    if (code.includes('import.meta.url')) {
      writeFileSync(file, code.replaceAll('import.meta.url', "require('node:url').pathToFileURL(__filename).href"));
    }
  }
}

/** What was compiled from a source that is gone. Everything else is overwritten in place: a test may be running on it. */
function removeOrphans() {
  for (const format of ['esm', 'cjs']) {
    const folder = join(root, 'dist', format);
    for (const file of [...filesUnder(folder, '.js'), ...filesUnder(folder, '.d.ts')]) {
      const source = join(root, 'lib', file.slice(folder.length).replace(/(\.d\.ts|\.js)$/, '.ts'));
      if (!existsSync(source)) rmSync(file);
    }
  }
}

function build() {
  const compiler = findCompiler();
  if (compiler === undefined) {
    console.error('fovea: TypeScript is missing; run npm install --include=dev');
    return 1;
  }
  // The time of the start: a file saved while the compiler runs is newer than the stamp.
  const started = new Date();
  const sources = filesUnder(join(root, 'lib'), '.ts').length;
  for (const format of ['esm', 'cjs']) {
    const { status } = spawnSync(process.execPath, [compiler, '-p', `tsconfig.${format}.json`], {
      cwd: root,
      stdio: 'inherit',
    });
    if (status !== 0) return status ?? 1;
  }
  finishCommonJs();
  removeOrphans();
  const main = join(root, 'dist/esm/cli/main.js');
  if (existsSync(main)) chmodSync(main, 0o755);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, String(sources));
  utimesSync(stamp, started, started);
  return 0;
}

process.exitCode = process.argv.includes('--if-stale') && isFresh() ? 0 : build();
