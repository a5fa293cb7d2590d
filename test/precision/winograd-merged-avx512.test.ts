import { contractSuite } from './contract-suite.js';

contractSuite('avx512', { algorithm: 'winograd merged', precision: 'highest' });
