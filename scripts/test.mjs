// `npm test`: lint, then every test; the last line is "N passed, M failed" (and ", K skipped"). A lint check counts as a test.
// Arguments go to vitest, and then lint is skipped: npm test -- test/ops/conv2d.test.ts -t 'groups'
import { parseCLI, startVitest } from 'vitest/node';
import { lint } from './lint.mjs';

const args = process.argv.slice(2);
const checks = args.length === 0 ? lint() : [];
for (const check of checks) console.log(`lint: ${check.name} ${check.ok ? 'passed' : 'FAILED'}`);

const { filter, options } = parseCLI(['vitest', 'run', ...args]);
const vitest = await startVitest('test', filter, { ...options, watch: false });

const count = { passed: checks.filter((check) => check.ok).length, failed: checks.filter((check) => !check.ok).length };
let skipped = 0;
for (const file of vitest.state.getTestModules()) {
  let failedInside = 0;
  for (const test of file.children.allTests()) {
    const { state } = test.result();
    if (state === 'passed') count.passed++;
    else if (state === 'failed') failedInside++;
    else skipped++;
  }
  // A file that does not even load has no tests; it still failed.
  count.failed += file.ok() ? failedInside : Math.max(failedInside, 1);
}
count.failed += vitest.state.getUnhandledErrors().length;
const nothingRan = count.passed + count.failed === 0;
await vitest.close();

if (nothingRan) console.error('no test matches');
console.log(`${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(count.failed > 0 || nothingRan ? 1 : 0);
