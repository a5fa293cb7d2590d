import { FoveaError, show } from '../../errors.js';

/** An axis number >= 0; negative ones count from the end. @throws FoveaError ERR_OPTION */
export function axisOf(operator: string, name: string, axis: unknown, rank: number): number {
  if (typeof axis !== 'number' || !Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `${name} must be a whole number between ${-rank} and ${rank - 1}, got ${show(axis)}`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}
