/**
 * From differences to frozen plans: one plan per risk and per reason to remove, the order inside and between them, limits
 * that refuse, and a digest. Changes stream: from the database in their order, each frozen, hashed and stored; of a plan
 * of five million changes, memory holds a few thousand and the right edge of its Merkle tree.
 */
import type { Roster } from '../approval/roster.ts';
import { assert } from '../assert.ts';
import type { Authority } from '../authority/authority.ts';
import { requesterOf } from '../authority/ownership.ts';
import { canonical, type Digest, digestOf } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import { accountAttributes } from '../identity/account.ts';
import { CHUNK, copyLine } from '../identity/ingest.ts';
import type { PersonAttributes } from '../identity/lifecycle.ts';
import { buildTree, Frontier, leafHash, type Tree } from '../ledger/tree.ts';
import { inBatches } from '../store/cursor.ts';
import type { Queryable } from '../store/database.ts';
import { ADDING, type Tuple } from '../writ/tuple.ts';
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
import { openCritique } from './critique.ts';
import { type Existing, type LimitFinding, tallyLimits } from './limits.ts';

export interface Base {
  readonly authorityDigest: Digest;
  readonly snapshots: PlanHeader['base']['snapshots'];
  readonly observedAt: Instant;
  readonly policy: Digest;
}

export interface Plan {
  readonly number: number;
  /** Digest over what would be done, without number, time and limits: an equal one means nothing new. */
  readonly content: Digest;
  /** What was stored; null: an open plan says the same and stays. */
  readonly made: {
    readonly header: PlanHeader;
    readonly digest: Digest;
    readonly findings: readonly LimitFinding[];
    readonly critique: readonly string[];
  } | null;
}

/** A plan that is open already. */
export interface OpenPlan {
  readonly number: number;
  readonly content: string;
  readonly risk: string;
  readonly size: number;
}

export interface Making {
  readonly authority: Authority;
  readonly roster: Roster;
  readonly base: Base;
  readonly existing: () => Promise<Existing>;
  /** `feed:key` of those from whom people took by their signatures: what they get needs signatures as well. */
  readonly terminated: readonly string[];
  readonly now: Instant;
  /** One of them with the same content stays, and no new one is made. */
  readonly open: readonly OpenPlan[];
  /** The number of the next plan. */
  readonly next: number;
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

const RANK: Readonly<Record<Risk, number>> = { authority: 0, removal: 1, low: 2, normal: 3, high: 4 };

/* ---- parts: which changes form one plan ------------------------------------------------------------------------------ */

/** Differences that are alike in everything but whom they concern. */
interface Kind {
  readonly system: string;
  readonly effect: Leaf['effect'];
  readonly entitlement: string | null;
  readonly cause: string;
  /** The key of an approver or an owner, whose own changes are judged differently; `''` for everybody else. */
  readonly special: string;
  readonly count: number;
  /** People took from them by their signatures. */
  readonly taken: boolean;
  /** The first of its subjects, in the order of a plan. */
  readonly first: number;
}

interface Part {
  readonly risk: Risk;
  readonly role: string | null;
  readonly people: number;
  /** To people from whom signatures took. */
  readonly again: boolean;
  readonly kinds: Kind[];
}

const sizeOf = ({ kinds }: Part): number => kinds.reduce((sum, { count }) => sum + count, 0);
const firstOf = ({ kinds }: Part): number => Math.min(...kinds.map(({ first }) => first));

async function readParts(tx: Queryable, { authority, roster, terminated }: Making): Promise<readonly Part[]> {
  const members = new Set(roster.people.map(({ person }) => person));
  const owners = Object.values(authority.entitlements).flatMap(({ owner }) => owner ?? []);
  await tx.query('update subject set special = feed_key where feed is not null and feed_key = any($1)', [
    [...members, ...owners],
  ]);
  await tx.query(`update subject set taken = true where feed || ':' || feed_key = any($1)`, [terminated]);
  const kinds = await tx.query<Kind>(
    `select d.system, d.effect, d.entitlement, d.cause, s.special, s.taken, count(*)::int as count, min(s.place) as first
       from difference d join subject s using (person)
      group by d.system, d.effect, d.entitlement, d.cause, s.special, s.taken`,
  );
  const parts = new Map<string, Part>();
  for (const kind of kinds) {
    const { effect, cause } = kind;
    const tuple: Tuple & { readonly subject: Leaf['subject'] } = {
      ...kind,
      object: '',
      valueDigest: null,
      subject: kind.special === '' ? null : { feed: '', key: kind.special },
    };
    const risk = riskOf(authority, tuple);
    const declared = quorumOf(authority, tuple, false);
    const again = ADDING.has(effect) && kind.taken;
    const quorum =
      declared === null && (again || !withinBirthright(authority, kind))
        ? signedQuorumOf(authority, tuple, false)
        : declared;
    // One bad rule must not hold up a leaver: removals for different reasons are different plans.
    const reason = risk === 'removal' ? cause : '';
    // Who asked may not approve, so that what different people asked for is not signed together.
    const requester = requesterOf({ cause });
    // Nobody approves what he gains by. So that the others need not wait, an approver's own changes are a plan of his own.
    const own = members.has(kind.special) ? kind.special : '';
    const key = [risk, quorum?.role ?? '', quorum?.people ?? 0, reason, own, requester, again].join('\u0000');
    const part = parts.get(key);
    if (part) part.kinds.push(kind);
    else parts.set(key, { risk, role: quorum?.role ?? null, people: quorum?.people ?? 0, again, kinds: [kind] });
    assert(effect in ORDER, `the effect ${effect} has its place`);
  }
  return [...parts.values()].sort(
    (a, b) => RANK[a.risk] - RANK[b.risk] || sizeOf(b) - sizeOf(a) || firstOf(a) - firstOf(b),
  );
}

/** Whether the gateway can see for itself that a rule gives or ends this: a request, an exception or a revert it cannot. */
function withinBirthright(authority: Authority, { cause, effect }: Kind): boolean {
  if (authority.envelope === undefined) return false;
  if (!ADDING.has(effect)) return !/^(exception|revert) /.test(cause);
  return cause.startsWith('birthright ');
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** `kind`: each kind with its part and its turn among the changes of one person. @returns the kinds by their turn */
async function storeKinds(tx: Queryable, parts: readonly Part[]): Promise<readonly Kind[]> {
  const sorted = parts
    .flatMap((part, index) => part.kinds.map((kind) => ({ kind, part: index })))
    .sort(
      ({ kind: a }, { kind: b }) =>
        ORDER[a.effect] - ORDER[b.effect] ||
        compare(a.system, b.system) ||
        compare(a.entitlement ?? '', b.entitlement ?? ''),
    );
  await tx.query(
    `create temporary table kind on commit drop as
     select * from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[])
       with ordinality as u(part, system, effect, entitlement, cause, special, taken, turn)`,
    [
      sorted.map(({ part }) => part),
      sorted.map(({ kind }) => kind.system),
      sorted.map(({ kind }) => kind.effect),
      sorted.map(({ kind }) => kind.entitlement ?? ''),
      sorted.map(({ kind }) => kind.cause),
      sorted.map(({ kind }) => kind.special),
      sorted.map(({ kind }) => kind.taken),
    ],
  );
  await tx.query('analyze kind');
  return sorted.map(({ kind }) => kind);
}

/* ---- leaves: the changes of a part in their order -------------------------------------------------------------------- */

/** Each difference with its subject and its kind. */
const PLACED = `difference d
       join subject s using (person)
       join kind k on k.system = d.system and k.effect = d.effect and k.entitlement = coalesce(d.entitlement, '')
        and k.cause = d.cause and k.special = s.special and k.taken = s.taken
       left join named n on n.person = d.person and n.system = d.system`;

const LOGIN = 'coalesce(d.login, n.login)';

/** `taker`: the parts that take something from a person. `maker`: those that make an account, or let it in again. */
async function storeBlockers(tx: Queryable): Promise<void> {
  const adding = [...ADDING].map((effect) => `'${effect}'`).join(', ');
  await tx.query(
    `create temporary table taker on commit drop as
     select d.person, array_agg(distinct k.part) as parts from ${PLACED} where k.effect not in (${adding}) group by d.person`,
  );
  await tx.query(
    `create temporary table maker on commit drop as
     select d.system, ${LOGIN} as login, array_agg(distinct k.part) as parts from ${PLACED}
      where k.effect in ('create', 'enable') group by d.system, ${LOGIN}`,
  );
  await tx.query('analyze taker, maker');
}

interface Draft {
  /** The kind's place in the list of kinds, from 1. */
  readonly turn: number;
  readonly login: string;
  readonly id: string | null;
  readonly person: string;
  readonly nobody: boolean;
  readonly feed: string | null;
  readonly key: string;
  readonly until: Date | null;
  readonly attributes: PersonAttributes | null;
  readonly takers: readonly number[] | null;
  readonly makers: readonly number[] | null;
}

/**
 * In batches, of which each is made only as it is walked: the database works meanwhile.
 * @param earlier the plans of the parts before this one, by their place
 */
async function* leavesOf(
  tx: Queryable,
  tenant: string,
  kinds: readonly Kind[],
  part: number,
  earlier: readonly number[],
): AsyncGenerator<Iterable<Leaf>> {
  const blocked = earlier.length > 0;
  const drafts = inBatches<Draft>(
    tx,
    `select turn, login, id, person, nobody, feed, key, until${blocked ? ', takers, makers' : ''},
            case when valued then (select p.attributes from person p where p.tenant = $1 and p.id = x.person) end as attributes
       from (select k.turn::int as turn, ${LOGIN} as login, d.id, d.person, s.nobody, s.feed, s.feed_key as key, d.until,
                    k.effect in ('create', 'update') as valued${blocked ? ', t.parts as takers, m.parts as makers' : ''}
               from ${PLACED}
               ${
                 blocked
                   ? `left join taker t on t.person = d.person left join maker m on m.system = d.system and m.login = ${LOGIN}`
                   : ''
               }
              where k.part = $2
              order by s.place::bigint << 32 | k.turn offset 0) x`,
    [tenant, part],
  );
  let seq = 0;
  let person: string | null = null;
  /** Which change makes each account of this person. */
  const made = new Map<string, number>();

  function* freeze(batch: readonly Draft[]): Generator<Leaf> {
    for (const draft of batch) {
      seq += 1;
      const kind = kinds[draft.turn - 1];
      assert(kind !== undefined, 'each difference is of a kind');
      const { system, effect } = kind;
      if (draft.person !== person) made.clear();
      person = draft.person;
      if (effect === 'create' || effect === 'enable') made.set(system, seq);
      const maker = made.get(system);
      const waits =
        blocked && ADDING.has(effect)
          ? earlier.filter((_, place) => draft.takers?.includes(place) || draft.makers?.includes(place))
          : [];
      const value =
        draft.attributes === null ? null : (accountAttributes(draft.attributes) as Readonly<Record<string, string>>);
      // In the order of canonical bytes, which are then written fastest.
      yield {
        after: maker !== undefined && maker !== seq ? [maker] : [],
        cause: kind.cause,
        effect,
        entitlement: kind.entitlement,
        id: draft.id,
        object: draft.login,
        person: draft.nobody ? null : draft.person,
        seq,
        subject: draft.feed === null ? null : { feed: draft.feed, key: draft.key },
        system,
        until: draft.until === null ? null : isoTime(draft.until.getTime()),
        value,
        valueDigest: value === null ? null : digestOf(value),
        waitsFor: waits.map((number) => `P${number}`),
      };
    }
  }
  for await (const batch of drafts) yield freeze(batch);
}

/* ---- plans ----------------------------------------------------------------------------------------------------------- */

/** Makes what is in `difference` into plans, and stores those that no open plan says already. */
export async function makePlans(tx: Queryable, making: Making): Promise<readonly Plan[]> {
  const { authority, open } = making;
  const parts = await readParts(tx, making);
  if (parts.length === 0) return [];
  const kinds = await storeKinds(tx, parts);
  if (parts.length > 1) await storeBlockers(tx);
  const plans: Plan[] = [];
  let { next } = making;
  for (const [index, part] of parts.entries()) {
    const leaves = () =>
      leavesOf(
        tx,
        authority.tenant,
        kinds,
        index,
        plans.map(({ number }) => number),
      );
    // What may be there already is hashed before it is stored.
    const alike = open.filter(({ risk, size }) => risk === part.risk && size === sizeOf(part));
    const content = alike.length > 0 ? contentOf(part, await rootOf(leaves())) : null;
    const known = alike.find((plan) => plan.content === content);
    if (known) {
      plans.push({ number: known.number, content: content!, made: null });
    } else {
      plans.push(await store(tx, making, part, next, leaves()));
      next += 1;
    }
  }
  await tx.query('drop table if exists kind, taker, maker');
  return plans;
}

const AGAIN = 'People took access from these by their signatures, ahead of the record. This gives it to them again.';

/** The same changes without that they are given again are another plan, which nobody had to sign. */
const contentOf = ({ risk, again }: Part, root: Digest): Digest => digestOf(again ? [risk, root, AGAIN] : [risk, root]);

/** What a plan waits for is not what it does. */
const freeHash = (leaf: Leaf): Digest => leafHash(leafBytes({ ...leaf, waitsFor: [] }));

async function rootOf(leaves: AsyncIterable<Iterable<Leaf>>): Promise<Digest> {
  const free = new Frontier();
  for await (const batch of leaves) for (const leaf of batch) free.append(freeHash(leaf));
  return free.root();
}

async function store(
  tx: Queryable,
  { authority, roster, base, existing, now }: Making,
  part: Part,
  number: number,
  leaves: AsyncIterable<Iterable<Leaf>>,
): Promise<Plan> {
  const { tenant } = authority;
  const at = isoTime(now);
  const limits = tallyLimits(authority);
  const critic = openCritique(authority, roster);
  const tree = new Frontier();
  // Without what is waited for; the same tree until somebody waits.
  let free: Frontier | null = null;

  function* rows(batch: Iterable<Leaf>): Generator<string> {
    let chunk = '';
    for (const leaf of batch) {
      const bytes = leafBytes(leaf);
      if (free === null && leaf.waitsFor.length > 0) free = Frontier.from(tree.state());
      const hash = leafHash(bytes);
      tree.append(hash);
      free?.append(leaf.waitsFor.length > 0 ? freeHash(leaf) : hash);
      limits.add(leaf);
      critic.add(leaf);
      chunk += copyLine(
        tenant,
        number,
        leaf.seq,
        bytes,
        leaf.system,
        leaf.object,
        leaf.effect,
        leaf.entitlement,
        leaf.person,
        leaf.cause,
        'planned',
        `{${leaf.after.join(',')}}`,
        `{${leaf.waitsFor.map((name) => name.slice(1)).join(',')}}`,
        at,
        at,
      );
      if (chunk.length < CHUNK) continue;
      yield chunk;
      chunk = '';
    }
    if (chunk !== '') yield chunk;
  }
  for await (const batch of leaves) {
    await tx.copyIn(
      `copy change (tenant, plan, seq, leaf, system, login, effect, entitlement, person, cause, stage, after, waits, next_at, updated_at) from stdin`,
      rows(batch),
    );
  }
  assert(tree.size === sizeOf(part), `P${number} has the ${sizeOf(part)} changes that were counted, not ${tree.size}`);
  const header: PlanHeader = {
    v: 1,
    tenant,
    plan: `P${number}`,
    risk: part.risk,
    role: part.role,
    root: tree.root(),
    size: tree.size,
    base: { authority: base.authorityDigest, snapshots: base.snapshots, observedAt: isoTime(base.observedAt) },
    policy: base.policy,
    overLimit: false,
    createdAt: at,
  };
  const digest = planDigest(header);
  const content = contentOf(part, (free ?? tree).root());
  const findings = await limits.findings(existing);
  // A plan that refused itself goes nowhere, and so does nothing in it.
  if (findings.length > 0) {
    await tx.query(`update change set stage = 'refused' where tenant = $1 and plan = $2`, [tenant, number]);
  }
  const critique = [...(part.again ? [AGAIN] : []), ...critic.notes()];
  await tx.query(
    `insert into plan (tenant, number, risk, digest, content, header, size, state, role, people, critique, refusal, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      tenant,
      number,
      part.risk,
      digest,
      content,
      canonical(header),
      tree.size,
      findings.length > 0 ? 'refused' : 'open',
      part.role,
      part.people,
      JSON.stringify(critique),
      findings.length > 0 ? JSON.stringify(findings) : null,
      at,
    ],
  );
  return { number, content, made: { header, digest, findings, critique } };
}

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
