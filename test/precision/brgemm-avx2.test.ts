import { contractSuite } from './contract-suite.js';

contractSuite('avx2', { algorithm: 'brgemm', precision: 'highest' });
