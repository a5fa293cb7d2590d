import { type ErrorCode, FoveaError } from '../errors.js';
import type { DType, TypedArray } from '../tensor.js';
import { findAddon, packageVersion } from './addon-path.js';
import type { Backend, CompiledProgram, Kept, Limits, OperandLayouts, ProgramSpec, Units } from './backend.js';
import { type PlanOwner, type Plans, planPath, readPlans, writePlans } from './plans.js';

/** What the addon found out about the machine, and how it was built. */
export interface NativeInfo {
  /** Level that kernels are picked for: baseline, avx2, avx512, avx512bf16 or amx. */
  readonly isa: string;
  /** Level that the CPU has; under a cap never amx, which is then not asked for. */
  readonly detected: string;
  readonly cpu: string;
  /** CPUs that this process may use: affinity mask and control group quota. */
  readonly threads: number;
  /** Bytes. */
  readonly caches: { readonly l1d: number; readonly l2: number; readonly l3: number };
  readonly compiler: string;
  /** Kernel picked per family. */
  readonly kernels: Readonly<Record<string, string>>;
  /** Why FOVEA_CPU could not be obeyed. */
  readonly problem?: string;
}

interface AddonProgram {
  runSync(externals: readonly TypedArray[], counter: number): void;
  run(externals: readonly TypedArray[], counter: number): Promise<void>;
  cancel(): void;
  profile(): number[];
  describe(): string[];
  kept(): Kept;
  dispose(): void;
  readonly arenaBytes: number;
}

/** Everything that native/binding/addon.cc exports. */
interface Addon {
  info(): NativeInfo;
  operators(): Record<string, OperandLayouts & { readonly float64: boolean; readonly storage?: OperandLayouts }>;
  createProgram(spec: ProgramSpec & { readonly measure: boolean }): AddonProgram;
  plans(): Plans;
  addPlans(plans: Plans): void;
  measurePeak(type: string, threads: number, milliseconds: number): number;
  measureBandwidth(bytes: number, threads: number, milliseconds: number): number;
}

/** The native backend, or why there is none. */
export type NativeSearch =
  | { readonly backend: NativeBackend; readonly reason?: undefined }
  | { readonly backend?: undefined; readonly reason: string };

let found: NativeSearch | undefined;

/** Loads the addon at the first call. Never throws. */
export function findNative(): NativeSearch {
  found ??= load();
  return found;
}

function load(): NativeSearch {
  const search = findAddon();
  if ('reason' in search) return { reason: search.reason };
  if (!isAddon(search.exports)) return { reason: `${search.path} is of another version of fovea; build it again` };
  return { backend: new NativeBackend(search.exports) };
}

function isAddon(value: unknown): value is Addon {
  if (typeof value !== 'object' || value === null) return false;
  const names: readonly (keyof Addon)[] = [
    'info',
    'operators',
    'createProgram',
    'plans',
    'addPlans',
    'measurePeak',
    'measureBandwidth',
  ];
  return names.every((name) => typeof Reflect.get(value, name) === 'function');
}

/** Operators in C++ on threads of our own. */
export class NativeBackend implements Backend {
  readonly name = 'native';
  readonly layouts: ReadonlyMap<string, OperandLayouts>;
  readonly storage: ReadonlyMap<string, OperandLayouts>;
  readonly info: NativeInfo;
  /** Threads of programs that do not ask for a number. */
  defaultThreads: number;
  /** Whether ways to compute a layer are measured and remembered; else a model of the CPU chooses. */
  measures = false;
  private planCount: number | undefined;
  private owner: PlanOwner | undefined;
  private readonly takesFloat64: ReadonlySet<string>;
  private readonly measured = new Map<number, Limits>();

  constructor(private readonly addon: Addon) {
    const rows = Object.entries(addon.operators());
    this.layouts = new Map(rows.map(([name, { inputs, outputs }]) => [name, { inputs, outputs }]));
    this.storage = new Map(rows.flatMap(([name, { storage }]) => (storage ? [[name, storage]] : [])));
    this.takesFloat64 = new Set(rows.flatMap(([name, { float64 }]) => (float64 ? [name] : [])));
    this.info = addon.info();
    this.defaultThreads = this.info.threads;
  }

  // Updates of float32 parameters take float64 numbers; float64 parameters are the reference backend's.
  supports(operator: string, dtypes: readonly DType[]): boolean {
    const mixed = this.takesFloat64.has(operator) && dtypes.includes('float32');
    return this.layouts.has(operator) && (mixed || !dtypes.includes('float64'));
  }

  /**
   * Plans every step on this thread. Where it `measures`, a convolution of a new shape takes up to 20 ms for each way to
   * compute it, some seconds for a whole ResNet; what is remembered, in the process or in the plan file, takes nothing.
   * @throws FoveaError ERR_SHAPE, ERR_OPTION, ERR_DTYPE, ERR_DATA, ERR_BACKEND, ERR_MEMORY
   */
  compile(spec: ProgramSpec): NativeProgram {
    const threads = spec.threads === 0 ? this.defaultThreads : spec.threads;
    const { measures: measure } = this;
    if (measure) this.loadPlans();
    const program = new NativeProgram(translated(() => this.addon.createProgram({ ...spec, threads, measure })));
    if (measure) this.savePlans();
    return program;
  }

  private loadPlans(): void {
    if (this.planCount !== undefined) return;
    const path = planPath(this.planOwner());
    if (path !== undefined) this.addon.addPlans(readPlans(path, this.planOwner()));
    this.planCount = Object.keys(this.addon.plans()).length;
  }

  private savePlans(): void {
    const plans = this.addon.plans();
    const count = Object.keys(plans).length;
    if (count === this.planCount) return;
    this.planCount = count;
    const path = planPath(this.planOwner());
    if (path !== undefined) writePlans(path, this.planOwner(), plans);
  }

  private planOwner(): PlanOwner {
    this.owner ??= { version: packageVersion(), cpu: this.info.cpu, isa: this.info.isa };
    return this.owner;
  }

  /** GFLOP/s of multiply-adds on so many threads together; 0 where the CPU has no such instruction. */
  measurePeak(threads: number, type: Units = 'float32', milliseconds = 300): number {
    return translated(() => this.addon.measurePeak(type, threads, milliseconds));
  }

  /** GB/s, reads and writes counted alike, of so many threads over so many bytes again and again. */
  measureBandwidth(threads: number, bytes: number, milliseconds = 300): number {
    return translated(() => this.addon.measureBandwidth(bytes, threads, milliseconds));
  }

  limits(threads: number): Limits {
    const count = threads === 0 ? this.defaultThreads : threads;
    let limits = this.measured.get(count);
    if (!limits) {
      limits = this.measureLimits(count);
      this.measured.set(count, limits);
    }
    return limits;
  }

  // Sizes four times apart from 128 KiB to 128 MiB: every level of cache, and memory. Each when it is first asked for.
  private measureLimits(threads: number): Limits {
    const milliseconds = 30;
    const bandwidths = new Map<number, number>();
    return {
      float32: this.measurePeak(threads, 'float32', milliseconds),
      bfloat16: this.measurePeak(threads, 'bfloat16', milliseconds),
      int16: this.measurePeak(threads, 'int16', milliseconds),
      bandwidth: (bytes) => {
        const exponent = Math.min(Math.max(2 * Math.round((Math.log2(bytes) - 1) / 2) + 1, 17), 27);
        const known = bandwidths.get(exponent);
        if (known !== undefined) return known;
        const measured = this.measureBandwidth(threads, 2 ** exponent, milliseconds);
        bandwidths.set(exponent, measured);
        return measured;
      },
    };
  }
}

class NativeProgram implements CompiledProgram {
  constructor(private readonly program: AddonProgram) {}

  get memoryBytes(): number {
    return this.program.arenaBytes;
  }

  runSync(externals: readonly TypedArray[], counter = 0): void {
    translated(() => this.program.runSync(externals, counter));
  }

  async run(externals: readonly TypedArray[], counter = 0): Promise<void> {
    try {
      await this.program.run(externals, counter);
    } catch (error) {
      throw translate(error);
    }
  }

  cancel(): void {
    this.program.cancel();
  }

  profile(): readonly number[] {
    return translated(() => this.program.profile());
  }

  describe(): readonly string[] {
    return translated(() => this.program.describe());
  }

  kept(): Kept {
    return translated(() => this.program.kept());
  }

  dispose(): void {
    this.program.dispose();
  }
}

function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translate(error);
  }
}

/** The codes that native code reports: Code in native/runtime/status.h, and the binding's own. */
const codes = {
  ERR_SHAPE: true,
  ERR_OPTION: true,
  ERR_DTYPE: true,
  ERR_DATA: true,
  ERR_ABORTED: true,
  ERR_MEMORY: true,
  ERR_BUSY: true,
  ERR_DISPOSED: true,
  ERR_BACKEND: true,
} as const satisfies Partial<Record<ErrorCode, true>>;

function isNativeCode(code: unknown): code is keyof typeof codes {
  return typeof code === 'string' && Object.hasOwn(codes, code);
}

/** Native messages begin with the operator's name and a colon. */
function translate(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !isNativeCode(error.code)) return error;
  const colon = error.message.indexOf(': ');
  const operator = colon < 0 ? 'program' : error.message.slice(0, colon);
  return new FoveaError(error.code, operator, error.message.slice(colon < 0 ? 0 : colon + 2));
}
