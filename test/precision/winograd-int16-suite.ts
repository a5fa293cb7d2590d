import type { Operator } from '../../lib/ops/operator.js';
import type { Case } from '../oracle/cases/index.js';
import { callOf } from '../oracle/compare.js';
import { bf16Suite } from './bf16-suite.js';
import { contractSuite } from './contract-suite.js';

/**
 * Square filters of 3×3 or, but for their gradient and from 32 channels on, 5×5, from 16 channels to 16 filters at least;
 * of groups whole blocks of 16.
 */
function takes(operator: Operator, row: Case): boolean {
  const { inputs, outputs } = callOf(operator, row, 'ones');
  const gradient = operator.name === 'conv2dGradWeight';
  const [k = 0, c = 0, ...kernel] = (gradient ? outputs[0] : inputs[1])?.shape ?? [];
  if (gradient && kernel[0] === 5) return false;
  const { stride, dilation, groups, paddingMode } = row.attributes;
  const shape = String([kernel, stride, dilation]);
  const filters = k / Number(groups);
  const aligned = groups === 1 || (c % 16 === 0 && filters % 16 === 0);
  const plain = aligned && paddingMode === 'zeros' && Math.min(filters, c) >= (kernel[0] === 5 ? 32 : 16);
  return plain && /^(3,3,1,1,(\d),\2|3,3,2,2,1,1|5,5,1,1,(\d),\3)$/.test(shape);
}

/** Winograd's algorithm with products of 16-bit integers, under the cap whose instance of the kernels is to be tested. */
export function int16Suite(cap: 'avx2' | 'avx512bf16'): void {
  contractSuite(cap, { algorithm: 'winograd int16', precision: 'medium' });
  bf16Suite(cap, {
    name: 'winograd int16',
    operators: ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'],
    precisions: ['medium'],
    tiles: true,
    layouts: (operator, row) => (takes(operator, row) ? ['blocked'] : []),
  });
}
