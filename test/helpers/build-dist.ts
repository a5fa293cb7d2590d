import { spawnSync } from 'node:child_process';

/** Before the first test: brings dist/ up to date, for the tests that start a process or a worker of their own. */
export default function setup(): void {
  const { status } = spawnSync(process.execPath, ['scripts/build-ts.mjs', '--quick'], { stdio: 'inherit' });
  if (status !== 0) throw new Error('lib/ does not compile');
}
