import { monitorEventLoopDelay } from 'node:perf_hooks';
import { models } from './shapes/models.js';
import { trainingStep } from './train-step.js';

/** How late timers of the process come while ResNet-18 trains: 99th percentile and worst, in milliseconds. */
export async function eventLoopDelay(threads: number): Promise<{ p99: number; worst: number; steps: number }> {
  const shape = models.find(({ name }) => name === 'resnet18');
  if (!shape) throw new Error('no resnet18 in bench/shapes/models.ts');
  const { once, compiled } = trainingStep(shape, { threads });
  await once(); // compiles and touches its memory
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const end = performance.now() + 5000;
  let steps = 0;
  for (; steps < 2 || performance.now() < end; steps++) await once();
  delay.disable();
  compiled.dispose();
  return { p99: delay.percentile(99) / 1e6, worst: delay.max / 1e6, steps };
}
