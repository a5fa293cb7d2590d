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
