import { bf16Suite } from './bf16-suite.js';
import { mergedSuite } from './merged-suite.js';

// On a CPU without AMX: npm run test:amx, which emulates its instructions.
bf16Suite('amx');
mergedSuite('amx', 'bf16 merged');
