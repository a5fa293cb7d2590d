import { describe, expect, test } from 'vitest';
import type { Limits } from '../../lib/backend/backend.js';
import { compileGraph } from '../../lib/graph/executable.js';
import { explainProgram } from '../../lib/graph/explain.js';
import { limitOf, type Pass } from '../../lib/graph/passes.js';
import { trace } from '../../lib/graph/trace.js';
import { Tensor } from '../../lib/index.js';
import { conv2d } from '../../lib/ops/conv2d.js';

// A machine of round numbers: a million operations of float32 or bytes take 10 µs and 1 ms, small ones 0.1 ms.
const limits: Limits = { float32: 100, bfloat16: 400, int16: 200, bandwidth: (bytes) => (bytes < 1e5 ? 10 : 1) };

function pass(describe: string, flops: number, bytes: number, milliseconds = 1): Pass {
  return { operator: 'conv2d', shape: [1], bytes, flops, milliseconds, describe };
}

describe('the limit of a pass', () => {
  test('is what takes longer', () => {
    expect(limitOf(pass('conv2d: brgemm: brgemm_avx512 x32', 1e8, 1e5), limits)).toEqual({
      binds: 'arithmetic',
      milliseconds: 1,
    });
    expect(limitOf(pass('conv2d: brgemm: brgemm_avx512 x32', 1e6, 1e6), limits)).toEqual({
      binds: 'memory',
      milliseconds: 1,
    });
  });

  test('counts what the algorithm multiplies, at the speed of its units', () => {
    const milliseconds = (describe: string) => limitOf(pass(describe, 9e8, 10), limits).milliseconds;
    expect(milliseconds('conv2d: brgemm: brgemm_avx512 x32, packed')).toBeCloseTo(9);
    expect(milliseconds('conv2d: winograd 2x2: winograd_avx512')).toBeCloseTo(4); // 16 products for 4·9
    expect(milliseconds('conv2d: winograd 4x4: winograd_avx512')).toBeCloseTo(2.25); // 36 for 16·9
    expect(milliseconds('conv2d: winograd 2x2 in int16: int16_avx512vnni')).toBeCloseTo(2); // 16 for 4·9, as pairs
    expect(milliseconds('conv2d: winograd 4x4 of stride 2: winograd_avx512')).toBeCloseTo(5.0625); // 81 for 16·9
    expect(milliseconds('conv2d: bf16: brgemm_amx x32, 1 products')).toBeCloseTo(2.25);
    expect(milliseconds('conv2d: bf16: brgemm_amx x32, 3 products')).toBeCloseTo(6.75);
  });
});

test('a program that has run shows times and shares', () => {
  const w = Tensor.ones([1, 1, 3, 3]);
  const x = { shape: [1, 1, 5, 5], dtype: 'float32' } as const;
  const program = compileGraph(
    trace((input) => conv2d(input, w), [x], 'lecture'),
    { backend: 'reference' },
  );
  program.runSync([new Float32Array(25)]);
  expect(program.explain()).toMatch(/^lecture: .* ms\npeak memory .*\n.* ms {2}algorithm\n.* conv2d /);
  expect(program.profile()).toMatchObject([{ operator: 'conv2d', bytes: 4 * (25 + 9 + 9), flops: 2 * 9 * 9 }]);
});

test('the shares are those of the limits', () => {
  const value = { shape: [1, 1, 1, 1], dtype: 'float32', layout: 'plain', external: 0 } as const;
  const spec = {
    values: [value],
    steps: [{ operator: 'conv2d', inputs: [0], outputs: [0], attributes: {} }],
    externals: 1,
    arenaBytes: 0,
    threads: 1,
  };
  const graph = trace((input) => input, [{ shape: [1], dtype: 'float32' }], 'made');
  const passes = [pass('conv2d: direct', 1e8, 1e5, 4)];
  const text = explainProgram({
    graph,
    spec,
    runner: 'nobody',
    passes,
    memory: { own: 2 ** 20, given: 2 ** 19 },
    limits,
  });
  expect(text.split('\n')).toEqual([
    'made: nobody, 1 steps, 0.100 GFLOP, 0.10 MiB over memory, 4.00 ms',
    'peak memory 1.50 MiB: arena and workspace 1.00, parameters and data 0.50',
    'limits: float32 100 GFLOP/s, memory 1 GB/s; 100 % of the time in passes bound by arithmetic, ' +
      '0 % by memory; at the limits all would take 25 % of it',
    '#  operator  output               layout   MiB  GFLOP     ms          of limit  algorithm',
    '0  conv2d    float32[1, 1, 1, 1]  plain   0.10  0.100  4.000  arithmetic  25 %  direct',
  ]);
});
