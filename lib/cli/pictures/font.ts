/** Height of a line of text in font pixels, the gap below letters included. */
export const lineHeight = 9;

/**
 * The 5×7 dot matrix font of character displays: five columns per character from ! to ~, two hexadecimal digits each,
 * the lowest bit on top. Bit 7 reaches below the line.
 */
const columns =
  '00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0000070000 001c224100 0041221c00 2a1c7f1c2a ' +
  '08083e0808 0080603000 0808080808 0000606000 2010080402 3e5149453e 00427f4000 4261514946 2141454b31 1814127f10 ' +
  '2745454539 3c4a494930 0171090503 3649494936 064949291e 0036360000 0056360000 0814224100 1414141414 0041221408 ' +
  '0201510906 324979413e 7e1111117e 7f49494936 3e41414122 7f4141221c 7f49494941 7f09090901 3e4149497a 7f0808087f ' +
  '00417f4100 2040413f01 7f08142241 7f40404040 7f020c027f 7f0408107f 3e4141413e 7f09090906 3e4151215e 7f09192946 ' +
  '4649494931 01017f0101 3f4040403f 1f2040201f 3f4038403f 6314081463 0708700807 6151494543 007f414100 0204081020 ' +
  '0041417f00 0402010204 4040404040 0001020400 2054545478 7f48444438 3844444420 384444487f 3854545418 087e090102 ' +
  '18a4a4a47c 7f08040478 00447d4000 4080847d00 7f10284400 00417f4000 7c04180478 7c08040478 3844444438 fc24242418 ' +
  '18242418fc 7c08040408 4854545420 043f444020 3c4040207c 1c2040201c 3c4030403c 4428102844 1ca0a0a07c 4464544c44 ' +
  '0008364100 00007f0000 0041360800 0804081008';

/** Characters beyond ASCII that labels use. */
const extra: Readonly<Record<string, string>> = {
  '→': '08082a1c08',
  '×': '0022140822',
  '·': '0000080000',
  '−': '0808080808',
};

const glyphs = new Map<string, readonly number[]>([[' ', [0, 0, 0]]]);
for (const [index, code] of columns.split(' ').entries()) glyphs.set(String.fromCharCode(33 + index), trimmed(code));
for (const [character, code] of Object.entries(extra)) glyphs.set(character, trimmed(code));

/** Empty columns at both sides go: the font is proportional, but digits keep their width so that numbers line up. */
function trimmed(code: string): number[] {
  const bytes = (code.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
  const first = bytes.findIndex((byte) => byte !== 0);
  return bytes.slice(first, bytes.findLastIndex((byte) => byte !== 0) + 1);
}

/** The columns of a character; a box for one that the font does not have. */
export function glyph(character: string): readonly number[] {
  return glyphs.get(character) ?? [0x7f, 0x41, 0x41, 0x41, 0x7f];
}

/** Width of a text in font pixels. */
export function textWidth(text: string): number {
  return [...text].reduce((width, character) => width + glyph(character).length + 1, 0) - (text ? 1 : 0);
}
