import { oracleSuite } from './suite.js';

oracleSuite('avx2');
