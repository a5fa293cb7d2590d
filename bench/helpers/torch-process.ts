import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../lib/backend/addon-path.js';

// As PyTorch's tuning guide tells its users; Debian's package libtcmalloc-minimal4.
const tcmalloc = [
  '/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4',
  '/usr/lib/aarch64-linux-gnu/libtcmalloc_minimal.so.4',
];

/** What PyTorch cannot do here, in its words. */
export class TorchRefusal extends Error {}

/** A Python process with PyTorch that times things on request. */
export class TorchProcess {
  private readonly lines: AsyncIterator<string>;
  readonly allocator: string;
  /** Of PyTorch. */
  version = '';

  private constructor(
    private readonly child: ChildProcess,
    reader: Interface,
    preload: string | undefined,
  ) {
    this.lines = reader[Symbol.asyncIterator]();
    this.allocator = preload ? 'tcmalloc' : 'the default allocator';
  }

  /**
   * @param python           an interpreter that can import torch
   * @param options.preload  default true: tcmalloc instead of the C library's allocator, where it is installed
   */
  static async start(python: string, threads: number, options: { preload?: boolean } = {}): Promise<TorchProcess> {
    const preload = (options.preload ?? true) ? tcmalloc.find((path) => existsSync(path)) : undefined;
    const script = fileURLToPath(new URL('bench/torch/worker.py', `file://${packageRoot()}/`));
    const child = spawn(python, [script, String(threads)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...(preload ? { LD_PRELOAD: preload } : {}) },
    });
    if (!child.stdout) throw new Error('the Python process has no output');
    const started = new TorchProcess(child, createInterface({ input: child.stdout }), preload);
    started.version = ((await started.read()) as { torch: string }).torch;
    return started;
  }

  /** @throws TorchRefusal when PyTorch raises */
  async ask<T extends object>(request: object): Promise<T> {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    const answer = (await this.read()) as T | { error: string };
    if ('error' in answer) throw new TorchRefusal(answer.error);
    return answer;
  }

  stop(): void {
    this.child.stdin?.end();
  }

  private async read(): Promise<unknown> {
    const { done, value } = await this.lines.next();
    if (done) throw new Error('the Python process ended; its own message stands above');
    return JSON.parse(value);
  }
}
