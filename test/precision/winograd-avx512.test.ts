import { winogradSuite } from './winograd-suite.js';

winogradSuite('avx512');
