import { contractSuite } from './contract-suite.js';

contractSuite('avx2', { algorithm: 'winograd merged', precision: 'highest' });
