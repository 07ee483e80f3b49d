/**
 * Text for a terminal of 100 columns: columns that stand under each other, long sentences that wrap, and nothing in it
 * that a name could smuggle in to move the cursor or turn the direction of reading.
 */

export const WIDTH = 100;

/** Of a narrower terminal, its own: sentences break there. Tables are clipped at `WIDTH` only, as they were made. */
export const pageWidth = (terminal: { readonly columns?: number }): number =>
  Math.max(40, Math.min(WIDTH, terminal.columns ?? WIDTH));

/** How words stand out: identity where there are no colours. */
export interface Paint {
  readonly add: (text: string) => string;
  readonly remove: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

const plain = (text: string): string => text;
export const PLAIN: Paint = { add: plain, remove: plain, warn: plain, dim: plain, bold: plain };

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    text === '' ? '' : `\u001b[${on}m${text}\u001b[${off}m`;
export const COLOURED: Paint = {
  add: sgr(32, 39),
  remove: sgr(31, 39),
  warn: sgr(33, 39),
  dim: sgr(2, 22),
  bold: sgr(1, 22),
};

/**
 * Makes every text in an answer safe to show: control characters, line breaks and marks of direction, which names from
 * feeds and targets may hold, become visible. What people sign is never drawn from anything else.
 */
export function clean<T>(value: T): T {
  if (typeof value === 'string') return value.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, visible) as T;
  if (Array.isArray(value)) return value.map(clean) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [clean(key), clean(each)])) as T;
}

const visible = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}}`;

export const clip = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;

/** Rows in columns, two blanks apart. @param most widest that each column may be; the last one may have all that is left */
export function columns(
  rows: readonly (readonly string[])[],
  most: readonly number[] = [],
): readonly (readonly string[])[] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) =>
    Math.min(most[column] ?? WIDTH, Math.max(0, ...rows.map((row) => (row[column] ?? '').length))),
  );
  return rows.map((row) => widths.map((width, column) => clip(row[column] ?? '', width).padEnd(width)));
}

/** One line of cells, no longer than the page, and no blanks at its end. */
export const line = (cells: readonly string[], indent = 0): string =>
  clip(' '.repeat(indent) + cells.join('  '), WIDTH).trimEnd();

export const table = (rows: readonly (readonly string[])[], indent = 0, most: readonly number[] = []): string[] =>
  columns(rows, most).map((cells) => line(cells, indent));

/** Breaks at blanks; what follows stands under `indent`. A word that is longer than the page stays whole. */
export function wrap(text: string, first = '', indent = first.length, width = pageWidth(process.stdout)): string[] {
  const lines: string[] = [];
  let current = first;
  let isEmpty = true;
  for (const word of text.split(' ')) {
    if (!isEmpty && current.length + 1 + word.length > width) {
      lines.push(current.trimEnd());
      current = ' '.repeat(indent);
      isEmpty = true;
    }
    current += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, current.trimEnd()];
}

export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

const STEPS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** `3 h`, `26 h`, `2 d`: the largest unit that fits, rounded down; under two of a unit the next one says more. */
export function spell(ms: number): string {
  const [unit, name] = STEPS.find(([size]) => ms >= 2 * size) ?? STEPS.findLast(([size]) => ms >= size) ?? [1, 'ms'];
  return `${Math.floor(ms / unit)} ${name}`;
}

/** `06:00` today, `2027-01-03 06:00` otherwise; UTC, as everything that is sealed. */
export function clockTime(iso: string, now: number): string {
  const [date = '', time = ''] = iso.split('T');
  const today = new Date(now).toISOString().slice(0, 10);
  return date === today ? time.slice(0, 5) : `${date} ${time.slice(0, 5)}`;
}
