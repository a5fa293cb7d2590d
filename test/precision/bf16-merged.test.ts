import { mergedSuite } from './merged-suite.js';

mergedSuite('avx512bf16', 'bf16 merged');
