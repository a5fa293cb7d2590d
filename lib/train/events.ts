/** A step is done. */
export interface StepEvent {
  readonly type: 'step';
  /** 1 for the first. */
  readonly epoch: number;
  /** Steps done in all. */
  readonly step: number;
  /** Steps done in this epoch. */
  readonly stepInEpoch: number;
  /** Steps of an epoch; undefined for streams in their first epoch. */
  readonly stepsPerEpoch: number | undefined;
  /** Mean over the batch. */
  readonly loss: number;
  /** Share of the batch that was classified rightly, before the update. */
  readonly accuracy: number;
  readonly learningRate: number;
  /** Over this epoch so far. */
  readonly imagesPerSecond: number;
}

/** Means over a data set. */
export interface Evaluation {
  readonly loss: number;
  readonly accuracy: number;
}

/** An epoch is done, validation included. */
export interface EpochEvent extends Evaluation {
  readonly type: 'epoch';
  readonly epoch: number;
  readonly step: number;
  readonly validation?: Evaluation;
  /** Training only. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** A checkpoint is on the disk. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly path: string;
  readonly step: number;
}

export type FitEvent = StepEvent | EpochEvent | CheckpointEvent;
