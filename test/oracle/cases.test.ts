import { expect, test } from 'vitest';
import { referenceBackend } from '../../lib/backend/reference/index.js';
import { operators } from '../../lib/ops/table.js';
import { runGuarded } from '../helpers/run.js';
import { cases } from './cases/index.js';
import { callOf, expectedOf, firstDifference } from './compare.js';

const names = operators.map(({ name }) => name);

test('every operator of the table has cases, and no others have', () => {
  expect(names.filter((name) => !cases[name]?.length)).toEqual([]);
  expect(Object.keys(cases).filter((name) => !names.includes(name))).toEqual([]);
});

test('the reference backend has every operator of the table', () => {
  expect(names.filter((name) => !referenceBackend.supports(name, ['float32']))).toEqual([]);
});

test('names of cases are unique within an operator', () => {
  for (const [name, rows] of Object.entries(cases))
    expect(new Set(rows.map((row) => row.name)).size, name).toBe(rows.length);
});

// Float32 results of the reference are the float64 ones, rounded: so the tolerances are not too tight, guard bands hold, and
// every element is written.
for (const operator of operators) {
  test(`${operator.name} on the reference backend, float32 between guard bands against float64`, () => {
    for (const row of cases[operator.name] ?? []) {
      if (row.oracleOnly) continue;
      const result = runGuarded(referenceBackend, callOf(operator, row, 'reals'), { threads: 1, layout: 'plain' });
      expect(result.damage, row.name).toEqual([]);
      expect(firstDifference(result.outputs, expectedOf(operator, row, 'reals')), row.name).toBeUndefined();
    }
  });
}
