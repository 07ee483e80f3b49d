/**
 * SSH wire format (RFC 4251 section 5), read strictly: one meaning has one spelling, and nothing may follow the end.
 */
import { Failure } from '../errors.ts';

export class WireReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  /** @param what names the thing in messages: `public key`, `signature`. */
  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  take(length: number): Buffer {
    const left = this.#bytes.length - this.#at;
    if (length > left) throw this.bad(`ends early: ${length} bytes wanted, ${left} left`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  uint8 = (): number => this.take(1).readUInt8();
  uint32 = (): number => this.take(4).readUInt32BE();
  string = (): Buffer => this.take(this.uint32());

  /** A string of printable ASCII: names of algorithms, namespaces, applications. */
  ascii(): string {
    const text = this.string().toString('latin1');
    if (!/^[\x20-\x7e]*$/.test(text)) throw this.bad('holds a name that is not printable ASCII');
    return text;
  }

  /** A non-negative multiple-precision integer as its big-endian magnitude; a padded spelling is refused. */
  mpint(): Buffer {
    const bytes = this.string();
    const [first = 0, second = 0] = bytes;
    if (first >= 0x80) throw this.bad('holds a negative integer');
    if (bytes.length > 0 && first === 0 && second < 0x80) throw this.bad('holds an integer with needless zeros');
    return first === 0 ? bytes.subarray(1) : bytes;
  }

  rest(): Buffer {
    return this.take(this.#bytes.length - this.#at);
  }

  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw this.bad(`has ${left} bytes after its end`);
  }

  bad(fault: string): Failure {
    return new Failure('ssh-format', `the ${this.#what} ${fault}`);
  }
}

export function wireUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function wireString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as Uint8Array);
  return Buffer.concat([wireUint32(bytes.length), bytes]);
}

/** @param magnitude big-endian and unsigned, with or without leading zeros. */
export function wireMpint(magnitude: Buffer): Buffer {
  let start = 0;
  while (start < magnitude.length && magnitude[start] === 0) start += 1;
  const digits = magnitude.subarray(start);
  return wireString(digits[0] !== undefined && digits[0] >= 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits);
}

/** Base64 in its only canonical spelling (RFC 4648 section 3.5: no stray bits, padding present), or null. */
export function fromBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

/** PEM-like armor as OpenSSH writes it: base64 in lines of 70. */
export const armor = (label: string, bytes: Buffer): string =>
  `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/.{1,70}/g, '$&\n')}-----END ${label}-----\n`;
