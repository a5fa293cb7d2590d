/** A convolution layer of a real network, at the batch size that it is trained with. */
export interface ConvolutionShape {
  readonly name: string;
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly filters: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
  /** How often the network has it. */
  readonly occurs: number;
}

function shape(name: string, dims: readonly number[], occurs = 1, groups = 1): ConvolutionShape {
  const [batch = 1, channels = 1, height = 1, width = 1, filters = 1, kernel = 1, stride = 1, padding = 0] = dims;
  return { name, batch, channels, height, width, filters, kernel, stride, padding, groups, occurs };
}

/** N, C, H, W, K, kernel, stride, padding. */
export const convolutions: readonly ConvolutionShape[] = [
  shape('lenet.conv1', [64, 1, 28, 28, 32, 3, 1, 1]),
  shape('lenet.conv2', [64, 32, 14, 14, 64, 3, 1, 1]),
  shape('resnet18.stem', [64, 3, 32, 32, 64, 3, 1, 1]),
  shape('resnet18.layer1', [64, 64, 32, 32, 64, 3, 1, 1], 4),
  shape('resnet18.layer2', [64, 128, 16, 16, 128, 3, 1, 1], 3),
  shape('resnet18.down2', [64, 64, 32, 32, 128, 3, 2, 1]),
  shape('resnet18.layer3', [64, 256, 8, 8, 256, 3, 1, 1], 3),
  shape('resnet18.layer4', [64, 512, 4, 4, 512, 3, 1, 1], 3),
  shape('resnet20.layer1', [128, 16, 32, 32, 16, 3, 1, 1], 6),
  shape('resnet50.stem', [16, 3, 224, 224, 64, 7, 2, 3]),
  shape('resnet50.expand1', [16, 64, 56, 56, 256, 1, 1, 0], 4),
  shape('resnet50.layer1', [16, 64, 56, 56, 64, 3, 1, 1], 3),
  shape('resnet50.down2', [16, 128, 56, 56, 128, 3, 2, 1]),
  shape('resnet50.reduce3', [16, 1024, 14, 14, 256, 1, 1, 0], 5),
  shape('resnet50.layer4', [16, 512, 7, 7, 512, 3, 1, 1], 2),
  shape('vgg.conv3', [8, 256, 56, 56, 256, 3, 1, 1], 2),
  shape('mobilenet.depthwise', [16, 144, 56, 56, 144, 3, 1, 1], 1, 144),
];

/** Height and width of the output: ⌊(H + 2P − k) / s⌋ + 1. */
export function outputSize(layer: ConvolutionShape): [number, number] {
  const along = (n: number) => Math.floor((n + 2 * layer.padding - layer.kernel) / layer.stride) + 1;
  return [along(layer.height), along(layer.width)];
}

/** Operations of one pass over the unpadded problem, 2 for each multiplication and addition. */
export function flops(layer: ConvolutionShape): number {
  const [p, q] = outputSize(layer);
  return 2 * layer.batch * layer.filters * p * q * (layer.channels / layer.groups) * layer.kernel ** 2;
}
