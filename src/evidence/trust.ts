/** What an auditor's pinned trust root vouches for: keys of the roles, the roster chain, and the signed authority. */
import type { KeyObject } from 'node:crypto';
import { checkRosterChain, membersOf, type Roster, reasonOf } from '../approval/roster.ts';
import { checkSshSignature } from '../approval/sshsig.ts';
import { checkTrustRoot, type TrustRoot } from '../approval/trust-root.ts';
import type { Authority } from '../authority/authority.ts';
import { type Json, parseCanonical, sha256 } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { parseVerifier, type Verifier } from '../ledger/note.ts';
import { digestText, exactly, integer, mapOf, name, oneOf, orNull, readDocument } from '../shape.ts';
import type { AuthorityTerm } from '../trust/force.ts';
import { ed25519PublicKey } from '../writ/writ.ts';
import type { Evidence } from './bundle.ts';

/** What `trust/force.ts` calls `AUTHORITY_NAMESPACE`; that file reads files, and here none are read. */
export const AUTHORITY_SIGNED_AS = 'authority@writgate';

/** What the auditor brings from elsewhere than the file. */
export interface Trusted {
  /** Content of his copy of `trust-root.json`. */
  readonly trustRoot: string;
  /** Canonical text of roster version 1; null: the one in the file, which the trust root pins by its digest. */
  readonly genesisRoster: string | null;
}

export interface Trust {
  readonly root: TrustRoot;
  /** Oldest first; not empty. */
  readonly rosters: readonly Roster[];
  readonly logKey: Verifier;
  readonly keys: { readonly control: KeyObject; readonly gateway: KeyObject; readonly verifier: KeyObject };
}

export type Find = (code: string, message: string) => void;

/** The pinned keys and genesis roster; null when the trust root does not hold, and then nothing can be judged. */
export function openTrust(
  evidence: Evidence,
  trusted: Trusted,
  find: Find,
): (Omit<Trust, 'rosters'> & { genesis: Roster }) | null {
  const check = checkTrustRoot(trusted.trustRoot, trusted.genesisRoster ?? evidence.rosters[0]?.text ?? '');
  if (!check.ok) {
    find('trust-root', `the pinned trust root does not hold: ${check.reason}`);
    return null;
  }
  const { trustRoot: root, genesis } = check;
  if (evidence.trustRoot !== trusted.trustRoot)
    find('trust-root', 'the file was made under another trust root than the pinned one');
  const [first] = evidence.rosters;
  if (!first || sha256(first.text) !== root.roster || first.signatures.length > 0) {
    find('roster', 'its roster chain does not begin with the pinned roster, for which the trust root alone vouches');
  }
  if (evidence.tenant !== root.tenant)
    find('trust-root', `the file is for tenant ${evidence.tenant}, the trust root for ${root.tenant}`);
  if (evidence.demo !== root.demo)
    find('demo-hidden', `the file says demo: ${evidence.demo}, and the trust root ${root.demo}`);
  const keys = {
    control: ed25519PublicKey(root.controlKey),
    gateway: ed25519PublicKey(root.gatewayKey),
    verifier: ed25519PublicKey(root.verifierKey),
  };
  return { root, genesis, logKey: parseVerifier(root.logKey), keys };
}

/** @param now the logged time of what is judged */
export function openRosters(evidence: Evidence, genesis: Roster, now: Instant, find: Find): readonly Roster[] | null {
  const chain = checkRosterChain({ genesis, successors: evidence.rosters.slice(1), now });
  if (chain.ok) return chain.rosters;
  find('roster', `the roster chain does not hold: ${chain.reason}`);
  return null;
}

const termShape = exactly<AuthorityTerm>({
  v: oneOf(1),
  tenant: name,
  serial: integer(1),
  previous: orNull(digestText),
  authority: digestText,
});
const object = (value: Json | undefined): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** The members that are read here. Everything else of its form was the gateway's to check before it acted on it. */
const READ = ['feeds', 'targets', 'entitlements', 'connectors', 'approvals'] as const;

/** The authority when enough of the roster's root role signed it; null with a finding otherwise. */
export function openAuthority({ authority: signed }: Evidence, roster: Roster, find: Find): Authority | null {
  const refuse = (why: string): null => {
    find('authority', `the authority does not hold: ${why}`);
    return null;
  };
  let document: Json;
  try {
    const term = readDocument(signed.term, termShape, 'authority term');
    if (term.tenant !== roster.tenant) return refuse(`it is for tenant ${term.tenant}`);
    if (sha256(signed.document) !== term.authority) return refuse('it was edited after it was signed');
    document = parseCanonical(signed.document);
    mapOf((value) => value)(document, 'authority');
  } catch (thrown) {
    return refuse(reasonOf(thrown));
  }
  const members = membersOf(roster, roster.root.role).filter(({ suspended }) => !suspended);
  const people = new Set<string>();
  for (const armored of signed.signatures) {
    const check = checkSshSignature({ armored, namespace: AUTHORITY_SIGNED_AS, message: signed.term });
    // Somebody put it there: one that does not verify spoils the file.
    if (!check.ok) return refuse(check.reason);
    const holder = roster.holders.get(check.publicKey.text);
    if (holder && members.some(({ person }) => person === holder.person)) people.add(holder.person);
  }
  const need = roster.root.people;
  if (people.size < need) return refuse(`${people.size} of ${need} people of the root role have signed it`);
  const record = document as Record<string, Json>;
  const formless = READ.find((member) => !object(record[member]));
  if (formless !== undefined) return refuse(`it has no ${formless}`);
  if (record['tenant'] !== roster.tenant) return refuse(`its document is for tenant ${String(record['tenant'])}`);
  return document as unknown as Authority;
}
