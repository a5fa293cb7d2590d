import { need, type Operation } from './view.js';

/** The same elements in the same order under another shape. */
export const reshape: Operation = (inputs, outputs) => {
  need(outputs, 0).data.set(need(inputs, 0).data);
};

/** The same logical value in another layout: all layouts are plain here, so a copy. */
export const reorder: Operation = reshape;

/** Copies a value into one that outlives the program. */
export const assign: Operation = reshape;
