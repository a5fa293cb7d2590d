import { contractSuite } from './contract-suite.js';

contractSuite('avx512bf16', { algorithm: 'winograd int16 merged', precision: 'medium' });
