import { storageSuite } from './storage-suite.js';

storageSuite('avx512');
