/**
 * A change: one effect on one account or grant, frozen. Its canonical bytes are a leaf of its plan's Merkle tree, so
 * that a plan of five million changes has one digest and one change a short proof.
 */
import { assert } from '../assert.ts';
import type { Authority } from '../authority/authority.ts';
import { canonical, type Digest, digestOf } from '../canonical.ts';
import { Failure } from '../errors.ts';
import {
  anyText,
  digestText,
  exactly,
  flag,
  integer,
  listOf,
  mapOf,
  name,
  oneOf,
  orNull,
  readDocument,
  text,
} from '../shape.ts';
import { ADDING, EFFECTS, type Privilege, type Tuple } from '../writ/tuple.ts';

/** Uniform risk of a plan. `removal` takes access away; `authority` changes Writgate's own rules. */
export const RISKS = ['removal', 'low', 'normal', 'high', 'authority'] as const;
export type Risk = (typeof RISKS)[number];

/** Stages on the road, in order, and the asides. Each has one meaning and one way in; the ways out are in `advance.ts`. */
export const STAGES = ['planned', 'decided', 'approved', 'permitted', 'applied', 'verified'] as const;
export const ASIDES = [
  'denied',
  'refused',
  'held',
  'waiting',
  'failed',
  'expired',
  'superseded',
  'inconclusive',
  'contradicted',
] as const;
export type Stage = (typeof STAGES)[number] | (typeof ASIDES)[number];

export interface Leaf {
  readonly seq: number;
  readonly system: string;
  readonly object: string;
  readonly effect: Tuple['effect'];
  readonly entitlement: string | null;
  readonly valueDigest: Digest | null;
  /** The neutral attributes (create, update) or the document (install) under `valueDigest`; people must see what they sign. */
  readonly value: { readonly [name: string]: string } | null;
  /** The record that the change rests on. Null only for an account that belongs to nobody in any feed. */
  readonly subject: { readonly feed: string; readonly key: string } | null;
  readonly person: string | null;
  /** The target's own id of the account as observed; null before it exists. Says how to find it, never whose it is. */
  readonly id: string | null;
  /** Why, as `birthright everyone`, `absent`, `request R1 …`. */
  readonly cause: string;
  /** End of a time-bound grant, ISO time. */
  readonly until: string | null;
  /** Sequence numbers in the same plan that must be applied before. */
  readonly after: readonly number[];
  /** Plans in which this person's removals, and the making of this account, must be applied before. */
  readonly waitsFor: readonly string[];
}

export interface PlanHeader {
  readonly v: 1;
  readonly tenant: string;
  readonly plan: string;
  readonly risk: Risk;
  /** Whose approval it would need: `owner:108`, `security`, or null inside the envelope. */
  readonly role: string | null;
  /** RFC 6962 root over the leaves, hex. */
  readonly root: Digest;
  readonly size: number;
  /** What the plan was made from. */
  readonly base: {
    readonly authority: Digest;
    readonly snapshots: { readonly [feed: string]: string };
    readonly observedAt: string;
  };
  readonly policy: Digest;
  readonly overLimit: boolean;
  readonly createdAt: string;
}

export const planDigest = (header: PlanHeader): Digest => digestOf(header);
export const leafBytes = (leaf: Leaf): string => canonical(leaf);

const leafShape = exactly<Leaf>({
  seq: integer(1),
  system: anyText,
  object: anyText,
  effect: oneOf(...EFFECTS.filter((effect): effect is Tuple['effect'] => effect !== 'read')),
  entitlement: orNull(anyText),
  valueDigest: orNull(digestText),
  value: orNull(mapOf(anyText)),
  subject: orNull(exactly<NonNullable<Leaf['subject']>>({ feed: anyText, key: anyText })),
  person: orNull(anyText),
  id: orNull(anyText),
  cause: anyText,
  until: orNull(anyText),
  after: listOf(integer(1)),
  waitsFor: listOf(anyText),
});

export const headerShape = exactly<PlanHeader>({
  v: oneOf(1),
  tenant: name,
  plan: text(/^P[1-9][0-9]{0,8}$/, 'the name of a plan'),
  risk: oneOf(...RISKS),
  role: orNull(anyText),
  root: digestText,
  size: integer(1),
  base: exactly<PlanHeader['base']>({ authority: digestText, snapshots: mapOf(anyText), observedAt: anyText }),
  policy: digestText,
  overLimit: flag,
  createdAt: anyText,
});

/** @throws Failure `approval-form` */
export const readHeader = (bytes: string): PlanHeader => readDocument(bytes, headerShape, 'plan header');

/** The form alone, for whoever tells by himself what is wrong with the value. @throws Failure `approval-form` */
export const readLeaf = (bytes: string): Leaf => readDocument(bytes, leafShape, 'change');

/** @throws Failure `approval-form` when the bytes are no change; `canonical-form` when they hide another value than they name */
export function parseLeaf(bytes: string): Leaf {
  const leaf = readLeaf(bytes);
  // Nobody signs a value that is hidden behind its digest.
  if ((leaf.value === null ? null : digestOf(leaf.value)) !== leaf.valueDigest) {
    throw new Failure('canonical-form', 'the value of a change is not what its digest names');
  }
  return leaf;
}

export const tupleOf = (leaf: Leaf): Tuple => ({
  system: leaf.system,
  object: leaf.object,
  effect: leaf.effect,
  entitlement: leaf.entitlement,
  valueDigest: leaf.valueDigest,
});

/** Mechanisms that can be revoked although nobody named them as an entitlement. */
export const isMechanism = (entitlement: string): boolean => entitlement.startsWith('@');

/** Weight of a privilege level in limits and budgets. */
export const WEIGHT: Readonly<Record<Privilege, number>> = { low: 1, normal: 3, high: 10 };

/** Judged from the authority alone. An entitlement that it does not know is high. */
export function privilegeOf(authority: Authority, tuple: Tuple): Privilege {
  if (tuple.entitlement === null || isMechanism(tuple.entitlement)) return 'low';
  return authority.entitlements[tuple.entitlement]?.privilege ?? 'high';
}

export function riskOf(authority: Authority, tuple: Tuple): Risk {
  if (tuple.effect === 'install') return 'authority';
  if (tuple.effect === 'adopt') return 'normal';
  return ADDING.has(tuple.effect) ? privilegeOf(authority, tuple) : 'removal';
}

/**
 * Who must approve, from the authority alone: null when it may flow without people inside the envelope.
 * Whatever leaves the envelope (`beyond`) needs the quorum of its risk, and where that is 0, the one for `high`.
 */
export function quorumOf(
  authority: Authority,
  tuple: Tuple & { readonly subject: Leaf['subject'] },
  beyond: boolean,
): { readonly role: string; readonly people: number; readonly withinMs: number } | null {
  const risk = riskOf(authority, tuple);
  const { approvals } = authority;
  const high = approvals.high === 0 ? { people: 2, role: 'security', within: 86_400_000 } : approvals.high;
  const declared = risk === 'authority' ? high : risk === 'removal' ? approvals.removal : approvals[risk];
  const chosen = declared === 0 ? (beyond ? high : null) : beyond && declared.people < high.people ? high : declared;
  if (chosen === null) return null;
  if (chosen.role !== 'owner') return { role: chosen.role, people: chosen.people, withinMs: chosen.within };
  const owner = tuple.entitlement === null ? undefined : authority.entitlements[tuple.entitlement]?.owner;
  // Nobody owns it, or the owner himself would gain by it: then nobody may say yes in the owner's name.
  return owner === undefined || owner === tuple.subject?.key
    ? { role: high.role, people: high.people, withinMs: high.within }
    : { role: `owner:${owner}`, people: chosen.people, withinMs: chosen.within };
}

/**
 * The quorum that signatures over a plan must reach. A change that could have flowed inside the envelope and comes with
 * signatures is beyond it: then the quorum for `high` decides.
 */
export const signedQuorumOf = (authority: Authority, tuple: Parameters<typeof quorumOf>[1], overLimit: boolean) => {
  const quorum = quorumOf(authority, tuple, overLimit || quorumOf(authority, tuple, false) === null);
  assert(quorum !== null, 'beyond the envelope there is always a quorum');
  return quorum;
};
