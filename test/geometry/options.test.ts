import { expect, test } from 'vitest';
import { show } from '../../lib/errors.js';
import { checkOptions, choice, flag, perAxis, real, whole } from '../../lib/geometry/options.js';
import { expectError } from '../ops/helpers.js';

test('numbers that are in range come back', () => {
  expect(whole('test', 'n', 3, 1)).toBe(3);
  expect(real('test', 'p', 0.5, 0, 1)).toBe(0.5);
  expect(flag('test', 'f', false)).toBe(false);
  expect(choice('test', 'c', 'b', ['a', 'b'])).toBe('b');
  expect(perAxis('test', 'n', 3, 2, 1)).toEqual([3, 3]);
  expect(perAxis('test', 'n', [1, 2], 2, 1)).toEqual([1, 2]);
});

test('others do not, and the message shows them', () => {
  for (const bad of [0, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 31, '1', null, undefined, {}, [1], true]) {
    expectError(() => whole('test', 'n', bad, 1), 'ERR_OPTION', /^test: n must be a whole number/);
  }
  expectError(
    () => real('test', 'eps', Number.POSITIVE_INFINITY, 0, Number.POSITIVE_INFINITY),
    'ERR_OPTION',
    /eps must be a number >= 0, got Infinity/,
  );
  expectError(() => flag('test', 'f', 0), 'ERR_OPTION', /f must be true or false, got 0/);
  expectError(
    () => perAxis('test', 'n', [1, 2, 3], 2, 1),
    'ERR_OPTION',
    /n must be a number or 2 of them, one per axis, got \[1, 2, 3\]/,
  );
});

test('unknown names get a guess when one is near', () => {
  checkOptions('test', { padding: 1 }, ['padding', 'stride']);
  expectError(
    () => checkOptions('test', { Pading: 1 }, ['padding', 'stride']),
    'ERR_OPTION',
    /unknown option "Pading"; did you mean "padding"\?/,
  );
  expectError(
    () => checkOptions('test', { foo: 1 }, ['padding', 'stride']),
    'ERR_OPTION',
    /unknown option "foo"; known are padding, stride/,
  );
  for (const bad of [null, 3, 'x', [1]])
    expectError(
      () => checkOptions('test', bad, ['padding']),
      'ERR_OPTION',
      /options must be an object like \{ padding: … \}/,
    );
});

test('values as messages show them', () => {
  expect([Number.NaN, 'a', [1, [2]], null, undefined, new Float32Array(1), {}].map(show)).toEqual([
    'NaN',
    "'a'",
    '[1, [2]]',
    'null',
    'undefined',
    'Float32Array',
    'Object',
  ]);
});
