/** Newline-delimited JSON: one object a line. A line that cannot be read is set aside; the lines around it stand. */
import { takeObject } from './json.ts';
import { type Assayer, MAX_RECORD, type Reader, type Trouble } from './records.ts';
import { readStrict } from './strict.ts';

export class NdjsonReader implements Reader {
  readonly #assayer: Assayer;
  /** The begun line at the end of the last chunk. */
  #rest = '';
  #line = 1;

  constructor(assayer: Assayer) {
    this.#assayer = assayer;
  }

  get place(): string {
    return `line ${this.#line}`;
  }

  push(text: string): Trouble | null {
    const all = this.#rest + text;
    let at = 0;
    for (let end = all.indexOf('\n'); end >= 0; end = all.indexOf('\n', at)) {
      const trouble = this.#tooLong(end - at) ?? this.#take(all.slice(at, end), false);
      if (trouble) return trouble;
      this.#line += 1;
      at = end + 1;
    }
    this.#rest = all.slice(at);
    return this.#tooLong(this.#rest.length);
  }

  end(): Trouble | null {
    return this.#take(this.#rest, true);
  }

  #tooLong(length: number): Trouble | null {
    if (length <= MAX_RECORD) return null;
    return { code: 'record-size', message: `line ${this.#line} is longer than ${MAX_RECORD} characters` };
  }

  #take(text: string, cut: boolean): Trouble | null {
    if (text.trim() === '') return null;
    const line = this.#line;
    const read = readStrict(text);
    if (read.ok) return takeObject(this.#assayer, line, read.value);
    if (cut) return { code: 'truncated', message: `the file ends inside line ${line}: ${read.reason}; it was cut off` };
    return this.#assayer.quarantine({ key: null, line, reason: `it is not JSON: ${read.reason}` });
  }
}
