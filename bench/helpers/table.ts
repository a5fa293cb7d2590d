/** Prints rows under a header, numbers to the right; a row at a time, so that a long bench shows that it lives. */
export class Table {
  constructor(private readonly columns: readonly { readonly title: string; readonly width: number }[]) {
    console.log(this.line(columns.map(({ title }) => title)));
  }

  row(...cells: readonly (string | number)[]): void {
    console.log(this.line(cells.map((cell) => (typeof cell === 'number' ? format(cell) : cell))));
  }

  private line(cells: readonly string[]): string {
    const padded = this.columns.map(({ width }, i) =>
      i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width),
    );
    return padded.join(' ').trimEnd();
  }
}

/** Three significant digits, and no exponent. */
export function format(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export const percent = (share: number) => (Number.isFinite(share) ? `${(100 * share).toFixed(0)} %` : '-');
