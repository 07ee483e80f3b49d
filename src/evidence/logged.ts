/**
 * The ledger's part of an evidence file: a checkpoint that the log signed and the gateway cosigned, and entries that lie
 * under it, each signed by the role that it says it is by and with the body that it commits to.
 */
import type { Digest } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { Failure } from '../errors.ts';
import { openCheckpoint } from '../ledger/checkpoint.ts';
import { checkBody, openEntry, type Role, signatureOf, splitEntry } from '../ledger/entry.ts';
import { signatureChecker } from '../ledger/joint.ts';
import { COSIGNATURE, fromBase64, parseVerifier, type Verifier } from '../ledger/note.ts';
import { checkInclusion, leafHash } from '../ledger/tree.ts';
import type { Evidence, LoggedEntry } from './bundle.ts';
import { type BodyOf, isKind, KEPT, type Kind, readBody } from './shape.ts';
import type { Find, Trust } from './trust.ts';

export interface Logged<K extends Kind = Kind> {
  readonly kind: K;
  readonly index: number;
  readonly at: Instant;
  readonly by: Role;
  readonly refs: Readonly<Record<string, string>>;
  /** null: erased. */
  readonly body: BodyOf<K> | null;
}

/** Who writes this kind. Control can put any text into the log, and no other role's signature under it. */
export const writerOf = (kind: Kind): Role =>
  kind.startsWith('gateway.') ? 'gateway' : kind.startsWith('verifier.') ? 'verifier' : 'control';

type Keys = Pick<Trust, 'root' | 'logKey' | 'keys'>;

/** The entries that hold, by ascending index; each that does not is a finding. */
export function openEntries(evidence: Evidence, trust: Keys, find: Find): readonly Logged[] {
  const opened = evidence.entries.map((entry) => openOne(entry, trust, find));
  const positions = evidence.entries.map(({ index }) => index);
  if (positions.some((index, place) => place > 0 && index <= (positions[place - 1] as number))) {
    find('entry-order', 'its entries are not in ascending order, or one stands there twice');
  }
  const logged = opened.filter((entry) => entry !== null);
  const head = openHead(evidence.checkpoint, trust, logged, find);
  for (const { index, entry, proof } of evidence.entries) {
    const claim = head && { leafHash: leafHash(Buffer.from(entry, 'base64')), index, proof, ...head };
    if (claim && !checkInclusion(claim))
      find('not-included', `entry ${index} does not lie under the checkpoint of ${claim.size}`);
  }
  return logged;
}

function openOne(stored: LoggedEntry, { root, keys }: Keys, find: Find): Logged | null {
  const { index, body, salt } = stored;
  const bytes = fromBase64(stored.entry) ?? Buffer.alloc(0);
  const parts = splitEntry(bytes);
  const opened = openEntry(bytes);
  if (!opened.ok || typeof parts === 'string') {
    find('entry-form', `entry ${index}: ${opened.ok ? parts : opened.reason}`);
    return null;
  }
  const { at, by, kind, refs, tenant } = opened.entry;
  const signed = signatureOf(parts);
  if (tenant !== root.tenant) find('entry-form', `entry ${index} is of tenant ${tenant}`);
  if (signed && !signatureChecker(keys[by])(signed.text, signed.signature)) {
    find('entry-signature', `entry ${index} is not signed by the ${by}’s pinned key`);
  }
  if (!isKind(kind)) {
    find('entry-foreign', `entry ${index} is ${kind}, which has no place in the evidence of a change`);
    return null;
  }
  if (writerOf(kind) !== by)
    find('entry-signature', `entry ${index} is ${kind} and by the ${by}, not by the ${writerOf(kind)}`);
  const common = { kind, index, at, by, refs };
  if (body === null || salt === null) {
    if (body !== salt)
      find('body-differs', `entry ${index} has ${body === null ? 'a salt and no body' : 'a body and no salt'}`);
    if (KEPT.has(kind))
      find('body-erased', `the body of entry ${index} (${kind}) is gone, and it is of those that are never erased`);
    return { ...common, body: null };
  }
  if (!checkBody(opened.entry, body, salt)) {
    find('body-differs', `the body of entry ${index} (${kind}) is not the one that the entry commits to`);
    return null;
  }
  try {
    return { ...common, body: readBody(kind, body) };
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    find('entry-form', `entry ${index}: ${thrown.message}`);
    return null;
  }
}

function openHead(
  checkpoint: string,
  { root, logKey }: Keys,
  logged: readonly Logged[],
  find: Find,
): { readonly size: number; readonly root: Digest } | null {
  const witnesses = logged.flatMap((entry) => witnessIn(entry, find));
  const opened = openCheckpoint(checkpoint, logKey, witnesses);
  if (!opened.ok) {
    find('checkpoint', `the checkpoint does not hold: ${opened.reason}`);
    return null;
  }
  const by = new Set(opened.cosigned.map(({ verifier }) => verifier.identity));
  // The gateway is always one of them: so nobody shows it one tree and the auditor another.
  const need = Math.max(1, root.witnessQuorum);
  if (by.size < need)
    find('cosignature', `${by.size} of ${need} witnesses that the gateway vouches for have cosigned the checkpoint`);
  return opened.checkpoint;
}

/** The gateway vouches for its witness key with its own: the trust root pins only the latter. */
function witnessIn(entry: Logged, find: Find): readonly Verifier[] {
  if (entry.kind !== 'gateway.witness' || entry.by !== 'gateway' || entry.body === null) return [];
  try {
    const verifier = parseVerifier((entry.body as BodyOf<'gateway.witness'>).witness);
    if (verifier.type === COSIGNATURE) return [verifier];
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
  }
  find('cosignature', `entry ${entry.index} names no key that cosigns`);
  return [];
}
