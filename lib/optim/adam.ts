import { FoveaError, show } from '../errors.js';
import { checkOptions, flag } from '../geometry/options.js';
import { adamHyper, adamUpdateOperator } from '../ops/update.js';
import { checkRange, type Group, Optimizer } from './optimizer.js';
import type { Schedule } from './schedules.js';

type Key = (typeof adamHyper)[number];

export interface AdamOptions {
  /** Learning rate, or a schedule of it. Default 1e-3. */
  readonly lr?: number | Schedule;
  /** Decay of the two running means. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root. Default 1e-8. */
  readonly eps?: number;
  /** Adam: L2 penalty, default 0. AdamW: decoupled, default 0.01. */
  readonly weightDecay?: number;
  /** Climbs instead of descending. Default false. */
  readonly maximize?: boolean;
  readonly groups?: readonly Group<Key>[];
}

abstract class AdamFamily extends Optimizer {
  readonly operator = adamUpdateOperator;
  readonly slots = ['exp_avg', 'exp_avg_sq'];
  protected readonly hyperNames = adamHyper;
  protected readonly flags;

  constructor(name: string, options: AdamOptions, decoupled: boolean) {
    checkOptions(name, options, ['lr', 'betas', 'eps', 'weightDecay', 'maximize', 'groups']);
    const {
      lr = 1e-3,
      betas = [0.9, 0.999],
      eps = 1e-8,
      weightDecay = decoupled ? 0.01 : 0,
      maximize = false,
    } = options;
    if (!Array.isArray(betas) || betas.length !== 2) {
      throw new FoveaError('ERR_OPTION', name, `betas must be two numbers, got ${show(betas)}`);
    }
    const [beta1, beta2] = betas as readonly [number, number];
    checkRange(name, 'betas[0]', beta1, 1);
    checkRange(name, 'betas[1]', beta2, 1);
    checkRange(name, 'eps', eps);
    checkRange(name, 'weightDecay', weightDecay);
    flag(name, 'maximize', maximize);
    super(name, lr, { beta1, beta2, eps, weightDecay }, options.groups ?? []);
    this.flags = { decoupled, maximize };
  }
}

/** Adam (Kingma and Ba 2015), rule, defaults and order of operations of torch.optim.Adam. */
export class Adam extends AdamFamily {
  /** @throws FoveaError ERR_OPTION for numbers out of range */
  constructor(options: AdamOptions = {}) {
    super('Adam', options, false);
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW. */
export class AdamW extends AdamFamily {
  /** @throws FoveaError ERR_OPTION for numbers out of range */
  constructor(options: AdamOptions = {}) {
    super('AdamW', options, true);
  }
}
