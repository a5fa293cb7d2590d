import { contractSuite } from './contract-suite.js';

contractSuite('avx512', { algorithm: 'brgemm', precision: 'highest' });
