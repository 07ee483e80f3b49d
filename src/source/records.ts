/**
 * A record: what each format is framed into, and the one normal form that everything downstream reads.
 *
 * The normal form is one canonical JSON object a record (`canonical.ts`), members sorted, values text or null:
 *  - CSV: the field's text; null where it is empty, quoted or not;
 *  - NDJSON and JSON: strings as they are; numbers as the source spelt them (`1.50` stays `1.50`); `true`, `false` as
 *    those words; null as null; an object or array as its text without blanks, members sorted, numbers as spelt.
 * So no number is ever rounded, and two spellings never become one by our doing.
 *
 * The gateway frames feeds itself. Were only the raw digest attested, a hostile parser downstream could invent people.
 */
import type { Instant } from '../clock.ts';
import { type Mark, readInstant, readMark } from './watermark.ts';

export const MAX_COLUMNS = 1_000;
/** In characters of the decoded text. A memory bound, and the mark of a quote that nobody closed. */
export const MAX_RECORD = 1 << 20;
export const MAX_HEADER = 64 << 10;
const MAX_RECORDS = 20_000_000;
/** In characters; a longer key is nobody's. */
const MAX_KEY = 200;

/** Why a payload cannot be framed at all. One is enough to hold the snapshot, and no record of it counts. */
export interface Trouble {
  readonly code:
    | 'empty'
    | 'binary'
    | 'encoding'
    | 'truncated'
    | 'header'
    | 'columns'
    | 'column-missing'
    | 'quoting'
    | 'record-size'
    | 'records'
    | 'page';
  readonly message: string;
}

/** Which columns matter to the feed's contract. */
export interface Shape {
  readonly key: string;
  readonly required: readonly string[];
  readonly watermark: string | null;
  /** The field whose newest value tells the age, or null. */
  readonly asOf: string | null;
}

/** A record set aside, while the rest of the snapshot may be good. */
export interface Quarantined {
  /** null when it cannot be told whose record this is; then no absence in this snapshot is believed. */
  readonly key: string | null;
  readonly line: number;
  readonly reason: string;
}

/** Where framed records go. `line`: physical line in the raw payload, from 1; for JSON pages the item's ordinal. */
export interface Sink {
  record(line: number, text: string, key: string): void;
  quarantine(record: Quarantined): void;
}

/** One format's framing: text in, records out. The first trouble ends it. */
export interface Reader {
  /** Where in the payload it is now, for messages: `line 7`, `page 2`. */
  readonly place: string;
  push(text: string): Trouble | null;
  end(): Trouble | null;
}

export const isBlank = (value: string | null | undefined): boolean => value == null || value.trim() === '';

/** Holds each record against the feed's shape, and remembers the newest watermark and as-of. */
export class Assayer {
  /** The columns whose values `take` wants, in its order; the key comes first. */
  readonly watched: readonly string[];
  readonly #shape: Shape;
  readonly #sink: Sink;
  #records = 0;
  #quarantined = 0;
  #watermark: Mark | null = null;
  #asOf: Instant | null = null;

  constructor(shape: Shape, sink: Sink) {
    this.#shape = shape;
    this.#sink = sink;
    const { key, required, watermark, asOf } = shape;
    this.watched = [key, ...required, ...(watermark === null ? [] : [watermark]), ...(asOf === null ? [] : [asOf])];
  }

  get watermark(): Mark | null {
    return this.#watermark;
  }

  get asOf(): Instant | null {
    return this.#asOf;
  }

  /** All records that were framed, good or set aside. */
  get total(): number {
    return this.#records + this.#quarantined;
  }

  /** @param values those of `watched`, in that order */
  take(line: number, text: string, values: readonly (string | null | undefined)[]): Trouble | null {
    const key = values[0] ?? null;
    const flaw = isBlank(key) ? `its key \`${this.#shape.key}\` is empty` : this.#flaw(key!, values);
    if (flaw !== null) return this.quarantine({ key: isBlank(key) ? null : key, line, reason: flaw });
    this.#records += 1;
    this.#sink.record(line, text, key!);
    return this.#full();
  }

  quarantine(record: Quarantined): Trouble | null {
    this.#quarantined += 1;
    this.#sink.quarantine(record);
    return this.#full();
  }

  #full(): Trouble | null {
    if (this.total <= MAX_RECORDS) return null;
    return { code: 'records', message: `the payload has more than ${MAX_RECORDS} records; split the feed` };
  }

  #flaw(key: string, values: readonly (string | null | undefined)[]): string | null {
    const { required, watermark, asOf } = this.#shape;
    if (key.length > MAX_KEY) return `its key has ${key.length} characters, limit ${MAX_KEY}`;
    let at = 1;
    for (const column of required) if (isBlank(values[at++])) return `\`${column}\` is empty`;
    const marked = watermark === null ? null : values[at++];
    const dated = asOf === null ? null : values[at];
    const mark = isBlank(marked) ? null : readMark(marked!.trim());
    if (mark === null && !isBlank(marked)) return `\`${watermark}\` is ${shown(marked!)}, no counter and no ISO time`;
    if (mark && this.#watermark && mark.kind !== this.#watermark.kind) {
      return `\`${watermark}\` is a ${mark.kind} here and a ${this.#watermark.kind} in the records before`;
    }
    const instant = isBlank(dated) ? null : readInstant(dated!, 'refused');
    if (instant === null && !isBlank(dated)) return `\`${asOf}\` is ${shown(dated!)}, no ISO time with a zone`;
    if (mark && (this.#watermark === null || mark.value > this.#watermark.value)) this.#watermark = mark;
    if (instant !== null && (this.#asOf === null || instant > this.#asOf)) this.#asOf = instant;
    return null;
  }
}

/** A value as a message may show it: short, quoted, without control characters. */
export const shown = (value: string): string =>
  JSON.stringify(value.length > 40 ? `${value.slice(0, 40).toWellFormed()}…` : value);
