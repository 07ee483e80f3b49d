/**
 * Search filters (RFC 4515), the part that identity work needs: and, or, not, equality, presence.
 *
 * A connector writes them with the builders, which escape; the gateway parses and writes them again, so that what is
 * sent is what was understood. Substring, ordering, approximate and extensible matches are refused.
 */

export type Filter =
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Filter[] }
  | { readonly kind: 'not'; readonly part: Filter }
  | { readonly kind: 'equal'; readonly attribute: string; readonly value: string }
  | { readonly kind: 'present'; readonly attribute: string };

export const equal = (attribute: string, value: string): Filter => ({ kind: 'equal', attribute, value });
export const not = (part: Filter): Filter => ({ kind: 'not', part });
export const and = (...parts: readonly Filter[]): Filter => ({ kind: 'and', parts });
export const present = (attribute: string): Filter => ({ kind: 'present', attribute });

/** RFC 4515 section 3: these five octets; other characters stand for themselves in UTF-8. */
const escapeValue = (value: string): string =>
  value.replace(/[\0()*\\]/g, (char) => `\\${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

export function writeFilter(filter: Filter): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return `(${filter.kind === 'and' ? '&' : '|'}${filter.parts.map(writeFilter).join('')})`;
    case 'not':
      return `(!${writeFilter(filter.part)})`;
    case 'equal':
      return `(${filter.attribute}=${escapeValue(filter.value)})`;
    case 'present':
      return `(${filter.attribute}=*)`;
  }
}

/** Every attribute that a filter asks about, lower case. */
export function attributesOf(filter: Filter): readonly string[] {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.parts.flatMap(attributesOf);
    case 'not':
      return attributesOf(filter.part);
    case 'equal':
    case 'present':
      return [filter.attribute.toLowerCase()];
  }
}

const MAX_DEPTH = 8;
const utf8 = new TextDecoder('utf-8', { fatal: true });

function unescapeValue(text: string): string | null {
  if (!/^(?:[^\0()*\\]|\\[0-9a-fA-F]{2})*$/.test(text)) return null;
  const bytes = text.split(/(\\[0-9a-fA-F]{2})/).map((part, index) => {
    return index % 2 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part);
  });
  try {
    return utf8.decode(Buffer.concat(bytes));
  } catch {
    return null;
  }
}

function parseAt(text: string, at: number, depth: number): { filter: Filter; end: number } | null {
  if (text[at] !== '(' || depth > MAX_DEPTH) return null;
  const operator = text[at + 1];
  if (operator === '&' || operator === '|' || operator === '!') {
    const parts: Filter[] = [];
    let end = at + 2;
    while (text[end] === '(') {
      const part = parseAt(text, end, depth + 1);
      if (!part) return null;
      parts.push(part.filter);
      end = part.end;
    }
    if (text[end] !== ')' || parts.length === 0 || (operator === '!' && parts.length > 1)) return null;
    const filter: Filter =
      operator === '!' ? { kind: 'not', part: parts[0]! } : { kind: operator === '&' ? 'and' : 'or', parts };
    return { filter, end: end + 1 };
  }
  const item = /^\(([A-Za-z][A-Za-z0-9-]*)=([^()]*)\)/.exec(text.slice(at));
  if (!item) return null;
  const [whole, attribute, raw] = item as unknown as [string, string, string];
  const end = at + whole.length;
  if (raw === '*') return { filter: present(attribute), end };
  const value = unescapeValue(raw);
  return value === null || value === '' ? null : { filter: equal(attribute, value), end };
}

/** @returns null for what is not a filter of this subset, or is longer than 4000 characters. */
export function parseFilter(text: string): Filter | null {
  if (text.length > 4000 || !text.isWellFormed()) return null;
  const parsed = parseAt(text, 0, 0);
  return parsed && parsed.end === text.length ? parsed.filter : null;
}
