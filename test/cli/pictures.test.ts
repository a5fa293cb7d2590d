import { describe, expect, test } from 'vitest';
import { blend, Canvas, type Colour, fitText, isDark } from '../../lib/cli/pictures/canvas.js';
import { confusionMatrix, drawConfusionMatrix } from '../../lib/cli/pictures/confusion-matrix.js';
import { drawFilters } from '../../lib/cli/pictures/filters.js';
import { glyph, textWidth } from '../../lib/cli/pictures/font.js';
import { drawMistakes } from '../../lib/cli/pictures/mistakes.js';
import { fromArrays } from '../../lib/data/from-arrays.js';
import { decodePng, encodePng } from '../../lib/formats/png.js';
import { Tensor } from '../../lib/tensor.js';

const at = (canvas: Canvas, x: number, y: number) => [
  ...canvas.data.subarray((y * canvas.width + x) * 3, (y * canvas.width + x) * 3 + 3),
];
const black: Colour = [0, 0, 0];

/** The dark pixels as text, one line per row. */
function shape(canvas: Canvas): string[] {
  return Array.from({ length: canvas.height }, (_, y) =>
    Array.from({ length: canvas.width }, (_, x) => (at(canvas, x, y)[0] === 255 ? '.' : '#')).join(''),
  );
}

describe('text', () => {
  test('every printable character has a shape of its own', () => {
    const all = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).concat('→', '×', '·', '−');
    const shapes = new Set(all.map((character) => glyph(character).join()));
    expect(shapes.size).toBe(all.length - 1); // − looks like -
    for (const character of all) expect(glyph(character)).not.toEqual(glyph('\u{1F600}'));
  });

  test('letters stand where they should, also upwards', () => {
    const canvas = new Canvas(11, 9);
    canvas.text('L1', 1, 1, { scale: 1, colour: black });
    expect(shape(canvas)).toEqual([
      '...........',
      '.#......#..',
      '.#.....##..',
      '.#......#..',
      '.#......#..',
      '.#......#..',
      '.#......#..',
      '.#####.###.',
      '...........',
    ]);
    const turned = new Canvas(9, 7);
    turned.text('L', 1, 6, { scale: 1, colour: black, upwards: true });
    expect(shape(turned)).toEqual([
      '.........',
      '.......#.',
      '.......#.',
      '.......#.',
      '.......#.',
      '.#######.',
      '.........',
    ]);
  });

  test('alignment and fitting', () => {
    const width = textWidth('abc');
    for (const [align, x] of [
      ['left', 0],
      ['centre', 20],
      ['right', 40],
    ] as const) {
      const canvas = new Canvas(40, 9);
      canvas.text('abc', x, 0, { scale: 1, align });
      const columns = shape(canvas)[6]?.split('') ?? [];
      expect(columns.lastIndexOf('#') - columns.indexOf('#')).toBeLessThan(width);
      expect(columns.indexOf('#')).toBeGreaterThanOrEqual(
        { left: 0, centre: 20 - Math.ceil(width / 2), right: 40 - width }[align],
      );
    }
    expect(fitText('short', 1000)).toBe('short');
    const fitted = fitText('a very long name of a class', 100);
    expect(fitted).toMatch(/^a very.*\.$/);
    expect(textWidth(fitted) * 2).toBeLessThanOrEqual(100);
  });

  test('what lies outside of the canvas is cut off', () => {
    const canvas = new Canvas(4, 4);
    canvas.rect(-5, -5, 7, 7, black);
    canvas.text('WWW', -3, 2);
    expect(at(canvas, 1, 1)).toEqual([0, 0, 0]);
    expect(canvas.data.length).toBe(48);
  });
});

test('colours', () => {
  expect(
    blend(
      [
        [0, 0, 0],
        [100, 200, 50],
      ],
      0.5,
    ),
  ).toEqual([50, 100, 25]);
  expect(
    blend(
      [
        [0, 0, 0],
        [100, 200, 50],
      ],
      7,
    ),
  ).toEqual([100, 200, 50]);
  expect([isDark([0, 0, 0]), isDark([255, 255, 255])]).toEqual([true, false]);
});

test('the matrix counts each pair', () => {
  expect(confusionMatrix([0, 0, 1, 2, 2], [0, 1, 1, 2, 0], 3)).toEqual([
    [1, 1, 0],
    [0, 1, 0],
    [1, 0, 1],
  ]);
});

test('shares of 100 % below neighbouring columns do not touch', () => {
  const classes = ['0', '1', '2', '3'];
  const perfect = classes.map((_, i) => classes.map((_, j) => (i === j ? 5 : 0)));
  const { data, width, height } = drawConfusionMatrix(perfect, classes, 'title');
  const last = height - 38; // rows of the shares end some pixels below the matrix
  const inked = (x: number) =>
    Array.from({ length: 14 }, (_, y) => data[((last + y) * width + x) * 3] as number).some((red) => red < 200);
  const columns = Array.from({ length: width }, (_, x) => inked(x));
  let texts = 0; // with gaps between them as wide as letters
  for (let x = 0, gap = 12; x < width; ++x) {
    if (columns[x] && gap >= 12) ++texts;
    gap = columns[x] ? 0 : gap + 1;
  }
  expect(texts).toBe(1 + classes.length); // 'precision %' and theirs
});

describe('pictures are whole PNG files, at any number of classes', () => {
  for (const classes of [2, 10, 40]) {
    test(`confusion matrix of ${classes}`, () => {
      const counts = Array.from({ length: classes }, (_, i) =>
        Array.from({ length: classes }, (_, j) => (i === j ? 12345 : j)),
      );
      const names = Array.from({ length: classes }, (_, i) => `class number ${i} with a long name`);
      const canvas = drawConfusionMatrix(counts, names, 'title');
      const png = decodePng(encodePng(canvas));
      expect([png.width, png.height]).toEqual([canvas.width, canvas.height]);
      expect(canvas.width).toBeLessThan(1300);
    });
  }

  for (const [count, channels, side] of [
    [1, 1, 3],
    [6, 3, 5],
    [32, 1, 3],
    [64, 3, 7],
    [20, 2, 11],
  ] as const) {
    test(`${count} filters of ${side}×${side} over ${channels} channels`, () => {
      const canvas = drawFilters(Tensor.randn([count, channels, side, side], { seed: 1 }), 'title');
      expect(new Set(canvas.data).size).toBeGreaterThan(5);
      expect(drawFilters(Tensor.zeros([count, channels, side, side]), 'title').height).toBe(canvas.height);
    });
  }

  test('mistakes: none, few, many; grey and colour, bytes and floats', () => {
    const bytes = fromArrays(
      Uint8Array.from({ length: 100 * 12 }, (_, i) => i % 256),
      new Int32Array(100),
      { imageShape: [3, 2, 2] },
    );
    const floats = fromArrays(Tensor.randn([100, 1, 4, 4], { seed: 1 }), new Int32Array(100));
    for (const set of [bytes, floats]) {
      for (const count of [0, 3, 100]) {
        const mistakes = Array.from({ length: count }, (_, index) => ({
          index,
          truth: 0,
          predicted: 1,
          confidence: index / 100,
        }));
        const canvas = drawMistakes(set, mistakes, 'title');
        expect(canvas.height).toBeLessThan(1400);
        expect(decodePng(encodePng(canvas)).width).toBe(canvas.width);
      }
    }
  });
});
