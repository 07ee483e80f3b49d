/**
 * Canonical bytes: a strict subset of RFC 8785 (JSON Canonicalization Scheme).
 *
 * Safe integers only, no floats, no `toJSON`, no `undefined`, no lone surrogates: what two honest programs could
 * serialise differently is refused instead of guessed. Whatever is hashed, signed or logged passes through here.
 */
import { createHash, hash as oneShot } from 'node:crypto';
import { Failure } from './errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Lower-case hex SHA-256, 64 characters. */
export type Digest = string & { readonly __digest: unique symbol };

/** The canonical text of a value. @throws Failure `canonical-form` with the path of what has none. */
export function canonical(value: unknown): string {
  try {
    return spell(value);
  } catch (thrown) {
    if (!(thrown instanceof Formless)) throw thrown;
    throw new Failure('canonical-form', `$${thrown.path} ${thrown.why}`);
  }
}

/** Where something without a form was found is only worked out on the way back: most of what comes has one. */
class Formless {
  path = '';
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
  within(step: string): this {
    this.path = step + this.path;
    return this;
  }
}

function spell(value: unknown): string {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new Formless('holds a lone surrogate');
    return JSON.stringify(value);
  }
  if (value === null || value === true || value === false) return String(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new Formless(`is ${value}; only safe integers have canonical bytes`);
    }
    return String(value);
  }
  if (typeof value !== 'object') throw new Formless(`is ${typeof value}`);
  if (Array.isArray(value)) {
    let text = '[';
    for (let index = 0; index < value.length; index++) {
      try {
        text += index === 0 ? spell(value[index]) : `,${spell(value[index])}`;
      } catch (thrown) {
        throw thrown instanceof Formless ? thrown.within(`[${index}]`) : thrown;
      }
    }
    return `${text}]`;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw new Formless('is not plain data');
  const record = value as Record<string, unknown>;
  let text = '{';
  // RFC 8785 section 3.2.3: keys sort by UTF-16 code units, which is what Array.prototype.sort does.
  for (const key of Object.keys(record).sort()) {
    text += text.length === 1 ? `${spell(key)}:` : `,${spell(key)}:`;
    try {
      text += spell(record[key]);
    } catch (thrown) {
      throw thrown instanceof Formless ? thrown.within(`.${key}`) : thrown;
    }
  }
  return `${text}}`;
}

/** Parses text that must already be canonical: duplicate keys, blanks, floats and other spellings are refused. */
export function parseCanonical(text: string): Json {
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Failure('canonical-form', 'not JSON', { cause });
  }
  if (canonical(value) !== text) throw new Failure('canonical-form', 'the bytes are not in canonical form');
  return value;
}

export function sha256(bytes: string | Uint8Array): Digest {
  // `crypto.hash` exists from 20.12 and avoids a stream object per digest.
  return (oneShot ? oneShot('sha256', bytes, 'hex') : createHash('sha256').update(bytes).digest('hex')) as Digest;
}

export const digestOf = (value: unknown): Digest => sha256(canonical(value));

const DIGEST = /^[0-9a-f]{64}$/;
export const isDigest = (text: unknown): text is Digest => typeof text === 'string' && DIGEST.test(text);
