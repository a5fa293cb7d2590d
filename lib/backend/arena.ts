/** A piece of memory that is needed from step `from` to step `to`, both included. */
export interface Interval {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

/** Offsets are multiples of a cache line, so that every value may be read with aligned vectors. */
export const alignment = 64;

/** `bytes` rounded up to the alignment. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** The size of an arena, and each interval's place in it. */
export interface Placement {
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/**
 * Places intervals in one arena so that no two that live at the same step overlap: greedy by size, largest first, each
 * into the smallest gap that holds it between those placed before (Pisarchyk and Lee 2020, "Efficient memory
 * management for deep neural net inference": within a few percent of the largest sum of live bytes in practice).
 *
 * Operators give each core the same share of the images in every value. Where values follow each other in one place, the
 * cores' shares should lie on each other too: a line that another core has written last costs more than one of the own
 * cache, and where the two have no cache in common more than one from memory. So then intervals move, within the arena
 * that they have, to where their middle is that of what lies there before and after them: of two clusters of cores each
 * keeps its side.
 */
export function placeIntervals(intervals: readonly Interval[]): Placement {
  const order = intervals.map((_, i) => i).filter((i) => (intervals[i] as Interval).bytes > 0);
  order.sort((a, b) => (intervals[b] as Interval).bytes - (intervals[a] as Interval).bytes || a - b);
  const sorted = order.map((i) => intervals[i] as Interval);
  const dense = new Arena(sorted, false);
  const { pieces } = dense.lines * alignment <= cachesHold ? withLessCrossing(dense, sorted) : dense;
  const offsets = intervals.map(() => 0);
  for (const [at, { start }] of pieces.entries()) offsets[order[at] as number] = start * alignment;
  return { offsets, bytes: dense.lines * alignment };
}

function withLessCrossing(dense: Arena, sorted: readonly Interval[]): Arena {
  for (let sweep = 0; sweep < sweeps; sweep++) dense.sweep();
  const beside = new Arena(sorted, true);
  return beside.lines <= dense.lines && beside.crossing() < dense.crossing() ? beside : dense;
}

// Of a larger arena no caches hold what was there before, whoever wrote it.
const cachesHold = 64 * 2 ** 20;
// The second sweep finds what the first has moved.
const sweeps = 2;
// From so many lines on one more or less is worth the search.
const worthMoving = 1024;
// More than any arena has.
const endless = 2 ** 50;

/** An interval with its place, in lines. */
interface Piece {
  readonly lines: number;
  readonly from: number;
  readonly to: number;
  start: number;
}

/**
 * Pieces on their way to their places. All of it counts whole lines: V8 has fractions on the heap, whose megabytes would
 * count as the training step's.
 */
class Arena {
  readonly pieces: Piece[] = []; // largest first
  lines = 0;
  private readonly inOrder: Piece[] = []; // by start

  /** @param moving  puts each at once where least crosses, which may leave gaps that nothing fits into */
  constructor(sorted: readonly Interval[], moving: boolean) {
    for (const { bytes, from, to } of sorted) {
      const piece = { lines: aligned(bytes) / alignment, from, to, start: 0 };
      piece.start = this.startOfSmallestGap(piece);
      this.lines = Math.max(this.lines, piece.start + piece.lines);
      if (moving) piece.start = this.placeOfLeastCrossing(piece);
      this.pieces.push(piece);
      this.insert(piece);
    }
  }

  /** Moves each piece to where least of it crosses. */
  sweep(): void {
    for (const piece of this.pieces) {
      const start = this.placeOfLeastCrossing(piece);
      if (start === piece.start) continue;
      this.inOrder.splice(this.inOrder.indexOf(piece), 1);
      piece.start = start;
      this.insert(piece);
    }
  }

  /** What crosses between all of them, twice. */
  crossing(): number {
    return this.pieces.reduce((sum, piece) => sum + this.crossingAt(piece.start, piece), 0);
  }

  private insert(piece: Piece): void {
    const at = this.inOrder.findIndex(({ start }) => start > piece.start);
    this.inOrder.splice(at < 0 ? this.inOrder.length : at, 0, piece);
  }

  // visit(start, end) for the parts of [0, limit) that hold the piece and that are free while it lives.
  private gaps(piece: Piece, limit: number, visit: (start: number, end: number) => void): void {
    let start = 0;
    for (const other of this.inOrder) {
      if (other === piece || !overlap(other, piece)) continue;
      if (other.start - start >= piece.lines) visit(start, other.start);
      start = Math.max(start, other.start + other.lines);
    }
    if (limit - start >= piece.lines) visit(start, limit);
  }

  private startOfSmallestGap(piece: Piece): number {
    let best = 0;
    let smallest = 2 * endless;
    this.gaps(piece, endless, (start, end) => {
      if (end - start >= smallest) return;
      smallest = end - start;
      best = start;
    });
    return best;
  }

  // Tries both ends of each gap, and where the middle of the piece is that of something else.
  private placeOfLeastCrossing(piece: Piece): number {
    if (piece.lines < worthMoving) return piece.start;
    let best = piece.start;
    let least = this.crossingAt(best, piece);
    const consider = (start: number) => {
      const crossed = this.crossingAt(start, piece);
      if (crossed >= least) return;
      least = crossed;
      best = start;
    };
    this.gaps(piece, this.lines, (start, end) => {
      const last = end - piece.lines;
      consider(start);
      consider(last);
      for (const other of this.inOrder) {
        const beside = other.start + ((other.lines - piece.lines) >> 1);
        if (other !== piece && beside > start && beside < last && !overlap(other, piece)) consider(beside);
      }
    });
    return best;
  }

  // What crosses between the piece, if it were at `start`, and all that lie there at other times.
  private crossingAt(start: number, piece: Piece): number {
    let sum = 0;
    for (const other of this.pieces) {
      if (other !== piece && !overlap(other, piece)) sum += crossing(start, piece, other);
    }
    return sum;
  }
}

function overlap(a: { from: number; to: number }, b: { from: number; to: number }): boolean {
  return a.from <= b.to && b.from <= a.to;
}

/**
 * Lines that are in the first half of one and in the second half of the other: the fewer, the more steps there are between
 * their lives.
 */
function crossing(start: number, { lines, from, to }: Piece, other: Piece): number {
  const middle = start + (lines >> 1);
  const otherMiddle = other.start + (other.lines >> 1);
  const first = Math.min(middle, other.start + other.lines) - Math.max(start, otherMiddle);
  const second = Math.min(start + lines, otherMiddle) - Math.max(middle, other.start);
  const between = from > other.to ? from - other.to : other.from - to;
  return (Math.max(0, first) + Math.max(0, second)) >> (31 - Math.clz32(between + 1));
}
