import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/helpers/build-dist.ts', 'test/helpers/remembered.ts'],
    // A process per file: the addon's thread pool and FOVEA_* settings belong to a process.
    pool: 'forks',
    maxWorkers: 2,
    // Bits are compared across processes, and nothing is to be left in anybody's cache folder.
    env: { FOVEA_PLAN: 'fixed' },
    testTimeout: 180_000,
    hookTimeout: 120_000,
    slowTestThreshold: 2_000,
  },
});
