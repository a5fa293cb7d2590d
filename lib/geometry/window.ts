import { FoveaError, show } from '../errors.js';
import { formatShape, sizeOf } from '../tensor.js';
import { choice, largest, perAxis, whole } from './options.js';

/** One axis of a sliding window, everything resolved. Source: Dumoulin & Visin 2016, arXiv:1603.07285. */
export interface WindowAxis {
  /** Input elements. */
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding elements on either side. */
  readonly before: number;
  readonly after: number;
}

export type PaddingWord = 'valid' | 'same' | 'full';
/** A number, one per axis, `[before, after]` per axis, or a word. */
export type PaddingOption = number | readonly number[] | readonly (readonly number[])[] | PaddingWord;

/** Elements from the first to the last tap of a dilated kernel: d·(k − 1) + 1. */
export function span(kernel: number, dilation: number): number {
  return dilation * (kernel - 1) + 1;
}

/** Positions of the window: ⌊(size + before + after − (d·(k − 1) + 1)) / stride⌋ + 1. */
export function outputSize(axis: WindowAxis): number {
  return Math.floor((axis.size + axis.before + axis.after - span(axis.kernel, axis.dilation)) / axis.stride) + 1;
}

/** Input elements at the end of the axis that no position of the window reaches; unread padding does not count. */
export function unread(axis: WindowAxis): number {
  const rest = (axis.size + axis.before + axis.after - span(axis.kernel, axis.dilation)) % axis.stride;
  return Math.min(Math.max(rest - axis.after, 0), axis.size);
}

const axisNames: Readonly<Record<number, readonly string[]>> = { 1: ['columns'], 2: ['rows', 'columns'] };

/** "rows" or "columns": what axis `i` of so many is called in messages. */
export function axisName(i: number, axes: number): string {
  return axisNames[axes]?.[i] ?? `elements of axis ${i}`;
}

function paddingSum({ size, before, after }: WindowAxis): string {
  return before === after ? `${size} + 2·${before}` : `${size} + ${before} + ${after}`;
}

/** One line per axis whose last elements are skipped: `stride 3 leaves 2 of 5 columns unread: (5 + 2·0 − 3) / 3 is not whole`. */
export function unreadWarnings(axes: readonly WindowAxis[]): string[] {
  return axes.flatMap((axis, i) => {
    const count = unread(axis);
    if (count === 0) return [];
    const division = `(${paddingSum(axis)} − ${span(axis.kernel, axis.dilation)}) / ${axis.stride}`;
    return [
      `stride ${axis.stride} leaves ${count} of ${axis.size} ${axisName(i, axes.length)} unread: ${division} is not whole`,
    ];
  });
}

/**
 * Turns the `padding` option into [before, after] per axis.
 * `'same'`: the output has ceil(size / stride) elements, the extra pixel goes to the end (TensorFlow's SAME, which equals
 * PyTorch's where PyTorch has it). `'full'`: d·(k − 1) on each side, so that every overlap counts.
 * @throws FoveaError ERR_OPTION
 */
export function resolvePadding(
  operator: string,
  padding: unknown,
  axes: readonly Omit<WindowAxis, 'before' | 'after'>[],
): [before: number, after: number][] {
  if (typeof padding === 'string') {
    const word = choice(operator, 'padding', padding, ['valid', 'same', 'full']);
    return axes.map((axis) => paddingByWord(word, axis));
  }
  if (Array.isArray(padding) && padding.some(Array.isArray)) return paddingBySide(operator, padding, axes.length);
  return perAxis(operator, 'padding', padding, axes.length, 0).map((n) => [n, n]);
}

function paddingByWord(word: PaddingWord, axis: Omit<WindowAxis, 'before' | 'after'>): [number, number] {
  const taps = span(axis.kernel, axis.dilation);
  switch (word) {
    case 'valid':
      return [0, 0];
    case 'full':
      return [taps - 1, taps - 1];
    case 'same': {
      const total = Math.max((Math.ceil(axis.size / axis.stride) - 1) * axis.stride + taps - axis.size, 0);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    }
    default:
      return word satisfies never;
  }
}

function paddingBySide(operator: string, padding: readonly unknown[], axes: number): [number, number][] {
  if (padding.length !== axes || !padding.every((sides) => Array.isArray(sides) && sides.length === 2)) {
    const wanted = axes === 1 ? '[[left, right]]' : '[[top, bottom], [left, right]]';
    throw new FoveaError('ERR_OPTION', operator, `padding per side is ${wanted}, got ${show(padding)}`);
  }
  return (padding as readonly (readonly unknown[])[]).map(([before, after]) => [
    whole(operator, 'padding', before, 0),
    whole(operator, 'padding', after, 0),
  ]);
}

/** Refuses a window that does not fit into the padded input once. @throws FoveaError ERR_SHAPE */
export function checkFits(operator: string, axes: readonly WindowAxis[]): void {
  axes.forEach((axis, i) => {
    const { size, before, after, kernel, dilation } = axis;
    const taps = span(kernel, dilation);
    if (taps <= size + before + after) return;
    const dilated = dilation === 1 ? '' : ` (dilation ${dilation}: ${dilation}·(${kernel} − 1) + 1)`;
    const name = axisName(i, axes.length);
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `the kernel spans ${taps} ${name}${dilated}, the padded input has ${paddingSum(axis)} = ${size + before + after}`,
    );
  });
}

/** Refuses shapes of 2^31 elements and more before anything is allocated. @throws FoveaError ERR_MEMORY */
export function checkElements(operator: string, what: string, shape: readonly number[]): void {
  const size = sizeOf(shape);
  if (size <= largest) return;
  throw new FoveaError(
    'ERR_MEMORY',
    operator,
    `${what} ${formatShape(shape)} would have ${shape.join(' · ')} = ${size} elements, at most ${largest} are possible`,
  );
}

/** Refuses axes without elements; the batch alone may be empty. @throws FoveaError ERR_SHAPE */
export function checkNotEmpty(operator: string, what: string, shape: readonly number[], from = 0): void {
  if (shape.slice(from).includes(0)) {
    throw new FoveaError('ERR_SHAPE', operator, `${what} ${formatShape(shape)} has an axis without elements`);
  }
}
