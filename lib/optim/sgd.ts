import { FoveaError, show } from '../errors.js';
import { checkOptions, flag } from '../geometry/options.js';
import { sgdHyper, sgdUpdateOperator } from '../ops/update.js';
import { checkRange, type Group, Optimizer } from './optimizer.js';
import type { Schedule } from './schedules.js';

type Key = (typeof sgdHyper)[number];

export interface SGDOptions {
  /** Learning rate, or a schedule of it. Default 1e-3. */
  readonly lr?: number | Schedule;
  /** Default 0. */
  readonly momentum?: number;
  /** Share of the new gradient that momentum leaves out. Default 0. */
  readonly dampening?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Looks ahead along the momentum (Nesterov 1983; Sutskever et al. 2013). Default false. */
  readonly nesterov?: boolean;
  /** Climbs instead of descending. Default false. */
  readonly maximize?: boolean;
  readonly groups?: readonly Group<Key>[];
}

/** Stochastic gradient descent, rule, defaults and order of operations of torch.optim.SGD. */
export class SGD extends Optimizer {
  readonly operator = sgdUpdateOperator;
  readonly slots: readonly string[];
  protected readonly hyperNames = sgdHyper;
  protected readonly flags;

  /** @throws FoveaError ERR_OPTION for numbers out of range; nesterov needs momentum > 0 and dampening 0 */
  constructor(options: SGDOptions = {}) {
    checkOptions('SGD', options, ['lr', 'momentum', 'dampening', 'weightDecay', 'nesterov', 'maximize', 'groups']);
    const { lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false, maximize = false } = options;
    for (const [key, value] of Object.entries({ momentum, weightDecay })) checkRange('SGD', key, value);
    if (!Number.isFinite(dampening))
      throw new FoveaError('ERR_OPTION', 'SGD', `dampening must be a finite number, got ${show(dampening)}`);
    for (const [key, value] of Object.entries({ nesterov, maximize })) flag('SGD', key, value);
    if (nesterov && !(momentum > 0 && dampening === 0)) {
      const detail = `nesterov needs momentum > 0 and dampening 0, got ${momentum} and ${dampening}`;
      throw new FoveaError('ERR_OPTION', 'SGD', detail);
    }
    super('SGD', lr, { momentum, dampening, weightDecay }, options.groups ?? []);
    const anyMomentum = momentum > 0 || (options.groups ?? []).some((group) => (group.momentum ?? 0) > 0);
    this.slots = anyMomentum ? ['momentum_buffer'] : [];
    this.flags = { momentum: anyMomentum, nesterov, maximize };
  }
}
