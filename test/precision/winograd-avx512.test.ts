import { contractSuite } from './contract-suite.js';

contractSuite('avx512', { algorithm: 'winograd', precision: 'highest' });
