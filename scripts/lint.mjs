// `npm run lint`: biome, clang-format and the type checker, all of them even when the first one complains.
// `--fix` (`npm run format`) rewrites instead. File names limit both formatters to those files.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const load = createRequire(import.meta.url);

/** @param {string[]} command */
function run(command) {
  const { status, error } = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' });
  if (error) console.error(String(error));
  return status === 0;
}

/** The kernels' tables (*.inc) keep their columns. */
function cppFiles() {
  return ['native', 'test/native']
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.(h|cc)$/.test(name))
        .map((name) => join(folder, name)),
    );
}

/** @param {string[]} files @param {boolean} fix */
function clangFormat(files, fix) {
  const manifest = load.resolve('clang-format-node/package.json');
  const binary = join(dirname(manifest), 'bin', `cfn-${process.platform}-${process.arch}`, 'clang-format');
  if (!existsSync(binary)) {
    console.error(`lint: no clang-format for ${process.platform}-${process.arch} in clang-format-node`);
    return false;
  }
  chmodSync(binary, 0o755); // what its install script would do, which --ignore-scripts skips
  const { status, error } = spawnSync(binary, [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...files], {
    cwd: root,
    stdio: 'inherit',
  });
  if (error) console.error(String(error));
  return status === 0;
}

/**
 * @param {boolean} fix
 * @param {readonly string[]} files
 * @returns {{ name: string, ok: boolean }[]} one result per check
 */
export function lint(fix = false, files = []) {
  const isCpp = (/** @type {string} */ name) => /\.(h|cc)$/.test(name);
  const cpp = files.length > 0 ? files.filter(isCpp) : cppFiles();
  const rest = files.filter((name) => !isCpp(name));
  const results = [];
  if (files.length === 0 || rest.length > 0) {
    const biome = load.resolve('@biomejs/biome/bin/biome');
    const options = fix ? ['--write'] : ['--error-on-warnings'];
    results.push({ name: 'biome', ok: run([biome, 'check', '--no-errors-on-unmatched', ...options, ...rest]) });
  }
  if (cpp.length > 0) results.push({ name: 'clang-format', ok: clangFormat(cpp, fix) });
  if (!fix && files.length === 0)
    results.push({ name: 'types', ok: run([load.resolve('typescript/bin/tsc'), '-p', '.']) });
  return results;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const failed = lint(
    args.includes('--fix'),
    args.filter((argument) => !argument.startsWith('--')),
  ).filter((result) => !result.ok);
  for (const { name } of failed) console.error(`lint: ${name} failed`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}
