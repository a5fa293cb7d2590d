import type { Operator } from '../../lib/ops/operator.js';
import type { Case } from '../oracle/cases/index.js';
import { callOf } from '../oracle/compare.js';
import { bf16Suite } from './bf16-suite.js';
import { contractSuite } from './contract-suite.js';

/** 3×3 filters of stride 1, from 16 channels to 16 filters at least. */
function takes(operator: Operator, row: Case): boolean {
  const [k = 0, c = 0, ...kernel] = callOf(operator, row, 'ones').inputs[1]?.shape ?? [];
  const { stride, dilation, groups, paddingMode } = row.attributes;
  const plain = groups === 1 && paddingMode === 'zeros' && k >= 16 && c >= 16;
  return plain && String([kernel, stride, dilation]) === '3,3,1,1,1,1';
}

contractSuite('avx512bf16', { algorithm: 'winograd bf16', precision: 'medium' });
bf16Suite('avx512bf16', {
  name: 'winograd bf16',
  operators: ['conv2d', 'conv2dGradInput'],
  precisions: ['medium'],
  layouts: (operator, row) => (takes(operator, row) ? ['blocked'] : []),
});
