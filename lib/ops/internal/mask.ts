import type { Spec } from '../../backend/backend.js';

/**
 * One bit per element of an image [N, C, …], set where a ReLU lets its gradient pass: 16 channels of a pixel are two
 * neighbouring bytes, bit c % 8 of byte c / 8 in [N, ceil(C / 16), …, 2].
 */
export function maskSpec({ shape }: Spec): Spec {
  const [n = 0, c = 0, ...pixels] = shape;
  return { shape: [n, Math.ceil(c / 16), ...pixels, 2], dtype: 'uint8' };
}
