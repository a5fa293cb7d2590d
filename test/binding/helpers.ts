import type { ProgramSpec, ProgramStep, ProgramValue } from '../../lib/backend/backend.ts';

/** y = relu(x): externals x, y of so many elements. */
export function relu(elements: number, threads = 2): ProgramSpec {
  return chain(elements, 1, threads);
}

/** relu again and again between two values in the arena: as slow as wanted. Externals x, y. */
export function chain(elements: number, steps: number, threads = 2): ProgramSpec {
  const bytes = Math.ceil((elements * 4) / 64) * 64;
  const value = (place: Partial<ProgramValue>): ProgramValue => {
    return { shape: [elements], dtype: 'float32', layout: 'plain', ...place };
  };
  const values = [value({ external: 0 }), value({ external: 1 }), value({ offset: 0 }), value({ offset: bytes })];
  const list: ProgramStep[] = [];
  for (let i = 0; i < steps; i++) {
    const input = i === 0 ? 0 : 2 + ((i + 1) % 2);
    const output = i === steps - 1 ? 1 : 2 + (i % 2);
    list.push({ operator: 'relu', inputs: [input], outputs: [output], attributes: {} });
  }
  return { values, steps: list, externals: 2, arenaBytes: 2 * bytes, threads };
}
