import { activate, need, type Operation, text } from './view.js';

/** y[…, o] = act(b[o] + Σ_i x[…, i] · w[o, i]). Source: torch.nn.Linear. */
export const linear: Operation = (inputs, outputs, attributes) => {
  const x = need(inputs, 0);
  const weight = need(inputs, 1);
  const bias = inputs[2];
  const y = need(outputs, 0);
  const activation = text(attributes, 'activation');
  const [O, I] = weight.shape as [number, number];
  const rows = O === 0 ? 0 : y.data.length / O;
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < O; o++) {
      let sum = bias ? (bias.data[o] as number) : 0;
      for (let i = 0; i < I; i++) sum += (x.data[n * I + i] as number) * (weight.data[o * I + i] as number);
      y.data[n * O + o] = activate(sum, activation);
    }
  }
};

/** dw[o, i] = Σ_n dy[n, o] · x[n, i],  db[o] = Σ_n dy[n, o], n over all leading axes. */
export const linearGradWeight: Operation = (inputs, outputs) => {
  const x = need(inputs, 0);
  const dy = need(inputs, 1);
  const dw = need(outputs, 0);
  const db = outputs[1];
  const [O, I] = dw.shape as [number, number];
  const rows = O === 0 ? 0 : dy.data.length / O;
  for (let o = 0; o < O; o++) {
    for (let i = 0; i < I; i++) {
      let sum = 0;
      for (let n = 0; n < rows; n++) sum += (dy.data[n * O + o] as number) * (x.data[n * I + i] as number);
      dw.data[o * I + i] = sum;
    }
    if (!db) continue;
    let sum = 0;
    for (let n = 0; n < rows; n++) sum += dy.data[n * O + o] as number;
    db.data[o] = sum;
  }
};
