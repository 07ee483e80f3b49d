/** Where in the text of `writgate.yaml` something stands: from a path, or from an offset inside a scalar, to a place. */
import { type Document, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair, type Scalar } from 'yaml';

export type Path = readonly (string | number)[];

/** Offsets into the text, `end` excluded. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

interface Found {
  readonly key: Node | null;
  readonly value: Node | null;
}

function step(node: Node | null, segment: string | number): Found | null {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment)) as
      | Pair<Node, Node>
      | undefined;
    return pair ? { key: pair.key, value: pair.value } : null;
  }
  if (isSeq(node)) {
    const item = node.items[Number(segment)] as Node | undefined;
    return item ? { key: null, value: item } : null;
  }
  return null;
}

/** Follows the path as far as the text goes: what is missing is told where it should have been. */
function find(document: Document, path: Path): Found {
  let found: Found = { key: null, value: document.contents as Node | null };
  for (const segment of path) {
    const next = step(found.value, segment);
    if (next === null) return { key: found.key, value: found.key === null ? found.value : null };
    found = next;
  }
  return found;
}

const spanOf = (node: Node | null): Span | null => (node?.range ? { start: node.range[0], end: node.range[1] } : null);

/** The value at the path, or its key where there is no value or the key is what matters. */
export function locate(document: Document, path: Path, at: 'key' | 'value' = 'value'): Span {
  const { key, value } = find(document, path);
  const [first, second] = at === 'key' ? [key, value] : [value, key];
  const span = spanOf(first) ?? spanOf(second) ?? { start: 0, end: 0 };
  // A whole map is no place to point at: its first character is.
  return isMap(first ?? second) || isSeq(first ?? second) ? { start: span.start, end: span.start + 1 } : span;
}

/** The place of a piece of the text that a scalar holds, whatever its quotes, escapes, folds and indentation. */
export function locateInside(document: Document, path: Path, text: string, piece: Span): Span {
  const { value } = find(document, path);
  if (!isScalar(value) || typeof value.value !== 'string' || !value.range) return locate(document, path);
  const start = sourceOffset(value as Scalar<string>, text, piece.start);
  return { start, end: Math.max(start + 1, sourceOffset(value as Scalar<string>, text, piece.end)) };
}

const ESCAPE_LENGTH: Readonly<Record<string, number>> = { x: 4, u: 6, U: 10 };

/** Walks the source and the value side by side; folded lines and indentation count as the blank that they became. */
function sourceOffset(scalar: Scalar<string>, text: string, offset: number): number {
  const [start, end] = scalar.range!;
  const isBlock = scalar.type === 'BLOCK_LITERAL' || scalar.type === 'BLOCK_FOLDED';
  const isQuoted = scalar.type === 'QUOTE_DOUBLE' || scalar.type === 'QUOTE_SINGLE';
  let at = isQuoted ? start + 1 : start;
  if (isBlock) at = skipBlank(text, text.indexOf('\n', start) + 1);
  let done = 0;
  while (done < offset && at < end) {
    const character = text[at]!;
    if (scalar.type === 'QUOTE_DOUBLE' && character === '\\') {
      at += ESCAPE_LENGTH[text[at + 1] ?? ''] ?? 2;
      done++;
    } else if (scalar.type === 'QUOTE_SINGLE' && text.startsWith("''", at)) {
      at += 2;
      done++;
    } else if (character === '\n' || character === '\r') {
      at = skipBlank(text, at);
      while (/\s/.test(scalar.value[done] ?? '')) done++;
    } else {
      at++;
      done++;
    }
  }
  return Math.min(at, end);
}

function skipBlank(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text[at] ?? '')) at++;
  return at;
}

/** 1-based line and column. */
export function lineAndColumn(lines: LineCounter, offset: number): { readonly line: number; readonly column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
