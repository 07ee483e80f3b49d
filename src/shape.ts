/**
 * Exact shapes of signed documents, without a dependency, because the offline checker reads them too. Nothing
 * is coerced, defaulted or left over: a member that is not named in the shape is refused.
 */
import { type Digest, isDigest, type Json, parseCanonical } from './canonical.ts';
import { Failure } from './errors.ts';

/** Returns `value` as what it is. @throws Failure `approval-form` that names the place. */
export type Shape<T> = (value: unknown, place: string) => T;

export const misfit = (place: string, fault: string): Failure => new Failure('approval-form', `${place} ${fault}`);

/** Reads canonical text of a shape. `what` names the document in messages. @throws Failure `approval-form` */
export function readDocument<T>(bytes: string, shape: Shape<T>, what: string): T {
  let value: Json;
  try {
    value = parseCanonical(bytes);
  } catch (cause) {
    // Nesting deep enough to exhaust the stack ends here too.
    throw new Failure('approval-form', `${what} is not canonical JSON`, { cause });
  }
  return shape(value, what);
}

export const text =
  (pattern: RegExp, what: string): Shape<string> =>
  (value, place) => {
    if (typeof value !== 'string' || !pattern.test(value)) throw misfit(place, `is not ${what}`);
    return value;
  };

export const integer =
  (least: number, most: number = Number.MAX_SAFE_INTEGER): Shape<number> =>
  (value, place) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
      throw misfit(place, `is not a whole number from ${least} to ${most}`);
    }
    return value;
  };

export const oneOf =
  <const T extends string | number | boolean>(...allowed: readonly T[]): Shape<T> =>
  (value, place) => {
    const found = allowed.find((item) => item === value);
    if (found === undefined) throw misfit(place, `is not ${allowed.join(' or ')}`);
    return found;
  };

export const flag: Shape<boolean> = oneOf(true, false);

export const digestText: Shape<Digest> = (value, place) => {
  if (!isDigest(value)) throw misfit(place, 'is not a SHA-256 digest in lower-case hex');
  return value;
};

export const orNull =
  <T>(shape: Shape<T>): Shape<T | null> =>
  (value, place) =>
    value === null ? null : shape(value, place);

/** A list of at least one item, without repetition by `key`. */
export const distinct =
  <T>(shape: Shape<T>, key: (item: T) => string = String): Shape<readonly T[]> =>
  (value, place) => {
    if (!Array.isArray(value) || value.length === 0) throw misfit(place, 'is not a list of at least one');
    const items = value.map((item, index) => shape(item, `${place}[${index}]`));
    const seen = new Set<string>();
    for (const item of items) {
      if (seen.has(key(item))) throw misfit(place, `names ${key(item)} twice`);
      seen.add(key(item));
    }
    return items;
  };

type Members<T> = { readonly [K in keyof T]-?: Shape<Exclude<T[K], undefined>> };

/** An object with exactly these members; those in `optional` may be absent, but never null or undefined. */
export const exactly =
  <T extends object>(members: Members<T>, optional: readonly (keyof T & string)[] = []): Shape<T> =>
  (value, place) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw misfit(place, 'is not an object');
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(members, name));
    if (unknown !== undefined) throw misfit(place, `has a member "${unknown}" that does not belong`);
    const read: Record<string, unknown> = {};
    for (const name of Object.keys(members) as (keyof T & string)[]) {
      if (Object.hasOwn(value, name)) read[name] = members[name]((value as T)[name], `${place}.${name}`);
      else if (!optional.includes(name)) throw misfit(place, `lacks "${name}"`);
    }
    return read as T;
  };

/** The names that several documents share. */
export const name = text(
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
  'a name of letters, digits, dot, dash and underscore, at most 63',
);

/** A person's id. It holds no colon, so that a person is never taken for `nhi:name` or `group:name`. */
export const PERSON = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
export const person = text(PERSON, 'a person id: letters, digits, dot, dash, underscore and @, at most 64');

/** 32 raw bytes, as Ed25519 public keys of Writgate's own roles are written. */
export const key32 = text(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, '32 bytes in canonical base64');

export const anyText: Shape<string> = text(/^/, 'text');

export const listOf =
  <T>(shape: Shape<T>, most = 100_000): Shape<readonly T[]> =>
  (value, place) => {
    if (!Array.isArray(value) || value.length > most) throw misfit(place, `is not a list of at most ${most}`);
    return value.map((item, index) => shape(item, `${place}[${index}]`));
  };

export const mapOf =
  <T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> =>
  (value, place) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw misfit(place, 'is not an object');
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shape(item, `${place}.${key}`)]));
  };
