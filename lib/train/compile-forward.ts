import { FoveaError, show } from '../errors.js';
import { checkBatchShape, checkOptions } from '../geometry/options.js';
import { compileGraph, type Executable } from '../graph/executable.js';
import { fuse } from '../graph/fuse.js';
import { trace } from '../graph/trace.js';
import { checkModule, type Module } from '../nn/module.js';
import { Tensor, type TypedArray } from '../tensor.js';
import { operand } from './compile-step.js';
import { checkJob, compileOptions, type JobOptions } from './options.js';
import { inMode } from './trainer.js';

export interface CompileForwardOptions extends JobOptions {
  /** Shape of a batch, [N, C, H, W] for images. */
  readonly inputShape: readonly number[];
  /**
   * The parameters do not change after the first run: later runs do not look whether they did, which takes as long as reading
   * them. Default false.
   */
  readonly frozen?: boolean;
}

/** A model's forward pass for one batch shape, compiled in evaluation mode. */
export interface CompiledForward {
  readonly outputShape: readonly number[];
  /**
   * @param x  float32, as many elements as `inputShape` says; read until the promise settles
   * @returns  a tensor of its own
   * @throws FoveaError (rejects) ERR_SHAPE, ERR_DTYPE, ERR_BUSY while a call is running, ERR_DISPOSED
   */
  run(x: Tensor | TypedArray): Promise<Tensor>;
  cancel(): void;
  explain(): string;
  profile(): ReturnType<Executable['profile']>;
  dispose(): void;
}

/**
 * Compiles a model's forward pass: dropout off, batch norm with running statistics. The parameters are read where they
 * lie, so what training changes is seen by the next run, unless they are `frozen`. What convolutions make of them is kept
 * until they change, in memory that `explain` names.
 * @throws FoveaError ERR_OPTION, ERR_SHAPE, ERR_GRAPH
 */
export function compileForward(model: Module, options: CompileForwardOptions): CompiledForward {
  checkModule('compileForward', 'model', model);
  checkOptions('compileForward', options, ['inputShape', 'frozen', 'precision', 'threads']);
  checkJob('compileForward', options);
  const { inputShape, frozen = false } = options;
  if (typeof frozen !== 'boolean') {
    throw new FoveaError('ERR_OPTION', 'compileForward', `frozen must be true or false, got ${show(frozen)}`);
  }
  checkBatchShape('compileForward', inputShape);
  const spec = { shape: inputShape, dtype: 'float32' } as const;
  const graph = inMode(model, false, () => trace((x) => model.forward(x), [spec], 'forward'));
  const program = compileGraph(fuse(graph), {
    ...compileOptions(options),
    weights: frozen ? 'frozen' : 'steady',
  });
  const outputShape = graph.values[graph.outputs[0] as number]?.shape ?? [];
  return {
    outputShape,
    run: async (x) => {
      const [output] = await program.run([operand('x', x, spec, 'forward')]);
      return new Tensor(outputShape, (output as TypedArray).slice());
    },
    cancel: () => program.cancel(),
    explain: () => program.explain(),
    profile: () => program.profile(),
    dispose: () => program.dispose(),
  };
}
