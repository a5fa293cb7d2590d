import { contractSuite } from './contract-suite.js';

contractSuite('avx2', { algorithm: 'winograd int16 merged', precision: 'medium' });
