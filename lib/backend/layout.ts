import { FoveaError } from '../errors.js';
import { elementBytes, sizeOf } from '../tensor.js';
import type { Layout, OperandLayouts, ProgramStep, Spec } from './backend.js';
import type { Program } from './lower.js';

/** Channels per block of the blocked layout. */
export const blockChannels = 16;

/** Convolutions read so few channels fastest from the plain layout: a block would be padding mostly. */
const stemChannels = 4;

/** Bytes of a value in memory; a blocked one holds whole blocks of channels. */
export function bytesOf(spec: Spec, layout: Layout): number {
  if (layout === 'plain') return sizeOf(spec.shape) * elementBytes[spec.dtype];
  const [n = 0, c = 0, h = 0, w = 0] = spec.shape;
  const bytes = layout === 'blocked bf16' ? 2 : elementBytes[spec.dtype];
  return n * Math.ceil(c / blockChannels) * blockChannels * h * w * bytes;
}

/** A value whose layout is known and whose place is not. Values with the same `storage` share one place. */
export interface LaidOutValue extends Spec {
  layout: Layout;
  external?: number;
  /** Index of the value that owns the memory: itself, or the one that this is an alias of. */
  storage: number;
}

export interface LaidOut {
  /** The values of the program under their numbers, then those that reorders made. */
  readonly values: LaidOutValue[];
  readonly steps: ProgramStep[];
}

// One program value may exist plain and blocked at once: numbers of the values that hold it.
type Copies = { [layout in Layout]?: number };

/**
 * Gives every operand the layout that its operator asks for, and every value the layouts that its readers ask for.
 * A value is converted before its first reader that wants it otherwise, once; later readers share the copy.
 * @param rounded  values that lie as bfloat16 wherever they are blocked
 */
export function assignLayouts(
  program: Program,
  layouts: ReadonlyMap<string, OperandLayouts>,
  rounded: ReadonlySet<number> = new Set(),
): LaidOut {
  const pass = new LayoutPass(program, layouts, rounded);
  program.steps.forEach((step, i) => {
    pass.step(step, i);
  });
  return { values: pass.values, steps: pass.steps };
}

class LayoutPass {
  readonly values: LaidOutValue[];
  readonly steps: ProgramStep[] = [];
  private readonly copies: Copies[];

  constructor(
    private readonly program: Program,
    private readonly layouts: ReadonlyMap<string, OperandLayouts>,
    private readonly rounded: ReadonlySet<number>,
  ) {
    this.values = program.values.map((value, i) => ({ ...value, layout: 'plain', storage: i }));
    this.copies = program.values.map((value, i) => (value.external === undefined ? {} : { plain: i }));
  }

  step(step: ProgramStep, index: number): void {
    if (step.operator === 'reshape' && this.alias(step, index)) return;
    const layouts = this.operandLayouts(step);
    const inputs = step.inputs.map((id, i) => (id < 0 ? -1 : this.read(id, layouts.inputs[i] as Layout, step)));
    const after: ProgramStep[] = [];
    const outputs = step.outputs.map((id, i) => (id < 0 ? -1 : this.write(id, layouts.outputs[i] as Layout, after)));
    this.steps.push({ ...step, inputs, outputs }, ...after);
  }

  /** The value that holds `id` in this layout, converted now if there is none yet. */
  private read(id: number, layout: Layout, step: ProgramStep): number {
    const copies = this.copies[id] as Copies;
    const found = copies[layout];
    if (found !== undefined) return found;
    const source = copies.plain ?? copies[this.blocked(id)];
    if (source === undefined) {
      throw new FoveaError('ERR_GRAPH', step.operator, `value ${id} is read before any step has written it`);
    }
    const copy = this.newValue(id, layout);
    if (sameInMemory(this.values[id] as Spec) && !this.rounded.has(id)) {
      (this.values[copy] as LaidOutValue).storage = (this.values[source] as LaidOutValue).storage;
      const external = this.values[source]?.external;
      if (external !== undefined) (this.values[copy] as LaidOutValue).external = external;
    } else {
      this.steps.push(reorder(source, copy));
    }
    copies[layout] = copy;
    return copy;
  }

  /** The value that an operator writes `id` to; steps that have to follow the operator go into `after`. */
  private write(id: number, layout: Layout, after: ProgramStep[]): number {
    const value = this.values[id] as LaidOutValue;
    const before = this.copies[id] as Copies;
    if (value.external !== undefined) {
      if (layout === 'plain') {
        this.copies[id] = { plain: id };
        return id;
      }
      const temporary = this.newValue(id, 'blocked');
      after.push(reorder(temporary, id));
      this.copies[id] = { plain: id, blocked: temporary };
      return temporary;
    }
    // Written before, so this is an update in place: the same memory again when it lies the same way.
    const written = before.plain !== undefined || before[this.blocked(id)] !== undefined;
    const target = written ? (before[layout] ?? this.newValue(id, layout)) : id;
    if (!written) value.layout = layout;
    this.copies[id] = { [layout]: target };
    return target;
  }

  private newValue(like: number, layout: Layout): number {
    const { shape, dtype } = this.values[like] as LaidOutValue;
    return this.values.push({ shape, dtype, layout, storage: this.values.length }) - 1;
  }

  /** Turns a reshape into a second name for the same memory; false when it has to stay a copy. */
  private alias(step: ProgramStep, index: number): boolean {
    const [from, to] = [step.inputs[0] as number, step.outputs[0] as number];
    if ((this.values[to] as LaidOutValue).external !== undefined) return false;
    if (writtenWhileRead(this.program.steps, from, to, index)) return false;
    const source = this.values[this.read(from, 'plain', step)] as LaidOutValue;
    const { shape, dtype } = this.values[to] as LaidOutValue;
    const { storage, external } = source;
    this.values[to] = { shape, dtype, layout: 'plain', storage, ...(external === undefined ? {} : { external }) };
    this.copies[to] = { plain: to };
    return true;
  }

  private operandLayouts(step: ProgramStep): { inputs: Layout[]; outputs: Layout[] } {
    const row = this.layouts.get(step.operator) ?? { inputs: 'P', outputs: 'P' };
    const group = this.groupLayout(step, row);
    let kept: Layout | undefined; // by the first X input
    const inputs = step.inputs.map((id, i): Layout => {
      const letter = letterOf(row.inputs, i);
      if (id < 0 || letter === 'P') return 'plain';
      if (letter === 'E') return group === 'plain' ? group : this.blocked(id);
      if (letter === 'B') return this.blockedIfImage(id);
      const layout = this.layoutOfEither(step, i, id);
      kept ??= layout;
      return layout;
    });
    const outputs = step.outputs.map((id, i): Layout => {
      const letter = letterOf(row.outputs, i);
      if (id < 0 || letter === 'P') return 'plain';
      if (letter === 'E') return group === 'plain' ? group : this.blocked(id);
      if (letter === 'B') return this.blockedIfImage(id);
      return kept ?? 'plain';
    });
    return { inputs, outputs };
  }

  // X: what is there. Convolutions ask for more than they need: only a stem's few channels are better left plain.
  private layoutOfEither(step: ProgramStep, operand: number, id: number): Layout {
    const copies = this.copies[id] as Copies;
    const channels = this.values[id]?.shape[1] ?? 0;
    const convolution = step.operator === 'conv2d' || step.operator === 'conv2dGradWeight';
    if (convolution && operand === 0) {
      return channels <= stemChannels && copies.plain !== undefined ? 'plain' : this.blockedIfImage(id);
    }
    return copies[this.blocked(id)] !== undefined ? this.blocked(id) : 'plain';
  }

  // E: all operands of the group alike, whichever takes fewer conversions; broadcasting is defined on plain values only.
  private groupLayout(step: ProgramStep, row: OperandLayouts): Layout {
    const inputs = step.inputs.filter((id, i) => id >= 0 && letterOf(row.inputs, i) === 'E');
    const outputs = step.outputs.filter((id, i) => id >= 0 && letterOf(row.outputs, i) === 'E');
    const shapes = [...inputs, ...outputs].map((id) => this.values[id]?.shape ?? []);
    const first = shapes[0];
    if (first?.length !== 4 || shapes.some((shape) => String(shape) !== String(first))) return 'plain';
    const lacking = (layout: (id: number) => Layout) =>
      inputs.filter((id) => this.copies[id]?.[layout(id)] === undefined).length;
    return lacking((id) => this.blocked(id)) <= lacking(() => 'plain') ? 'blocked' : 'plain';
  }

  private blockedIfImage(id: number): Layout {
    return this.values[id]?.shape.length === 4 ? this.blocked(id) : 'plain';
  }

  private blocked(id: number): Layout {
    return this.rounded.has(id) ? 'blocked bf16' : 'blocked';
  }
}

function letterOf(letters: string, operand: number): string {
  return letters[Math.min(operand, letters.length - 1)] ?? 'P';
}

function reorder(from: number, to: number): ProgramStep {
  return { operator: 'reorder', inputs: [from], outputs: [to], attributes: {} };
}

/** One pixel and whole blocks: [N, C, 1, 1] lies in memory as [N, C/16, 1, 1, 16] does. */
function sameInMemory({ shape }: Spec): boolean {
  return shape.length === 4 && shape[2] === 1 && shape[3] === 1 && (shape[1] as number) % blockChannels === 0;
}

/**
 * Would an alias `to` of `from`, made at step `created`, see a write that a copy would not see? So it is when a step
 * writes to the alias, or to anything that shares its memory before the alias was read for the last time.
 */
function writtenWhileRead(steps: readonly ProgramStep[], from: number, to: number, created: number): boolean {
  const derived = new Set([to]);
  let lastRead = created;
  for (let i = created + 1; i < steps.length; i++) {
    const step = steps[i] as ProgramStep;
    if (step.inputs.some((id) => derived.has(id))) {
      lastRead = i;
      if (step.operator === 'reshape') derived.add(step.outputs[0] as number);
    }
  }
  const sharing = familyOf(steps, from);
  return steps.some((step, i) => {
    if (i <= created || step.operator === 'reshape') return false;
    return step.outputs.some((id) => derived.has(id) || (i <= lastRead && sharing.has(id)));
  });
}

/** All values that reshapes connect with `id`. */
function familyOf(steps: readonly ProgramStep[], id: number): Set<number> {
  const family = new Set([id]);
  const edges = steps.filter((step) => step.operator === 'reshape').map((step) => [...step.inputs, ...step.outputs]);
  for (let before = 0; before !== family.size; ) {
    before = family.size;
    for (const edge of edges) if (edge.some((end) => family.has(end))) for (const end of edge) family.add(end);
  }
  return family;
}
