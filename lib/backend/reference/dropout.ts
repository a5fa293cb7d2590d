import { philox, words } from '../../random.js';
import { need, number, type Operation } from './view.js';

/**
 * y_i = x_i / (1 − p) with probability 1 − p, else 0. Source: Srivastava et al. 2014 (scaled in training).
 * Element i, counted row-major, takes word i mod 4 of Philox4x32-10 with key = seed and counter = (⌊i/4⌋, run), each
 * as low and high 32 bits, and is kept when word·2⁻³² >= p. Also its own gradient, applied to dy.
 * In float32 the factor is rounded first and the product then: the bits that native computes.
 */
export const dropout: Operation = (inputs, outputs, attributes, context) => {
  const x = need(inputs, 0);
  const y = need(outputs, 0);
  const p = number(attributes, 'p');
  const key = words(number(attributes, 'seed'));
  const run = words(context.counter);
  const scale = x.dtype === 'float32' ? Math.fround(1 / (1 - p)) : 1 / (1 - p);
  for (let i = 0; i < x.data.length; i++) {
    const word = philox([...words(Math.floor(i / 4)), ...run], key)[i % 4] as number;
    y.data[i] = word * 2 ** -32 >= p ? (x.data[i] as number) * scale : 0;
  }
};
