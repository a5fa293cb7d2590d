// Runs the tests on another build or as if on a smaller CPU. Further arguments go to vitest.
//   npm run test:cap -- avx2 [test/ops]     under FOVEA_CPU=avx2; without a cap, under each in turn
//   npm run test:asan [-- test/ops]         on a build with AddressSanitizer; test:ubsan, test:tsan alike
//   npm run test:amx                        the kernels of AMX on any CPU with AVX512-BF16, their instructions emulated
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildVariant, variantAddon } from './build-cmake.mjs';
import { root } from './native-build.mjs';

const caps = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'];

/** The sanitizer's run-time library; node itself is not instrumented, so it has to be loaded before everything else. */
const runtimes = { asan: 'libasan.so', ubsan: 'libubsan.so', tsan: 'libtsan.so' };
const sanitizerOptions = {
  // node leaks at exit by design, and its garbage collector scans stacks on its own terms
  ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1:alloc_dealloc_mismatch=0',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  TSAN_OPTIONS: `halt_on_error=1:suppressions=${join(root, 'scripts/tsan-suppressions.txt')}`,
};

/** @param {Record<string, string>} variables @param {string[]} args */
function runTests(variables, args) {
  const script = join(root, 'scripts/test.mjs');
  // With arguments, scripts/test.mjs leaves out lint, which no variable changes; nor does one change the tarball.
  const { status } = spawnSync(process.execPath, [script, '--exclude', 'test/package/**', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...variables },
  });
  return status ?? 1;
}

/** @param {keyof typeof runtimes} variant @param {string[]} args */
function testSanitized(variant, args) {
  const built = buildVariant(variant);
  if (built !== 0) return built;
  const runtime = execFileSync('g++', [`-print-file-name=${runtimes[variant]}`], { encoding: 'utf8' }).trim();
  // libstdc++ as well: without it the sanitizer cannot intercept exceptions thrown before the addon is loaded.
  const standard = execFileSync('g++', ['-print-file-name=libstdc++.so.6'], { encoding: 'utf8' }).trim();
  const preload = `${runtime} ${standard}`;
  return runTests({ FOVEA_ADDON: variantAddon(variant), LD_PRELOAD: preload, ...sanitizerOptions }, args);
}

/** @param {string[]} args */
function testEmulated(args) {
  const folder = join(root, 'out/amx');
  const library = join(folder, 'libamx.so');
  mkdirSync(folder, { recursive: true });
  const flags = ['-O3', '-march=x86-64-v3', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  execFileSync('g++', [...flags, '-o', library, join(root, 'test/amx/emulator.cc')], { stdio: 'inherit' });
  const all = ['precision/bf16-amx', 'precision/products-amx', 'precision/storage', 'oracle/tile-heights'];
  const files = args.length > 0 ? args : all.map((name) => `test/${name}.test.ts`);
  return runTests({ LD_PRELOAD: library, FOVEA_CPU: 'amx' }, files);
}

const [what = '', ...args] = process.argv.slice(2);
if (what === 'cap') {
  const named = caps.includes(args[0] ?? '') ? args.slice(0, 1) : caps;
  const rest = named.length === 1 ? args.slice(1) : args;
  for (const cap of named) {
    console.log(`FOVEA_CPU=${cap}`);
    if (runTests({ FOVEA_CPU: cap }, rest) !== 0) process.exitCode = 1;
  }
} else if (what === 'amx') {
  process.exitCode = testEmulated(args);
} else if (Object.hasOwn(runtimes, what)) {
  process.exitCode = testSanitized(/** @type {keyof typeof runtimes} */ (what), args);
} else {
  console.error(
    'usage: node scripts/test-variant.mjs cap [baseline | avx2 | avx512 | avx512bf16 | amx] | amx | asan | ubsan | tsan',
  );
  process.exitCode = 2;
}
