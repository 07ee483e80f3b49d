/**
 * What is in force, from files that only the roster can have signed: trust root, roster chain, authority.
 * Control, gateway and verifier each read and check them for themselves; nobody takes another's word.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkRosterChain, membersOf, type Roster, type SignedRoster } from '../approval/roster.ts';
import { checkSshSignature } from '../approval/sshsig.ts';
import { checkTrustRoot, type TrustRoot } from '../approval/trust-root.ts';
import { Authority } from '../authority/authority.ts';
import { canonical, type Digest, parseCanonical, sha256 } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { Failure } from '../errors.ts';

export const AUTHORITY_NAMESPACE = 'authority@writgate';

/** What people sign: which authority takes the place of which. */
export interface AuthorityTerm {
  readonly v: 1;
  readonly tenant: string;
  /** From 1, each one more than the last. */
  readonly serial: number;
  /** Digest of the term before; null for the first. */
  readonly previous: Digest | null;
  /** Digest of the canonical authority. */
  readonly authority: Digest;
}

export interface SignedAuthority {
  /** Canonical `AuthorityTerm`. */
  readonly term: string;
  /** Canonical `Authority`. */
  readonly document: string;
  readonly signatures: readonly string[];
}

export interface InForce {
  readonly trustRoot: TrustRoot;
  readonly roster: Roster;
  readonly term: AuthorityTerm;
  readonly authority: Authority;
  readonly authorityDigest: Digest;
  /** As it was read: what proves it to others. */
  readonly signed: SignedAuthority;
}

export const termText = (term: AuthorityTerm): string => canonical(term);

/** Who signed a term, by the keys in the roster; and how many of the root role it needs. */
export function checkAuthority(
  signed: SignedAuthority,
  roster: Roster,
): {
  readonly term: AuthorityTerm;
  readonly authority: Authority;
  readonly people: readonly string[];
  readonly need: number;
} {
  const term = parseCanonical(signed.term) as unknown as AuthorityTerm;
  if (term.v !== 1 || term.tenant !== roster.tenant) {
    throw new Failure(
      'authority-invalid',
      `the authority is for tenant ${term.tenant}, the roster for ${roster.tenant}`,
    );
  }
  if (sha256(signed.document) !== term.authority) {
    throw new Failure('authority-invalid', 'the authority was edited after it was signed');
  }
  const members = new Set(
    membersOf(roster, roster.root.role)
      .filter(({ suspended }) => !suspended)
      .map(({ person }) => person),
  );
  const people = new Set<string>();
  for (const armored of signed.signatures) {
    const check = checkSshSignature({ armored, namespace: AUTHORITY_NAMESPACE, message: signed.term });
    const holder = check.ok ? roster.holders.get(check.publicKey.text) : undefined;
    if (holder && members.has(holder.person)) people.add(holder.person);
  }
  const parsed = Authority.safeParse(parseCanonical(signed.document));
  if (!parsed.success)
    throw new Failure(
      'authority-invalid',
      `the authority has not the form that this Writgate knows: ${parsed.error.issues[0]?.message} in ${parsed.error.issues[0]?.path.join('.')}`,
    );
  return { term, authority: parsed.data, people: [...people], need: roster.root.people };
}

const fileText = async (folder: string, name: string): Promise<string> =>
  readFile(join(folder, name), 'utf8').catch((cause) => {
    throw new Failure('authority-invalid', `${name} cannot be read in ${folder}; \`writgate init\` makes it`, {
      cause,
    });
  });

/**
 * What the files of the data folder say, in itself; a role holds it against its memory (`memory.ts`).
 * @throws Failure `authority-invalid`
 */
export async function readInForce(folder: string, now: Instant): Promise<InForce> {
  const [trustText, rosterFile, authorityFile] = await Promise.all([
    fileText(folder, 'trust-root.json'),
    fileText(folder, 'roster.json'),
    fileText(folder, 'authority.json'),
  ]);
  const chain = JSON.parse(rosterFile) as readonly SignedRoster[];
  const [genesis, ...successors] = chain;
  const root = checkTrustRoot(trustText, genesis?.text ?? '');
  if (!root.ok) throw new Failure('authority-invalid', `the trust root does not hold: ${root.reason}`);
  const rosters = checkRosterChain({ genesis: root.genesis, successors, now });
  if (!rosters.ok) throw new Failure('authority-invalid', `the roster does not hold: ${rosters.reason}`);
  const signed = JSON.parse(authorityFile) as SignedAuthority;
  const { term, authority, people, need } = checkAuthority(signed, rosters.head);
  if (people.length < need) {
    throw new Failure('authority-invalid', `${people.length} of ${need} people have signed the authority`);
  }
  return { trustRoot: root.trustRoot, roster: rosters.head, term, authority, authorityDigest: term.authority, signed };
}
