import { mergedSuite } from './merged-suite.js';

mergedSuite('avx512', 'brgemm merged');
