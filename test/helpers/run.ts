import type { Backend, Layout, Precision, ProgramStep, ProgramValue, Spec } from '../../lib/backend/backend.js';
import { bytesOf } from '../../lib/backend/layout.js';
import { elementBytes, sizeOf, Tensor, type TypedArray } from '../../lib/tensor.js';
import { type Guarded, guarded } from './guarded.js';
import type { Call } from './reference.js';

export interface RunOptions {
  readonly threads: number;
  /** The layout of operands that may be either (letters X and E of native/ops/registry.h). */
  readonly layout: Layout;
  /** Default 'highest'. */
  readonly precision?: Precision;
  /** Operands lie as bfloat16 where the operator takes it (letters b and g of lib/backend/storage.ts). Default false. */
  readonly rounded?: boolean;
  /** Also with the weights kept from run to run, by an operator that does. Default false. */
  readonly keeps?: boolean;
}

export interface RunResult {
  readonly outputs: readonly (Tensor | null)[];
  /** Memory that was written and must not be: outside an operand, an input, channels that do not exist. */
  readonly damage: readonly string[];
  readonly describe: readonly string[];
}

/**
 * Runs one operator in the strictest surroundings: every array between guard bands at an odd offset, outputs full of NaN,
 * the arena full of NaN, every layout that was asked for made by its own reorder step. It does not use lib's planner.
 * With `keeps` twice more, the second time with what the first has kept: the results must have the same bits.
 */
export function runGuarded(backend: Backend, call: Call, options: RunOptions): RunResult {
  const setup = new Setup(backend, call, options);
  const { damage, describe } = setup.run(1);
  if (!options.keeps || !keepsWeights.has(call.operator)) return { outputs: setup.outputs, damage, describe };
  const keeping = new Setup(backend, call, options);
  const kept = keeping.run(2, keeping.weights).damage.map((text) => `with kept weights: ${text}`);
  if (backend.name === 'native' && keeping.keptBytes === 0 && !describe.some((text) => /depthwise/.test(text)))
    kept.push('no weights were kept');
  const same = setup.outputs.every(
    (output, i) => !output || sameBits(output.data, (keeping.outputs[i] as Tensor).data),
  );
  return {
    outputs: setup.outputs,
    damage: [...damage, ...kept, ...(same ? [] : ['kept weights give other bits'])],
    describe,
  };
}

const keepsWeights: ReadonlySet<string> = new Set(['conv2d']);

const alignment = 64;
const block = 16;

class Setup {
  readonly arrays: TypedArray[] = [];
  readonly outputs: (Tensor | null)[];
  keptBytes = 0;
  /** Externals: all inputs but the first. */
  readonly weights: readonly number[];
  private readonly guards: { name: string; guard: Guarded; before?: TypedArray }[] = [];
  private readonly lanes: { name: string; shape: readonly number[]; tensor: Tensor }[] = [];
  private readonly values: ProgramValue[] = [];
  private readonly before: ProgramStep[] = [];
  private readonly after: ProgramStep[] = [];
  private readonly step: ProgramStep;
  private arenaBytes = 0;

  constructor(
    private readonly backend: Backend,
    private readonly call: Call,
    private readonly options: RunOptions,
  ) {
    const { inplace = [] } = call;
    const plain = call.inputs.map((tensor, i) => {
      if (!tensor) return -1;
      const guard = guarded(tensor.shape, tensor.dtype, tensor.data);
      const changes = inplace.includes(i);
      return this.external(guard.tensor, `input ${i}`, guard, changes ? undefined : tensor.data);
    });
    this.weights = plain.flatMap((id, i) => (id < 0 || i === 0 ? [] : [this.values[id]?.external as number]));
    const layouts = this.layoutsOf(call);
    const inputs = plain.map((id, i) => (id < 0 ? id : this.laidOut(id, layouts.inputs[i] as Layout)));
    this.outputs = call.outputs.map(() => null);
    const outputs = call.outputs.map((spec, i) => {
      const shared = inplace[i];
      if (!spec) return -1;
      if (shared !== undefined) {
        this.outputs[i] = this.tensorOf(plain[shared] as number);
        return inputs[shared] as number;
      }
      const guard = guarded(spec.shape, spec.dtype);
      this.outputs[i] = guard.tensor;
      const id = this.external(guard.tensor, `output ${i}`, guard);
      return this.fromLaidOut(id, layouts.outputs[i] as Layout, `output ${i}`);
    });
    this.step = { operator: call.operator, inputs, outputs, attributes: call.attributes };
  }

  run(times: number, steady: readonly number[] = []): Pick<RunResult, 'damage' | 'describe'> {
    const program = this.backend.compile({ ...this.spec(), steady });
    try {
      for (let i = 0; i < times; i++) {
        if (i > 0)
          for (const output of this.outputs) output?.data.fill(output.dtype.startsWith('float') ? Number.NaN : 1);
        program.runSync(this.arrays, this.call.counter ?? 0);
      }
      this.keptBytes = program.kept?.().bytes ?? 0;
      return { damage: this.damage(), describe: program.describe() };
    } finally {
      program.dispose();
    }
  }

  private spec() {
    const steps = [...this.poison(), ...this.before, this.step, ...this.after];
    const { values, arrays, arenaBytes } = this;
    return {
      values,
      steps,
      externals: arrays.length,
      arenaBytes,
      threads: this.options.threads,
      precision: this.options.precision ?? 'highest',
    };
  }

  damage(): string[] {
    const found: string[] = [];
    for (const { name, guard, before } of this.guards) {
      const at = guard.damage();
      if (at !== undefined) found.push(`${name}: byte ${at} outside of it was written`);
      if (before && !sameBits(before, guard.tensor.data)) found.push(`${name} was changed`);
    }
    for (const { name, shape, tensor } of this.lanes) {
      if (!lanesAreZero(shape, tensor.data)) found.push(`${name}: lanes of channels that do not exist are not 0`);
    }
    return found;
  }

  private tensorOf(id: number): Tensor {
    const { shape, external } = this.values[id] as ProgramValue;
    return new Tensor(shape, this.arrays[external as number] as TypedArray);
  }

  private external(tensor: Tensor, name: string, guard?: Guarded, before?: TypedArray): number {
    if (guard) this.guards.push(before ? { name, guard, before } : { name, guard });
    const external = this.arrays.push(tensor.data) - 1;
    return this.values.push({ shape: tensor.shape, dtype: tensor.dtype, layout: 'plain', external }) - 1;
  }

  private valueLike(id: number, layout: Layout): number {
    const { shape, dtype } = this.values[id] as ProgramValue;
    const offset = this.arenaBytes;
    this.arenaBytes += Math.ceil(bytesOf({ shape, dtype }, layout) / alignment) * alignment;
    return this.values.push({ shape, dtype, layout, offset }) - 1;
  }

  private laidOut(id: number, layout: Layout): number {
    if (layout === 'plain') return id;
    const value = this.valueLike(id, layout);
    this.before.push({ operator: 'reorder', inputs: [id], outputs: [value], attributes: {} });
    return value;
  }

  private fromLaidOut(id: number, layout: Layout, name: string): number {
    if (layout === 'plain') return id;
    if (layout === 'blocked') return this.fromBlocked(id, name);
    const value = this.valueLike(id, layout);
    const wide = { operator: 'reorder', inputs: [value], outputs: [this.valueLike(id, 'blocked')], attributes: {} };
    this.after.push(wide);
    this.readBlocked(wide.outputs[0] as number, id, name);
    return value;
  }

  private fromBlocked(id: number, name: string): number {
    const blocked = this.valueLike(id, 'blocked');
    this.readBlocked(blocked, id, name);
    return blocked;
  }

  private readBlocked(blocked: number, id: number, name: string): void {
    const { shape, dtype, offset } = this.values[blocked] as ProgramValue;
    this.after.push({ operator: 'reorder', inputs: [blocked], outputs: [id], attributes: {} });
    if (dtype !== 'float32' || (shape[1] as number) % block === 0) return;
    // The same memory under a plain name, copied out: the lanes that the plain value does not have can be seen there.
    const [n, c, h, w] = shape as [number, number, number, number];
    const flat = [n * Math.ceil(c / block) * block * h * w];
    const view = this.values.push({ shape: flat, dtype, layout: 'plain', offset: offset as number }) - 1;
    const seen = Tensor.full(flat, Number.NaN);
    this.after.push({ operator: 'assign', inputs: [view], outputs: [this.external(seen, name)], attributes: {} });
    this.lanes.push({ name, shape, tensor: seen });
  }

  /** Steps that fill the arena with NaN. */
  private poison(): ProgramStep[] {
    if (this.arenaBytes === 0) return [];
    const whole = [this.arenaBytes / elementBytes.float32];
    const from = this.external(Tensor.full(whole, Number.NaN), 'poison');
    const to = this.values.push({ shape: whole, dtype: 'float32', layout: 'plain', offset: 0 }) - 1;
    return [{ operator: 'assign', inputs: [from], outputs: [to], attributes: {} }];
  }

  private layoutsOf(call: Call): { inputs: Layout[]; outputs: Layout[] } {
    const letters = this.backend.layouts.get(call.operator) ?? { inputs: 'P', outputs: 'P' };
    const letter = (row: string, i: number): string => row[Math.min(i, row.length - 1)] ?? 'P';
    const present = (specs: readonly (Spec | null)[], row: string): Spec[] =>
      specs.flatMap((spec, i) => (spec && letter(row, i) === 'E' ? [spec] : []));
    const group = [...present(call.inputs, letters.inputs), ...present(call.outputs, letters.outputs)];
    const alike = group.every(({ shape }) => shape.length === 4 && String(shape) === String(group[0]?.shape));
    const layout = (spec: Spec | null, which: string): Layout => {
      if (!spec || which === 'P' || spec.shape.length !== 4 || sizeOf(spec.shape) === 0) return 'plain';
      if (which === 'B') return 'blocked';
      return which === 'X' || alike ? this.options.layout : 'plain';
    };
    // A reorder is there to change the layout.
    if (call.operator === 'reorder' && this.backend.layouts.size > 0) {
      const other = this.options.layout === 'plain' ? 'blocked' : 'plain';
      return { inputs: [this.options.layout], outputs: [other] };
    }
    const storage = this.options.rounded ? this.backend.storage?.get(call.operator) : undefined;
    const stored = (spec: Spec | null, side: 'inputs' | 'outputs', i: number): Layout => {
      const found = layout(spec, letter(letters[side], i));
      return found === 'blocked' && /[bg]/.test(letter(storage?.[side] ?? '-', i)) ? 'blocked bf16' : found;
    };
    return {
      inputs: call.inputs.map((spec, i) => stored(spec, 'inputs', i)),
      outputs: call.outputs.map((spec, i) => stored(spec, 'outputs', i)),
    };
  }
}

/** True when two arrays hold the same bits. */
export function sameBits(a: TypedArray, b: TypedArray): boolean {
  const bytes = (array: TypedArray) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  return bytes(a).equals(bytes(b));
}

function lanesAreZero([n, c, h, w]: readonly number[], data: TypedArray): boolean {
  const channels = c as number;
  const blocks = Math.ceil(channels / block);
  const pixels = (h as number) * (w as number);
  for (let i = 0; i < (n as number); i++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const base = ((i * blocks + blocks - 1) * pixels + pixel) * block;
      for (let lane = channels - (blocks - 1) * block; lane < block; lane++) if (data[base + lane] !== 0) return false;
    }
  }
  return true;
}
