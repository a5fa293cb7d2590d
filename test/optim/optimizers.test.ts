import { describe, expect, test } from 'vitest';
import { FoveaError, optim, Tensor, tensor } from '../../lib/index.js';

const { SGD, Adam, AdamW, schedules } = optim;

describe('one step by hand', () => {
  test('SGD: p − lr·g', () => {
    const p = tensor([1, 2]);
    new SGD({ lr: 0.5 }).update([p], [tensor([2, 4])]);
    expect([...p.data]).toEqual([0, 0]);
  });

  test('SGD with momentum: the first buffer is the gradient, without dampening', () => {
    const p = tensor([1]);
    const optimizer = new SGD({ lr: 1, momentum: 0.5, dampening: 0.25 });
    let state = optimizer.update([p], [tensor([1])]);
    expect(p.data[0]).toBe(0); // m = 1
    state = optimizer.update([p], [tensor([1])], state);
    expect(p.data[0]).toBe(-1.25); // m = 0.5·1 + 0.75·1 = 1.25
    expect(state.step).toBe(2);
  });

  test('Nesterov: p − lr·(g + momentum·m)', () => {
    const p = tensor([0]);
    new SGD({ lr: 1, momentum: 0.5, nesterov: true }).update([p], [tensor([2])]);
    expect(p.data[0]).toBe(-3);
  });

  test('Adam moves by lr at the first step, whatever the size of the gradient', () => {
    const p = tensor([1, 1]);
    new Adam({ lr: 0.125, eps: 0 }).update([p], [tensor([1e-3, 1e3])]);
    expect(p.data[0]).toBeCloseTo(0.875, 6);
    expect(p.data[1]).toBeCloseTo(0.875, 6);
  });

  test('AdamW decays before the step: p·(1 − lr·weightDecay) − lr', () => {
    const p = tensor([2]);
    new AdamW({ lr: 0.1, weightDecay: 0.5, eps: 0 }).update([p], [tensor([1])]);
    expect(p.data[0]).toBeCloseTo(2 * 0.95 - 0.1, 6);
  });

  test('groups override numbers for the paths that match', () => {
    const params = { 'conv.weight': tensor([1]), 'bn.bias': tensor([1]) };
    const grads = { 'conv.weight': tensor([0]), 'bn.bias': tensor([0]) };
    new SGD({ lr: 0.5, weightDecay: 1, groups: [{ match: /bn|bias/, weightDecay: 0 }] }).update(params, grads);
    expect(params['conv.weight'].data[0]).toBe(0.5);
    expect(params['bn.bias'].data[0]).toBe(1);
  });
});

describe('every optimizer finds the minimum of a quadratic', () => {
  test.each([
    ['SGD', new SGD({ lr: 0.1 })],
    ['SGD with momentum', new SGD({ lr: 0.05, momentum: 0.9 })],
    ['Nesterov', new SGD({ lr: 0.05, momentum: 0.9, nesterov: true })],
    ['Adam', new Adam({ lr: 0.05 })],
    ['AdamW', new AdamW({ lr: 0.05, weightDecay: 0 })],
  ])('%s', (_, optimizer) => {
    const goal = [3, -1, 0.5];
    const p = Tensor.zeros([3]);
    let state: ReturnType<typeof optimizer.update> | undefined;
    for (let i = 0; i < 400; i++) {
      const gradient = tensor(goal.map((target, j) => (p.data[j] as number) - target));
      state = optimizer.update([p], [gradient], state);
    }
    goal.forEach((target, j) => {
      expect(p.data[j]).toBeCloseTo(target, 3);
    });
  });
});

describe('schedules', () => {
  test('are pure functions of the step', () => {
    expect(schedules.constant(0.1).lr(1e6)).toBe(0.1);
    expect(schedules.step({ lr: 1, every: 10, gamma: 0.5 }).lr(25)).toBe(0.25);
    expect(schedules.multiStep({ lr: 1, milestones: [2, 4], gamma: 0.1 }).lr(3)).toBeCloseTo(0.1, 12);
    expect(schedules.cosine({ lr: 1, steps: 10 }).lr(5)).toBeCloseTo(0.5, 12);
    expect(schedules.cosine({ lr: 1, steps: 10 }).lr(99)).toBeCloseTo(0, 12);
    expect(schedules.linear({ lr: 1, steps: 4 }).lr(1)).toBe(0.75);
    expect(schedules.polynomial({ lr: 1, steps: 4, power: 2 }).lr(2)).toBe(0.25);
    expect(schedules.warmup({ steps: 3, after: schedules.constant(1) }).lr(1)).toBe(0.5);
  });

  test('oneCycle has the corners of torch.optim.lr_scheduler.OneCycleLR', () => {
    // torch 2.13: OneCycleLR(SGD(lr=.1), max_lr=1, total_steps=10): lr at steps 0, 2, 9
    const cycle = schedules.oneCycle({ lr: 1, steps: 10 });
    expect(cycle.lr(0)).toBeCloseTo(0.04, 12);
    expect(cycle.lr(2)).toBeCloseTo(1, 12);
    expect(cycle.lr(9)).toBeCloseTo(4e-6, 12);
  });

  test('drive an optimizer', () => {
    const p = tensor([0]);
    const optimizer = new SGD({ lr: schedules.step({ lr: 1, every: 1, gamma: 0.5 }) });
    let state = optimizer.update([p], [tensor([1])]);
    state = optimizer.update([p], [tensor([1])], state);
    expect(p.data[0]).toBe(-1.5);
  });
});

describe('bad numbers', () => {
  test.each([
    ['NaN rate', () => new SGD({ lr: Number.NaN })],
    ['negative momentum', () => new SGD({ momentum: -1 })],
    ['nesterov without momentum', () => new SGD({ nesterov: true })],
    ['beta of one', () => new Adam({ betas: [1, 0.999] })],
    ['infinite decay', () => new AdamW({ weightDecay: Number.POSITIVE_INFINITY })],
    ['group without match', () => new SGD({ groups: [{ lr: 1 } as never] })],
    ['negative schedule', () => schedules.cosine({ lr: -1, steps: 3 })],
  ])('%s', (_, body) => {
    expect(body).toThrow(FoveaError);
  });

  test('gradients that do not match', () => {
    expect(() => new SGD().update([tensor([1, 2])], [tensor([1])])).toThrow(/gradient is \[1\]/);
    expect(() => new SGD().update([], [])).toThrow(FoveaError);
  });
});

describe('what cannot be', () => {
  const [p, g] = [tensor([1]), tensor([1])];
  test.each<[string, () => unknown, string]>([
    ['a rate in words', () => new SGD({ lr: '0.1' as never }), 'ERR_OPTION'],
    ['a misspelt option', () => new SGD({ learningRate: 0.1 } as never), 'ERR_OPTION'],
    ['a rate where options belong', () => new SGD(0.1 as never), 'ERR_OPTION'],
    ['one beta', () => new Adam({ betas: 0.9 as never }), 'ERR_OPTION'],
    ['a group with an unknown number', () => new SGD({ groups: [{ match: /bn/, decay: 0 } as never] }), 'ERR_OPTION'],
    ['groups that are no list', () => new SGD({ groups: {} as never }), 'ERR_OPTION'],
    ['a group that is none', () => new SGD({ groups: [null as never] }), 'ERR_OPTION'],
    ['a period of 0', () => schedules.step({ lr: 1, every: 0 }), 'ERR_OPTION'],
    ['no milestones', () => schedules.multiStep({ lr: 1 } as never), 'ERR_OPTION'],
    ['no schedule after the warm-up', () => schedules.warmup({ steps: 3 } as never), 'ERR_OPTION'],
    ['no options', () => schedules.cosine(undefined as never), 'ERR_OPTION'],
    ['no parameters', () => new SGD().update(undefined as never, [g]), 'ERR_DATA'],
    ['a parameter that is no tensor', () => new SGD().update([5 as never], [g]), 'ERR_DATA'],
    ['a gradient that is no tensor', () => new SGD().update([p], [5 as never]), 'ERR_SHAPE'],
    ['a state of another optimizer', () => new Adam().update([p], [g], { step: 1, slots: {} }), 'ERR_DATA'],
    ['a gradient of another type', () => new SGD().update([p], [Tensor.ones([1], 'float64')]), 'ERR_DTYPE'],
    ['integers', () => new SGD().update([Tensor.ones([1], 'int32')], [Tensor.ones([1], 'int32')]), 'ERR_DTYPE'],
    ['a state that is none', () => new Adam().update([p], [g], 5 as never), 'ERR_DATA'],
  ])('%s', (_, body, code) => {
    expect(body).toThrow(FoveaError);
    expect(body).toThrow(expect.objectContaining({ code }));
    expect(p.data[0]).toBe(1);
  });

  test('a pattern with the flag g matches every time', () => {
    const params = { 'a.bias': tensor([1]), 'b.bias': tensor([1]) };
    const grads = { 'a.bias': tensor([0]), 'b.bias': tensor([0]) };
    new SGD({ lr: 0.5, weightDecay: 1, groups: [{ match: /bias/g, weightDecay: 0 }] }).update(params, grads);
    expect(Object.values(params).map((value) => value.item())).toEqual([1, 1]);
  });

  test('float64 parameters are updated in double precision', () => {
    const double = tensor([1], [1], 'float64');
    new SGD({ lr: 0.1 }).update([double], [tensor([1], [1], 'float64')]);
    expect(double.item()).toBe(1 - 0.1);
    new Adam({ lr: 0.1 }).update([double], [tensor([1], [1], 'float64')]);
    expect(double.item()).toBeCloseTo(0.8, 7);
  });
});
