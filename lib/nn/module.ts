import { FoveaError, show } from '../errors.js';
import type { Value } from '../ops/operator.js';
import { formatShape, Tensor } from '../tensor.js';
import { type Summary, summarize } from './summary.js';

/**
 * A model or a part of one: tensors, other modules, and a `forward` written in operators.
 * A model of one's own extends this class and assigns layers to properties; arrays of layers count too.
 */
export abstract class Module {
  /** True while training: dropout drops, batch norm uses the batch's statistics. Set by `train()` and `eval()`. */
  training = true;

  // Not enumerable as children: plain maps. State names are PyTorch's, so `running_mean`, not `runningMean`.
  readonly #parameters = new Map<string, Tensor>();
  readonly #buffers = new Map<string, Tensor>();

  abstract forward(x: Value): Value;

  /** Makes `value` a tensor that optimizers change, under the name that it has in the state. */
  protected parameter(name: string, value: Tensor): Tensor {
    this.#parameters.set(name, value);
    return value;
  }

  /** Makes `value` part of the state, though not trained (running statistics). */
  protected buffer(name: string, value: Tensor): Tensor {
    this.#buffers.set(name, value);
    return value;
  }

  /** The modules directly inside this one, by name: properties, and `name.0`, `name.1` … for arrays. */
  children(): [name: string, child: Module][] {
    const found: [string, Module][] = [];
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) found.push([name, value]);
      if (Array.isArray(value)) {
        value.forEach((child: unknown, i) => {
          if (child instanceof Module) found.push([`${name}.${i}`, child]);
        });
      }
    }
    return found;
  }

  /** This module and all inside it, each once, with their paths; the root's path is ''. */
  *namedModules(path = '', seen = new Set<Module>()): Generator<[path: string, module: Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [path, this];
    for (const [name, child] of this.children()) yield* child.namedModules(join(path, name), seen);
  }

  /** The trained tensors with their paths (`layer1.0.conv1.weight`); one that is shared comes once. */
  namedParameters(): [path: string, parameter: Tensor][] {
    return this.#collect((module) => module.#parameters);
  }

  /** The trained tensors. */
  parameters(): Tensor[] {
    return this.namedParameters().map(([, parameter]) => parameter);
  }

  /** The tensors that are state but not trained, with their paths. */
  namedBuffers(): [path: string, buffer: Tensor][] {
    return this.#collect((module) => module.#buffers);
  }

  #collect(tensorsOf: (module: Module) => ReadonlyMap<string, Tensor>): [string, Tensor][] {
    const seen = new Set<Tensor>();
    const found: [string, Tensor][] = [];
    for (const [path, module] of this.namedModules()) {
      for (const [name, value] of tensorsOf(module)) {
        if (!seen.has(value)) found.push([join(path, name), value]);
        seen.add(value);
      }
    }
    return found;
  }

  /** All tensors by path, in PyTorch's names, layouts and order. They are the model's own, not copies. */
  stateDict(): Record<string, Tensor> {
    const state: Record<string, Tensor> = {};
    for (const [path, module] of this.namedModules()) {
      for (const tensors of [module.#parameters, module.#buffers]) {
        for (const [name, value] of tensors) state[join(path, name)] = value;
      }
    }
    return state;
  }

  /**
   * Copies values into the model's tensors. Everything is checked before anything is changed.
   * @param options.strict  default true: names must be the same on both sides
   * @throws FoveaError ERR_SHAPE, ERR_DATA (missing or unexpected names, no tensors, detached arrays)
   */
  loadStateDict(state: Readonly<Record<string, Tensor>>, options: { strict?: boolean } = {}): void {
    if (typeof state !== 'object' || state === null) {
      throw new FoveaError('ERR_DATA', 'loadStateDict', `the state must be tensors by path, got ${show(state)}`);
    }
    const own = this.stateDict();
    const missing = Object.keys(own).filter((name) => !Object.hasOwn(state, name));
    const unexpected = Object.keys(state).filter((name) => !Object.hasOwn(own, name));
    if ((options.strict ?? true) && missing.length + unexpected.length > 0) {
      throw new FoveaError('ERR_DATA', 'loadStateDict', `missing: ${list(missing)}; unexpected: ${list(unexpected)}`);
    }
    const pairs = Object.entries(own).flatMap(([name, target]) => {
      if (!Object.hasOwn(state, name)) return [];
      const source: unknown = state[name];
      if (!(source instanceof Tensor)) {
        throw new FoveaError('ERR_DATA', 'loadStateDict', `${name} must be a Tensor, got ${show(source)}`);
      }
      if (formatShape(source.shape) !== formatShape(target.shape)) {
        const detail = `${name} is ${formatShape(target.shape)} in the model and ${formatShape(source.shape)} in the state`;
        throw new FoveaError('ERR_SHAPE', 'loadStateDict', detail);
      }
      return [{ source: source.clone(), target: new Tensor(target.shape, target.data) }]; // throw what was detached
    });
    for (const { source, target } of pairs) target.data.set(source.data);
  }

  /** Puts this module and all inside it into training mode, or with `false` into evaluation mode. */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode;
    return this;
  }

  /** Puts this module and all inside it into evaluation mode. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Layers with output shapes, parameter counts and receptive fields; `String(summary)` is a table.
   * @param inputShape  with the batch: [N, C, H, W]
   * @throws FoveaError ERR_SHAPE when the shape does not fit the model
   */
  summary(inputShape: readonly number[]): Summary {
    return summarize(this, inputShape);
  }

  /** One line for `summary` and error messages: `Conv2d(1, 32, kernelSize 3, padding 1)`. */
  describe(): string {
    return this.constructor.name;
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  return names.length > 6 ? `${names.slice(0, 6).join(', ')} and ${names.length - 6} more` : names.join(', ');
}

/** @throws FoveaError ERR_OPTION unless `value` is a module */
export function checkModule(operator: string, name: string, value: unknown): asserts value is Module {
  if (value instanceof Module) return;
  throw new FoveaError('ERR_OPTION', operator, `${name} must be a nn.Module, got ${show(value)}`);
}
