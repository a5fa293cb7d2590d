// Builds the addon with node-gyp. Shared by the install script, which must not fail, and by `npm run build:native`.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const addonFile = join(root, 'build', 'Release', 'fovea.node');
/** Why the last build failed, one line. lib/backend/addon-path.ts shows it as the reason for the reference backend. */
export const failureFile = join(root, 'build', 'failure.txt');
export const logFile = join(root, 'build', 'build.log');

export const toInstall =
  process.platform === 'darwin'
    ? 'the Xcode command line tools (xcode-select --install) and python3'
    : 'g++, make and python3 (Debian and Ubuntu: apt install g++ make python3)';

/** The node-gyp of this checkout, or the one that npm brings, or undefined. */
function findNodeGyp() {
  try {
    return createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  } catch {
    const bundled = process.env.npm_config_node_gyp;
    if (bundled && existsSync(bundled)) return bundled;
  }
  // Started by hand, not by npm: npm's own node_modules stand beside node.
  const prefix = dirname(dirname(process.execPath));
  return ['lib/node_modules/npm/node_modules', 'share/nodejs', 'share/nodejs/npm/node_modules']
    .map((folder) => join(prefix, folder, 'node-gyp/bin/node-gyp.js'))
    .find((file) => existsSync(file));
}

/**
 * Node-API's headers from a package, instead of an archive that node-gyp would download or look for elsewhere.
 * Elsewhere than on Linux node-gyp's own way is taken, since its common.gypi carries flags for those systems.
 */
function headerOptions() {
  if (process.platform !== 'linux') return [];
  try {
    createRequire(import.meta.url).resolve('node-api-headers');
  } catch {
    return [];
  }
  return [`--nodedir=${join(root, 'native', 'gyp')}`, '--force-process-config'];
}

/** @param {string} command */
const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore', shell: true }).status === 0;

/** The first build tool that is missing, in words, or undefined. Cheaper and clearer than reading node-gyp's output. */
function missingTool() {
  if (process.platform === 'win32') return 'Windows is not supported yet';
  const compiler = process.env.CXX || (process.platform === 'darwin' ? 'c++' : 'g++');
  if (!runs(compiler)) return `the C++ compiler "${compiler}" does not run`;
  if (!runs(process.env.MAKE || 'make')) return 'make does not run';
  if (!runs(process.env.PYTHON || process.env.npm_config_python || 'python3')) return 'python3 does not run';
  return undefined;
}

/**
 * One build at a time in a checkout: a second one waits, and then finds little left to do.
 * A lock whose owner is gone is taken over.
 */
async function lock() {
  const file = join(root, 'build.lock');
  for (let waited = false; ; waited = true) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      process.on('exit', () => rmSync(file, { force: true }));
      return;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') return; // a folder that we cannot write: let node-gyp say so
    }
    const owner = readOwner(file);
    if (owner !== undefined && !isAlive(owner)) {
      rmSync(file, { force: true });
      continue;
    }
    if (!waited) console.error('fovea: waiting for another build in this folder');
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** @param {string} file */
function readOwner(file) {
  try {
    const text = readFileSync(file, 'utf8');
    if (text) return Number(text);
    return Date.now() - statSync(file).mtimeMs > 5000 ? 0 : undefined;
  } catch {
    return undefined;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** Loads the addon in a process of its own, so that one that crashes or lacks a symbol counts as a failed build. */
function loadError() {
  const script = `process.dlopen({ exports: {} }, ${JSON.stringify(addonFile)}, require('os').constants.dlopen.RTLD_NOW)`;
  const child = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  if (child.status === 0) return undefined;
  const line = child.stderr?.split('\n').find((text) => /^\w*Error/.test(text));
  return `the addon was built but does not load: ${line ?? child.signal ?? `exit status ${child.status}`}`;
}

/**
 * @param {{ clean: boolean, quiet: boolean, arguments?: string[] }} options clean: from nothing, else what changed
 * @returns {Promise<string | undefined>} why it failed, in one line; then no addon is left behind, not even an older one
 */
export async function buildAddon(options) {
  await lock();
  if (options.clean) rmSync(join(root, 'build'), { recursive: true, force: true });
  mkdirSync(join(root, 'build'), { recursive: true });
  const failure = missingTool() ?? (await runNodeGyp(options)) ?? loadError();
  if (failure === undefined) {
    rmSync(failureFile, { force: true });
    return undefined;
  }
  rmSync(addonFile, { force: true });
  writeFileSync(`${failureFile}.new`, `${failure}\n`);
  renameSync(`${failureFile}.new`, failureFile);
  return failure;
}

/** @param {{ quiet: boolean, arguments?: string[] }} options */
async function runNodeGyp(options) {
  const nodeGyp = findNodeGyp();
  if (nodeGyp === undefined) return 'node-gyp was not found (npm brings it along)';
  const headers = headerOptions();
  const output = /** @type {string[]} */ ([]);
  for (const command of ['configure', 'build']) {
    const args = [nodeGyp, command, '--release', ...headers, ...(options.arguments ?? [])];
    if (command === 'build') args.push('--jobs', 'max', '--loglevel', options.quiet ? 'error' : 'warn');
    else args.push('--loglevel', 'error');
    const status = await run(args, options.quiet, output);
    writeFileSync(logFile, output.join(''));
    if (status !== 0) return `${summarise(output.join(''), command)} (all of it: ${logFile})`;
  }
  return undefined;
}

/**
 * @param {string[]} args
 * @param {boolean} quiet
 * @param {string[]} output
 * @returns {Promise<number>}
 */
function run(args, quiet, output) {
  return new Promise((resolve) => {
    // node-gyp prefers this variable to the option of the same name.
    const { npm_config_nodedir: _, ...env } = process.env;
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output.push(text);
        if (!quiet) process.stderr.write(text);
      });
    }
    child.on('error', () => resolve(1));
    child.on('close', (status) => resolve(status ?? 1));
  });
}

/**
 * @param {string} output
 * @param {string} command
 */
function summarise(output, command) {
  // collect2 only repeats that the linker failed
  const lines = output.split('\n').filter((text) => !text.startsWith('collect2'));
  const line = lines.find((text) => /(^|\s)(fatal )?error:|gyp ERR! stack|cannot find|undefined reference/i.test(text));
  return `node-gyp ${command} failed: ${(line ?? 'no message').replace(/^gyp ERR! (stack )?/, '').trim()}`;
}
