/**
 * From differences to frozen plans: a login for each new account, one plan per risk and per reason to remove, the order
 * inside and between them, limits that refuse, and a digest.
 */
import type { Roster } from '../approval/roster.ts';
import { assert } from '../assert.ts';
import type { Authority } from '../authority/authority.ts';
import { requesterOf } from '../authority/ownership.ts';
import { type Digest, digestOf } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import { chooseLogin } from '../identity/login.ts';
import type { Rules } from '../identity/rules.ts';
import { buildTree, leafHash, type Tree } from '../ledger/tree.ts';
import { ADDING } from '../writ/tuple.ts';
import {
  type Leaf,
  leafBytes,
  type PlanHeader,
  planDigest,
  quorumOf,
  type Risk,
  riskOf,
  signedQuorumOf,
} from './change.ts';
import { critique } from './critique.ts';
import type { Difference } from './diff.ts';
import { checkLimits, type Existing, type LimitFinding } from './limits.ts';

export interface Base {
  readonly authorityDigest: Digest;
  readonly snapshots: PlanHeader['base']['snapshots'];
  readonly observedAt: Instant;
  readonly policy: Digest;
}

export interface Plan {
  readonly number: number;
  readonly header: PlanHeader;
  readonly digest: Digest;
  /** Digest over what would be done, without number, time and limits: an equal one means nothing new. */
  readonly content: Digest;
  readonly leaves: readonly Leaf[];
  /** Persons of `header.role` who must sign; 0: inside the envelope. */
  readonly people: number;
  readonly findings: readonly LimitFinding[];
  readonly critique: readonly string[];
}

/** A difference that became no change, and why. */
export interface LeftAlone {
  readonly system: string;
  readonly login: string | null;
  readonly person: string;
  readonly why: string;
}

export interface Logins {
  /** The login that this person had on the system before, or null. */
  held(system: string, person: string): string | null;
  /** Somebody else has it, or had it: a leaver's login never passes on. */
  taken(system: string, login: string): boolean;
  /** An account of that name exists and nobody took it under management. */
  unmanaged(system: string, login: string): boolean;
  /** Protected in the target's configuration, or by `writgate protect`. */
  protected(system: string, login: string): boolean;
}

export type Draft = Omit<Leaf, 'seq' | 'after' | 'waitsFor'>;

/** Gives each difference its login. Accounts to make come first, so that their grants know where they go. */
export function draft(
  differences: readonly Difference[],
  rules: Rules,
  logins: Logins,
): { readonly drafts: readonly Draft[]; readonly leftAlone: readonly LeftAlone[] } {
  const drafts: Draft[] = [];
  const leftAlone: LeftAlone[] = [];
  const chosen = new Map<string, string | null>();
  const given = new Set<string>();

  function loginFor({ system, person, personAttributes }: Difference): string | null {
    const key = `${system} ${person}`;
    const before = chosen.get(key);
    if (before !== undefined) return before;
    const candidates = rules.logins(system, personAttributes);
    const unmanaged = candidates.find((login) => logins.unmanaged(system, login));
    const taken = (login: string) =>
      given.has(`${system} ${login}`) || logins.taken(system, login) || logins.protected(system, login);
    const { login } = chooseLogin(logins.held(system, person), candidates, taken);
    const answer = unmanaged !== undefined && unmanaged === login ? null : login;
    if (answer !== null) given.add(`${system} ${answer}`);
    else if (unmanaged === undefined)
      leftAlone.push({ system, login: null, person, why: 'no login is free for this person' });
    else {
      leftAlone.push({
        system,
        login: unmanaged,
        person,
        why: 'an account of this name exists: `writgate adopt` takes it',
      });
    }
    chosen.set(key, answer);
    return answer;
  }

  for (const difference of differences) {
    const { system, effect, entitlement, person, subject, attributes, cause, until, id } = difference;
    const login = difference.login ?? loginFor(difference);
    if (login === null) continue;
    if (logins.protected(system, login)) {
      leftAlone.push({ system, login, person, why: 'protected' });
      continue;
    }
    const value = attributes === null ? null : (attributes as Readonly<Record<string, string>>);
    drafts.push({
      system,
      object: login,
      effect,
      entitlement,
      valueDigest: value === null ? null : digestOf(value),
      value,
      subject,
      person,
      id,
      cause,
      until,
    });
  }
  return { drafts, leftAlone };
}

/** Removals first, then accounts, then what is held on them; inside one person, what he loses before what he gains. */
const ORDER: Readonly<Record<Leaf['effect'], number>> = {
  revoke: 0,
  disable: 1,
  delete: 2,
  install: 3,
  adopt: 4,
  create: 5,
  enable: 6,
  update: 7,
  authenticate: 8,
  grant: 9,
};

interface Group {
  readonly risk: Risk;
  readonly role: string | null;
  readonly people: number;
  /** To people from whom signatures took. */
  readonly again: boolean;
  readonly drafts: Draft[];
}

const AGAIN = 'People took access from these by their signatures, ahead of the record. This gives it to them again.';

/** @param numberFor the number of an open plan with this content, or the next free one, in the order of reading */
export function makePlans(input: {
  authority: Authority;
  roster: Roster;
  base: Base;
  drafts: readonly Draft[];
  existing: Existing;
  /** `feed:key` of those from whom people took by their signatures: what they get needs signatures as well. */
  terminated: ReadonlySet<string>;
  now: Instant;
  numberFor: (content: Digest) => number;
}): readonly Plan[] {
  const { authority, roster, base, drafts, existing, terminated, now } = input;
  const members = new Set(roster.people.map(({ person }) => person));
  const groups = new Map<string, Group>();
  for (const item of drafts) {
    const risk = riskOf(authority, item);
    const declared = quorumOf(authority, item, false);
    const again =
      ADDING.has(item.effect) && item.subject !== null && terminated.has(`${item.subject.feed}:${item.subject.key}`);
    const quorum =
      declared === null && (again || !withinBirthright(authority, item))
        ? signedQuorumOf(authority, item, false)
        : declared;
    // One bad rule must not hold up a leaver: removals for different reasons are different plans.
    const reason = risk === 'removal' ? item.cause : '';
    // Who asked may not approve, so that what different people asked for is not signed together.
    const requester = requesterOf(item);
    // Nobody approves what he gains by. So that the others need not wait, an approver's own changes are a plan of his own.
    const own = item.subject !== null && members.has(item.subject.key) ? item.subject.key : '';
    const key = `${risk}\u0000${quorum?.role ?? ''}\u0000${quorum?.people ?? 0}\u0000${reason}\u0000${own}\u0000${requester}\u0000${again}`;
    const group = groups.get(key);
    if (group) group.drafts.push(item);
    else groups.set(key, { risk, role: quorum?.role ?? null, people: quorum?.people ?? 0, again, drafts: [item] });
  }
  const rank: Readonly<Record<Risk, number>> = { authority: 0, removal: 1, low: 2, normal: 3, high: 4 };
  const ordered = [...groups.values()].sort((a, b) => rank[a.risk] - rank[b.risk] || b.drafts.length - a.drafts.length);

  const plans: Plan[] = [];
  for (const group of ordered) {
    // Over leaf hashes: as one text, a million changes would be more than a string can hold.
    const root = treeOf(freeze(group.drafts, [])).root;
    // The same changes without that are another plan, which nobody had to sign.
    const content = digestOf(group.again ? [group.risk, root, AGAIN] : [group.risk, root]);
    const number = input.numberFor(content);
    const leaves = freeze(group.drafts, blockers(plans));
    const header = headerOf(authority, base, number, group, leaves, now);
    plans.push({
      number,
      header,
      digest: planDigest(header),
      content,
      leaves,
      people: group.people,
      findings: checkLimits(authority, leaves, existing),
      critique: [...(group.again ? [AGAIN] : []), ...critique(authority, roster, leaves)],
    });
  }
  return plans;
}

const headerOf = (
  authority: Authority,
  base: Base,
  number: number,
  { risk, role }: { readonly risk: Risk; readonly role: string | null },
  leaves: readonly Leaf[],
  now: Instant,
): PlanHeader => ({
  v: 1,
  tenant: authority.tenant,
  plan: `P${number}`,
  risk,
  role,
  root: treeOf(leaves).root,
  size: leaves.length,
  base: { authority: base.authorityDigest, snapshots: base.snapshots, observedAt: isoTime(base.observedAt) },
  policy: base.policy,
  overLimit: false,
  createdAt: isoTime(now),
});

/**
 * The same changes as a plan that asks to go over the limits by which it refused itself. It needs the quorum for `high`,
 * and opens outside of the envelope's budget.
 */
export function overLimit(
  authority: Authority,
  header: PlanHeader,
  leaves: readonly Leaf[],
  number: number,
  now: Instant,
) {
  const [first] = leaves;
  assert(first !== undefined, 'a plan has changes');
  const quorum = signedQuorumOf(authority, first, true);
  const lifted: PlanHeader = {
    ...header,
    plan: `P${number}`,
    role: quorum.role,
    overLimit: true,
    createdAt: isoTime(now),
  };
  return { header: lifted, digest: planDigest(lifted), people: quorum.people };
}

/** The leaf hashes of a plan as a tree, for its digest and for the proofs that writs carry. */
export const treeOf = (leaves: readonly Leaf[]): Tree => buildTree(leaves.map((leaf) => leafHash(leafBytes(leaf))));

/** Whether the gateway can see for itself that a rule gives or ends this: a request, an exception or a revert it cannot. */
function withinBirthright(authority: Authority, { cause, effect }: Draft): boolean {
  if (authority.envelope === undefined) return false;
  if (!ADDING.has(effect)) return !/^(exception|revert) /.test(cause);
  return cause.startsWith('birthright ');
}

interface Blocker {
  readonly removals: Set<string>;
  readonly accounts: Set<string>;
  readonly plan: string;
}

/** What earlier plans of this planning do that later ones must wait for. */
const blockers = (plans: readonly Plan[]): readonly Blocker[] =>
  plans.map(({ header, leaves }) => ({
    plan: header.plan,
    removals: new Set(leaves.filter((leaf) => !ADDING.has(leaf.effect)).map((leaf) => leaf.person ?? '')),
    accounts: new Set(
      leaves
        .filter((leaf) => leaf.effect === 'create' || leaf.effect === 'enable')
        .map((leaf) => `${leaf.system} ${leaf.object}`),
    ),
  }));

function freeze(drafts: readonly Draft[], earlier: readonly Blocker[]): Leaf[] {
  const sorted = [...drafts].sort(
    (a, b) =>
      compare(a.subject?.key ?? a.object, b.subject?.key ?? b.object) ||
      ORDER[a.effect] - ORDER[b.effect] ||
      compare(a.system, b.system) ||
      compare(a.entitlement ?? '', b.entitlement ?? ''),
  );
  const made = new Map<string, number>();
  return sorted.map((item, index) => {
    const seq = index + 1;
    const account = `${item.system} ${item.object}`;
    if (item.effect === 'create' || item.effect === 'enable') made.set(account, seq);
    const maker = made.get(account);
    const waitsFor = ADDING.has(item.effect)
      ? earlier
          .filter(({ removals, accounts }) => removals.has(item.person ?? '') || accounts.has(account))
          .map(({ plan }) => plan)
      : [];
    return { ...item, seq, after: maker !== undefined && maker !== seq ? [maker] : [], waitsFor };
  });
}

const compare = (a: string, b: string): number => {
  const [left, right] = [Number(a), Number(b)];
  if (Number.isInteger(left) && Number.isInteger(right)) return left - right;
  return a < b ? -1 : a > b ? 1 : 0;
};
