import { int16Suite } from './winograd-int16-suite.js';

int16Suite('avx2');
