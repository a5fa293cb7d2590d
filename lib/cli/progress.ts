import { SingleBar } from 'cli-progress';
import type { EpochEvent, StepEvent } from '../train/events.js';
import { count, duration, type Output, percent } from './terminal.js';

/** Shows a training while it goes on. */
export interface ProgressDisplay {
  step(event: StepEvent): void;
  epoch(event: EpochEvent): void;
  /** Leaves the screen in order, also in the middle of an epoch. */
  stop(): void;
}

/** A bar on a terminal, plain lines elsewhere. */
export function progressDisplay(output: Output, epochs: number, batchSize: number): ProgressDisplay {
  const meter = new Meter(epochs, batchSize);
  return output.isTerminal ? new BarDisplay(output, epochs, meter) : new LineDisplay(output, epochs, meter);
}

interface Reading {
  readonly loss: string;
  readonly accuracy: string;
  readonly rate: string;
  readonly left: string;
}

/** Smooths what a step reports and guesses the time left. */
class Meter {
  private loss: number | undefined;
  private accuracy = 0;

  constructor(
    private readonly epochs: number,
    private readonly batchSize: number,
  ) {}

  read({ epoch, stepInEpoch, stepsPerEpoch = 0, loss, accuracy, imagesPerSecond }: StepEvent): Reading {
    const keep = this.loss === undefined ? 0 : 0.95; // of the last twenty steps or so
    this.loss = keep * (this.loss ?? 0) + (1 - keep) * loss;
    this.accuracy = keep * this.accuracy + (1 - keep) * accuracy;
    const stepsLeft = stepsPerEpoch - stepInEpoch + (this.epochs - epoch) * stepsPerEpoch;
    return {
      loss: this.loss.toFixed(4),
      accuracy: percent(this.accuracy, 1),
      rate: count(imagesPerSecond),
      left: duration((stepsLeft * this.batchSize) / Math.max(imagesPerSecond, 1e-9)),
    };
  }
}

function epochLine(event: EpochEvent, epochs: number): string {
  const test = event.validation
    ? `; test: loss ${event.validation.loss.toFixed(4)}, accuracy ${percent(event.validation.accuracy)}`
    : '';
  const trained = `loss ${event.loss.toFixed(4)}, accuracy ${percent(event.accuracy)}`;
  return `epoch ${event.epoch}/${epochs}  train: ${trained}${test}  (${duration(event.seconds)}, ${count(event.imagesPerSecond)} images/s)`;
}

class BarDisplay implements ProgressDisplay {
  private bar: SingleBar | undefined;

  constructor(
    private readonly output: Output,
    private readonly epochs: number,
    private readonly meter: Meter,
  ) {}

  step(event: StepEvent): void {
    const reading = this.meter.read(event);
    if (!this.bar) {
      this.bar = new SingleBar({
        format: '{epoch} {bar} {percentage}%  loss {loss}  accuracy {accuracy}  {rate} images/s  {left} left',
        barCompleteChar: '█',
        barIncompleteChar: '░',
        barsize: 20,
        hideCursor: true,
        clearOnComplete: true,
        stopOnComplete: false,
        gracefulExit: false, // Ctrl-C is the program's
        fps: 10,
      });
      this.bar.start(event.stepsPerEpoch ?? 0, event.stepInEpoch, {
        epoch: `epoch ${event.epoch}/${this.epochs}`,
        ...reading,
      });
    } else this.bar.update(event.stepInEpoch, reading);
  }

  epoch(event: EpochEvent): void {
    this.stop();
    this.output.line(epochLine(event, this.epochs));
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}

/** Four lines per epoch, and one at its end. */
class LineDisplay implements ProgressDisplay {
  constructor(
    private readonly output: Output,
    private readonly epochs: number,
    private readonly meter: Meter,
  ) {}

  step(event: StepEvent): void {
    const { loss, accuracy, rate, left } = this.meter.read(event);
    const { epoch, stepInEpoch, stepsPerEpoch = 0 } = event;
    const quarter = (step: number) => Math.floor((4 * step) / stepsPerEpoch);
    if (stepsPerEpoch === 0 || quarter(stepInEpoch) === quarter(stepInEpoch - 1) || stepInEpoch === stepsPerEpoch)
      return;
    const where = `epoch ${epoch}/${this.epochs}  step ${stepInEpoch}/${stepsPerEpoch}`;
    this.output.line(`${where}  loss ${loss}  accuracy ${accuracy}  ${rate} images/s  ${left} left`);
  }

  epoch(event: EpochEvent): void {
    this.output.line(epochLine(event, this.epochs));
  }

  stop(): void {}
}
