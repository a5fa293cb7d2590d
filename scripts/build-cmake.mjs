// `npm run build:debug | build:asan | build:ubsan | build:tsan`: builds into out/<variant>/Release|Debug with cmake-js.
import { spawnSync } from 'node:child_process';
import { rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './native-build.mjs';

/** cmake's settings by variant. Sanitizers run optimised code: kernels at -O0 would take hours. */
export const variants = {
  debug: { type: 'Debug', sanitize: '' },
  asan: { type: 'RelWithDebInfo', sanitize: 'address' },
  ubsan: { type: 'RelWithDebInfo', sanitize: 'undefined' },
  tsan: { type: 'RelWithDebInfo', sanitize: 'thread' },
};

/** @param {string} variant */
export const variantAddon = (variant) => join(root, 'out', variant, 'fovea.node');

/** @param {keyof typeof variants} variant @returns {number} exit status */
export function buildVariant(variant) {
  const { type, sanitize } = variants[variant];
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const out = join(root, 'out', variant);
  const args = ['compile', '--out', out, '--config', type, '--parallel', '2', '--prefer-make'];
  args.push(`--CDFOVEA_SANITIZE=${sanitize}`, `--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${out}`);
  const { status } = spawnSync(process.execPath, [cmakeJs, ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    rmSync(variantAddon(variant), { force: true }); // an older build must not pass for this one
    return status ?? 1;
  }
  const database = join(root, 'compile_commands.json');
  rmSync(database, { force: true });
  symlinkSync(join('out', variant, 'compile_commands.json'), database);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const variant = process.argv[2] ?? '';
  if (!Object.hasOwn(variants, variant)) {
    console.error(`usage: node scripts/build-cmake.mjs ${Object.keys(variants).join(' | ')}`);
    process.exit(2);
  }
  process.exitCode = buildVariant(/** @type {keyof typeof variants} */ (variant));
}
