import { bf16Suite } from './bf16-suite.js';

// On a CPU without AMX: npm run test:amx, which emulates its instructions.
bf16Suite('amx');
