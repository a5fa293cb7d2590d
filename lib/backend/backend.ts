import type { DType, TypedArray } from '../tensor.js';

/** Shape and element type of a value, without the value. */
export interface Spec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Hyperparameters of an operator, flat, so that they can be printed, compared and handed to C++. */
export type Attributes = Readonly<Record<string, number | string | boolean | readonly number[]>>;

/**
 * How a value lies in memory.
 * `plain`: row-major in the order of its shape. `blocked`: [N, ceil(C/16), H, W, 16], channels that do not exist are zero.
 * `blocked bf16`: blocked, each float32 rounded to the nearest bfloat16 by the step that writes it (lib/backend/storage.ts).
 * The reference backend keeps everything plain.
 */
export type Layout = 'plain' | 'blocked' | 'blocked bf16';

/**
 * How exact float32 products are: `'highest'` float32 or better, `'high'` two bfloat16 each, `'medium'` one bfloat16 or what
 * is as exact (16-bit integers that share a scale).
 * Where the CPU has nothing that is faster, all three are computed in float32; the reference backend adds up in double precision.
 */
export type Precision = 'highest' | 'high' | 'medium';

/** One value of a program: in the arena at `offset` (bytes), or given by the caller at each run as `externals[external]`. */
export interface ProgramValue extends Spec {
  readonly layout: Layout;
  readonly external?: number;
  readonly offset?: number;
}

/** One operator call. Operands are indices into `values`; -1 stands for an absent optional operand. */
export interface ProgramStep {
  readonly operator: string;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly attributes: Attributes;
}

/** A static program: steps run first to last over values of known place. */
export interface ProgramSpec {
  readonly values: readonly ProgramValue[];
  readonly steps: readonly ProgramStep[];
  readonly externals: number;
  /** Externals that most runs find as the run before has: weights. What is made of them may be kept. Default: none. */
  readonly steady?: readonly number[];
  /** And they do not change after the first run. Default false. */
  readonly frozen?: boolean;
  readonly arenaBytes: number;
  readonly threads: number;
  /** Default 'highest'. */
  readonly precision?: Precision;
}

/** A program made ready by a backend. Arrays are given in the order of `ProgramValue.external`. */
export interface CompiledProgram {
  /** Runs on the caller's thread, to the end. `counter` feeds the random operators: same counter, same numbers. */
  runSync(externals: readonly TypedArray[], counter?: number): void;
  /** Runs off the event loop. Rejects with ERR_ABORTED when cancelled, ERR_BUSY when it is running already. */
  run(externals: readonly TypedArray[], counter?: number): Promise<void>;
  /** Asks a running `run` to stop at the next chance; does nothing when idle. */
  cancel(): void;
  /** Milliseconds that each step of the last run took. */
  profile(): readonly number[];
  /** Per step: the algorithm and kernel that was picked. */
  describe(): readonly string[];
  /** Bytes that it holds: intermediate values, the operators' workspace, and what is kept. */
  readonly memoryBytes: number;
  /**
   * What is kept of steady externals: its bytes, and how long the last run took to see at first whether they had changed.
   * A backend without it keeps nothing.
   */
  kept?(): Kept;
  /** Frees the native memory; later runs throw ERR_DISPOSED. */
  dispose(): void;
}

/** What a program keeps of weights, see `CompiledProgram.kept`. */
export interface Kept {
  readonly bytes: number;
  readonly milliseconds: number;
}

/** What multiply-adds are of: numbers, or pairs of them whose two products are added at once. */
export type Units = 'float32' | 'bfloat16' | 'int16';

/** What the machine gives at best, to so many threads together: GFLOP/s of multiply-adds in registers, 0 for none. */
export interface Limits extends Readonly<Record<Units, number>> {
  /** GB/s over so many bytes again and again, two reads to a write: of the cache that holds them, or of memory. */
  bandwidth(bytes: number): number;
}

/** What both backends implement. */
export interface Backend {
  readonly name: 'native' | 'reference';
  /** Which operands may or must be blocked, by operator (see native/ops/registry.h); empty when the backend has one layout only. */
  readonly layouts: ReadonlyMap<string, OperandLayouts>;
  /** Which operands may lie as 'blocked bf16' (see lib/backend/storage.ts); none on the baseline. */
  readonly storage?: ReadonlyMap<string, OperandLayouts>;
  /** True when the operator can be run on these element types. */
  supports(operator: string, dtypes: readonly DType[]): boolean;
  compile(spec: ProgramSpec): CompiledProgram;
  /** Measured at the first call for so many threads (0: the default number), in a few tenths of a second. */
  limits?(threads: number): Limits;
}

/**
 * One letter per operand: `P` plain, `B` blocked, `X` either (the operator looks), `E` like the first `E` operand of the step.
 * The last letter of `inputs` repeats for variadic operators.
 */
export interface OperandLayouts {
  readonly inputs: string;
  readonly outputs: string;
}
