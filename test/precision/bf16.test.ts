import { bf16Suite } from './bf16-suite.js';

bf16Suite('avx512bf16');
