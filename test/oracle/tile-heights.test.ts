import { describe, expect, test } from 'vitest';
import type { Attributes, Layout } from '../../lib/backend/backend.js';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import { operators } from '../../lib/ops/table.js';
import { multipliesBf16, storesRounded } from '../helpers/level.js';
import { type RunOptions, type RunResult, runGuarded } from '../helpers/run.js';
import { type Case, sums } from './cases/case.js';
import { largeProduct, largeStem } from './cases/large.js';
import { callOf, expectedOf, firstDifference } from './compare.js';

// Products of every number of rows up to more than the highest tile has (kernels/brgemm/kernels.inc), one block of
// filters wide, or of pixels as many as a tile can have, read in each of the ways that tiles read their rows
// (BrgemmRows). Small integers, so that every sum is exact, in bfloat16 too. At the level of FOVEA_CPU.

const { backend, reason } = findNative();
const amx = backend?.info.isa === 'amx';
const lengths = Array.from({ length: 33 }, (_, i) => i + 1);

interface Kind {
  readonly name: string;
  readonly operator: 'conv2d' | 'conv2dGradWeight' | 'matmul';
  readonly layout: Layout;
  /** Of the algorithm's name: how wide a tile is. Default: as the model has it. */
  readonly tile?: string;
  /** What the algorithm says of itself at the greatest length; on some levels at least. */
  readonly says?: RegExp;
  /** Default: all of them. */
  readonly lengths?: readonly number[];
  readonly of: (length: number) => Pick<Case, 'attributes' | 'inputs'>;
}

/** A convolution along one row of pixels. */
function row(channels: number, kernel: number, stride: number, filters = 16): Pick<Kind, 'operator' | 'of'> {
  return {
    operator: 'conv2d',
    of: (length) => ({
      attributes: { ...conv(stride, kernel), activation: 'none' },
      inputs: (make) => [
        make.float([2, channels, 1, (length - 1) * stride + kernel]),
        make.float([filters, channels, 1, kernel]),
        null,
      ],
    }),
  };
}

/** Three rows of pixels, of which AMX computes the ends of two at once. */
function threeRows(filters: number): Omit<Kind, 'name'> {
  return {
    operator: 'conv2d',
    layout: 'blocked',
    tile: ` x${filters}`,
    of: (length) => ({
      attributes: { ...conv(1, 3), padding: [0, 0, 1, 1], activation: 'none' },
      inputs: (make) => [make.float([2, 20, 3, length]), make.float([filters, 20, 1, 3]), null],
    }),
  };
}

/** The weight gradient of small maps, whose pairs are of images on AMX. */
function pairsOfImages(filters: number, stride: number): Omit<Kind, 'name'> {
  const size = 2 * stride + 1;
  return {
    operator: 'conv2dGradWeight',
    layout: 'blocked',
    says: amx ? /images abreast|conv2dGradWeight: brgemm/ : /./,
    lengths: [1, 31, 32, 33, 70, 130],
    of: (length) => ({
      attributes: {
        ...conv(1, 3),
        stride: [stride, stride],
        padding: [1, 1, 1, 1],
        kernelSize: [3, 3],
        withBias: true,
      },
      inputs: (make) => [make.float([length, 40, size, size]), make.float([length, filters, 3, 3])],
    }),
  };
}

/** A small map, so that the rows of a tile are images. */
function images(filters: number, channels = 40): Omit<Kind, 'name'> {
  return {
    operator: 'conv2d',
    layout: 'blocked',
    tile: ` x${filters}`,
    says: /images abreast/,
    of: (length) => ({
      attributes: { ...conv(1, 3), padding: [0, 0, 1, 1], activation: 'none' },
      inputs: (make) => {
        // Of many channels most have no weight: sums stay exact in bfloat16.
        const x = make.float([length, channels, 1, 2]);
        const w = make.float([filters, channels, 1, 3]);
        for (let i = 0; i < w.data.length; i++) if (Math.floor(i / 3) % Math.floor(channels / 40) > 0) w.data[i] = 0;
        return [x, w, null];
      },
    }),
  };
}

function conv(stride: number, kernel: number): Attributes {
  const plain = { padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1, paddingMode: 'zeros', flipKernel: false };
  return { ...plain, stride: [1, stride], kernelSize: [1, kernel] };
}

function matmul(transposeA: boolean): Pick<Kind, 'operator' | 'layout' | 'of'> {
  return {
    operator: 'matmul',
    layout: 'plain',
    of: (length) => ({
      attributes: { transposeA, transposeB: false },
      inputs: (make) => [make.float(transposeA ? [20, length] : [length, 20]), make.float([20, 9])],
    }),
  };
}

const kinds: readonly Kind[] = [
  { name: 'pixels', layout: 'blocked', ...row(16, 1, 1) },
  ...[2, 8, 24].map(
    (channels): Kind => ({ name: `pixels of ${channels} channels`, layout: 'blocked', ...row(channels, 1, 1) }),
  ),
  { name: 'pixels under three taps', layout: 'blocked', ...row(16, 3, 1) },
  { name: 'every other pixel', layout: 'blocked', ...row(16, 1, 2) },
  ...[32, 48, 64].map(
    (filters): Kind => ({
      name: `pixels and ${filters} filters`,
      layout: 'blocked',
      ...row(40, 1, 1, filters),
      tile: ` x${filters}`,
    }),
  ),
  ...[16, 32].map((filters): Kind => ({ name: `one pixel of many images, ${filters} filters`, ...images(filters) })),
  {
    name: 'one pixel of many images, channels in chunks',
    ...images(16, 4200),
    lengths: [33],
    says: /channels (?!4200)/,
  },
  ...[16, 32].map((filters): Kind => ({ name: `three rows of pixels, ${filters} filters`, ...threeRows(filters) })),
  ...[16, 24, 40].map(
    (filters): Kind => ({ name: `images in pairs, ${filters} filters`, ...pairsOfImages(filters, 1) }),
  ),
  { name: 'images in pairs, stride 2', ...pairsOfImages(40, 2) },
  { name: 'pixels of a plane', layout: 'plain', ...row(3, 3, 1) },
  {
    name: 'channels',
    operator: 'conv2dGradWeight',
    layout: 'blocked',
    of: (length) => ({
      attributes: { ...conv(1, 1), withBias: false },
      inputs: (make) => [make.float([2, length, 3, 5]), make.float([2, 16, 3, 5])],
    }),
  },
  { name: 'rows of a matrix', ...matmul(false) },
  { name: 'columns of a matrix', ...matmul(true) },
];

type Way = Pick<RunOptions, 'precision' | 'rounded'> & { readonly name: string; readonly algorithm: string };

const bf16 = multipliesBf16(backend?.info.isa) ? 'bf16' : undefined;
const ways: readonly Way[] = [
  { name: 'float32', algorithm: 'brgemm', precision: 'highest' },
  ...(bf16 ? [{ name: 'bfloat16', algorithm: bf16, precision: 'medium' } as const] : []),
  ...(storesRounded(backend?.info.isa)
    ? [{ name: 'bfloat16 in memory', algorithm: bf16 ?? 'brgemm', precision: 'medium', rounded: true } as const]
    : []),
];

describe.skipIf(!backend)(`tiles of every height${reason ? ` (skipped: ${reason})` : ''}`, () => {
  for (const way of ways) {
    describe(way.name, () => {
      for (const kind of kinds) {
        if (way.rounded && (kind.layout === 'plain' || kind.operator === 'matmul')) continue;
        test(kind.name, () => {
          let said = '';
          for (const length of kind.lengths ?? lengths) {
            const { attributes, inputs } = kind.of(length);
            const row = { name: `${length} rows`, attributes, inputs, agreement: sums };
            const algorithm = `${way.algorithm}${kind.tile ?? ''}`;
            said = check(backend as NativeBackend, kind.operator, kind.layout, row, { ...way, algorithm });
          }
          expect(said).toMatch(kind.says ?? /./);
        });
      }
      if (!way.rounded) return; // the others: oracle/suite.ts
      test(largeProduct.name, () => check(backend as NativeBackend, 'conv2d', 'blocked', largeProduct, way));
      test(largeStem.name, () => check(backend as NativeBackend, 'conv2d', 'plain', largeStem, way));
    });
  }
});

/** What the steps say of themselves. */
function check(native: NativeBackend, operatorName: string, layout: Layout, row: Case, way: Way): string {
  const { algorithm, name, ...options } = way;
  const operator = operators.find((one) => one.name === operatorName);
  if (!operator) throw new Error(`no operator ${operatorName}`);
  const call = callOf(operator, row, 'integers');
  const named = { ...call, attributes: { ...call.attributes, algorithm } };
  const result: RunResult = runGuarded(native, named, { threads: 2, layout, ...options });
  const where = `${name}, ${row.name}, ${result.describe.join('; ')}`;
  expect(firstDifference(result.outputs, expectedOf(operator, row, 'integers')), where).toBeUndefined();
  expect(result.damage, where).toEqual([]);
  return result.describe.join('; ');
}
