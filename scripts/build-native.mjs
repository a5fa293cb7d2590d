// `npm run build:native`: compiles what changed. `-- --clean` starts from nothing.
import { buildAddon } from './native-build.mjs';

const args = process.argv.slice(2);
const failure = await buildAddon({
  clean: args.includes('--clean'),
  quiet: false,
  arguments: args.filter((argument) => argument !== '--clean'),
});
if (failure !== undefined) {
  console.error(`fovea: ${failure}`);
  process.exitCode = 1;
}
