import { productsInBf16 } from './product-suite.js';

// On a CPU without AMX: npm run test:amx, which emulates its instructions.
productsInBf16('amx');
