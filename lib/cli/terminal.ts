/** Writes lines; the only place that knows standard output. */
export interface Output {
  line(text?: string): void;
  readonly isTerminal: boolean;
}

export const standardOutput: Output = {
  line: (text = '') => void process.stdout.write(`${text}\n`),
  get isTerminal() {
    return process.stdout.isTTY === true && process.env.TERM !== 'dumb';
  },
};

/** 98.25 % */
export function percent(share: number, digits = 2): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** 12,345 */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 42 s, 3:07, 1:02:03 */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
