/**
 * A strict JSON reader (RFC 8259) that keeps what `JSON.parse` loses: a number's own spelling, and the fact that an
 * object named a member twice. Two programs that read such an object differently are how one person becomes another.
 */

/** A number as the source spelt it. */
export class Numeral {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Strict = null | boolean | string | Numeral | readonly Strict[] | ReadonlyMap<string, Strict>;

export type StrictRead =
  | { readonly ok: true; readonly value: Strict }
  /** `at`: characters before the fault. */
  | { readonly ok: false; readonly reason: string; readonly at: number };

const MAX_DEPTH = 64;
const BLANKS = /[ \t\n\r]*/y;
const NUMERAL = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: readonly (readonly [string, null | boolean])[] = [
  ['null', null],
  ['true', true],
  ['false', false],
];

class Fault extends Error {}

/** Reads exactly one value with nothing after it. */
export function readStrict(text: string): StrictRead {
  const scan = new Scan(text);
  try {
    const value = scan.value(0);
    if (scan.at < text.length) scan.fail('something follows the value');
    return { ok: true, value };
  } catch (thrown) {
    if (thrown instanceof Fault) return { ok: false, reason: thrown.message, at: scan.at };
    throw thrown;
  }
}

class Scan {
  at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    this.#blanks();
  }

  fail(reason: string): never {
    throw new Fault(reason);
  }

  /** Leaves blanks behind it. */
  value(depth: number): Strict {
    if (depth > MAX_DEPTH) this.fail(`it is nested deeper than ${MAX_DEPTH}`);
    const first = this.#text[this.at];
    const value =
      first === '{'
        ? this.#object(depth)
        : first === '['
          ? this.#array(depth)
          : first === '"'
            ? this.#string()
            : this.#plain();
    this.#blanks();
    return value;
  }

  #blanks(): void {
    BLANKS.lastIndex = this.at;
    BLANKS.test(this.#text);
    this.at = BLANKS.lastIndex;
  }

  /** Whether the next character is this one; then it is passed, with the blanks after it. */
  #passes(character: string): boolean {
    if (this.#text[this.at] !== character) return false;
    this.at += 1;
    this.#blanks();
    return true;
  }

  #object(depth: number): ReadonlyMap<string, Strict> {
    const members = new Map<string, Strict>();
    this.#passes('{');
    if (this.#text[this.at] !== '}') {
      do {
        if (this.#text[this.at] !== '"') this.fail('a member name was expected');
        const name = this.#string();
        this.#blanks();
        if (members.has(name)) this.fail(`the member ${JSON.stringify(name.slice(0, 40))} is there twice`);
        if (!this.#passes(':')) this.fail('a colon was expected');
        members.set(name, this.value(depth + 1));
      } while (this.#passes(','));
    }
    if (this.#text[this.at] !== '}') this.fail('a comma or the end of the object was expected');
    this.at += 1;
    return members;
  }

  #array(depth: number): readonly Strict[] {
    const items: Strict[] = [];
    this.#passes('[');
    if (this.#text[this.at] !== ']') {
      do items.push(this.value(depth + 1));
      while (this.#passes(','));
    }
    if (this.#text[this.at] !== ']') this.fail('a comma or the end of the array was expected');
    this.at += 1;
    return items;
  }

  #string(): string {
    const start = this.at;
    let escaped = false;
    for (let at = start + 1; at < this.#text.length; at += 1) {
      const unit = this.#text.charCodeAt(at);
      if (unit === 0x5c) {
        escaped = true;
        at += 1;
      } else if (unit === 0x22) {
        const value = escaped ? this.#unescape(this.#text.slice(start, at + 1)) : this.#text.slice(start + 1, at);
        this.at = at + 1;
        return value;
      } else if (unit < 0x20) {
        this.at = at;
        this.fail('a control character stands in a string');
      }
    }
    this.at = this.#text.length;
    return this.fail('a string is never closed');
  }

  #unescape(token: string): string {
    try {
      return JSON.parse(token);
    } catch {
      return this.fail('a string has an escape that JSON does not know');
    }
  }

  #plain(): Strict {
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    NUMERAL.lastIndex = this.at;
    const numeral = NUMERAL.exec(this.#text)?.[0];
    if (numeral === undefined) this.fail(this.at < this.#text.length ? 'a value was expected' : 'it ends too early');
    this.at += numeral!.length;
    return new Numeral(numeral!);
  }
}

/** The value's text without blanks, members sorted by UTF-16 code units (RFC 8785 section 3.2.3), numbers as spelt. */
export function compact(value: Strict): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (value instanceof Numeral) return value.text;
  if (isList(value)) return `[${value.map(compact).join(',')}]`;
  const members = [...value.keys()].sort().map((name) => `${JSON.stringify(name)}:${compact(value.get(name)!)}`);
  return `{${members.join(',')}}`;
}

export const isList = (value: Strict): value is readonly Strict[] => Array.isArray(value);
export const isObject = (value: Strict | undefined): value is ReadonlyMap<string, Strict> => value instanceof Map;

/** The value at a JSON pointer (RFC 6901), or undefined. */
export function pointTo(root: Strict, pointer: string): Strict | undefined {
  let value: Strict | undefined = root;
  for (const token of pointer === '' ? [] : pointer.slice(1).split('/')) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
    if (isObject(value)) value = value.get(name);
    else if (value !== undefined && isList(value))
      value = /^(0|[1-9]\d*)$/.test(name) ? value[Number(name)] : undefined;
    else return undefined;
  }
  return value;
}
