import { cpus } from 'node:os';
import { FoveaError } from '../errors.js';
import type { DType } from '../tensor.js';
import type { Backend } from './backend.js';
import { findNative, type NativeBackend } from './native.js';
import { referenceBackend } from './reference/index.js';

export type BackendName = Backend['name'];

/** What computes, and on what. */
export interface BackendInfo {
  readonly name: BackendName;
  readonly cpu: string;
  /** Instruction set level of the kernels: baseline, avx2, avx512 or amx; javascript for the reference backend. */
  readonly isa: string;
  readonly threads: number;
  /** Kernel picked per family; empty for the reference backend. */
  readonly kernels: Readonly<Record<string, string>>;
  /** Why it is the reference backend. */
  readonly reason?: string;
}

let active: { readonly backend: Backend; readonly reason?: string } | undefined;

/**
 * What is in use: native where the addon loads, else reference with the reason.
 * FOVEA_BACKEND=native|reference asks for one, FOVEA_CPU=baseline|avx2|avx512|amx caps the instruction set,
 * FOVEA_THREADS=n sets how many threads a program takes that does not say. FOVEA_PLAN=measure, the default, times the ways to
 * compute a convolution once and remembers the fastest (in FOVEA_PLAN_DIR, else in the user's cache folder);
 * FOVEA_PLAN=fixed takes a model's choice, which is the same in every process.
 * @throws FoveaError ERR_BACKEND when one of these variables cannot be obeyed
 */
export function backend(): BackendInfo {
  const { backend: chosen, reason } = selected();
  if (chosen.name === 'native') {
    const { cpu, isa, kernels } = native().info;
    return { name: 'native', cpu, isa, threads: native().defaultThreads, kernels };
  }
  const cpu = cpus()[0]?.model ?? process.arch;
  return { name: 'reference', cpu, isa: 'javascript', threads: 1, kernels: {}, ...(reason ? { reason } : {}) };
}

/**
 * Computes with this backend from now on; programs that are compiled already keep theirs.
 * @throws FoveaError ERR_BACKEND with the reason when it cannot be had
 */
export function useBackend(name: BackendName): void {
  active = { backend: namedBackend(name), ...(name === 'reference' ? { reason: 'chosen by useBackend' } : {}) };
}

/** The backend in use. @throws FoveaError ERR_BACKEND */
export function activeBackend(): Backend {
  return selected().backend;
}

/** One backend by name, whatever is in use. @throws FoveaError ERR_BACKEND */
export function namedBackend(name: BackendName): Backend {
  switch (name) {
    case 'native':
      return native();
    case 'reference':
      return referenceBackend;
    default:
      throw unknown('useBackend', name satisfies never);
  }
}

/** The backend that computes one operator on these element types: the active one, or reference where that cannot. */
export function backendFor(operator: string, dtypes: readonly DType[]): Backend {
  const chosen = activeBackend();
  return chosen.supports(operator, dtypes) ? chosen : referenceBackend;
}

function selected(): { readonly backend: Backend; readonly reason?: string } {
  active ??= select(process.env.FOVEA_BACKEND);
  return active;
}

function select(wanted: string | undefined): { readonly backend: Backend; readonly reason?: string } {
  if (wanted === 'reference') return { backend: referenceBackend, reason: 'asked for by FOVEA_BACKEND' };
  if (wanted === 'native') return { backend: native() };
  if (wanted) throw unknown('FOVEA_BACKEND', wanted);
  const { reason } = findNative();
  return reason === undefined ? { backend: native() } : { backend: referenceBackend, reason };
}

/** The native backend with the environment's wishes applied: obeyed or refused, never ignored. */
function native(): NativeBackend {
  const found = findNative();
  if (!found.backend) throw new FoveaError('ERR_BACKEND', 'backend', `native cannot be had: ${found.reason}`);
  const { problem } = found.backend.info;
  if (problem) throw new FoveaError('ERR_BACKEND', 'backend', problem);
  const wanted = process.env.FOVEA_THREADS;
  if (wanted) found.backend.defaultThreads = readThreads(wanted);
  found.backend.measures = readPlan(process.env.FOVEA_PLAN || 'measure') === 'measure';
  return found.backend;
}

function readThreads(text: string): number {
  const threads = Number(text);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 256) return threads;
  throw new FoveaError('ERR_BACKEND', 'backend', `FOVEA_THREADS is '${text}', expected a whole number from 1 to 256`);
}

function readPlan(text: string): 'measure' | 'fixed' {
  if (text === 'measure' || text === 'fixed') return text;
  throw new FoveaError('ERR_BACKEND', 'backend', `FOVEA_PLAN is '${text}', expected measure or fixed`);
}

function unknown(where: string, name: string): FoveaError {
  return new FoveaError('ERR_BACKEND', 'backend', `${where} is '${name}', expected native or reference`);
}
