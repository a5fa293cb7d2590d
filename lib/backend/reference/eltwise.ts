import { accumulator, activate, broadcastStrides, need, type Operation, offsetOf, store } from './view.js';

/** y = max(x, 0) */
export const relu: Operation = (inputs, outputs) => {
  const x = need(inputs, 0);
  const y = need(outputs, 0);
  for (let i = 0; i < y.data.length; i++) y.data[i] = activate(x.data[i] as number, 'relu');
};

/** dx = dy where y > 0, else 0 */
export const reluBackward: Operation = (inputs, outputs) => {
  const dy = need(inputs, 0);
  const y = need(inputs, 1);
  const dx = need(outputs, 0);
  for (let i = 0; i < dx.data.length; i++) dx.data[i] = (y.data[i] as number) > 0 ? (dy.data[i] as number) : 0;
};

/** y[i] = f(a[i], b[i]), axes of size 1 and missing leading axes repeated. Source: NumPy's broadcasting. */
function binary(f: (a: number, b: number) => number): Operation {
  return (inputs, outputs) => {
    const a = need(inputs, 0);
    const b = need(inputs, 1);
    const y = need(outputs, 0);
    const aStrides = broadcastStrides(a.shape, y.shape);
    const bStrides = broadcastStrides(b.shape, y.shape);
    for (let i = 0; i < y.data.length; i++) {
      const ai = a.data[offsetOf(i, y.shape, aStrides)] as number;
      const bi = b.data[offsetOf(i, y.shape, bStrides)] as number;
      y.data[i] = f(ai, bi);
    }
  };
}

export const add = binary((a, b) => a + b);
export const sub = binary((a, b) => a - b);
export const mul = binary((a, b) => a * b);

/** y[j] = Σ over all elements i of x that broadcasting y to x's shape would fill from y[j] */
export const sumTo: Operation = (inputs, outputs) => {
  const x = need(inputs, 0);
  const y = need(outputs, 0);
  const sums = accumulator(y);
  const strides = broadcastStrides(y.shape, x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const j = offsetOf(i, x.shape, strides);
    sums[j] = (sums[j] as number) + (x.data[i] as number);
  }
  store(y, sums);
};
