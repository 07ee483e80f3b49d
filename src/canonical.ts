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
export function canonical(value: unknown, path = '$'): string {
  // Of plain data whose keys are in order already, JSON.stringify writes the same bytes several times as fast.
  if (isOrdered(value)) return JSON.stringify(value);
  return written(value, path);
}

/** Whether the value has canonical bytes, and JSON.stringify would write them. */
function isOrdered(value: unknown): boolean {
  if (value === null || value === true || value === false) return true;
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0);
  if (typeof value !== 'object') return false;
  if (Array.isArray(value)) {
    // An array with a `toJSON` of its own, or with holes, is not what it looks like.
    for (let index = 0; index < value.length; index += 1) if (!isOrdered(value[index])) return false;
    return !('toJSON' in value);
  }
  const prototype = Object.getPrototypeOf(value);
  if ((prototype !== Object.prototype && prototype !== null) || 'toJSON' in value) return false;
  let last = '';
  for (const key of Object.keys(value)) {
    if (key < last || !key.isWellFormed() || !isOrdered((value as Record<string, unknown>)[key])) return false;
    last = key;
  }
  return true;
}

function written(value: unknown, path: string): string {
  if (value === null || value === true || value === false) return String(value);
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new Failure('canonical-form', `${path} holds a lone surrogate`);
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new Failure('canonical-form', `${path} is ${value}; only safe integers have canonical bytes`);
    }
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map((item, index) => written(item, `${path}[${index}]`)).join(',')}]`;
  if (typeof value === 'object') {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      throw new Failure('canonical-form', `${path} is not plain data`);
    }
    const record = value as Record<string, unknown>;
    // RFC 8785 section 3.2.3: keys sort by UTF-16 code units, which is what Array.prototype.sort does.
    const members = Object.keys(record)
      .sort()
      .map((key) => `${written(key, path)}:${written(record[key], `${path}.${key}`)}`);
    return `{${members.join(',')}}`;
  }
  throw new Failure('canonical-form', `${path} is ${typeof value}`);
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
