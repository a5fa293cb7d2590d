import { existsSync, readdirSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { type BackendName, useBackend } from '../../lib/backend/select.js';
import type { Tensor } from '../../lib/tensor.js';
import { methods } from './operators.js';
import { allowedError, decode, readCases, type WebnnCase } from './webnn.js';

// Cases by others, beside the checkout; FOVEA_CONFORMANCE names another place. They are not copied into the project.
const folder = process.env.FOVEA_CONFORMANCE ?? new URL('../../../shared/conformance/webnn/', import.meta.url).pathname;
const there = existsSync(folder);

/** WebNN operators that this library does not have yet: no case of these files runs. */
const notYet = [
  ...[
    'abs',
    'clamp',
    'div',
    'elu',
    'exp',
    'gelu',
    'hardSigmoid',
    'hardSwish',
    'leakyRelu',
    'linear',
    'log',
    'max',
    'min',
  ],
  ...['neg', 'pow', 'prelu', 'sigmoid', 'softplus', 'softsign', 'sqrt', 'tanh'],
  ...['concat', 'expand', 'pad', 'slice', 'split', 'transpose', 'convTranspose2d', 'l2Pool2d'],
  ...['instanceNormalization', 'layerNormalization', 'reduceL2', 'reduceMax'],
];

/** Why a case of a supported operator cannot run; undefined when it can. */
function whyNot({ inputs }: WebnnCase): string | undefined {
  const integer = Object.values(inputs).find(({ dtype }) => !dtype.startsWith('float'));
  return integer ? `${integer.dtype}: arithmetic is on floats here` : undefined;
}

function check(stored: WebnnCase): void {
  const inputs = Object.fromEntries(Object.entries(stored.inputs).map(([role, t]) => [role, decode(t) as Tensor]));
  const actual = methods[stored.op]?.(inputs, stored.options, stored.args) as Tensor;
  const [output] = Object.values(stored.outputs);
  const expected = output && decode(output);
  if (!output || !expected) throw new Error('the case has no float output');
  expect(actual.shape).toEqual(expected.shape);
  const values = Array.from(expected.data);
  const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  values.forEach((e, i) => {
    const a = actual.data[i] as number;
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) return;
    const allowed = allowedError(e, largest, output, stored.tolerance);
    if (!(Math.abs(a - e) <= allowed))
      expect.fail(`element ${i}: ${a}, expected ${e}, off by ${Math.abs(a - e)}, allowed ${allowed}`);
  });
}

describe.skipIf(!there)(`WebNN conformance${there ? '' : ` (skipped: there is no ${folder})`}`, () => {
  if (!there) {
    test('needs the cases');
    return;
  }
  const files = readdirSync(folder).filter((file) => file.endsWith('.json') && file !== 'counts.json');
  const cases = new Map(files.map((file) => [file.slice(0, -5), readCases(`${folder}/${file}`)]));
  const supported = Object.keys(methods).flatMap((op) => cases.get(op) ?? []);
  const runnable = supported.filter((stored) => !whyNot(stored));
  const { backend: native } = findNative();
  const backends: BackendName[] = native && !native.info.problem ? ['reference', 'native'] : ['reference'];
  const ran = new Map<BackendName, number>(backends.map((name) => [name, 0]));

  test('every file is either run or listed as not supported yet', () => {
    expect([...Object.keys(methods), ...notYet].sort()).toEqual([...cases.keys()].sort());
  });

  for (const name of backends) {
    describe(name, () => {
      for (const stored of runnable) {
        test(`${stored.id} ${stored.name}`, () => {
          useBackend(name);
          ran.set(name, (ran.get(name) ?? 0) + 1);
          check(stored);
        });
      }
    });
  }

  test('all cases of the supported operators ran, but for those with a reason', () => {
    const skipped = supported.filter((stored) => whyNot(stored));
    for (const name of backends) expect(ran.get(name)).toBe(supported.length - skipped.length);
    expect(runnable.length).toBeGreaterThanOrEqual(472);
    // 2 of relu and 6 of sub.
    expect(skipped.map((stored) => stored.op).sort()).toEqual([
      'relu',
      'relu',
      'sub',
      'sub',
      'sub',
      'sub',
      'sub',
      'sub',
    ]);
  });

  afterAll(() => {
    const rest = notYet.reduce((sum, op) => sum + (cases.get(op)?.length ?? 0), 0);
    const each = [...ran].map(([name, count]) => `${count} on ${name}`).join(', ');
    console.log(
      `WebNN: ${each} of ${runnable.length}; ${supported.length - runnable.length} integer cases and ${rest} of ${notYet.length} operators not run`,
    );
  });
});
