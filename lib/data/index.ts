export { type ArrayDatasetOptions, InMemoryDataset, InMemorySplit } from './array-dataset.js';
export { cifar10 } from './cifar10.js';
export {
  type ArrayDataset,
  type Dataset,
  isArrayDataset,
  type Normalization,
  type Sample,
  type SplitDataset,
} from './dataset.js';
export { type OpenedData, openFolder } from './detect.js';
export { type FromArraysOptions, fromArrays } from './from-arrays.js';
export { type GlyphsOptions, glyphs } from './glyphs.js';
export { type IdxOptions, idx } from './idx.js';
export { imageFolder } from './image-folder.js';
export { type NpzOptions, npz } from './npz.js';
