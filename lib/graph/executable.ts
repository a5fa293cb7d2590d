import type { Backend, CompiledProgram, Precision, ProgramSpec, Spec } from '../backend/backend.js';
import { bytesOf } from '../backend/layout.js';
import { lower } from '../backend/lower.js';
import { activeBackend, backend, namedBackend } from '../backend/select.js';
import { FoveaError } from '../errors.js';
import { allocate, type DType, dtypeOf, formatShape, isDetached, sizeOf, type TypedArray } from '../tensor.js';
import { fuseEpilogues } from './epilogue.js';
import { explainProgram } from './explain.js';
import { foldBatchNorm } from './fold.js';
import { type Graph, type GraphNode, withoutDeadNodes, withoutUnusedOutputs } from './graph.js';
import { type Pass, passesOf } from './passes.js';
import { programOf, type Weights } from './program.js';

/** Options of `compileGraph`. */
export interface CompileOptions {
  /** Default: the active backend; the reference backend when the graph holds float64 values. */
  readonly backend?: 'native' | 'reference';
  /** Default: FOVEA_THREADS, or as many as there are. */
  readonly threads?: number;
  /** Default 'highest'. */
  readonly precision?: Precision;
  /**
   * Unless captured tensors are 'changing', what convolutions pack and transform of them is kept, in memory of its own. It
   * is made again when a run finds that they have changed, which takes as long as reading them; 'frozen' ones are not
   * looked at after the first run. Default 'changing'.
   */
  readonly weights?: Weights;
}

/**
 * Turns a graph into a program of one backend: operators and optional outputs that nothing needs are dropped, batch
 * normalisation by running statistics is folded into convolutions, passes over what convolutions have just written become
 * part of them, layouts and places are decided.
 * @throws FoveaError ERR_BACKEND naming the operator that the backend cannot run on these element types
 */
export function compileGraph(graph: Graph, options: CompileOptions = {}): Executable {
  const { weights } = options;
  const needed = withoutUnusedOutputs(withoutDeadNodes(graph));
  const alive = fuseEpilogues(foldBatchNorm(needed, weights));
  const chosen = options.backend ? namedBackend(options.backend) : defaultBackend(alive);
  const unsupported = alive.nodes.find((node) => !supports(chosen, alive, node));
  if (unsupported) {
    const dtypes = [...new Set(dtypesOf(alive, unsupported))].join(', ');
    const detail = `the ${chosen.name} backend cannot run it on ${dtypes} (in ${graph.name})`;
    throw new FoveaError('ERR_BACKEND', unsupported.operator.name, detail);
  }
  const { layouts, storage } = chosen;
  const program = programOf(alive, weights);
  const spec = lower(program, layouts, options.threads ?? 0, options.precision, storage);
  return new Executable(alive, chosen, spec, chosen.compile(spec));
}

// float64 is the reference backend's, whatever backend is active; optimizers alone keep float64 numbers elsewhere.
function defaultBackend(graph: Graph): Backend {
  const active = activeBackend();
  const left = graph.nodes.some((node) => !supports(active, graph, node) && dtypesOf(graph, node).includes('float64'));
  return left ? namedBackend('reference') : active;
}

function supports(by: Backend, graph: Graph, node: GraphNode): boolean {
  return by.supports(node.operator.name, dtypesOf(graph, node));
}

function dtypesOf(graph: Graph, { inputs, outputs }: GraphNode): DType[] {
  return [...inputs, ...outputs].flatMap((id) => (id < 0 ? [] : [(graph.values[id] as Spec).dtype]));
}

/** A graph made ready to run on one backend. Made by `compileGraph`. */
export class Executable {
  private results: TypedArray[] | undefined;
  private disposed = false;

  constructor(
    readonly graph: Graph,
    private readonly backend: Backend,
    private readonly spec: ProgramSpec,
    private readonly program: CompiledProgram,
  ) {}

  /** The backend that runs it. */
  get backendName(): 'native' | 'reference' {
    return this.backend.name;
  }

  /** Memory for intermediate values. */
  get arenaBytes(): number {
    return this.spec.arenaBytes;
  }

  /** Number of steps, those included that only convert or copy. */
  get stepCount(): number {
    return this.spec.steps.length;
  }

  /**
   * Runs off the event loop.
   * @param inputs   one array per input of the graph, of its type and size
   * @param outputs  where results go; default: arrays that belong to this program and that its next run overwrites
   * @param counter  which run this is, for random operators: the same number gives the same noise
   * @throws FoveaError ERR_SHAPE, ERR_DTYPE, ERR_DATA, ERR_ABORTED after `cancel`, ERR_BUSY, ERR_DISPOSED
   */
  async run(inputs: readonly TypedArray[], outputs?: readonly TypedArray[], counter = 0): Promise<TypedArray[]> {
    const results = this.resultArrays(outputs);
    await this.program.run(this.externals(inputs, results), counter);
    return results;
  }

  /** `run` on this thread, to the end. */
  runSync(inputs: readonly TypedArray[], outputs?: readonly TypedArray[], counter = 0): TypedArray[] {
    const results = this.resultArrays(outputs);
    this.program.runSync(this.externals(inputs, results), counter);
    return results;
  }

  /** Asks a running `run` to stop at the next chance; it then rejects with ERR_ABORTED. */
  cancel(): void {
    this.program.cancel();
  }

  /**
   * What runs, where values lie, what it costs, and what looks like a mistake: text for people. After a run also the
   * time of each pass and its share of the limit that binds; the first such call in a process measures the machine's
   * limits, on this thread, for a few tenths of a second.
   */
  explain(): string {
    const passes = this.profile();
    const ran = passes.some(({ milliseconds }) => milliseconds > 0);
    const limits = ran ? this.backend.limits?.(this.spec.threads) : undefined;
    const kept = this.program.kept?.();
    const memory = { own: this.program.memoryBytes, given: this.givenBytes() };
    return explainProgram({ graph: this.graph, spec: this.spec, runner: this.runner(), passes, memory, kept, limits });
  }

  /** What each step is, costs, and took in the last run. */
  profile(): Pass[] {
    return passesOf(this.graph, this.spec, this.program.describe(), this.program.profile());
  }

  /** Frees the program's memory. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.results = undefined;
    this.program.dispose();
  }

  // Arrays of the caller, each once.
  private givenBytes(): number {
    const sizes = new Map<number, number>();
    for (const value of this.spec.values) {
      if (value.external !== undefined) sizes.set(value.external, bytesOf(value, value.layout));
    }
    return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  // `native backend (avx512), 2 threads`
  private runner(): string {
    const info = backend();
    const known = info.name === this.backend.name; // else it is not the active backend, and says no more than its name
    const threads = this.spec.threads || (known ? info.threads : 0);
    const isa = known && info.name === 'native' ? ` (${info.isa})` : '';
    return `${this.backend.name} backend${isa}${threads > 0 ? `, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : ''}`;
  }

  private externals(inputs: readonly TypedArray[], results: readonly TypedArray[]): TypedArray[] {
    if (this.disposed) throw new FoveaError('ERR_DISPOSED', this.graph.name, 'the program was disposed of');
    this.check('input', this.graph.inputs, inputs);
    const captured = this.graph.captured.map(({ tensor }) => tensor.data);
    this.check(
      'captured tensor',
      this.graph.captured.map(({ value }) => value),
      captured,
    );
    return [...inputs, ...captured, ...results];
  }

  private resultArrays(given: readonly TypedArray[] | undefined): TypedArray[] {
    if (given) {
      this.check('output', this.graph.outputs, given);
      return [...given];
    }
    this.results ??= this.graph.outputs.map((id) => {
      const { dtype, shape } = this.graph.values[id] as Spec;
      return allocate(dtype, sizeOf(shape), this.graph.name);
    });
    return [...this.results];
  }

  private check(role: string, ids: readonly number[], arrays: readonly TypedArray[]): void {
    if (arrays.length !== ids.length) {
      throw new FoveaError('ERR_SHAPE', this.graph.name, `${ids.length} ${role}s expected, ${arrays.length} given`);
    }
    arrays.forEach((array, i) => {
      const { shape, dtype } = this.graph.values[ids[i] as number] as Spec;
      const found = dtypeOf(array, this.graph.name);
      if (found !== dtype) {
        throw new FoveaError('ERR_DTYPE', this.graph.name, `${role} ${i} must be ${dtype}, got ${found}`);
      }
      const size = sizeOf(shape);
      if (array.length === size && !isDetached(array)) return;
      if (isDetached(array)) {
        throw new FoveaError(
          'ERR_DATA',
          this.graph.name,
          `the array of ${role} ${i} is detached: its buffer was transferred`,
        );
      }
      const detail = `${role} ${i} is ${formatShape(shape)} and needs ${size} elements, the array has ${array.length}`;
      throw new FoveaError('ERR_SHAPE', this.graph.name, detail);
    });
  }
}
