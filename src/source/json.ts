/** JSON pages, as an HTTP source with a cursor sends them: items by a JSON pointer (RFC 6901), one page a `push`. */
import type { Feed } from '../authority/authority.ts';
import { type Assayer, isBlank, MAX_COLUMNS, MAX_RECORD, type Reader, type Trouble } from './records.ts';
import { compact, isList, isObject, Numeral, pointTo, readStrict, type Strict } from './strict.ts';

export type Paging = NonNullable<Feed['json']>;

export class JsonReader implements Reader {
  readonly #assayer: Assayer;
  readonly #paging: Paging;
  #page = 0;
  #item = 0;
  #total: number | null = null;

  constructor(assayer: Assayer, paging: Paging) {
    this.#assayer = assayer;
    this.#paging = paging;
  }

  get place(): string {
    return `page ${this.#page + 1}`;
  }

  /** How many records the source says it has, where its contract points to that; null where the pages do not say. */
  get total(): number | null {
    return this.#total;
  }

  push(text: string): Trouble | null {
    this.#page += 1;
    const refuse = (why: string): Trouble => ({ code: 'page', message: `page ${this.#page}: ${why}` });
    const read = readStrict(text);
    if (!read.ok) return refuse(`it is not JSON at character ${read.at}: ${read.reason}`);
    const items = pointTo(read.value, this.#paging.items);
    if (items === undefined || !isList(items)) return refuse(`there is no array at \`${this.#paging.items}\``);
    const total = this.#paging.total === undefined ? undefined : pointTo(read.value, this.#paging.total);
    if (total instanceof Numeral && /^\d{1,15}$/.test(total.text)) this.#total = Number(total.text);
    for (const item of items) {
      this.#item += 1;
      const trouble = takeObject(this.#assayer, this.#item, item);
      if (trouble) return trouble;
    }
    return null;
  }

  end(): Trouble | null {
    return this.#page > 0 ? null : { code: 'empty', message: 'the source sent no page' };
  }
}

/** The next page's cursor as the page names it; null after the last one. */
export function nextCursor(page: string, paging: Paging): string | null {
  const read = readStrict(page);
  const next = read.ok ? pointTo(read.value, paging.next) : undefined;
  if (next instanceof Numeral) return next.text;
  return typeof next === 'string' && next !== '' ? next : null;
}

/** Hands one object of NDJSON or of a page to the assayer in the normal form. */
export function takeObject(assayer: Assayer, line: number, value: Strict): Trouble | null {
  const aside = (reason: string, key: string | null = null) => assayer.quarantine({ key, line, reason });
  if (!isObject(value)) return aside('it is not an object');
  if (value.size > MAX_COLUMNS) return aside(`it has ${value.size} members, limit ${MAX_COLUMNS}`);
  const row = new Map([...value].map(([name, member]) => [name, plain(member)]));
  const members = [...row.keys()].sort().map((name) => `${JSON.stringify(name)}:${JSON.stringify(row.get(name))}`);
  const text = `{${members.join(',')}}`;
  const values = assayer.watched.map((name) => row.get(name));
  const flaw =
    text.length > MAX_RECORD
      ? `it is longer than ${MAX_RECORD} characters`
      : // `JSON.stringify` spells both as escapes; PostgreSQL takes neither, and canonical bytes have no half characters.
        /\\u(?:0000|d[89a-f])/.test(text) && [...row].flat().some((part) => part !== null && !isStorable(part))
        ? 'a value holds U+0000 or half a surrogate pair'
        : null;
  if (flaw === null) return assayer.take(line, text, values);
  const key = values[0] ?? null;
  return aside(flaw, isBlank(key) || !isStorable(key!) ? null : key);
}

const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

const plain = (value: Strict): string | null =>
  value === null ? null : typeof value === 'string' ? value : value instanceof Numeral ? value.text : compact(value);
