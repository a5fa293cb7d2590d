import { decode, encode } from 'fast-png';
import { FoveaError } from '../errors.js';
import { maxDeflateRatio } from './gzip.js';

/** Pixels row-major with interleaved channels, 8 bits each. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 red green blue. */
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  /** Channels after decoding: 1 for grey, 3 for colour and palettes; alpha is dropped. */
  readonly channels: 1 | 3;
}

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Reads the size of a PNG from its first 26 bytes.
 * @throws FoveaError ERR_FORMAT
 */
export function readPngHeader(bytes: Uint8Array, source = 'PNG'): PngHeader {
  if (bytes.length < 33 || signature.some((byte, i) => bytes[i] !== byte)) {
    throw malformed(source, `not a PNG file of at least 33 bytes (${bytes.length} bytes)`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const depth = bytes[24] ?? 0;
  const colour = bytes[25] ?? 0;
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colour];
  if (samples === undefined || width === 0 || height === 0) {
    throw malformed(source, `header claims ${width}x${height} pixels of colour type ${colour}`);
  }
  const unpacked = height * (1 + Math.ceil((width * samples * depth) / 8));
  if (unpacked > bytes.length * maxDeflateRatio) {
    throw malformed(
      source,
      `header claims ${width}x${height} pixels (${unpacked} bytes), file has ${bytes.length} compressed bytes`,
    );
  }
  return { width, height, channels: colour === 0 || colour === 4 ? 1 : 3 };
}

/**
 * Decodes a PNG to 8 bits per channel; alpha is dropped, palettes are looked up.
 * @throws FoveaError ERR_FORMAT for damaged or truncated files (every chunk's CRC-32 is checked)
 */
export function decodePng(bytes: Uint8Array, source = 'PNG'): Picture {
  const { width, height, channels } = readPngHeader(bytes, source);
  let png: ReturnType<typeof decode>;
  try {
    png = decode(bytes, { checkCrc: true });
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw malformed(source, `damaged or truncated PNG of ${bytes.length} bytes (${detail})`, cause);
  }
  if (png.width !== width || png.height !== height)
    throw malformed(source, `expected ${width}x${height} pixels, got ${png.width}x${png.height}`);
  return { width, height, channels, data: toBytes(png, width, height, channels, source) };
}

function toBytes(
  png: ReturnType<typeof decode>,
  width: number,
  height: number,
  channels: 1 | 3,
  source: string,
): Uint8Array {
  const { depth, palette } = png;
  const samples = png.channels;
  const rowBytes = Math.ceil((width * samples * Math.min(depth, 8)) / 8);
  if (png.data.length !== height * (depth === 16 ? width * samples : rowBytes)) {
    throw malformed(
      source,
      `expected ${width}x${height} pixels of ${samples} channels, file holds ${png.data.length} bytes`,
    );
  }
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      for (let c = 0; c < channels; ++c) {
        data[(y * width + x) * channels + c] = sample(y, x, c);
      }
    }
  }
  return data;

  function sample(y: number, x: number, c: number): number {
    if (depth === 16) return (png.data[(y * width + x) * samples + c] ?? 0) >> 8;
    if (depth === 8 && !palette) return png.data[(y * width + x) * samples + c] ?? 0;
    const bit = x * depth; // fewer than 8 bits: one sample per pixel, high bits first
    const value = ((png.data[y * rowBytes + (bit >> 3)] ?? 0) >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
    return palette ? (palette[value]?.[c] ?? 0) : Math.round((value * 255) / (2 ** depth - 1));
  }
}

/** Encodes a picture as PNG. */
export function encodePng({ width, height, channels, data }: Picture): Uint8Array {
  return encode({ width, height, channels, depth: 8, data });
}

function malformed(source: string, detail: string, cause?: unknown): FoveaError {
  return new FoveaError('ERR_FORMAT', 'png', `${source}: ${detail}`, { cause });
}
