import { apply1, type Operator, touchedBytes, type Value } from '../operator.js';
import { spec } from './check.js';

// Copies that the planner puts into programs; nobody calls them.

/** x → the same value in another memory layout */
export const reorderOperator: Operator = {
  name: 'reorder',
  infer: (inputs) => [spec(inputs, 0)],
  gradient: ({ gradOutputs }) => [apply1(reorderOperator, [gradOutputs[0] as Value])],
  cost: (inputs, outputs) => ({ flops: 0, bytes: touchedBytes([...inputs, ...outputs]) }),
};

/** x → the same value in a tensor that outlives the run */
export const assignOperator: Operator = {
  name: 'assign',
  infer: (inputs) => [spec(inputs, 0)],
  cost: (inputs, outputs) => ({ flops: 0, bytes: touchedBytes([...inputs, ...outputs]) }),
};
