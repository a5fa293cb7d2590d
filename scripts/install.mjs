// What `npm install` runs, in a checkout and as a dependency. It never fails: without the addon the reference backend works.
import { buildAddon, toInstall } from './native-build.mjs';

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
  if (failure === undefined) console.log('fovea: the native backend is ready');
  else {
    console.warn(
      `fovea: the slower reference backend will be used, because the native one could not be built: ${failure}. ` +
        `To get it, install ${toInstall}, then run: npm rebuild fovea (in a checkout: npm install)`,
    );
  }
}
