import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { operations } from '../../lib/backend/reference/table.js';
import { operators, operatorsByName } from '../../lib/ops/table.js';

const folder = join(import.meta.dirname, '../../lib/ops');
const tests = import.meta.dirname;

test('every operator has a name of its own', () => {
  expect(operatorsByName.size).toBe(operators.length);
});

test('the reference backend computes exactly the operators of the table', () => {
  expect(Object.keys(operations).sort()).toEqual([...operatorsByName.keys()].sort());
});

test('every file of operators has a test file of its name', () => {
  const files = readdirSync(folder).filter(
    (name) => name.endsWith('.ts') && !['index.ts', 'operator.ts', 'table.ts'].includes(name),
  );
  const missing = files.filter((name) => !existsSync(join(tests, name.replace(/\.ts$/, '.test.ts'))));
  expect(missing).toEqual([]);
});

test('every forward operator on floats is differentiable', () => {
  const without = operators.filter(({ gradient }) => !gradient).map(({ name }) => name);
  // Gradients themselves, data feeding, metrics and updates; nobody differentiates them.
  const exempt = /Backward$|^gather|^normalize$|^countCorrect$|Update$|^assign$/;
  expect(without.filter((name) => !exempt.test(name))).toEqual([]);
});
