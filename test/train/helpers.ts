import { InMemoryDataset } from '../../lib/data/index.js';
import { type data, FoveaError, nn, ops } from '../../lib/index.js';
import { Random } from '../../lib/random.js';

/** Pictures that a small model can learn: class k is a bright square at place k, in noise. */
export function squares(count: number, seed = 1): data.InMemoryDataset {
  const random = new Random(seed);
  const images = new Uint8Array(count * 64);
  const labels = new Int32Array(count);
  for (let n = 0; n < count; n++) {
    const label = random.integer(4);
    labels[n] = label;
    const top = label < 2 ? 0 : 4;
    const left = label % 2 === 0 ? 0 : 4;
    for (let i = 0; i < 64; i++) {
      const inside = Math.floor(i / 8) >= top && Math.floor(i / 8) < top + 4 && i % 8 >= left && i % 8 < left + 4;
      images[n * 64 + i] = random.integer(120) + (inside ? 100 : 0);
    }
  }
  const normalization = { scale: 1 / 255, mean: [0.4], std: [0.25] };
  return new InMemoryDataset(images, labels, [1, 8, 8], { normalization });
}

/** Convolution, batch norm, a shortcut, pooling, dropout: everything whose results could depend on the order of work. */
export function smallModel(seed = 5): nn.Sequential {
  nn.manualSeed(seed);
  return new nn.Sequential(
    new nn.Conv2d(1, 8, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.Residual(new nn.Sequential(new nn.Conv2d(8, 8, 3, { padding: 1 }), new nn.BatchNorm2d(8))),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Dropout(0.1),
    new nn.Linear(8 * 16, 4),
  );
}

/** All numbers of a model, to compare bit for bit. */
export function bits(model: nn.Module): Record<string, ArrayLike<number>> {
  return Object.fromEntries(Object.entries(model.stateDict()).map(([name, { data }]) => [name, data.slice()]));
}

/** The code of the FoveaError that a promise is rejected with. */
export async function rejection(promise: PromiseLike<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FoveaError) return error.code;
    throw error;
  }
  return 'it was not rejected';
}

export const loss = ops.crossEntropy;
