import type { Backend } from '../backend.js';
import { ReferenceProgram } from './program.js';
import { operations } from './table.js';

/** Every operator in plain TypeScript: what they mean, what native is checked against, and the fallback without it. */
export const referenceBackend: Backend = {
  name: 'reference',
  layouts: new Map(),
  supports: (operator) => Object.hasOwn(operations, operator),
  compile: (spec) => new ReferenceProgram(spec),
};
