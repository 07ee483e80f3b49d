/**
 * The trust root: what the gateway and the auditor pin, once, from outside the platform. It names the genesis roster
 * and the public keys of the roles, and every person of the genesis roster signs it.
 */
import { canonical, type Digest, sha256 } from '../canonical.ts';
import { formatVerifier, parseVerifier } from '../ledger/note.ts';
import {
  digestText,
  distinct,
  exactly,
  flag,
  integer,
  key32,
  misfit,
  name,
  oneOf,
  readDocument,
  type Shape,
  text,
} from '../shape.ts';
import { parsePublicKey } from './key.ts';
import { parseRoster, type Roster, reasonOf, signingKeys } from './roster.ts';

export const TRUST_ROOT_NAMESPACE = 'trust-root@writgate';
/** Fewer could not form two distinct persons beside a requester. */
const GENESIS_PEOPLE = 3;

export interface TrustRoot {
  readonly v: 1;
  readonly tenant: string;
  /** Digest of the genesis roster's canonical bytes. */
  readonly roster: Digest;
  /** Made by `writgate init --demo`: the people are generated, and nothing beyond loopback opens. */
  readonly demo: boolean;
  /** Verifier key of the ledger (C2SP signed-note: `name+hash+base64`). */
  readonly logKey: string;
  /** Raw Ed25519 public keys, base64. */
  readonly gatewayKey: string;
  readonly verifierKey: string;
  readonly controlKey: string;
  /** Cosignatures that a checkpoint needs beside the log's own. */
  readonly witnessQuorum: number;
}

/** What `trust-root.json` holds; the signatures are over `canonical(trustRoot)`. */
export interface SignedTrustRoot {
  readonly trustRoot: TrustRoot;
  readonly signatures: readonly string[];
}

export type TrustRootCheck =
  | { readonly ok: true; readonly trustRoot: TrustRoot; readonly genesis: Roster }
  | { readonly ok: false; readonly reason: string };

const logKey: Shape<string> = (value, place) => {
  try {
    if (typeof value === 'string') return formatVerifier(parseVerifier(value));
  } catch (thrown) {
    throw misfit(place, `is no verifier key: ${reasonOf(thrown)}`);
  }
  throw misfit(place, 'is no verifier key');
};

const signedShape = exactly<SignedTrustRoot>({
  trustRoot: exactly<TrustRoot>({
    v: oneOf(1),
    tenant: name,
    roster: digestText,
    demo: flag,
    logKey,
    gatewayKey: key32,
    verifierKey: key32,
    controlKey: key32,
    witnessQuorum: integer(0, 100),
  }),
  signatures: distinct(text(/^-----BEGIN SSH SIGNATURE-----\n/, 'an armored SSH signature'), sha256),
});

/** The exact bytes that each genesis person signs in namespace `trust-root@writgate`. */
export const trustRootText = (trustRoot: TrustRoot): string => canonical(trustRoot);

/** The content of `trust-root.json`: canonical JSON and a newline. */
export const trustRootFile = (signed: SignedTrustRoot): string => `${canonical(signed)}\n`;

/** Reads `trust-root.json` in its exact form; says nothing about signatures. @throws Failure `approval-form` */
export const parseTrustRoot = (file: string): SignedTrustRoot =>
  readDocument(file.replace(/\n$/, ''), signedShape, 'trust root');

/**
 * Whether a trust root holds together: it pins this genesis roster, every person in that roster signed it, and no
 * key serves two ends.
 * @param file content of `trust-root.json`. @param genesis canonical text of roster version 1.
 */
export function checkTrustRoot(file: string, genesis: string): TrustRootCheck {
  const refuse = (reason: string): TrustRootCheck => ({ ok: false, reason });
  let signed: SignedTrustRoot;
  let roster: Roster;
  try {
    signed = parseTrustRoot(file);
    roster = parseRoster(genesis);
  } catch (thrown) {
    return refuse(reasonOf(thrown));
  }
  const { trustRoot, signatures } = signed;
  if (roster.digest !== trustRoot.roster) return refuse('the trust root pins another genesis roster');
  if (roster.tenant !== trustRoot.tenant)
    return refuse(`the roster is of tenant ${roster.tenant}, not ${trustRoot.tenant}`);
  if (roster.version !== 1) return refuse(`the pinned roster is version ${roster.version}, not the genesis roster`);
  if (roster.people.length < GENESIS_PEOPLE) {
    return refuse(`the genesis roster has ${roster.people.length} people; at least ${GENESIS_PEOPLE} must sign it`);
  }
  const fault = sharedKey(trustRoot, roster);
  if (fault !== null) return refuse(fault);

  const keys = signingKeys(signatures, TRUST_ROOT_NAMESPACE, trustRootText(trustRoot));
  if (!(keys instanceof Set)) return refuse(keys.reason);
  const missing = roster.people.find((member) => !member.keys.some((key) => keys.has(key)));
  if (missing) return refuse(`${missing.name} (${missing.person}) of the genesis roster did not sign the trust root`);
  return { ok: true, trustRoot, genesis: roster };
}

/** Separate roles have separate keys, and none of them is a person's: a machine never approves. */
function sharedKey(trustRoot: TrustRoot, roster: Roster): string | null {
  const people = [...roster.holders].map(
    ([key, holder]) =>
      [`${holder.person} of the roster`, parsePublicKey(key).blob.subarray(-32).toString('base64')] as const,
  );
  const roles = (['gatewayKey', 'verifierKey', 'controlKey'] as const).map((role) => [role, trustRoot[role]] as const);
  const log = Buffer.from(parseVerifier(trustRoot.logKey).identity, 'hex').toString('base64');
  const seen = new Map<string, string>(people.map(([who, key]) => [key, who]));
  for (const [role, key] of [...roles, ['logKey', log] as const]) {
    const other = seen.get(key);
    if (other !== undefined) return `${role} is the same key as that of ${other}`;
    seen.set(key, role);
  }
  return null;
}
