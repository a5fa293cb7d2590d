// What `npm install` runs, in a checkout and as a dependency. It never fails: without the addon the reference backend works.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { addonFile, buildAddon, logFile, root, toInstall } from './native-build.mjs';

/** In a checkout the next build wants its objects; a dependency's folder keeps the addon and the log only. */
function tidy() {
  if (existsSync(join(root, 'lib'))) return;
  const build = join(root, 'build');
  const kept = [addonFile, join(build, 'Release'), logFile];
  for (const folder of [build, join(build, 'Release')]) {
    for (const name of readdirSync(folder)) {
      if (!kept.includes(join(folder, name))) rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}

if (process.env.FOVEA_SKIP_BUILD) {
  console.log('fovea: FOVEA_SKIP_BUILD is set, the native backend was not built');
} else {
  console.log('fovea: compiling the native backend');
  let failure;
  try {
    failure = await buildAddon({ clean: true, quiet: true });
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  if (failure === undefined) {
    tidy();
    console.log('fovea: the native backend is ready');
  } else {
    const again = join(relative(process.env.INIT_CWD ?? process.cwd(), root), 'scripts', 'install.mjs');
    console.warn(
      `fovea: the slower reference backend will be used, because the native one could not be built: ${failure}. ` +
        `To get it, install ${toInstall}, then run: node ${again}`,
    );
  }
}
