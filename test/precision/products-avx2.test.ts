import { productsInFloat32 } from './product-suite.js';

productsInFloat32('avx2');
