// TypeScript to JavaScript, file by file and without a look at types (`npm run lint` checks them), so that it takes a moment.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** @typedef {'esm' | 'cjs'} Format */

/** @param {string} folder @param {RegExp} pattern @returns {string[]} relative to the folder */
export function filesUnder(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => pattern.test(name));
}

/** TypeScript's compiler, found and loaded when it is needed. @returns {typeof import('typescript')} */
function loadCompiler() {
  try {
    return createRequire(import.meta.url)('typescript');
  } catch {
    console.error('fovea: TypeScript is missing; run npm install --include=dev');
    process.exit(1);
  }
}

/** @param {typeof import('typescript')} ts @param {Format} format */
function compilerOptions(ts, format) {
  const common = { target: ts.ScriptTarget.ES2022, isolatedModules: true, rewriteRelativeImportExtensions: true };
  if (format === 'esm') return { ...common, module: ts.ModuleKind.ES2022, verbatimModuleSyntax: true };
  return { ...common, module: ts.ModuleKind.CommonJS, esModuleInterop: true };
}

/** What was compiled carries the time of its source. @param {string} source @param {string} output */
function isFresh(source, output) {
  const built = statSync(output, { throwIfNoEntry: false });
  return built !== undefined && Math.abs(built.mtimeMs - statSync(source).mtimeMs) < 1;
}

/** Replaces the file in one step: a test may be importing it. @param {string} file @param {string} text @param {Date} time */
function replaceFile(file, text, time) {
  mkdirSync(dirname(file), { recursive: true });
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, text);
  utimesSync(fresh, time, time);
  renameSync(fresh, file);
}

/**
 * Compiles what changed below a folder and removes what was compiled from files that are gone.
 * @param {{ from: string, to: string, format: Format, all?: boolean }} options all: what did not change, too
 */
export function transpileFolder({ from, to, format, all = false }) {
  const sources = filesUnder(from, /(?<!\.d)\.ts$/);
  const known = new Set(sources.map((name) => name.replace(/\.ts$/, '')));
  for (const name of filesUnder(to, /(\.d\.ts|\.js)$/)) {
    if (!known.has(name.replace(/(\.d\.ts|\.js)$/, ''))) rmSync(join(to, name), { force: true });
  }
  const output = (/** @type {string} */ name) => join(to, name.replace(/\.ts$/, '.js'));
  const stale = sources.filter((name) => all || !isFresh(join(from, name), output(name)));
  if (stale.length === 0) return;
  const ts = loadCompiler();
  for (const name of stale) {
    const { mtime } = statSync(join(from, name));
    const { outputText } = ts.transpileModule(readFileSync(join(from, name), 'utf8'), {
      compilerOptions: compilerOptions(ts, format),
      fileName: name,
    });
    // CommonJS has no import.meta; its equivalent is the only difference between the two builds.
    const code =
      format === 'esm'
        ? outputText
        : outputText.replaceAll('import.meta.url', "require('node:url').pathToFileURL(__filename).href");
    replaceFile(output(name), code, mtime);
  }
}
