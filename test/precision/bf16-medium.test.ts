import { contractSuite } from './contract-suite.js';

contractSuite('avx512bf16', { algorithm: 'bf16', precision: 'medium' });
