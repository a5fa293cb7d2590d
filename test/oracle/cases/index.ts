import type { Cases } from './case.js';
import { convCases } from './conv.js';
import { dataCases } from './data.js';
import { denseCases } from './dense.js';
import { eltwiseCases } from './eltwise.js';
import { epilogueCases } from './epilogue.js';
import { lossCases } from './loss.js';
import { normCases } from './norm.js';
import { poolCases } from './pool.js';
import { updateCases } from './update.js';

export type { Case } from './case.js';

/** The hyperparameter grid of every operator in lib/ops/table.ts, by name. */
export const cases: Cases = {
  ...convCases,
  conv2d: [...(convCases.conv2d ?? []), ...(epilogueCases.conv2d ?? [])],
  conv2dGradInput: [...(convCases.conv2dGradInput ?? []), ...(epilogueCases.conv2dGradInput ?? [])],
  ...denseCases,
  ...poolCases,
  ...normCases,
  ...eltwiseCases,
  ...lossCases,
  ...dataCases,
  ...updateCases,
};
