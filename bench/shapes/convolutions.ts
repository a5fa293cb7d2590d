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
  readonly dilation: number;
  readonly groups: number;
  /** How often the network has it. */
  readonly occurs: number;
}

interface Extra {
  readonly occurs?: number;
  readonly groups?: number;
  readonly dilation?: number;
}

/** @param dims  N, C, H = W, K, kernel, stride, padding */
function shape(name: string, dims: readonly number[], extra: Extra = {}): ConvolutionShape {
  const [batch = 1, channels = 1, size = 1, filters = 1, kernel = 1, stride = 1, padding = 0] = dims;
  const square = { height: size, width: size };
  const { occurs = 1, groups = 1, dilation = 1 } = extra;
  return { name, batch, channels, ...square, filters, kernel, stride, padding, dilation, groups, occurs };
}

/** The layers that most of the time of well-known networks goes into. */
const common: readonly ConvolutionShape[] = [
  shape('lenet.conv1', [64, 1, 28, 32, 3, 1, 1]),
  shape('lenet.conv2', [64, 32, 14, 64, 3, 1, 1]),
  shape('resnet18.stem', [64, 3, 32, 64, 3, 1, 1]),
  shape('resnet18.layer1', [64, 64, 32, 64, 3, 1, 1], { occurs: 4 }),
  shape('resnet18.layer2', [64, 128, 16, 128, 3, 1, 1], { occurs: 3 }),
  shape('resnet18.down2', [64, 64, 32, 128, 3, 2, 1]),
  shape('resnet18.layer3', [64, 256, 8, 256, 3, 1, 1], { occurs: 3 }),
  shape('resnet18.layer4', [64, 512, 4, 512, 3, 1, 1], { occurs: 3 }),
  shape('resnet20.layer1', [128, 16, 32, 16, 3, 1, 1], { occurs: 6 }),
  shape('resnet50.stem', [16, 3, 224, 64, 7, 2, 3]),
  shape('resnet50.expand1', [16, 64, 56, 256, 1, 1, 0], { occurs: 4 }),
  shape('resnet50.layer1', [16, 64, 56, 64, 3, 1, 1], { occurs: 3 }),
  shape('resnet50.down2', [16, 128, 56, 128, 3, 2, 1]),
  shape('resnet50.reduce3', [16, 1024, 14, 256, 1, 1, 0], { occurs: 5 }),
  shape('resnet50.layer4', [16, 512, 7, 512, 3, 1, 1], { occurs: 2 }),
  shape('vgg.conv3', [8, 256, 56, 256, 3, 1, 1], { occurs: 2 }),
  shape('mobilenet.depthwise', [16, 144, 56, 144, 3, 1, 1], { groups: 144 }),
];

/** Layers that the usual blocking does not fit. */
const awkward: readonly ConvolutionShape[] = [
  shape('alexnet.stem', [16, 3, 224, 64, 11, 4, 2]),
  shape('alexnet.conv2', [64, 64, 27, 192, 5, 1, 2]),
  shape('convnext.patch', [16, 3, 224, 96, 4, 4, 0]),
  shape('lenet5.conv2', [128, 6, 14, 16, 5, 1, 0]),
  shape('resnet50.shortcut2', [16, 256, 56, 512, 1, 2, 0]),
  shape('resnet50.expand4', [16, 512, 7, 2048, 1, 1, 0], { occurs: 3 }),
  shape('resnext.layer1', [16, 128, 56, 128, 3, 1, 1], { occurs: 3, groups: 32 }), // 4 channels to a group
  shape('resnext.layer4', [16, 1024, 7, 1024, 3, 1, 1], { occurs: 2, groups: 32 }), // 32 channels to a group
  shape('mobilenet.depthwise2', [16, 144, 56, 144, 3, 2, 1], { groups: 144 }),
  shape('mobilenet.stem', [32, 3, 224, 32, 3, 2, 1]),
  shape('mobilenet.expand2', [32, 24, 56, 144, 1, 1, 0]),
  shape('mobilenet.project2', [32, 144, 56, 24, 1, 1, 0]),
  shape('regnet.layer3', [16, 240, 14, 240, 3, 1, 1], { groups: 10 }), // 24 channels to a group
  shape('deeplab.dilated', [8, 256, 28, 256, 3, 1, 2], { dilation: 2 }),
  shape('single.layer2', [1, 128, 16, 128, 3, 1, 1]),
  shape('single.reduce3', [1, 1024, 14, 256, 1, 1, 0]),
];

export const convolutions: readonly ConvolutionShape[] = [...common, ...awkward];

/** Height and width of the output: ⌊(H + 2P − d·(k − 1) − 1) / s⌋ + 1. */
export function outputSize(layer: ConvolutionShape): [number, number] {
  const { padding, dilation, kernel, stride } = layer;
  const along = (n: number) => Math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
  return [along(layer.height), along(layer.width)];
}

/** Operations of one pass over the unpadded problem, 2 for each multiplication and addition. */
export function flops(layer: ConvolutionShape): number {
  const [p, q] = outputSize(layer);
  return 2 * layer.batch * layer.filters * p * q * (layer.channels / layer.groups) * layer.kernel ** 2;
}
