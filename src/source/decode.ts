/**
 * From a payload's bytes to text, without ever guessing: a byte that does not fit its encoding is a fault with its
 * offset, never a replacement character, because U+FFFD makes two different people's names equal.
 */
import { isAscii, isUtf8 } from 'node:buffer';

export type Encoding = 'utf-8' | 'utf-16le' | 'windows-1252';

/** `offset` counts bytes from the start of the raw payload. */
export interface DecodeFault {
  readonly code: 'binary' | 'encoding' | 'truncated';
  readonly offset: number;
  readonly message: string;
}

const MARKS: readonly { readonly bytes: Buffer; readonly encoding: Encoding | null; readonly name: string }[] = [
  { bytes: Buffer.from([0xef, 0xbb, 0xbf]), encoding: 'utf-8', name: 'UTF-8' },
  { bytes: Buffer.from([0xff, 0xfe]), encoding: 'utf-16le', name: 'UTF-16 little-endian' },
  { bytes: Buffer.from([0xfe, 0xff]), encoding: null, name: 'UTF-16 big-endian' },
];

/** Bytes 0x80 to 0x9f of windows-1252 (Unicode's CP1252.TXT); a blank where the table has nothing. */
const CP1252 = '€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ';

/**
 * Decodes one payload, chunk by chunk. What lies before a fault is still decoded, so that the first trouble in the
 * file is the one that is told, however the chunks were cut. A byte order mark decides where nothing is declared.
 */
export class Decoder {
  readonly #declared: Encoding | null;
  #encoding: Encoding | null = null;
  #carry: Buffer = Buffer.alloc(0);
  #offset = 0;

  constructor(declared: Encoding | undefined) {
    this.#declared = declared ?? null;
  }

  /** @param last no more bytes will come */
  push(chunk: Buffer, last: boolean): { text: string; fault: DecodeFault | null } {
    let data = this.#carry.length > 0 ? Buffer.concat([this.#carry, chunk]) : chunk;
    this.#carry = data.subarray(0, 0);
    if (this.#encoding === null) {
      if (data.length < 3 && !last) {
        this.#carry = data;
        return { text: '', fault: null };
      }
      const mark = MARKS.find(({ bytes }) => data.subarray(0, bytes.length).equals(bytes));
      const wanted = this.#declared;
      if (mark && (mark.encoding === null || (wanted !== null && wanted !== mark.encoding))) {
        const against = wanted === null ? 'save it as UTF-8' : `its feed declares ${wanted}; make the two agree`;
        return fail('encoding', 0, `the file begins with the mark of ${mark.name}; ${against}`);
      }
      this.#encoding = mark?.encoding ?? wanted ?? 'utf-8';
      data = data.subarray(mark?.bytes.length ?? 0);
      this.#offset = mark?.bytes.length ?? 0;
    }
    if (this.#encoding === 'utf-16le') return this.#utf16(data, last);

    const start = this.#offset;
    const nul = data.indexOf(0);
    const readable = nul < 0 ? data : data.subarray(0, nul);
    const decoded = this.#encoding === 'utf-8' ? this.#utf8(readable, last || nul >= 0) : this.#cp1252(readable);
    if (nul < 0 || decoded.fault) return decoded;
    const way = 'it is not text, or UTF-16 without its mark; declare `encoding: utf-16le` for the latter';
    return fail('binary', start + nul, `the file holds a NUL byte: ${way}`, decoded.text);
  }

  #utf8(data: Buffer, last: boolean): { text: string; fault: DecodeFault | null } {
    const whole = last ? data.length : completeLength(data);
    const ready = data.subarray(0, whole);
    if (isAscii(ready) || isUtf8(ready)) {
      this.#carry = Buffer.from(data.subarray(whole));
      this.#offset += whole;
      return { text: isAscii(ready) ? ready.toString('latin1') : ready.toString('utf8'), fault: null };
    }
    const at = firstInvalid(ready);
    const byte = ready[at]?.toString(16).padStart(2, '0');
    const way = 'export it as UTF-8, or declare `encoding: windows-1252` if that is what it is';
    return fail('encoding', this.#offset + at, `byte 0x${byte} is not UTF-8; ${way}`, ready.toString('utf8', 0, at));
  }

  #cp1252(data: Buffer): { text: string; fault: DecodeFault | null } {
    const at = data.findIndex((byte) => byte >= 0x80 && byte <= 0x9f && CP1252[byte - 0x80] === ' ');
    const known = at < 0 ? data : data.subarray(0, at);
    const text = known.toString('latin1').replace(/[\x80-\x9f]/g, (unit) => CP1252[unit.charCodeAt(0) - 0x80]!);
    if (at >= 0) {
      return fail(
        'encoding',
        this.#offset + at,
        `byte 0x${data[at]!.toString(16)} means nothing in windows-1252`,
        text,
      );
    }
    this.#offset += data.length;
    return { text, fault: null };
  }

  #utf16(data: Buffer, last: boolean): { text: string; fault: DecodeFault | null } {
    let whole = data.length - (data.length % 2);
    // A pair of surrogates that the chunk's end cuts in two waits for its other half.
    if (!last && whole >= 2 && (data.readUInt16LE(whole - 2) & 0xfc00) === 0xd800) whole -= 2;
    const text = data.toString('utf16le', 0, whole);
    const nul = text.indexOf('\0');
    const lone = text.isWellFormed() ? -1 : loneSurrogate(text);
    if (lone >= 0 && (nul < 0 || lone < nul)) {
      return fail('encoding', this.#offset + lone * 2, 'half a surrogate pair is not UTF-16', text.slice(0, lone));
    }
    if (nul >= 0)
      return fail('binary', this.#offset + nul * 2, 'the file holds U+0000; it is not text', text.slice(0, nul));
    if (last && whole < data.length)
      return fail('truncated', this.#offset + whole, 'the file ends in half a character', text);
    this.#carry = Buffer.from(data.subarray(whole));
    this.#offset += whole;
    return { text, fault: null };
  }
}

const fail = (code: DecodeFault['code'], offset: number, message: string, text = '') => ({
  text,
  fault: { code, offset, message },
});

/** Length without an unfinished UTF-8 sequence at the end (RFC 3629 section 3). */
function completeLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Where the first sequence that is not UTF-8 begins; by halves, since `isUtf8` reads gigabytes a second. */
function firstInvalid(bytes: Buffer): number {
  let valid = 0;
  for (let invalid = bytes.length; invalid - valid > 1; ) {
    const middle = (valid + invalid) >>> 1;
    const prefix = bytes.subarray(0, middle);
    if (isUtf8(prefix.subarray(0, completeLength(prefix)))) valid = middle;
    else invalid = middle;
  }
  return completeLength(bytes.subarray(0, valid));
}

function loneSurrogate(text: string): number {
  let at = 0;
  for (const character of text) {
    if (!character.isWellFormed()) return at;
    at += character.length;
  }
  return -1;
}
