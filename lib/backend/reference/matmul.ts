import { sizeOf } from '../../tensor.js';
import { broadcastStrides, flag, need, type Operation, offsetOf } from './view.js';

/**
 * y[…, i, j] = Σ_k a[…, i, k] · b[…, k, j]; `transposeA` reads a[…, k, i], `transposeB` b[…, j, k].
 * The leading axes are broadcast. Source: torch.matmul.
 */
export const matmul: Operation = (inputs, outputs, attributes) => {
  const a = need(inputs, 0);
  const b = need(inputs, 1);
  const y = need(outputs, 0);
  const transposeA = flag(attributes, 'transposeA');
  const transposeB = flag(attributes, 'transposeB');
  const [M, N] = y.shape.slice(-2) as [number, number];
  const K = a.shape[a.shape.length - (transposeA ? 2 : 1)] as number;
  const batch = y.shape.slice(0, -2);
  const aStrides = broadcastStrides(a.shape.slice(0, -2), batch);
  const bStrides = broadcastStrides(b.shape.slice(0, -2), batch);
  for (let z = 0; z < sizeOf(batch); z++) {
    const a0 = offsetOf(z, batch, aStrides) * M * K;
    const b0 = offsetOf(z, batch, bStrides) * K * N;
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < N; j++) {
        let sum = 0;
        for (let k = 0; k < K; k++) {
          const ai = a.data[a0 + (transposeA ? k * M + i : i * K + k)] as number;
          const bj = b.data[b0 + (transposeB ? j * K + k : k * N + j)] as number;
          sum += ai * bj;
        }
        y.data[(z * M + i) * N + j] = sum;
      }
    }
  }
};
