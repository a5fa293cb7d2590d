import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// The only file that asks where it stands. The sources run from lib/, the package from dist/esm and dist/cjs, benches from
// out/ts; so the package's folder is found by its package.json, not by counting dots. In the CommonJS build
// scripts/build-ts.mjs replaces import.meta.url by its equivalent.

/** The folder of the package: where package.json, build/ and native/ are. */
export function packageRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && readManifest(manifest).name === 'fovea') return folder;
    if (dirname(folder) === folder) throw new Error('fovea: package.json is missing from the installed package');
  }
}

/** The version in package.json. */
export function packageVersion(): string {
  return readManifest(join(packageRoot(), 'package.json')).version ?? 'unknown';
}

function readManifest(file: string): { name?: string; version?: string } {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** What was found when the addon was looked for: the module's exports, or why there is none, one sentence per place. */
export type AddonSearch =
  | { readonly exports: unknown; readonly path: string }
  | { readonly exports?: undefined; readonly reason: string };

/**
 * Loads the native addon: the file that FOVEA_ADDON names (a sanitizer build, say) and nothing else, or the local build,
 * or a prebuilt binary. Never throws. A second call in a thread gets the same exports.
 */
export function findAddon(): AddonSearch {
  const load = createRequire(import.meta.url);
  const reasons: string[] = [];
  for (const path of candidates()) {
    if (!existsSync(path)) {
      if (process.env.FOVEA_ADDON) reasons.push(`FOVEA_ADDON names ${path}, which does not exist`);
      continue;
    }
    try {
      return { exports: load(path), path };
    } catch (error) {
      reasons.push(`${path} does not load: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (reasons.length === 0) reasons.push(whyNotBuilt());
  return { reason: reasons.join('; ') };
}

function candidates(): readonly string[] {
  if (process.env.FOVEA_ADDON) return [resolve(process.env.FOVEA_ADDON)];
  const root = packageRoot();
  return [
    join(root, 'build', 'Release', 'fovea.node'),
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'fovea.node'),
  ];
}

/** The install script leaves its reason in build/failure.txt; without that file it did not run. */
function whyNotBuilt(): string {
  const root = packageRoot();
  const file = join(root, 'build', 'failure.txt');
  // Not `npm rebuild fovea`: package managers that block install scripts block that one too.
  const remedy = `install g++, make and python3, then run: node ${relative('.', join(root, 'scripts', 'install.mjs'))}`;
  if (!existsSync(file)) return `the native addon was not built (installed with --ignore-scripts?); ${remedy}`;
  return `the native addon could not be built: ${readFileSync(file, 'utf8').trim()}; ${remedy}`;
}
