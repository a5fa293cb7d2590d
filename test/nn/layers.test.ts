import { describe, expect, test } from 'vitest';
import { FoveaError, nn, ops, Tensor } from '../../lib/index.js';
import type { Value } from '../../lib/ops/operator.js';

const codeOf = (body: () => unknown) => {
  try {
    body();
  } catch (error) {
    return error instanceof FoveaError ? error.code : error;
  }
  return 'nothing was thrown';
};

describe('parameters and state', () => {
  test('a linear layer has M·N + N parameters', () => {
    const layer = new nn.Linear(300, 10);
    expect(layer.parameters().reduce((sum, { size }) => sum + size, 0)).toBe(300 * 10 + 10);
  });

  test('4 kernels of 3×3×3 have (3·3·3 + 1)·4 = 112 parameters', () => {
    const layer = new nn.Conv2d(3, 4, 3);
    expect(layer.parameters().reduce((sum, { size }) => sum + size, 0)).toBe(112);
  });

  test('state names are PyTorch’s', () => {
    class Block extends nn.Module {
      conv1 = new nn.Conv2d(2, 3, 3, { bias: false });
      bn1 = new nn.BatchNorm2d(3);
      forward(x: Value): Value {
        return this.bn1.forward(this.conv1.forward(x));
      }
    }
    class Net extends nn.Module {
      layer1 = new nn.Sequential(new Block(), new nn.ReLU());
      blocks = [new nn.Linear(4, 2)];
      forward(x: Value): Value {
        return this.layer1.forward(x);
      }
    }
    expect(Object.keys(new Net().stateDict())).toEqual([
      'layer1.0.conv1.weight',
      'layer1.0.bn1.weight',
      'layer1.0.bn1.bias',
      'layer1.0.bn1.running_mean',
      'layer1.0.bn1.running_var',
      'layer1.0.bn1.num_batches_tracked',
      'blocks.0.weight',
      'blocks.0.bias',
    ]);
  });

  test('the seed fixes the initial values, and their range is PyTorch’s: ±1/√fanIn', () => {
    const a = new nn.Conv2d(8, 16, 3, { seed: 7 });
    const b = new nn.Conv2d(8, 16, 3, { seed: 7 });
    const c = new nn.Conv2d(8, 16, 3, { seed: 8 });
    expect(a.weight.data).toEqual(b.weight.data);
    expect(a.weight.data).not.toEqual(c.weight.data);
    const bound = 1 / Math.sqrt(8 * 3 * 3);
    const largest = Math.max(...Array.from(a.weight.data, Math.abs));
    expect(largest).toBeLessThanOrEqual(bound);
    expect(largest).toBeGreaterThan(0.98 * bound);
  });

  test('loadStateDict copies, and refuses what does not fit before it changes anything', () => {
    const from = nn.models.lenet();
    const to = nn.models.lenet();
    to.loadStateDict(from.stateDict());
    expect(to.stateDict()['3.weight']?.data).toEqual(from.stateDict()['3.weight']?.data);
    const { '9.bias': _, ...incomplete } = from.stateDict();
    expect(codeOf(() => to.loadStateDict(incomplete))).toBe('ERR_DATA');
    to.loadStateDict(incomplete, { strict: false });
    const wrong = { ...nn.models.lenet().stateDict(), '9.bias': Tensor.ones([3]) };
    const before = to.stateDict()['0.weight']?.data.slice();
    expect(codeOf(() => to.loadStateDict(wrong))).toBe('ERR_SHAPE');
    expect(to.stateDict()['0.weight']?.data).toEqual(before);
  });

  test('a layer that stands in two places is one set of parameters', () => {
    const shared = new nn.Linear(4, 4);
    expect(new nn.Sequential(shared, new nn.ReLU(), shared).parameters()).toHaveLength(2);
  });
});

describe('summary', () => {
  test('shapes, parameters and receptive fields of the LeNet-style model', () => {
    const summary = nn.models.lenet().summary([1, 1, 28, 28]);
    expect(summary.parameters).toBe(320 + 18496 + (3136 * 128 + 128) + (128 * 10 + 10));
    expect(summary.rows.map(({ outputShape }) => outputShape.join('×')).slice(0, 6)).toEqual([
      '1×32×28×28',
      '1×32×28×28',
      '1×32×14×14',
      '1×64×14×14',
      '1×64×14×14',
      '1×64×7×7',
    ]);
    // 3; pooling 2 → 3 + 1·1 = 4, jump 2; 3×3 → 4 + 2·2 = 8; pooling → 8 + 1·2 = 10
    expect(summary.rows.map(({ receptiveField }) => receptiveField?.[0]).slice(0, 7)).toEqual([
      3,
      3,
      4,
      8,
      8,
      10,
      undefined,
    ]);
  });

  test('leaves the model as it was', () => {
    const model = nn.models.resnet20();
    model.train();
    model.summary([1, 3, 32, 32]);
    expect([...model.namedModules()].every(([, module]) => module.training)).toBe(true);
    expect(Object.hasOwn(model.layers[0] as object, 'forward')).toBe(false);
  });

  test('the published models have their published sizes', () => {
    expect(nn.models.resnet20().summary([1, 3, 32, 32]).parameters).toBe(272474); // 0.27 M in the paper, and the two projections
    expect(
      nn.models
        .resnet50()
        .parameters()
        .reduce((sum, { size }) => sum + size, 0),
    ).toBe(25557032); // torchvision's count
  });
});

describe('modes', () => {
  test('dropout drops only while training, batch norm uses its running statistics otherwise', () => {
    const x = Tensor.randn([4, 3, 5, 5], { seed: 1 });
    const dropout = new nn.Dropout(0.5, { seed: 3 });
    const dropped = dropout.forward(x) as Tensor;
    expect(dropped.data.filter((value) => value === 0).length).toBeGreaterThan(80);
    expect((dropout.eval().forward(x) as Tensor).data).toEqual(x.data);
    const norm = new nn.BatchNorm2d(3);
    norm.forward(x);
    expect(norm.runningMean.data.some((value) => value !== 0)).toBe(true);
    const before = norm.runningMean.data.slice();
    norm.eval().forward(x);
    expect(norm.runningMean.data).toEqual(before);
  });

  test('a residual adds its shortcut', () => {
    const x = Tensor.randn([2, 3, 4, 4], { seed: 1 });
    const body = new nn.ReLU();
    const y = new nn.Residual(body).forward(x) as Tensor;
    expect(y.data).toEqual((ops.add(ops.relu(x), x) as Tensor).data);
  });
});

describe('bad hyperparameters', () => {
  test.each([
    ['zero channels', () => new nn.Conv2d(0, 4, 3)],
    ['half a kernel', () => new nn.Conv2d(3, 4, 2.5)],
    ['groups that do not divide', () => new nn.Conv2d(4, 6, 3, { groups: 4 })],
    ['no features', () => new nn.Linear(3, -1)],
    ['features that are not a number', () => new nn.BatchNorm2d(Number.NaN)],
    ['a seed below zero', () => nn.manualSeed(-1)],
  ])('%s', (_, body) => {
    expect(codeOf(body)).toBe('ERR_OPTION');
  });
});

describe('layers that cannot be', () => {
  const relu = new nn.ReLU();
  test.each<[string, () => unknown]>([
    ['a stride where options belong', () => new nn.Conv2d(1, 8, 3, 2 as never)],
    ['a misspelt option', () => new nn.Conv2d(1, 8, 3, { paddding: 1 } as never)],
    ['a stride of 0', () => new nn.Conv2d(1, 8, 3, { stride: 0 })],
    ['a kernel of another rank', () => new nn.Conv2d(1, 8, [3, 3, 3] as never)],
    ['a kernel that is no number', () => new nn.Conv1d(1, 8, '3' as never)],
    ['a seed that is none', () => new nn.Conv2d(1, 8, 3, { seed: Number.NaN })],
    ['a bias that is no truth', () => new nn.Conv2d(1, 8, 3, { bias: 'no' as never })],
    ['no options but null', () => new nn.Linear(3, 4, null as never)],
    ['a bias where options belong', () => new nn.Linear(3, 4, false as never)],
    ['a seed below 0', () => new nn.Linear(3, 4, { seed: -1 })],
    ['an eps that is none', () => new nn.BatchNorm2d(3, { eps: Number.NaN })],
    ['a misspelt option of batch norm', () => new nn.BatchNorm2d(3, { epsilon: 1 } as never)],
    ['a window of 0', () => new nn.MaxPool2d(0)],
    ['a stride of pooling where options belong', () => new nn.MaxPool2d(3, 2 as never)],
    ['no window', () => new nn.AvgPool2d(undefined as never)],
    ['no output size', () => new nn.AdaptiveAvgPool2d(undefined as never)],
    ['a probability above 1', () => new nn.Dropout(2)],
    ['a function as a layer', () => new nn.Sequential(relu, ((x: unknown) => x) as never)],
    ['a list of layers as a layer', () => new nn.Sequential([relu] as never)],
    ['a residual around nothing', () => new nn.Residual(undefined as never)],
  ])('%s', (_, body) => {
    expect(codeOf(body)).toBe('ERR_OPTION');
  });

  test('a state that is none, or of something else than tensors, changes nothing', () => {
    const layer = new nn.Linear(2, 1, { seed: 1 });
    const before = layer.weight.data.slice();
    const state = new nn.Linear(2, 1).stateDict();
    expect(codeOf(() => layer.loadStateDict(null as never))).toBe('ERR_DATA');
    expect(codeOf(() => layer.loadStateDict({ ...state, bias: [1] as never }))).toBe('ERR_DATA');
    structuredClone(state.bias?.data.buffer, { transfer: [state.bias?.data.buffer as ArrayBuffer] });
    expect(codeOf(() => layer.loadStateDict(state))).toBe('ERR_DATA');
    expect(layer.weight.data).toEqual(before);
  });
});
