// A process for itself: prints the bytes that training steps of one model take at their peak.
// Arguments: the model's name, the precision, the number of threads.
import { nn, type Precision } from '../../lib/index.js';
import { peakMemory } from '../helpers/memory.js';
import { largeModels, type ModelShape, models } from '../shapes/models.js';
import { trainingStep } from '../train-step.js';
import { memorySteps } from './memory.js';

const [name, precision, threads] = process.argv.slice(2);
const shape = [...models, ...largeModels].find((model) => model.name === name);
if (!shape) throw new Error(`no model ${name}`);
const options = { threads: Number(threads), precision: precision as Precision };
const tiny: ModelShape = {
  name: 'tiny',
  make: () => new nn.Sequential(new nn.Conv2d(16, 16, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(576, 10)),
  inputShape: [2, 16, 8, 8],
  classes: 10,
  referenceBatch: 1,
};
await steps(tiny); // loads the addon and starts its threads: as of PyTorch, no memory of the model
console.log(await peakMemory(() => steps(shape)));

async function steps(of: ModelShape): Promise<void> {
  const { once } = trainingStep(of, options);
  for (let i = 0; i < memorySteps; i++) await once();
}
