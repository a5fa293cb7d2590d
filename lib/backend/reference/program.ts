import { FoveaError } from '../../errors.js';
import { type DType, dtypeOf, elementBytes, formatShape, isDetached, sizeOf, type TypedArray } from '../../tensor.js';
import type { CompiledProgram, ProgramSpec, ProgramStep, ProgramValue } from '../backend.js';
import { operations } from './table.js';
import type { Operation, View } from './view.js';

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const;

function viewOf(arena: ArrayBuffer, dtype: DType, offset: number, length: number): TypedArray {
  return new constructors[dtype](arena, offset, length);
}

/** Lets timers, input and promises of the rest of the program go first. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function allocateArena(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    throw new FoveaError('ERR_MEMORY', 'program', `an arena of ${bytes} bytes cannot be allocated`, { cause });
  }
}

/** Runs the steps of a program one after the other, on the caller's thread. */
export class ReferenceProgram implements CompiledProgram {
  private readonly operators: readonly Operation[];
  private arena: ArrayBuffer | undefined;
  private readonly times: number[];
  private running = false;
  private cancelled = false;

  constructor(private readonly spec: ProgramSpec) {
    for (const value of spec.values) checkValue(value, spec);
    this.operators = spec.steps.map((step) => operatorOf(step, spec.values.length));
    this.arena = allocateArena(spec.arenaBytes);
    this.times = spec.steps.map(() => 0);
  }

  get memoryBytes(): number {
    return this.arena?.byteLength ?? 0;
  }

  runSync(externals: readonly TypedArray[], counter = 0): void {
    const views = this.begin(externals);
    try {
      for (let i = 0; i < this.spec.steps.length; i++) this.runStep(i, views, counter);
    } finally {
      this.running = false;
    }
  }

  async run(externals: readonly TypedArray[], counter = 0): Promise<void> {
    const views = this.begin(externals);
    try {
      for (let i = 0; i < this.spec.steps.length; i++) {
        await nextTurn();
        if (this.cancelled)
          throw new FoveaError('ERR_ABORTED', 'program', `cancelled after ${i} of ${this.spec.steps.length} steps`);
        this.runStep(i, views, counter);
      }
    } finally {
      this.running = false;
    }
  }

  cancel(): void {
    this.cancelled = this.running;
  }

  profile(): readonly number[] {
    return [...this.times];
  }

  describe(): readonly string[] {
    return this.spec.steps.map(() => 'reference');
  }

  dispose(): void {
    this.cancel();
    this.arena = undefined;
  }

  private begin(externals: readonly TypedArray[]): View[] {
    const { arena, spec } = this;
    if (!arena) throw new FoveaError('ERR_DISPOSED', 'program', 'the program was disposed of');
    if (this.running)
      throw new FoveaError('ERR_BUSY', 'program', 'the program is running; wait for it or compile another');
    if (externals.length !== spec.externals) {
      throw new FoveaError('ERR_DATA', 'program', `expected ${spec.externals} arrays, received ${externals.length}`);
    }
    const views = spec.values.map((value) => ({
      shape: value.shape,
      dtype: value.dtype,
      data: dataOf(value, arena, externals),
    }));
    this.running = true;
    this.cancelled = false;
    return views;
  }

  private runStep(i: number, views: readonly View[], counter: number): void {
    const step = this.spec.steps[i] as ProgramStep;
    const operand = (v: number): View | null => views[v] ?? null;
    const start = performance.now();
    this.operators[i]?.(step.inputs.map(operand), step.outputs.map(operand), step.attributes, { counter });
    this.times[i] = performance.now() - start;
  }
}

function checkValue(value: ProgramValue, spec: ProgramSpec): void {
  if (value.layout !== 'plain')
    throw new FoveaError('ERR_BACKEND', 'program', `the reference backend has no layout ${value.layout}`);
  if (value.external !== undefined) {
    if (value.external >= 0 && value.external < spec.externals) return;
    throw new FoveaError('ERR_DATA', 'program', `external ${value.external} of ${spec.externals}`);
  }
  const offset = value.offset ?? -1;
  const end = offset + sizeOf(value.shape) * elementBytes[value.dtype];
  if (offset < 0 || offset % elementBytes[value.dtype] !== 0 || end > spec.arenaBytes) {
    throw new FoveaError(
      'ERR_DATA',
      'program',
      `${value.dtype} ${formatShape(value.shape)} at ${offset} leaves the arena of ${spec.arenaBytes} bytes`,
    );
  }
}

function operatorOf(step: ProgramStep, values: number): Operation {
  const operation = Object.hasOwn(operations, step.operator) ? operations[step.operator] : undefined;
  if (!operation) throw new FoveaError('ERR_BACKEND', step.operator, 'the reference backend has no such operator');
  const wrong = [...step.inputs, ...step.outputs].find((v) => !Number.isInteger(v) || v < -1 || v >= values);
  if (wrong !== undefined) throw new FoveaError('ERR_DATA', step.operator, `operand ${wrong} of ${values} values`);
  return operation;
}

function dataOf(value: ProgramValue, arena: ArrayBuffer, externals: readonly TypedArray[]): TypedArray {
  const size = sizeOf(value.shape);
  if (value.external === undefined) return viewOf(arena, value.dtype, value.offset ?? 0, size);
  const array = externals[value.external] as TypedArray;
  const dtype = dtypeOf(array, 'program');
  if (dtype !== value.dtype)
    throw new FoveaError('ERR_DTYPE', 'program', `array ${value.external} must be ${value.dtype}, got ${dtype}`);
  if (array.length !== size) {
    if (isDetached(array)) throw new FoveaError('ERR_DATA', 'program', `array ${value.external} is detached`);
    throw new FoveaError(
      'ERR_DATA',
      'program',
      `array ${value.external} must have ${size} elements for ${formatShape(value.shape)}, got ${array.length}`,
    );
  }
  return array;
}
