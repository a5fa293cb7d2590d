import { ReLU } from './activation.js';
import { BatchNorm2d } from './batch-norm.js';
import { Conv2d } from './conv.js';
import { Flatten } from './flatten.js';
import { Linear } from './linear.js';
import type { Module } from './module.js';
import { AdaptiveAvgPool2d, MaxPool2d } from './pool.js';
import { Residual } from './residual.js';
import { Sequential } from './sequential.js';

interface Size {
  /** Channels of the images. */
  readonly channels?: number;
  readonly classes?: number;
}

/**
 * A small network after LeNet-5 (LeCun et al. 1998), in today's form: two 3×3 convolutions with ReLU and 2×2 max
 * pooling, then 128 hidden units.
 * @param options.imageSize  height and width of the images, each a multiple of 4; default 28
 */
export function lenet(options: Size & { readonly imageSize?: number } = {}): Sequential {
  const { channels = 1, classes = 10, imageSize = 28 } = options;
  const side = Math.floor(Math.floor(imageSize / 2) / 2);
  return new Sequential(
    new Conv2d(channels, 32, 3, { padding: 1 }),
    new ReLU(),
    new MaxPool2d(2),
    new Conv2d(32, 64, 3, { padding: 1 }),
    new ReLU(),
    new MaxPool2d(2),
    new Flatten(),
    new Linear(64 * side * side, 128),
    new ReLU(),
    new Linear(128, classes),
  );
}

/** Two 3×3 convolutions round a shortcut; 1×1 in the shortcut where the shape changes. */
function basicBlock(input: number, output: number, stride: number): Module[] {
  const body = new Sequential(
    new Conv2d(input, output, 3, { stride, padding: 1, bias: false }),
    new BatchNorm2d(output),
    new ReLU(),
    new Conv2d(output, output, 3, { padding: 1, bias: false }),
    new BatchNorm2d(output),
  );
  const same = stride === 1 && input === output;
  const shortcut = new Sequential(new Conv2d(input, output, 1, { stride, bias: false }), new BatchNorm2d(output));
  return [same ? new Residual(body) : new Residual(body, shortcut), new ReLU()];
}

/** 1×1, 3×3, 1×1 round a shortcut; the last has four times the width. */
function bottleneck(input: number, width: number, stride: number): Module[] {
  const output = 4 * width;
  const body = new Sequential(
    new Conv2d(input, width, 1, { bias: false }),
    new BatchNorm2d(width),
    new ReLU(),
    new Conv2d(width, width, 3, { stride, padding: 1, bias: false }),
    new BatchNorm2d(width),
    new ReLU(),
    new Conv2d(width, output, 1, { bias: false }),
    new BatchNorm2d(output),
  );
  const same = stride === 1 && input === output;
  const shortcut = new Sequential(new Conv2d(input, output, 1, { stride, bias: false }), new BatchNorm2d(output));
  return [same ? new Residual(body) : new Residual(body, shortcut), new ReLU()];
}

interface Stages {
  readonly stem: readonly Module[];
  readonly stemWidth: number;
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  readonly expansion: number;
  readonly block: (input: number, width: number, stride: number) => Module[];
}

/** A stem, stages that halve the image from the second on, the mean of each channel, one linear layer. */
function residualNetwork(stages: Stages, classes: number): Sequential {
  const layers: Module[] = [...stages.stem];
  let input = stages.stemWidth;
  stages.widths.forEach((width, stage) => {
    for (let i = 0; i < (stages.depths[stage] ?? 0); i++) {
      layers.push(...stages.block(input, width, i === 0 && stage > 0 ? 2 : 1));
      input = width * stages.expansion;
    }
  });
  return new Sequential(...layers, new AdaptiveAvgPool2d(1), new Flatten(), new Linear(input, classes));
}

function smallStem(channels: number, width: number): Module[] {
  return [new Conv2d(channels, width, 3, { padding: 1, bias: false }), new BatchNorm2d(width), new ReLU()];
}

/** ResNet-20 for small images (He et al. 2016, section 4.2): 16, 32, 64 channels, three blocks each. */
export function resnet20({ channels = 3, classes = 10 }: Size = {}): Sequential {
  const stem = smallStem(channels, 16);
  const stages = { stem, stemWidth: 16, widths: [16, 32, 64], depths: [3, 3, 3], expansion: 1, block: basicBlock };
  return residualNetwork(stages, classes);
}

/** ResNet-18 with a 3×3 stem, for 32×32 images: 64 to 512 channels, two blocks each. */
export function resnet18({ channels = 3, classes = 10 }: Size = {}): Sequential {
  const stem = smallStem(channels, 64);
  const widths = [64, 128, 256, 512];
  return residualNetwork(
    { stem, stemWidth: 64, widths, depths: [2, 2, 2, 2], expansion: 1, block: basicBlock },
    classes,
  );
}

/** ResNet-50 for 224×224 images (He et al. 2016), stride in the 3×3 convolutions. */
export function resnet50({ channels = 3, classes = 1000 }: Size = {}): Sequential {
  const stem = [
    new Conv2d(channels, 64, 7, { stride: 2, padding: 3, bias: false }),
    new BatchNorm2d(64),
    new ReLU(),
    new MaxPool2d(3, { stride: 2, padding: 1 }),
  ];
  const widths = [64, 128, 256, 512];
  return residualNetwork(
    { stem, stemWidth: 64, widths, depths: [3, 4, 6, 3], expansion: 4, block: bottleneck },
    classes,
  );
}

/** VGG-11 with batch normalisation for 32×32 images (Simonyan and Zisserman 2015), one linear layer at the end. */
export function vgg11({ channels = 3, classes = 10 }: Size = {}): Sequential {
  const layers: Module[] = [];
  let input = channels;
  for (const width of [64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512, 'pool', 512, 512, 'pool'] as const) {
    if (width === 'pool') {
      layers.push(new MaxPool2d(2));
    } else {
      layers.push(new Conv2d(input, width, 3, { padding: 1 }), new BatchNorm2d(width), new ReLU());
      input = width;
    }
  }
  return new Sequential(...layers, new Flatten(), new Linear(512, classes));
}
