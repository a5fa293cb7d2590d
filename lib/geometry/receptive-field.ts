/** One layer that slides a window along an axis. */
export interface FieldLayer {
  readonly kernel: number;
  readonly stride?: number;
  readonly dilation?: number;
}

export interface ReceptiveField {
  /** Input elements that one output element sees: r = 1 + Σ d·(k − 1)·jump. */
  readonly size: number;
  /** Input elements from one output element to the next: the product of the strides so far. */
  readonly jump: number;
}

/**
 * What one output element of a stack of windows sees of the input, along one axis.
 * r₀ = 1, j₀ = 1; rᵢ = rᵢ₋₁ + d·(k − 1)·jᵢ₋₁; jᵢ = jᵢ₋₁·s.
 * Source: Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
 */
export function receptiveField(layers: readonly FieldLayer[]): ReceptiveField {
  return layers.reduce<ReceptiveField>(
    ({ size, jump }, { kernel, stride = 1, dilation = 1 }) => ({
      size: size + dilation * (kernel - 1) * jump,
      jump: jump * stride,
    }),
    { size: 1, jump: 1 },
  );
}
