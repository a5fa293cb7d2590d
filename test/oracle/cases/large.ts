import { type Case, sums } from './case.js';

function forward(channels: number, filters: number, size: number, groups: number, height = 301, width = 299): Case {
  const padding = (size - 1) / 2;
  return {
    name: `[1,${channels},${height},${width}] to ${filters}, ${size}x${size} groups ${groups}`,
    agreement: sums,
    oracleOnly: true,
    attributes: {
      ...{ stride: [1, 1], padding: Array(4).fill(padding), dilation: [1, 1], groups },
      ...{ paddingMode: 'zeros', flipKernel: false, activation: 'relu' },
    },
    inputs: (make) => [
      make.float([1, channels, height, width]),
      make.float([filters, channels / groups, size, size]),
      make.float([filters]),
    ],
  };
}

/**
 * Convolutions whose results are more than 16 MiB, as bfloat16 too: they are stored past the caches
 * (native/ops/parallel.h, outgrows_caches), whole lines at a time and what is left over otherwise.
 */
export const largeProduct: Case = forward(16, 97, 1, 1);
/** Read as planes. */
export const largeStem: Case = forward(3, 97, 1, 1);
/** Likewise, of float32 alone. */
export const largeDepthwise: Case = forward(47, 47, 3, 47);
/** Of rows that a tile takes whole. */
export const largeWholeRows: Case = forward(47, 47, 3, 47, 6700, 14);
