import { mergedSuite } from './merged-suite.js';

mergedSuite('avx2', 'brgemm merged');
