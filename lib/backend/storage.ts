import type { OperandLayouts, ProgramStep, Spec } from './backend.js';
import type { Program } from './lower.js';

/** Elements of the smallest value that is rounded: 128 KiB of float32. Smaller ones stay in a core's caches anyway. */
export const leastRounded = 2 ** 15;

/**
 * The values of a program that lie in memory as bfloat16 in precision 'medium': half of the bytes of a pass that memory
 * binds, and half of what the backward pass keeps of the forward one. Convolutions with products of bfloat16 round what
 * they read in that precision anyway; others, and all other operators, compute with what was rounded in float32. All
 * round what they write.
 *
 * Rounded are large images between steps (float32, four axes), if every step that reads or writes them blocked can. What
 * comes from the caller or goes there, parameters, statistics, gradients of parameters and everything after the images
 * were flattened stay float32. A step that wants a rounded value plain has it converted, as from any blocked one.
 * @param layouts  the backend's letters for layouts (native/ops/registry.h)
 * @param storage  its letters for bfloat16: `-` float32 only, `b` either, `g` all such operands of a step alike
 */
export function roundedValues(
  program: Program,
  layouts: ReadonlyMap<string, OperandLayouts>,
  storage: ReadonlyMap<string, OperandLayouts>,
): ReadonlySet<number> {
  const rounded = new Set(program.values.flatMap((value, id) => (isLargeImage(value) ? [id] : [])));
  const uses = program.steps.map((step) => usesOf(step, program.values, layouts, storage));
  for (const { float32 } of uses) for (const id of float32) rounded.delete(id);
  for (let before = -1; before !== rounded.size; ) {
    before = rounded.size;
    for (const { alike } of uses) {
      if (alike.some((id) => !rounded.has(id))) for (const id of alike) rounded.delete(id);
    }
  }
  return rounded;
}

function isLargeImage({ shape, dtype, external }: Spec & { readonly external?: number }): boolean {
  const [n = 0, c = 0, h = 0, w = 0] = shape;
  // One pixel lies in memory as a plain value does, which spares a conversion.
  return (
    external === undefined && dtype === 'float32' && shape.length === 4 && h * w > 1 && n * c * h * w >= leastRounded
  );
}

/** Operands of a step that must be float32, and those that must be rounded all or none. */
function usesOf(
  step: ProgramStep,
  values: readonly Spec[],
  layouts: ReadonlyMap<string, OperandLayouts>,
  storage: ReadonlyMap<string, OperandLayouts>,
): { float32: number[]; alike: number[] } {
  const float32: number[] = [];
  const alike: number[] = [];
  const layout = layouts.get(step.operator);
  const images = imagesOf(step, values);
  const letters = images === 'float32' ? undefined : storage.get(step.operator);
  for (const side of ['inputs', 'outputs'] as const) {
    step[side].forEach((id, i) => {
      if (id < 0 || letterOf(layout?.[side] ?? 'P', i) === 'P') return;
      const letter = letterOf(letters?.[side] ?? '-', i);
      if (letter === '-') float32.push(id);
      if (letter === 'g' || (letter === 'b' && images === 'alike')) alike.push(id);
    });
  }
  return { float32, alike };
}

/**
 * How the images of a step may lie. Gradients of other paddings are folded back in float32 only; groups of 1, 2, 4 or 8
 * channels on both sides are read and written in the same form.
 */
function imagesOf(step: ProgramStep, values: readonly Spec[]): 'float32' | 'either' | 'alike' {
  const { groups = 1, paddingMode = 'zeros' } = step.attributes;
  if (paddingMode !== 'zeros' || typeof groups !== 'number') return 'float32';
  if (groups === 1) return 'either';
  const [first = -1, second = -1] =
    step.operator === 'conv2dGradWeight' ? step.inputs : [step.inputs[0], step.outputs[0]];
  const [a, b] = [first, second].map((id) => (values[id]?.shape[1] ?? 0) / groups) as [number, number];
  return a === b && [1, 2, 4, 8].includes(a) ? 'alike' : 'either';
}

function letterOf(letters: string, operand: number): string {
  return letters[Math.min(operand, letters.length - 1)] ?? '-';
}
