import { describe, expect, test } from 'vitest';
import { FoveaError } from '../../lib/errors.js';
import { addOperator } from '../../lib/ops/add.js';
import {
  activeRecorder,
  apply,
  apply1,
  type Operator,
  type Recorder,
  recordWith,
  Traced,
  touchedBytes,
} from '../../lib/ops/operator.js';
import { Tensor } from '../../lib/tensor.js';

/** Remembers what it was asked to record. */
class Notes implements Recorder {
  readonly names: string[] = [];
  record(operator: Operator) {
    this.names.push(operator.name);
    return [new Traced(this, [2], 'float32', this.names.length)];
  }
  assign() {}
}

const pair = (...values: number[]) => new Tensor([values.length], Float32Array.from(values));

describe('apply', () => {
  test('computes on tensors, and the same shapes again with other values', () => {
    for (const offset of [0, 100]) {
      const sum = apply1(addOperator, [pair(1, 2), pair(offset, 20)]) as Tensor;
      expect([...sum.data]).toEqual([1 + offset, 22]);
    }
  });

  test('keeps computing when more shapes were seen than are remembered', () => {
    for (let size = 1; size <= 70; size++) {
      const ones = new Tensor([size], new Float32Array(size).fill(1));
      expect([...(apply1(addOperator, [ones, ones]) as Tensor).data]).toEqual(Array(size).fill(2));
    }
    expect([...(apply1(addOperator, [pair(1), pair(1)]) as Tensor).data]).toEqual([2]);
  });

  test('gives an empty output for an empty input', () => {
    const none = new Tensor([0, 3], new Float32Array(0));
    expect((apply1(addOperator, [none, none]) as Tensor).shape).toEqual([0, 3]);
  });

  test('is recorded by the recorder of a traced operand, computed by nobody', () => {
    const notes = new Notes();
    expect(apply1(addOperator, [new Traced(notes, [2], 'float32', 0), pair(1, 2)])).toBeInstanceOf(Traced);
    expect(notes.names).toEqual(['add']);
  });

  test('is a FoveaError where an operator gives no output', () => {
    const silent: Operator = { name: 'silent', infer: () => [null], cost: () => ({ flops: 0, bytes: 0 }) };
    expect(apply(silent, [pair(1)])).toEqual([null]);
    expect(() => apply1(silent, [pair(1)])).toThrow(FoveaError);
  });
});

describe('recordWith', () => {
  test('records operators on tensors alone, also when nested', () => {
    const [outer, inner] = [new Notes(), new Notes()];
    recordWith(outer, () => {
      recordWith(inner, () => apply1(addOperator, [pair(1), pair(2)]));
      apply1(addOperator, [pair(1), pair(2)]);
    });
    expect([outer.names, inner.names]).toEqual([['add'], ['add']]);
  });

  test('ends with its body, also when that throws', () => {
    const failing = () => {
      throw new Error('body');
    };
    expect(() => recordWith(new Notes(), failing)).toThrow('body');
    expect(activeRecorder()).toBeNull();
    expect(apply1(addOperator, [pair(1), pair(2)])).toBeInstanceOf(Tensor);
  });
});

test('touchedBytes counts each operand by its type and leaves out those that are absent', () => {
  const spec = (dtype: 'float32' | 'float64' | 'int32' | 'uint8') => ({ shape: [2, 3], dtype });
  expect(touchedBytes([spec('float32'), null, spec('float64'), spec('int32'), spec('uint8')])).toBe(24 + 48 + 24 + 6);
});
