/**
 * Signed notes (c2sp.org/signed-note), with Ed25519 signatures (type 0x01) and timestamped cosignatures (type 0x04,
 * c2sp.org/tlog-cosignature). Lines of other algorithms, such as ML-DSA-44, are kept and ignored like any unknown key.
 */
import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';
import { assert } from '../assert.ts';
import { Failure } from '../errors.ts';

/** Signature types of c2sp.org/signed-note that are understood here. */
export const ED25519 = 0x01;
export const COSIGNATURE = 0x04;
export type SignatureType = typeof ED25519 | typeof COSIGNATURE;

/** Who may have signed. */
export interface Verifier {
  readonly name: string;
  readonly type: SignatureType;
  /** First four bytes of SHA-256(name ‖ LF ‖ type ‖ public key), as a number. */
  readonly keyId: number;
  readonly publicKey: KeyObject;
  /** The raw public key, hex: what makes two verifiers the same signatory whatever they are called. */
  readonly identity: string;
}

export interface Signer {
  readonly verifier: Verifier;
  readonly privateKey: KeyObject;
}

/** A signature that was verified. `at` is the cosignature's time in seconds since the epoch, else null. */
export interface Signed {
  readonly verifier: Verifier;
  readonly at: number | null;
}

export type OpenedNote =
  | { readonly ok: true; readonly text: string; readonly signed: readonly Signed[] }
  | { readonly ok: false; readonly reason: string };

/** Names must not be empty nor contain white space or `+`. */
const isKeyName = (name: string): boolean =>
  name !== '' && name.isWellFormed() && !/[\p{White_Space}\p{Cc}+]/u.test(name);

/** Strict base64 (RFC 4648 section 4): one spelling per value, or null. */
export function fromBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410 section 4).
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const rawKey = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length);

function verifierOf(name: string, type: SignatureType, raw: Buffer): Verifier {
  const identity = raw.toString('hex');
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
  const keyId = Number.parseInt(
    hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), raw])).slice(0, 8),
    16,
  );
  return { name, type, keyId, publicKey, identity };
}

const hexKeyId = (keyId: number): string => keyId.toString(16).padStart(8, '0');

/** `name+keyid+base64(type ‖ public key)`. */
export const formatVerifier = ({ name, type, keyId, publicKey }: Verifier): string =>
  `${name}+${hexKeyId(keyId)}+${Buffer.concat([Buffer.of(type), rawKey(publicKey)]).toString('base64')}`;

/** Reads a verifier key (vkey). @throws Failure `ledger-key` when it is not one, or its key id does not fit its key. */
export function parseVerifier(vkey: string): Verifier {
  // Base64 may contain `+`, names may not: so the first two separate.
  const [name = '', id = '', ...rest] = vkey.split('+');
  const bytes = fromBase64(rest.join('+'));
  const type = bytes?.[0];
  if (!isKeyName(name) || bytes?.length !== 33 || (type !== ED25519 && type !== COSIGNATURE)) {
    throw new Failure('ledger-key', `"${vkey}" is no verifier key of the form name+keyid+base64, Ed25519`);
  }
  const verifier = verifierOf(name, type, bytes.subarray(1));
  if (hexKeyId(verifier.keyId) !== id) {
    throw new Failure('ledger-key', `"${vkey}" says key id ${id}, its key has ${hexKeyId(verifier.keyId)}`);
  }
  return verifier;
}

/** @param privateKey Ed25519. One key, one name, one type: a cosignature does not commit to the cosigner's name. */
export function createSigner(name: string, privateKey: KeyObject, type: SignatureType = ED25519): Signer {
  assert(privateKey.asymmetricKeyType === 'ed25519', 'notes are signed with Ed25519 keys');
  if (!isKeyName(name)) throw new Failure('ledger-key', `"${name}" is no key name: empty, or with white space or +`);
  return { verifier: verifierOf(name, type, rawKey(createPublicKey(privateKey))), privateKey };
}

/** What a cosignature signs (c2sp.org/tlog-cosignature, Ed25519 signed message). */
const cosignedText = (text: string, at: bigint | number): Buffer => Buffer.from(`cosignature/v1\ntime ${at}\n${text}`);

/** One signature line, with its newline. `at` in seconds since the epoch, for cosignatures. */
export function signatureLine(text: string, { verifier, privateKey }: Signer, at?: number): string {
  const head = Buffer.alloc(verifier.type === COSIGNATURE ? 12 : 4);
  head.writeUInt32BE(verifier.keyId);
  let message: Buffer = Buffer.from(text);
  if (verifier.type === COSIGNATURE) {
    assert(at !== undefined && Number.isSafeInteger(at) && at >= 0, 'a cosignature has a time in whole seconds');
    head.writeBigUInt64BE(BigInt(at), 4);
    message = cosignedText(text, at);
  }
  return `— ${verifier.name} ${Buffer.concat([head, sign(null, message, privateKey)]).toString('base64')}\n`;
}

/** Signs a text, which ends in a newline. */
export function signNote(text: string, signer: Signer, at?: number): string {
  assert(
    text.endsWith('\n') && isNoteText(text),
    'a note is well-formed text without control characters, ending in a newline',
  );
  return `${text}\n${signatureLine(text, signer, at)}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: that these are absent is what the format demands
const isNoteText = (text: string): boolean => text.isWellFormed() && !/[\x00-\x09\x0b-\x1f]/.test(text);

/** More lines than this are refused; the format asks for at least 16. */
const MOST_SIGNATURES = 100;

interface Line {
  readonly name: string;
  readonly keyId: number;
  readonly signature: Buffer;
}

function parseLine(line: string): Line | null {
  const [dash, name, encoded, more] = line.split(' ');
  if (dash !== '—' || name === undefined || encoded === undefined || more !== undefined || !isKeyName(name))
    return null;
  const bytes = fromBase64(encoded);
  return bytes && bytes.length > 4 ? { name, keyId: bytes.readUInt32BE(), signature: bytes.subarray(4) } : null;
}

/** Splits a note into its text and its signature lines, without judging these; null when malformed. */
export function parseNote(note: string): { text: string; lines: Line[] } | null {
  // The text may contain empty lines: the *last* one separates.
  const gap = note.lastIndexOf('\n\n');
  if (gap < 0 || !note.endsWith('\n') || note.length > 1_000_000 || !isNoteText(note)) return null;
  const lines = note
    .slice(gap + 2, -1)
    .split('\n')
    .map(parseLine);
  if (lines.length > MOST_SIGNATURES || lines.includes(null)) return null;
  return { text: note.slice(0, gap + 1), lines: lines as Line[] };
}

function verifyLine(text: string, { signature }: Line, verifier: Verifier): Signed | null {
  const { type, publicKey } = verifier;
  if (type === ED25519) {
    return signature.length === 64 && verify(null, Buffer.from(text), publicKey, signature)
      ? { verifier, at: null }
      : null;
  }
  if (signature.length !== 72) return null;
  const at = signature.readBigUInt64BE();
  if (at > BigInt(Number.MAX_SAFE_INTEGER)) return null;
  return verify(null, cosignedText(text, at), publicKey, signature.subarray(8)) ? { verifier, at: Number(at) } : null;
}

/**
 * Verifies a note. Lines of unknown keys are ignored; one bad signature of a known key refuses the whole note, and so
 * does the absence of any known one. Each signatory counts once, however often or under however many names it signed.
 */
export function openNote(note: string, verifiers: readonly Verifier[]): OpenedNote {
  const parsed = parseNote(note);
  if (!parsed) return { ok: false, reason: 'the note is malformed' };
  const signed = new Map<string, Signed>();
  for (const line of parsed.lines) {
    const known = verifiers.filter(({ name, keyId }) => name === line.name && keyId === line.keyId);
    if (known.length > 1 && new Set(known.map(({ identity }) => identity)).size > 1) {
      return { ok: false, reason: `two known keys share the name ${line.name} and key id ${hexKeyId(line.keyId)}` };
    }
    if (!known[0]) continue;
    const verified = verifyLine(parsed.text, line, known[0]);
    if (!verified) return { ok: false, reason: `the signature of ${line.name} does not verify` };
    const counted = `${known[0].type}:${known[0].identity}`;
    if (!signed.has(counted)) signed.set(counted, verified);
  }
  if (signed.size === 0) return { ok: false, reason: 'no signature of a known key' };
  return { ok: true, text: parsed.text, signed: [...signed.values()] };
}
