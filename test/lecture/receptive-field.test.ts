import { describe, expect, test } from 'vitest';
import { receptiveField } from '../../lib/geometry/receptive-field.js';
import { ops, Tensor } from '../../lib/index.js';

// r = 1 + Σᵢ dᵢ·(kᵢ − 1)·Πⱼ<ᵢ sⱼ

interface Layer {
  readonly kernel: number;
  readonly stride?: number;
  readonly dilation?: number;
}

/** Input columns that have a gradient when one output column has: the receptive field, measured. */
function measured(layers: readonly Layer[]): number {
  const [tall, wide] = [1, 64];
  const sizes = [wide];
  for (const { kernel, stride = 1, dilation = 1 } of layers) {
    sizes.push(Math.floor(((sizes.at(-1) as number) - dilation * (kernel - 1) - 1) / stride) + 1);
  }
  let gradient = Tensor.zeros([1, 1, tall, sizes.at(-1) as number]);
  gradient.data[Math.floor(gradient.size / 2)] = 1;
  for (let i = layers.length - 1; i >= 0; i--) {
    const { kernel, stride = 1, dilation = 1 } = layers[i] as Layer;
    const x = Tensor.zeros([1, 1, tall, sizes[i] as number]);
    const options = { stride: [1, stride], dilation: [1, dilation] } as const;
    gradient = ops.conv2dBackward(gradient, x, Tensor.ones([1, 1, 1, kernel]), options).gradInput;
  }
  const seen = [...gradient.data.keys()].filter((i) => gradient.data[i] !== 0);
  return (seen.at(-1) as number) - (seen[0] as number) + 1;
}

describe('receptive fields', () => {
  const stacks: readonly [string, readonly Layer[], number][] = [
    ['one 3: 3', [{ kernel: 3 }], 3],
    ['two 3: 1 + 2 + 2 = 5, as one 5', [{ kernel: 3 }, { kernel: 3 }], 5],
    ['three 3: 7, as one 7', [{ kernel: 3 }, { kernel: 3 }, { kernel: 3 }], 7],
    ['3, pool 2 / 2, 3: 1 + 2 + 1 + 2·2 = 8', [{ kernel: 3 }, { kernel: 2, stride: 2 }, { kernel: 3 }], 8],
    ['3 with dilation 1, 2, 4: 1 + 2 + 4 + 8 = 15', [1, 2, 4].map((dilation) => ({ kernel: 3, dilation })), 15],
    [
      '7 / 2, 3 / 2 (the stem of ResNet): 1 + 6 + 2·2 = 11',
      [
        { kernel: 7, stride: 2 },
        { kernel: 3, stride: 2 },
      ],
      11,
    ],
  ];
  for (const [name, layers, size] of stacks) {
    test(name, () => {
      expect(receptiveField(layers).size).toBe(size);
      expect(measured(layers)).toBe(size);
    });
  }

  test('the jump from one output to the next is the product of the strides', () => {
    expect(receptiveField([{ kernel: 7, stride: 2 }, { kernel: 3, stride: 2 }, { kernel: 3 }]).jump).toBe(4);
  });

  test('two 3×3 layers see as much as one 5×5 with fewer weights: 2·9·C² < 25·C²', () => {
    expect(receptiveField([{ kernel: 3 }, { kernel: 3 }]).size).toBe(receptiveField([{ kernel: 5 }]).size);
    const C = 8;
    expect(2 * Tensor.zeros([C, C, 3, 3]).size).toBeLessThan(Tensor.zeros([C, C, 5, 5]).size);
  });
});
