import { type Case, type Cases, sums } from './case.js';

type Shape = readonly number[];

function matmul(a: Shape, b: Shape, transposeA = false, transposeB = false, oracleOnly = false): Case {
  const name = `[${a}]${transposeA ? 'ᵀ' : ''} · [${b}]${transposeB ? 'ᵀ' : ''}`;
  return {
    name,
    attributes: { transposeA, transposeB },
    inputs: (make) => [make.float(a), make.float(b)],
    agreement: sums,
    oracleOnly,
  };
}

interface Linear {
  /** Matrices only: the public function flattens the leading axes. */
  readonly x: readonly [rows: number, features: number];
  readonly out: number;
  readonly bias?: boolean;
  readonly relu?: boolean;
  readonly large?: boolean;
}

const linears: readonly Linear[] = [
  { x: [1, 1], out: 1 },
  { x: [3, 5], out: 4, bias: true },
  { x: [6, 17], out: 15, bias: true, relu: true },
  { x: [5, 33], out: 1 },
  { x: [1, 64], out: 10, bias: true },
  { x: [31, 16], out: 48, relu: true },
  { x: [64, 400], out: 120, bias: true, relu: true, large: true },
  { x: [2, 130], out: 19, bias: true, relu: true },
  { x: [4, 700], out: 150, bias: true, large: true },
  { x: [1, 900], out: 200, bias: true, relu: true, large: true },
  { x: [33, 1500], out: 50, bias: true, relu: true, large: true },
];

const linearName = ({ x, out, bias, relu }: Linear): string =>
  `[${x}] to ${out}${bias ? ' bias' : ''}${relu ? ' relu' : ''}`;

export const denseCases: Cases = {
  matmul: [
    matmul([1, 1], [1, 1]),
    matmul([3, 4], [4, 2]),
    matmul([4, 3], [4, 5], true),
    matmul([3, 4], [5, 4], false, true),
    matmul([4, 3], [2, 4], true, true),
    matmul([1, 37], [37, 1]),
    matmul([17, 1], [1, 15]),
    matmul([2, 3, 4], [4, 5]),
    matmul([4, 5], [2, 5, 3]),
    matmul([2, 1, 3, 4], [5, 4, 2]),
    matmul([2, 4, 3], [2, 5, 4], true, true),
    matmul([3, 1, 2, 2], [1, 4, 2, 2]),
    matmul([15, 31], [31, 17]),
    matmul([33, 16], [16, 49]),
    matmul([65, 130], [130, 97], false, false, true),
    matmul([130, 65], [97, 130], true, true, true),
    // A few rows or columns: products that read the other matrix where it lies, in each of its orders.
    matmul([4, 300], [300, 70]),
    matmul([2, 3, 33], [2, 33, 18]),
    matmul([3, 41], [50, 41], false, true),
    matmul([41, 3], [41, 20], true),
    matmul([90, 65], [65, 2]),
    matmul([90, 65], [3, 65], false, true),
    matmul([65, 90], [65, 1], true),
    matmul([2, 700], [700, 200], false, false, true),
    // A small result of long sums: the depth is cut into parts.
    matmul([40, 2100], [2100, 40], false, false, true),
    matmul([2, 40, 1100], [30, 1100], false, true, true),
    matmul([1030, 50], [1030, 47], true, false, true),
    // Tasks that share packed rows and packed columns.
    matmul([160, 200], [200, 300], false, false, true),
    matmul([200, 160], [300, 200], true, true, true),
  ],
  linear: linears.map((linear) => {
    return {
      name: linearName(linear),
      attributes: { activation: linear.relu ? 'relu' : 'none' },
      inputs: (make) => [
        make.float(linear.x),
        make.float([linear.out, linear.x[1]]),
        linear.bias ? make.float([linear.out]) : null,
      ],
      agreement: sums,
      oracleOnly: linear.large ?? false,
    };
  }),
  linearGradWeight: linears.map((linear) => ({
    name: linearName(linear),
    attributes: { withBias: linear.bias ?? false },
    inputs: (make) => [make.float(linear.x), make.float([linear.x[0], linear.out])],
    agreement: sums,
    oracleOnly: linear.large ?? false,
  })),
};
