import { nn } from '../../lib/index.js';

/** A model and the batch that its training step is measured with. */
export interface ModelShape {
  readonly name: string;
  readonly make: () => InstanceType<typeof nn.Sequential>;
  readonly inputShape: readonly [number, number, number, number];
  readonly classes: number;
  /** Images in a batch that the reference backend does in seconds; its time is scaled by the number of images. */
  readonly referenceBatch: number;
}

export const models: readonly ModelShape[] = [
  { name: 'lenet', make: () => nn.models.lenet(), inputShape: [64, 1, 28, 28], classes: 10, referenceBatch: 8 },
  { name: 'resnet20', make: () => nn.models.resnet20(), inputShape: [128, 3, 32, 32], classes: 10, referenceBatch: 1 },
  { name: 'resnet18', make: () => nn.models.resnet18(), inputShape: [64, 3, 32, 32], classes: 10, referenceBatch: 1 },
  { name: 'vgg11', make: () => nn.models.vgg11(), inputShape: [64, 3, 32, 32], classes: 10, referenceBatch: 1 },
];

/** Only against PyTorch: the reference backend would take minutes for one image. */
export const largeModels: readonly ModelShape[] = [
  {
    name: 'resnet50',
    make: () => nn.models.resnet50(),
    inputShape: [16, 3, 224, 224],
    classes: 1000,
    referenceBatch: 1,
  },
];
