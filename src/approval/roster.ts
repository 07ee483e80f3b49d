/**
 * The roster: who may approve, in which roles, with which keys. The platform reads it and cannot write it: each version
 * is signed by people of the version before (after The Update Framework, specification section 5.3).
 */
import { canonical, type Digest, sha256 } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { Failure } from '../errors.ts';
import {
  digestText,
  distinct,
  exactly,
  integer,
  misfit,
  name,
  oneOf,
  orNull,
  person,
  readDocument,
  type Shape,
  text,
} from '../shape.ts';
import { parsePublicKey } from './key.ts';
import { checkSshSignature } from './sshsig.ts';

export const ROSTER_NAMESPACE = 'roster@writgate';

export interface RosterPerson {
  /** The id that HR gave; never reused. */
  readonly person: string;
  readonly name: string;
  readonly roles: readonly string[];
  /** `type base64`, without comment. */
  readonly keys: readonly string[];
  readonly suspended?: true;
}

export interface RosterDocument {
  readonly v: 1;
  readonly tenant: string;
  /** From 1, each one more than the last. */
  readonly version: number;
  /** Digest of the version before; null for the genesis roster. */
  readonly previous: Digest | null;
  readonly people: readonly RosterPerson[];
  /** Who changes the roster: this many persons of this role. */
  readonly root: { readonly role: string; readonly people: number };
  readonly expiresAt: Instant;
}

/** A roster that was read. Only `parseRoster` makes one. */
export interface Roster extends RosterDocument {
  readonly digest: Digest;
  /** Whose key this is, by its text. Suspended people are in it. */
  readonly holders: ReadonlyMap<string, RosterPerson>;
}

/** Canonical text and armored signatures over exactly that text, in namespace `roster@writgate`. */
export interface SignedRoster {
  readonly text: string;
  readonly signatures: readonly string[];
}

export type RosterCheck =
  /** `rosters` holds the whole chain, oldest first; `head` is its last. */
  | { readonly ok: true; readonly head: Roster; readonly rosters: readonly Roster[] }
  | { readonly ok: false; readonly reason: string };

/** One form of each key, so that two spellings of one key cannot pass for two keys. */
const keyText: Shape<string> = (value, place) => {
  if (typeof value !== 'string') throw misfit(place, 'is not a key');
  try {
    if (parsePublicKey(value).text === value) return value;
  } catch (thrown) {
    throw misfit(place, `is no key that can approve: ${reasonOf(thrown)}`);
  }
  throw misfit(place, 'carries a comment; write only type and base64');
};

const personShape = exactly<RosterPerson>(
  {
    person,
    // Shown to people who sign, so nothing that moves a cursor or reverses the direction of text.
    name: text(
      /^[^\p{C}\p{Z}](?:[^\p{C}\p{Zl}\p{Zp}]{0,98}[^\p{C}\p{Z}])?$/u,
      'a printable name of at most 100 characters',
    ),
    roles: distinct(name),
    keys: distinct(keyText),
    suspended: oneOf(true),
  },
  ['suspended'],
);

const rosterShape = exactly<RosterDocument>({
  v: oneOf(1),
  tenant: name,
  version: integer(1),
  previous: orNull(digestText),
  people: distinct(personShape, (item) => item.person),
  root: exactly<RosterDocument['root']>({ role: name, people: integer(1) }),
  expiresAt: integer(1),
});

/**
 * Reads canonical bytes of a roster.
 * @throws Failure `approval-form`: unknown members, no people, a person or a key twice, a root role that fewer people hold
 *   than must sign, a genesis with a predecessor.
 */
export function parseRoster(bytes: string): Roster {
  const document = readDocument(bytes, rosterShape, 'roster');
  const holders = new Map<string, RosterPerson>();
  for (const member of document.people) {
    for (const key of member.keys) {
      const other = holders.get(key);
      if (other) throw misfit('roster', `gives one key to two persons, ${other.person} and ${member.person}`);
      holders.set(key, member);
    }
  }
  if ((document.version === 1) !== (document.previous === null)) {
    throw misfit(
      'roster',
      `is version ${document.version} with ${document.previous === null ? 'no' : 'a'} predecessor`,
    );
  }
  const { role, people } = document.root;
  const active = membersOf(document, role).filter((member) => !member.suspended).length;
  if (people > active)
    throw misfit('roster', `wants ${people} of role ${role} to change it, and ${active} hold that role`);
  return { ...document, digest: sha256(bytes), holders };
}

/** The exact bytes that are signed and hashed. */
export const rosterText = (document: RosterDocument): string => canonical(document);

/**
 * Members of a role, suspended ones included. `owner:108` is nobody's role in a roster (a role holds no colon): it
 * means the person 108, if the roster has him.
 */
export const membersOf = (roster: RosterDocument, role: string): readonly RosterPerson[] =>
  roster.people.filter((member) => member.roles.includes(role) || role === `owner:${member.person}`);

/**
 * Follows the chain from a genesis roster, which the trust root must have vouched for (`checkTrustRoot`).
 *
 * Each successor is one version on, names its predecessor's digest, and is signed by the root threshold of the old
 * roster and by that of the new one, counted in persons. A key that the successor adds must sign too, which proves that its
 * holder has it and counts for nothing else. A successor that only suspends people needs one person of the old roster.
 *
 * @param newest the newest roster that the caller has seen itself: a chain that ends before it, or passes by it, is refused.
 */
export function checkRosterChain(input: {
  genesis: Roster;
  successors: readonly SignedRoster[];
  now: Instant;
  newest?: { readonly version: number; readonly digest: Digest };
}): RosterCheck {
  const { genesis, successors, now, newest } = input;
  const refuse = (reason: string): RosterCheck => ({ ok: false, reason });
  if (genesis.version !== 1) return refuse(`the chain begins at version ${genesis.version}, not at the genesis roster`);

  const rosters = [genesis];
  let head = genesis;
  for (const signed of successors) {
    const step = checkSuccessor(head, signed);
    if (typeof step === 'string') return refuse(`roster after version ${head.version}: ${step}`);
    rosters.push(step);
    head = step;
  }
  if (newest && rosters[newest.version - 1]?.digest !== newest.digest) {
    return refuse(
      `the chain ends at version ${head.version} and does not contain version ${newest.version}, which was seen before`,
    );
  }
  if (head.expiresAt <= now) return refuse(`roster version ${head.version} has expired; sign a new version`);
  return { ok: true, head, rosters };
}

/** The successor, or why it is none. */
function checkSuccessor(old: Roster, signed: SignedRoster): Roster | string {
  const read = tryParse(signed.text);
  if (typeof read === 'string') return read;
  const next = read;
  if (next.tenant !== old.tenant) return `it is of tenant ${next.tenant}, not ${old.tenant}`;
  if (next.version !== old.version + 1) return `its version is ${next.version}, not ${old.version + 1}`;
  if (next.previous !== old.digest) return 'it names another predecessor';

  const keys = signingKeys(signed.signatures, ROSTER_NAMESPACE, signed.text);
  if (!(keys instanceof Set)) return keys.reason;

  // A key counts only for the person who already held it: enrolment never approves itself.
  const established = [...keys].filter((key) => old.holders.has(key));
  const oldSigners = activePersons(old, established);
  if (onlySuspends(old, next)) return oldSigners.size > 0 ? next : 'nobody of the old roster signed the suspension';

  for (const [key, holder] of next.holders) {
    if (!old.holders.has(key) && !keys.has(key))
      return `the new key of ${holder.person} did not sign: no proof that it is held`;
    const before = old.holders.get(key);
    if (before && before.person !== holder.person) return `a key of ${before.person} passes to ${holder.person}`;
  }
  for (const [which, roster, signers] of [
    ['old', old, oldSigners],
    ['new', next, activePersons(next, established)],
  ] as const) {
    const have = membersOf(roster, roster.root.role).filter((member) => signers.has(member.person)).length;
    const need = roster.root.people;
    if (have < need) return `${have} of ${need} persons of the ${which} root role ${roster.root.role} signed`;
  }
  return next;
}

function tryParse(bytes: string): Roster | string {
  try {
    return parseRoster(bytes);
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

/** Texts of the keys whose signatures verify. One bad signature spoils the set: somebody put it there. */
export function signingKeys(
  signatures: readonly string[],
  namespace: string,
  message: string,
): Set<string> | { readonly reason: string } {
  const keys = new Set<string>();
  for (const armored of signatures) {
    const check = checkSshSignature({ armored, namespace, message });
    if (!check.ok) return { reason: check.reason };
    keys.add(check.publicKey.text);
  }
  return keys;
}

function activePersons(roster: Roster, keys: readonly string[]): Set<string> {
  const holders = keys.map((key) => roster.holders.get(key)).filter((holder) => holder !== undefined);
  return new Set(holders.filter((holder) => !holder.suspended).map((holder) => holder.person));
}

/** Whether `next` differs from `old` by suspensions alone: shrinking access is easy, and undoing it is not. */
function onlySuspends(old: Roster, next: Roster): boolean {
  const content = ({ people, root, expiresAt }: RosterDocument) => canonical({ people, root, expiresAt });
  const suspended = new Set(next.people.filter((member) => member.suspended).map((member) => member.person));
  const people = old.people.map((member) =>
    suspended.has(member.person) ? { ...member, suspended: true as const } : member,
  );
  return content(next) !== content(old) && content(next) === content({ ...old, people });
}

/** The message of a Failure; anything else is a defect and goes on. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Failure) return thrown.message;
  throw thrown;
}
