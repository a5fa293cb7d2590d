import { flag, need, number, type Operation, type View } from './view.js';

/** Number j of the `width` numbers that parameter k has in hyper = [step, parameter 0, parameter 1, …]. */
function hyperOf(hyper: View, width: number, k: number): (j: number) => number {
  return (j) => hyper.data[1 + width * k + j] as number;
}

/**
 * One SGD step on n parameters, in place. Operands: hyper = [step, then lr, momentum, dampening, weightDecay of each
 * parameter], p₁ … pₙ, g₁ … gₙ and with momentum m₁ … mₙ. Source: torch.optim.SGD:
 *   g ← −g if maximize;  g ← g + weightDecay·p
 *   m ← momentum·m + (1 − dampening)·g, at step 1 m ← g;  g ← g + momentum·m if nesterov, else m
 *   p ← p − lr·g
 */
export const sgdUpdate: Operation = (inputs, _outputs, attributes) => {
  const hyper = need(inputs, 0);
  const count = number(attributes, 'count');
  const keepsMomentum = flag(attributes, 'momentum');
  const nesterov = flag(attributes, 'nesterov');
  const maximize = flag(attributes, 'maximize');
  const step = hyper.data[0] as number;
  for (let k = 0; k < count; k++) {
    const [lr, momentum, dampening, weightDecay] = [0, 1, 2, 3].map(hyperOf(hyper, 4, k)) as [
      number,
      number,
      number,
      number,
    ];
    const p = need(inputs, 1 + k).data;
    const grad = need(inputs, 1 + count + k).data;
    const m = keepsMomentum ? need(inputs, 1 + 2 * count + k).data : undefined;
    for (let i = 0; i < p.length; i++) {
      let g = (maximize ? -1 : 1) * (grad[i] as number);
      g += weightDecay * (p[i] as number);
      if (m && momentum !== 0) {
        const next = step === 1 ? g : momentum * (m[i] as number) + (1 - dampening) * g;
        m[i] = next;
        g = nesterov ? g + momentum * next : next;
      }
      p[i] = (p[i] as number) - lr * g;
    }
  }
};

/**
 * One Adam or AdamW step on n parameters, in place. Operands: hyper = [t, then lr, β₁, β₂, eps, weightDecay of each
 * parameter], p₁ … pₙ, g₁ … gₙ, m₁ … mₙ, v₁ … vₙ. Source: torch.optim.Adam, torch.optim.AdamW (decoupled):
 *   g ← −g if maximize;  decoupled: p ← p·(1 − lr·weightDecay), else g ← g + weightDecay·p
 *   m ← m + (1 − β₁)·(g − m);  v ← β₂·v + (1 − β₂)·g²
 *   p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps)
 */
export const adamUpdate: Operation = (inputs, _outputs, attributes) => {
  const hyper = need(inputs, 0);
  const count = number(attributes, 'count');
  const decoupled = flag(attributes, 'decoupled');
  const maximize = flag(attributes, 'maximize');
  const step = hyper.data[0] as number;
  for (let k = 0; k < count; k++) {
    const numbers = [0, 1, 2, 3, 4].map(hyperOf(hyper, 5, k));
    const [lr, beta1, beta2, eps, weightDecay] = numbers as [number, number, number, number, number];
    const p = need(inputs, 1 + k).data;
    const grad = need(inputs, 1 + count + k).data;
    const m = need(inputs, 1 + 2 * count + k).data;
    const v = need(inputs, 1 + 3 * count + k).data;
    for (let i = 0; i < p.length; i++) {
      const old = p[i] as number;
      const decayed = decoupled ? old * (1 - lr * weightDecay) : old;
      const g = (maximize ? -1 : 1) * (grad[i] as number) + (decoupled ? 0 : weightDecay * old);
      const mean = (m[i] as number) + (1 - beta1) * (g - (m[i] as number));
      const square = beta2 * (v[i] as number) + (1 - beta2) * g * g;
      const denominator = Math.sqrt(square) / Math.sqrt(1 - beta2 ** step) + eps;
      m[i] = mean;
      v[i] = square;
      p[i] = decayed - ((lr / (1 - beta1 ** step)) * mean) / denominator;
    }
  }
};
