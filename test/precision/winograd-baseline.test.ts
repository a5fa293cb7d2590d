import { winogradSuite } from './winograd-suite.js';

winogradSuite('baseline');
