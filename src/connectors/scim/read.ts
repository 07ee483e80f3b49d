/**
 * Reading what a SCIM server says: from unknown bytes to facts, or null. Whatever is not what the protocol says is
 * null as a whole; half an account is an account that nobody governs.
 */
import { ATTRIBUTES, type Attribute, type Attributes, type Reply } from '../../connector/contract.ts';
import { PLACES } from './attributes.ts';

export interface User {
  readonly id: string;
  readonly login: string;
  readonly state: 'active' | 'disabled';
  readonly attributes: Attributes;
  /** Ids of groups; null where the server does not show them. */
  readonly groups: readonly string[] | null;
  /** `meta.version`, an entity tag for `If-Match`; null where the server has none. */
  readonly version: string | null;
  /** Attributes that a replacement (PUT) by us would erase, because we do not know them. */
  readonly beyond: readonly string[];
}

export interface Group {
  readonly id: string;
  readonly name: string;
  /** Ids of users; null where the server does not show any, which may mean none. */
  readonly members: readonly string[] | null;
}

export type Fields = ReadonlyMap<string, unknown>;

/** An object's members under lower-case names (RFC 7643 section 2.1); null for no object, or one name spelt twice. */
export function fold(value: unknown): Fields | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const names = Object.keys(value);
  const folded = new Map<string, unknown>();
  for (const name of names) folded.set(name.toLowerCase(), (value as Record<string, unknown>)[name]);
  return folded.size === names.length ? folded : null;
}

/** RFC 7643 section 2.5: null, an empty array and nothing at all are the same, "unassigned". */
const isUnassigned = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

const SPELLINGS: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  [true, true],
  [false, false],
  ['true', true],
  ['false', false],
]);

/** A boolean in the spellings that servers and clients use (`"False"`); null for anything else. */
export const readBoolean = (value: unknown): boolean | null =>
  SPELLINGS.get(typeof value === 'string' ? value.toLowerCase() : value) ?? null;

/** `active` has no default in RFC 7643; an account that does not say so is not disabled. */
function readState(value: unknown): User['state'] | null {
  if (isUnassigned(value)) return 'active';
  const active = readBoolean(value);
  return active === null ? null : active ? 'active' : 'disabled';
}

/** The address that counts: the primary one, else the one for work, else the first. */
function readEmail(value: unknown): string | null {
  if (!Array.isArray(value)) return null;
  const entries = value.map(fold);
  const chosen =
    entries.find((entry) => readBoolean(entry?.get('primary')) === true) ??
    entries.find((entry) => entry?.get('type') === 'work') ??
    entries[0];
  const address = chosen?.get('value');
  return entries.includes(null) || typeof address !== 'string' ? null : address;
}

function readAttributes(user: Fields): Attributes | null {
  const read: Partial<Record<Attribute, string>> = {};
  for (const attribute of ATTRIBUTES) {
    const { within, name } = PLACES[attribute];
    const holder = within === null ? user : user.get(within.toLowerCase());
    if (isUnassigned(holder)) continue;
    const value = (within === null ? user : fold(holder))?.get(name.toLowerCase());
    if (isUnassigned(value)) {
      if (within !== null && fold(holder) === null) return null;
      continue;
    }
    const text = attribute === 'email' ? readEmail(value) : value;
    if (typeof text !== 'string') return null;
    if (text !== '') read[attribute] = text;
  }
  return read;
}

/** The ids in a multi-valued reference (`members`, `groups`); `undefined` for one that is not readable. */
function readReferences(value: unknown): string[] | null | undefined {
  if (value === undefined || value === null) return null;
  if (!Array.isArray(value)) return undefined;
  const ids = value.map((entry) => fold(entry)?.get('value'));
  return ids.every((id): id is string => typeof id === 'string' && id !== '') ? ids : undefined;
}

/** What we write or what the server keeps for itself; the rest a PUT by us would erase. */
const OURS: ReadonlySet<string> = new Set([
  ...['schemas', 'id', 'meta', 'username', 'active', 'groups', 'name'],
  ...Object.values(PLACES).map(({ within, name }) => (within ?? name).toLowerCase()),
]);
const OURS_WITHIN: Readonly<Record<'name' | 'extension', readonly string[]>> = {
  name: ['givenname', 'familyname', 'formatted'],
  extension: ['employeenumber', 'department'],
};

function beyond(user: Fields): string[] {
  const more = [...user].filter(([name, value]) => !OURS.has(name) && !isUnassigned(value)).map(([name]) => name);
  for (const [name, value] of user) {
    if (name !== 'name' && !name.includes(':')) continue;
    const known = OURS_WITHIN[name === 'name' ? 'name' : 'extension'];
    for (const inner of fold(value)?.keys() ?? []) if (!known.includes(inner)) more.push(`${name}.${inner}`);
  }
  const addresses = user.get('emails');
  if (Array.isArray(addresses) && addresses.length > 1) more.push(`${addresses.length - 1} more emails`);
  return more;
}

export function readUser(value: unknown): User | null {
  const user = fold(value);
  const id = user?.get('id');
  const login = user?.get('username');
  if (!user || typeof id !== 'string' || id === '' || typeof login !== 'string' || login === '') return null;
  const state = readState(user.get('active'));
  const attributes = readAttributes(user);
  const groups = readReferences(user.get('groups'));
  if (state === null || attributes === null || groups === undefined) return null;
  const version = fold(user.get('meta'))?.get('version');
  return {
    id,
    login,
    state,
    attributes,
    groups,
    version: typeof version === 'string' && version !== '' ? version : null,
    beyond: beyond(user),
  };
}

export function readGroup(value: unknown): Group | null {
  const group = fold(value);
  const id = group?.get('id');
  const name = group?.get('displayname');
  const members = readReferences(group?.get('members'));
  if (typeof id !== 'string' || id === '' || typeof name !== 'string' || members === undefined) return null;
  return { id, name, members };
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly total: number;
  /** Null on the last page, and always with index pagination. */
  readonly nextCursor: string | null;
  readonly startIndex: number | null;
}

/** A list response (RFC 7644 section 3.4.2, RFC 9865 section 2), read whole or not at all. */
export function readPage<Item>(reply: Reply, readItem: (value: unknown) => Item | null): Page<Item> | null {
  const body = reply.kind === 'http' && reply.status === 200 ? fold(reply.body) : null;
  const total = body?.get('totalresults');
  if (!body || typeof total !== 'number' || !Number.isSafeInteger(total) || total < 0) return null;
  // `Resources` may be left out only where there is nothing to list.
  const resources = body.get('resources') ?? (total === 0 ? [] : null);
  const nextCursor = body.get('nextcursor') ?? null;
  const startIndex = body.get('startindex') ?? null;
  if (!Array.isArray(resources) || (nextCursor !== null && typeof nextCursor !== 'string')) return null;
  if (startIndex !== null && typeof startIndex !== 'number') return null;
  const items = resources.map(readItem);
  return items.includes(null) ? null : { items: items as Item[], total, nextCursor, startIndex };
}

/** What the server says it can do (RFC 7643 section 5, RFC 9865 section 4). */
export interface Abilities {
  readonly patch: boolean;
  readonly etag: boolean;
  readonly cursor: boolean;
  /** Most items a page; null where the server does not say. */
  readonly maxResults: number | null;
}

export function readAbilities(body: unknown): Abilities | null {
  const config = fold(body);
  const supported = (name: string): boolean => readBoolean(fold(config?.get(name))?.get('supported')) === true;
  // `patch` and `filter` are required members: something without them is not a service provider's configuration.
  if (!config || fold(config.get('patch')) === null || fold(config.get('filter')) === null) return null;
  const maxResults = fold(config.get('filter'))?.get('maxresults');
  return {
    patch: supported('patch'),
    etag: supported('etag'),
    cursor: readBoolean(fold(config.get('pagination'))?.get('cursor')) === true,
    maxResults:
      typeof maxResults === 'number' && Number.isSafeInteger(maxResults) && maxResults > 0 ? maxResults : null,
  };
}
