/**
 * What a ledger entry is. The log holds a salted commitment to the body and never the body: body and salt live in a
 * store, stay erasable, and an entry whose body is erased still proves that it was there, when, and about what.
 *
 *     {"at":1767225600000,"by":"gateway","commitment":"<64 hex>","kind":"intent","refs":{"change":"P7.1"},
 *      "signature":"<Ed25519, base64>","tenant":"acme","v":1}
 *
 * in canonical form and on one line. Gateway and verifier sign their entries, so that control, which owns the
 * sequencer, can drop no word of theirs into the log; several at once under one signature (`joint.ts`).
 */
import { hash, type KeyObject } from 'node:crypto';
import { canonical, type Digest } from '../canonical.ts';
import type { Instant, Random } from '../clock.ts';
import { Failure } from '../errors.ts';
import { isSignatureLength, LONGEST_SIGNATURE, signTexts } from './joint.ts';
import { fromBase64 } from './note.ts';
import { LARGEST_ENTRY } from './tile.ts';

export type Role = 'control' | 'gateway' | 'verifier';

export interface Entry {
  readonly at: Instant;
  readonly by: Role;
  /** SHA-256(salt ‖ canonical body). */
  readonly commitment: Digest;
  /** What happened, for example `intent` or `writ.spent`. */
  readonly kind: string;
  /** Whom and what it is about: ids of ours, never a name, an address or a login. Not erasable. */
  readonly refs: Readonly<Record<string, string>>;
  /** Base64, present for gateway and verifier: plain, or joint with others. */
  readonly signature?: string;
  readonly tenant: string;
  readonly v: 1;
}

export type OpenedEntry =
  | { readonly ok: true; readonly entry: Entry }
  | { readonly ok: false; readonly reason: string };

/** Keys that a role has signed with; several, because keys rotate and entries stay. */
export type RoleKeys = Readonly<Partial<Record<Role, readonly KeyObject[]>>>;

// The form as a grammar. It admits exactly the canonical spelling (RFC 8785), so that nothing is parsed and written
// again to see whether the bytes are the same; `entry.test.ts` holds it against `parseCanonical`.
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes these, RFC 8259 section 7
const STRING = /"[^"\\\x00-\x1f]*(?:\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))[^"\\\x00-\x1f]*)*"/.source;
const REF = `"[a-z][A-Za-z0-9]{0,31}":${STRING}`;
const FORM = new RegExp(
  '^\\{"at":(0|[1-9][0-9]{0,15}),"by":"(control|gateway|verifier)","commitment":"([0-9a-f]{64})",' +
    `"kind":"([a-z][a-z0-9._-]{0,62})","refs":(\\{(?:${REF}(?:,${REF})*)?\\}),` +
    '"tenant":"([A-Za-z0-9][A-Za-z0-9._-]{0,62})","v":1\\}$',
);
/** Inside a string a quote is escaped, and inside refs no brace stands before a comma: so it is at one place only. */
const BEFORE_SIGNATURE = '},"signature":"';

// No string's end but a key's is followed by a colon, so that this finds keys and nothing inside values.
const REF_KEY = /"([a-z][A-Za-z0-9]{0,31})":/g;

function refsAscend(text: string): boolean {
  let before = '';
  REF_KEY.lastIndex = 0;
  for (let found = REF_KEY.exec(text); found; found = REF_KEY.exec(text)) {
    if (found[1]! <= before) return false;
    before = found[1]!;
  }
  return true;
}

/** An entry in its strict form, taken apart and not yet read. */
export interface Parts {
  /** Without its signature: what the signature is over. */
  readonly unsigned: string;
  readonly at: string;
  readonly by: Role;
  readonly commitment: string;
  readonly kind: string;
  readonly refs: string;
  readonly tenant: string;
  readonly signature: Buffer | null;
}

/**
 * The signature cut out; null when what stands in its place has not the form of one. On the bytes, because most of them
 * are the signature’s, and text is dear.
 */
function cutSignature(bytes: Buffer): { unsigned: string; signature: Buffer | null } | null {
  const before = bytes.indexOf(BEFORE_SIGNATURE, 0, 'latin1');
  if (before < 0) return { unsigned: bytes.toString(), signature: null };
  const start = before + BEFORE_SIGNATURE.length;
  const end = bytes.indexOf('",', start, 'latin1');
  const signature = end < 0 ? null : fromBase64(bytes.toString('latin1', start, end));
  if (signature === null || !isSignatureLength(signature.length)) return null;
  return { unsigned: bytes.toString('utf8', 0, before + 2) + bytes.toString('utf8', end + 2), signature };
}

/** The parts of an entry in its strict form; a sentence when it has not that form. */
export function splitEntry(bytes: Buffer): Parts | string {
  if (bytes.length > LARGEST_ENTRY) return `an entry has at most ${LARGEST_ENTRY} bytes, this one ${bytes.length}`;
  const cut = cutSignature(bytes);
  // Invalid UTF-8 decodes to U+FFFD; an honest U+FFFD encodes to the same bytes again.
  if (cut?.unsigned.includes('\ufffd') && !Buffer.from(bytes.toString()).equals(bytes)) return 'not UTF-8';
  const found = cut && FORM.exec(cut.unsigned);
  if (!found) return 'not in the canonical form of an entry';
  const { unsigned, signature } = cut;
  const [, at, by, commitment, kind, refs, tenant] = found as unknown as string[];
  if (!refsAscend(refs!)) return 'refs are not sorted or name something twice';
  if (!Number.isSafeInteger(Number(at))) return 'its time is out of range';
  if (by !== 'control' && signature === null) return `an entry of the ${by} without its signature`;
  return {
    unsigned,
    at: at!,
    by: by as Role,
    commitment: commitment!,
    kind: kind!,
    refs: refs!,
    tenant: tenant!,
    signature,
  };
}

/** Reads an entry, strictly: other spellings, other members, and unsigned words of gateway or verifier are refused. */
export function openEntry(bytes: Buffer): OpenedEntry {
  const parts = splitEntry(bytes);
  if (typeof parts === 'string') return { ok: false, reason: parts };
  const { at, by, commitment, kind, refs, signature, tenant } = parts;
  const entry: Entry = {
    at: Number(at),
    by,
    commitment: commitment as Digest,
    kind,
    refs: JSON.parse(refs),
    ...(signature === null ? {} : { signature: signature.toString('base64') }),
    tenant,
    v: 1,
  };
  return { ok: true, entry };
}

/** Keeps a signature over an entry from being one over anything else. */
const SIGNED_AS = 'writgate/entry/v1\n';

/** Who signed an entry, and what the signature is over: the entry without it. Null when it has none. */
export function signatureOf({ by, unsigned, signature }: Parts): { by: Role; text: Buffer; signature: Buffer } | null {
  return signature && { by, text: Buffer.from(SIGNED_AS + unsigned), signature };
}

const SALT_BYTES = 16;
const commit = (salt: Buffer, body: string): Digest =>
  hash('sha256', Buffer.concat([salt, Buffer.from(body)])) as Digest;

/** What an entry is made of. `body` is any value with canonical bytes; it and the salt go to the store. */
export interface Saying {
  readonly kind: string;
  readonly at: Instant;
  readonly by: Role;
  readonly tenant: string;
  readonly refs: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly random: Random;
}

/** An entry with body and salt, but for its signature. */
export interface Draft {
  readonly unsigned: Omit<Entry, 'signature'>;
  readonly body: string;
  readonly salt: string;
}

export interface SealedEntry {
  readonly entry: Buffer;
  readonly body: string;
  readonly salt: string;
}

/** With the longest signature there is: what has an entry's form with it has it with every other. */
const ANY_SIGNATURE = Buffer.alloc(LONGEST_SIGNATURE).toString('base64');

/**
 * @throws Failure `ledger-entry` when it can be no entry, so that it spoils no batch; `canonical-form` when the body has
 * no canonical bytes
 */
export function draftEntry({ kind, at, by, tenant, refs, random, ...from }: Saying): Draft {
  const body = canonical(from.body);
  const salt = random(SALT_BYTES);
  const unsigned = { at, by, commitment: commit(salt, body), kind, refs, tenant, v: 1 as const };
  if (by !== 'control') framed(unsigned, ANY_SIGNATURE);
  return { unsigned, body, salt: salt.toString('base64') };
}

function framed(unsigned: Draft['unsigned'], signature: string | undefined): Buffer {
  const entry = Buffer.from(canonical(signature === undefined ? unsigned : { ...unsigned, signature }));
  const form = splitEntry(entry);
  if (typeof form === 'string') throw new Failure('ledger-entry', `${unsigned.kind} by ${unsigned.by}: ${form}`);
  return entry;
}

/**
 * Makes entries of drafts. Gateway and verifier give their Ed25519 key; several drafts get one signature together.
 * @throws Failure `ledger-entry` when one has no entry's form: then none is made.
 */
export function sealDrafts(drafts: readonly Draft[], signWith?: KeyObject): SealedEntry[] {
  const texts = signWith && drafts.map(({ unsigned }) => Buffer.from(SIGNED_AS + canonical(unsigned)));
  const signatures = texts && signTexts(texts, signWith);
  return drafts.map(({ unsigned, body, salt }, place) => {
    const entry = framed(unsigned, signatures?.[place]?.toString('base64'));
    return { entry, body, salt };
  });
}

/**
 * Makes one entry. @throws Failure `ledger-entry` when it has no entry's form, `canonical-form` when the body has no
 * canonical bytes.
 */
export const sealEntry = ({ signWith, ...saying }: Saying & { readonly signWith?: KeyObject }): SealedEntry =>
  sealDrafts([draftEntry(saying)], signWith)[0]!;

/** Whether body and salt, from a store that is not trusted, are what the entry commits to. */
export function checkBody(entry: Entry, body: string, salt: string): boolean {
  const bytes = fromBase64(salt);
  return bytes?.length === SALT_BYTES && body.isWellFormed() && commit(bytes, body) === entry.commitment;
}
