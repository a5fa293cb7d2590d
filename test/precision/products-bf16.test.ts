import { productsInBf16 } from './product-suite.js';

productsInBf16('avx512bf16');
