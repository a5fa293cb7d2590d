import { type Case, sums } from './case.js';

/**
 * Convolutions whose results are more than 16 MiB, as bfloat16 too: they are stored past the caches
 * (native/ops/parallel.h, outgrows_caches), whole lines at a time and what is left over otherwise.
 */
export const largeConvolutions: readonly Case[] = [3, 16].map((channels) => ({
  name: `[1,${channels},301,299] to 97, 1x1`,
  agreement: sums,
  oracleOnly: true,
  attributes: {
    ...{ stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 },
    ...{ paddingMode: 'zeros', flipKernel: false, activation: 'relu' },
  },
  inputs: (make) => [make.float([1, channels, 301, 299]), make.float([97, channels, 1, 1]), make.float([97])],
}));
