import { oracleSuite } from './suite.js';

oracleSuite('baseline');
