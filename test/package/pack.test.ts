import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

// What a user gets: the packed tarball, installed in an empty folder. Only the published files are there.

// npm and a compiler are at work here, on a machine that may be busy.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'fovea-pack-'));
let tarball = '';

/** Without the settings that say how this test run itself was started. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(FOVEA_|VITEST|NODE_OPTIONS$|NODE_ENV$|LD_PRELOAD$|npm_lifecycle_|npm_package_)/.test(name),
  ),
);

/** Whether this machine can compile at all; where it cannot, the install that falls back is the only one to test. */
const canCompile = ['g++', 'make', 'python3'].every((tool) => spawnSync(tool, ['--version']).status === 0);

/** Installs the tarball in a new folder and returns that folder and all that npm printed. */
function install(name: string, flags: readonly string[], variables: NodeJS.ProcessEnv = {}) {
  const app = join(folder, name);
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true }\n');
  const { status, stdout, stderr } = spawnSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--prefer-offline', '--foreground-scripts', ...flags, tarball],
    { cwd: app, encoding: 'utf8', env: { ...environment, ...variables } },
  );
  const output = `${stdout}${stderr}`;
  expect(status, output).toBe(0);
  return { app, output };
}

/** Runs a script in the app's folder; the script prints one JSON value. */
function run(app: string, file: string, code: string): unknown {
  writeFileSync(join(app, file), code);
  return JSON.parse(execFileSync(process.execPath, [file], { cwd: app, encoding: 'utf8', env: environment }));
}

const body = `
const y = ops.conv2d(tensor([[[[1, 2], [3, 4]]]]), tensor([[[[10]]]]));
const { name, reason } = backend();
console.log(JSON.stringify({ name, reason, y: Array.from(y.data) }));
`;
const forms = [
  { form: 'ESM', file: 'main.mjs', code: `import { backend, ops, tensor } from 'fovea';${body}` },
  { form: 'CommonJS', file: 'main.cjs', code: `const { backend, ops, tensor } = require('fovea');${body}` },
];

beforeAll(() => {
  // Runs `prepare`, which compiles lib/ with its declarations.
  execFileSync('npm', ['pack', '--pack-destination', folder], {
    cwd: root,
    env: environment,
    stdio: 'ignore',
  });
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? 'none');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the tarball holds what is needed and nothing of the workshop', () => {
  const files = execFileSync('tar', ['tzf', tarball], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((name) => name.replace(/^package\//, ''));
  for (const needed of [
    'binding.gyp',
    'native/sources.json',
    'dist/esm/index.js',
    'dist/cjs/index.js',
    'dist/cjs/index.d.ts',
    'README.md',
    'LICENSE',
    'scripts/install.mjs',
  ]) {
    expect(files).toContain(needed);
  }
  expect(files.filter((name) => !/^(dist|native)\/|^scripts\/(install|native-build)\.mjs$|^[^/]+$/.test(name))).toEqual(
    [],
  );
  expect(files.filter((name) => /\.(node|o|a|test\.\w+)$/.test(name))).toEqual([]);
});

describe('installed with --ignore-scripts', () => {
  let app = '';
  beforeAll(() => {
    ({ app } = install('no-scripts', ['--ignore-scripts']));
  });

  test.each(forms)('$form computes on the reference backend and says why', ({ file, code }) => {
    expect(run(app, file, code)).toEqual({
      name: 'reference',
      reason: expect.stringMatching(/was not built.*--ignore-scripts.*g\+\+/s),
      y: [10, 20, 30, 40],
    });
  });

  test('the types are found from ESM and CommonJS', () => {
    const code = `import { type Tensor, backend, ops, tensor } from 'fovea';
      export const y: Tensor = ops.relu(tensor([1, -1]));
      export const name: 'native' | 'reference' = backend().name;
      // @ts-expect-error: a string is no tensor
      ops.relu('no');\n`;
    for (const file of ['types.mts', 'types.cts']) writeFileSync(join(app, file), code);
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
    const typeRoots = ['--typeRoots', join(root, 'node_modules/@types')];
    const { status, stdout } = spawnSync(
      process.execPath,
      [compiler, ...flags, ...typeRoots, 'types.mts', 'types.cts'],
      { cwd: app, encoding: 'utf8' },
    );
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  test('the command starts', () => {
    const command = join(app, 'node_modules/.bin/fovea');
    expect(execFileSync(command, ['--help'], { encoding: 'utf8', env: environment })).toMatch(/^Usage: fovea/);
  });
});

describe.skipIf(!canCompile)('installed with a compiler', () => {
  let app = '';
  let output = '';
  beforeAll(() => {
    // Not optimised: a quarter of the time. This checkout has compiled the same sources as they are meant to be.
    ({ app, output } = install('compiled', [], { CXXFLAGS: '-O0' }));
  });

  test.each(forms)('$form computes on the native backend', ({ file, code }) => {
    expect(output).toContain('fovea: the native backend is ready');
    expect(run(app, file, code)).toEqual({ name: 'native', y: [10, 20, 30, 40] });
  });

  test('the install keeps the addon and no intermediate files', () => {
    const left = readdirSync(join(app, 'node_modules/fovea/build'), { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => !/^(Release|build\.log)$/.test(name))).toEqual([join('Release', 'fovea.node')]);
  });
});

describe('installed without a compiler', () => {
  /** A PATH on which there is node and npm and a shell, and no compiler. */
  function barePath(): string {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    for (const tool of ['node', 'npm', 'sh', 'env', 'uname', 'sed', 'dirname']) {
      const found = process.env.PATH?.split(delimiter)
        .map((path) => join(path, tool))
        .find(existsSync);
      if (found) symlinkSync(found, join(bin, tool));
    }
    return bin;
  }

  const cases = [
    { why: 'no tool on the PATH', variables: () => ({ PATH: barePath(), CXX: undefined }), says: '"g++" does not run' },
    { why: 'a compiler that fails', variables: () => ({ CXX: '/bin/false' }), says: '"/bin/false" does not run' },
  ];

  test.each(cases)('$why: one clear line, and everything works', ({ why, variables, says }) => {
    const { app, output } = install(why.replaceAll(' ', '-'), [], variables());
    const lines = output.split('\n').filter((line) => /reference backend/.test(line));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(says);
    expect(lines[0]).toMatch(/slower reference backend.*install .*make.*python3|Xcode/);
    for (const { file, code } of forms) {
      expect(run(app, file, code)).toEqual({
        name: 'reference',
        reason: expect.stringContaining(says),
        y: [10, 20, 30, 40],
      });
    }
  });

  test('an addon from an earlier build does not survive a failed one', () => {
    const { app } = install('stale', ['--ignore-scripts']);
    const release = join(app, 'node_modules/fovea/build/Release');
    mkdirSync(release, { recursive: true });
    copyFileSync(process.execPath, join(release, 'fovea.node'));
    const script = join(app, 'node_modules/fovea/scripts/install.mjs');
    execFileSync(process.execPath, [script], { env: { ...environment, CXX: '/bin/false' }, stdio: 'ignore' });
    expect(existsSync(join(release, 'fovea.node'))).toBe(false);
  });
});
