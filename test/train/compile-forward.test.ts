import { describe, expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { compileForward, evaluate, fit, nn, optim, Tensor } from '../../lib/index.js';
import { loss, smallModel, squares } from './helpers.js';

const inputShape = [4, 3, 16, 16];
const x = Tensor.randn(inputShape, { seed: 1 });

function model() {
  return new nn.Sequential(
    new nn.Conv2d(3, 32, 3, { padding: 1, seed: 1 }),
    new nn.BatchNorm2d(32),
    new nn.ReLU(),
    new nn.Conv2d(32, 32, 3, { padding: 1, seed: 2 }),
    new nn.GlobalAvgPool2d(),
    new nn.Flatten(),
    new nn.Linear(32, 4, { seed: 3 }),
  );
}

describe('a compiled forward pass', () => {
  test('follows its parameters, unless they are frozen', async () => {
    const net = model();
    const [following, frozen] = [false, true].map((frozen) => compileForward(net, { inputShape, frozen }));
    const before = await following?.run(x);
    expect(await frozen?.run(x)).toEqual(before);
    expect(await following?.run(x)).toEqual(before);
    for (const { data } of net.parameters()) data[0] = (data[0] as number) + 1;
    const after = await compileForward(net, { inputShape }).run(x);
    expect(after).not.toEqual(before);
    for (let run = 0; run < 2; run++) expect(await following?.run(x)).toEqual(after);
  });

  test.runIf(findNative().backend)('does not read frozen filters again', async () => {
    const net = model();
    const frozen = compileForward(net, { inputShape, frozen: true });
    const before = await frozen.run(x);
    for (const { data, shape } of net.parameters()) if (shape.length === 4 && shape[1] === 32) data.fill(0);
    expect(await frozen.run(x)).toEqual(before);
    expect(frozen.explain()).toMatch(/kept of weights \d/);
  });

  test('refuses what is no flag', () => {
    const wrong = { inputShape, frozen: 1 as unknown as boolean };
    expect(() => compileForward(model(), wrong)).toThrow(/frozen must be true or false, got 1/);
  });

  test('each validation of a training is one of the weights of that epoch', async () => {
    const net = smallModel();
    const [train, validation] = [squares(64), squares(300, 2)];
    const optimizer = new optim.SGD({ lr: 0.05 });
    let epochs = 0;
    for await (const event of fit(net, train, { loss, optimizer, epochs: 3, seed: 1, batchSize: 16, validation })) {
      if (event.type !== 'epoch') continue;
      epochs++;
      if (epochs === 3) expect(event.validation).toEqual(await evaluate(net, validation, { loss }));
    }
    expect(epochs).toBe(3);
  });
});
