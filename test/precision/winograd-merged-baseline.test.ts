import { contractSuite } from './contract-suite.js';

contractSuite('baseline', { algorithm: 'winograd merged', precision: 'highest' });
