/** Changes and plans as the store has them, and the one way in which a change goes to its next stage. */
import { type Clock, type Instant, isoTime } from '../clock.ts';
import type { Tree } from '../ledger/tree.ts';
import { type Leaf, type PlanHeader, parseLeaf, type Stage } from '../plan/change.ts';
import { treeOf } from '../plan/make.ts';
import type { Queryable } from '../store/database.ts';
import { storedJson, storedText } from '../store/text.ts';

export interface ChangeRow {
  readonly plan: number;
  readonly seq: number;
  readonly leaf: Leaf;
  readonly leafText: string;
  readonly stage: Stage;
  readonly writ: string | null;
  readonly attempt: number;
  readonly planDigest: string;
  /** The id that the target gave to the account, as far as it is known. */
  readonly accountId: string | null;
}

export interface PlanRow {
  readonly number: number;
  readonly header: PlanHeader;
  readonly digest: string;
  readonly role: string | null;
  readonly people: number;
  readonly state: 'open' | 'refused' | 'superseded' | 'done';
}

export const changeId = ({ plan, seq }: { plan: number; seq: number }): string => `P${plan}.${seq}`;

interface StoredChange {
  plan: number;
  seq: number;
  leaf: string;
  stage: Stage;
  writ: string | null;
  attempt: number;
  planDigest: string;
  accountId: string | null;
}

/** A leaf never changes, and each stage of a change reads it again. */
const leavesKnown = new Map<string, Leaf>();
const LEAVES_KEPT = 10_000;

function leafOf(text: string): Leaf {
  const known = leavesKnown.get(text);
  if (known) return known;
  const leaf = parseLeaf(text);
  if (leavesKnown.size >= LEAVES_KEPT) leavesKnown.clear();
  leavesKnown.set(text, leaf);
  return leaf;
}

const toChange = (row: StoredChange): ChangeRow => ({ ...row, leaf: leafOf(row.leaf), leafText: row.leaf });

/**
 * What a change is read as: of the change itself, of its plan, and of the account as it was seen last; where it was not
 * seen yet, as the target called it when it was made. An id only says where to look: the gateway knows whose it is.
 */
const CHANGE = `select c.plan, c.seq, c.leaf, c.stage, c.writ, c.attempt, p.digest as "planDigest",
            coalesce((select a.id from account a where a.tenant = c.tenant and a.system = c.system and a.login = c.login),
                     (select max((select b.receipt ->> 'id' from change b
                                   where b.tenant = c.tenant and b.plan = c.plan and b.seq = made.seq
                                     and b.effect = 'create' and b.system = c.system and b.login = c.login))
                        from unnest(c.after) as made(seq))) as "accountId"
       from change c join plan p on p.tenant = c.tenant and p.number = c.plan`;

/**
 * Changes that may move now: due, of an open plan, and nothing before them is still on its way. What a person loses is
 * applied before what he gains; an account is made before anything is put on it.
 *
 * Each predecessor is asked for by its whole key. As a join, it tempted a planner without statistics (a plan that was
 * stored a moment ago has none) to read the whole plan once for each of its changes.
 *
 * Only stages with a pause have a time to wait for, and no pause is longer than a day: what is due later than that was
 * written down before the clock went back.
 */
export async function readyChanges(
  db: Queryable,
  tenant: string,
  stages: readonly Stage[],
  now: Instant,
  limit: number,
  except: ReadonlySet<string>,
): Promise<readonly ChangeRow[]> {
  const rows = await db.query<StoredChange>(
    `${CHANGE}
      where c.tenant = $1 and c.stage = any($2) and p.state = 'open'
        and (c.next_at <= $3 or c.stage in ('planned', 'approved', 'permitted', 'applied')
             or (c.stage <> 'decided' and c.next_at > $3::timestamptz + interval '25 hours'))
        and (c.stage not in ('approved', 'permitted', 'waiting')
             or (not exists (select 1 from unnest(c.after) as a(seq)
                              where (select b.stage from change b
                                      where b.tenant = c.tenant and b.plan = c.plan and b.seq = a.seq)
                                    not in ('applied', 'verified', 'inconclusive'))
                 and not exists (select 1 from change b
                                  where b.tenant = c.tenant and b.plan = any(c.waits) and b.person = c.person
                                    and (b.stage in ('planned', 'decided', 'approved', 'permitted', 'waiting', 'held')
                                         -- In a plan that refused itself, and may still go over its limits.
                                         or (b.stage = 'refused' and exists (select 1 from plan r where r.tenant = b.tenant
                                                and r.number = b.plan and r.state = 'refused')))
                                    and (b.effect in ('revoke', 'disable', 'delete')
                                         or (b.system = c.system and b.login = c.login and b.effect in ('create', 'enable'))))))
      order by c.plan, c.seq limit $4`,
    [tenant, stages, isoTime(now), limit + except.size],
  );
  return rows.filter((row) => !except.has(changeId(row))).map(toChange);
}

export async function readChanges(db: Queryable, tenant: string, plan: number): Promise<readonly ChangeRow[]> {
  const rows = await db.query<StoredChange>(`${CHANGE} where c.tenant = $1 and c.plan = $2 order by c.seq`, [
    tenant,
    plan,
  ]);
  return rows.map(toChange);
}

/** Changes read at a time. */
const PAGE = 2_000;

/** Those of a plan that are in a stage, some thousands at a time. Each is met once, also when it moves meanwhile. */
export async function* changesIn(
  db: Queryable,
  tenant: string,
  plan: number,
  stage: Stage,
): AsyncGenerator<readonly ChangeRow[]> {
  for (let after = 0; ; ) {
    const rows = await db.query<StoredChange>(
      `select plan, seq, leaf, stage, writ, attempt from change
        where tenant = $1 and plan = $2 and seq > $3 and stage = $4 order by seq limit ${PAGE}`,
      [tenant, plan, after, stage],
    );
    if (rows.length === 0) return;
    yield rows.map(toChange);
    after = rows.at(-1)!.seq;
  }
}

/** What a plan froze: its leaves never change, so that those of the last few plans are kept. */
const frozen = new Map<string, { readonly leaves: readonly Leaf[]; readonly tree: Tree }>();
const FROZEN_KEPT = 8;

export async function frozenPlan(db: Queryable, tenant: string, plan: PlanRow) {
  const known = frozen.get(plan.digest);
  if (known) return known;
  const leaves = (await readChanges(db, tenant, plan.number)).map(({ leaf }) => leaf);
  const read = { leaves, tree: treeOf(leaves) };
  frozen.set(plan.digest, read);
  for (const digest of frozen.keys()) {
    if (frozen.size <= FROZEN_KEPT) break;
    frozen.delete(digest);
  }
  return read;
}

export async function readPlans(
  db: Queryable,
  tenant: string,
  numbers: readonly number[],
): Promise<readonly PlanRow[]> {
  const rows = await db.query<{
    number: number;
    header: string;
    digest: string;
    role: string | null;
    people: number;
    state: PlanRow['state'];
  }>(
    'select number, header, digest, role, people, state from plan where tenant = $1 and number = any($2) order by number',
    [tenant, numbers],
  );
  return rows.map((row) => ({ ...row, header: JSON.parse(row.header) as PlanHeader }));
}

/** A step of one change, written by `move`. */
export interface Step {
  readonly plan: number;
  readonly seq: number;
  readonly stage: Stage;
  readonly nextAt?: Instant;
  readonly writ?: string | null;
  readonly receipt?: unknown;
  readonly verification?: unknown;
  readonly decision?: unknown;
  readonly attempt?: number;
  readonly note?: string | null;
}

/** Writes steps in one statement. Only changes that are still in the stage they were read in move: two runs do not race. */
export async function move(
  tx: Queryable,
  tenant: string,
  from: readonly Stage[],
  steps: readonly Step[],
  clock: Clock,
): Promise<void> {
  if (steps.length === 0) return;
  const at = isoTime(clock.now());
  const json = (value: unknown): string | null => (value === undefined ? null : storedJson(JSON.stringify(value)));
  await tx.query(
    `update change c
        set stage = u.stage, next_at = u.next_at, updated_at = $2,
            writ = coalesce(u.writ, c.writ),
            receipt = coalesce(u.receipt, c.receipt),
            verification = coalesce(u.verification, c.verification),
            decision = coalesce(u.decision, c.decision),
            attempt = coalesce(u.attempt, c.attempt),
            note = u.note
       from unnest($3::int[], $4::int[], $5::text[], $6::timestamptz[], $7::text[], $8::jsonb[], $9::jsonb[], $10::jsonb[], $11::int[], $12::text[])
         as u(plan, seq, stage, next_at, writ, receipt, verification, decision, attempt, note)
      where c.tenant = $1 and c.plan = u.plan and c.seq = u.seq and c.stage = any($13)`,
    [
      tenant,
      at,
      steps.map(({ plan }) => plan),
      steps.map(({ seq }) => seq),
      steps.map(({ stage }) => stage),
      steps.map(({ nextAt }) => (nextAt === undefined ? at : isoTime(nextAt))),
      steps.map(({ writ }) => writ ?? null),
      steps.map(({ receipt }) => json(receipt)),
      steps.map(({ verification }) => json(verification)),
      steps.map(({ decision }) => json(decision)),
      steps.map(({ attempt }) => attempt ?? null),
      steps.map(({ note }) => (note == null ? null : storedText(note))),
      from,
    ],
  );
}

/** A plan is done when nothing of it moves any more. */
export async function closePlans(tx: Queryable, tenant: string): Promise<void> {
  await tx.query(
    `update plan p set state = 'done'
      where p.tenant = $1 and p.state = 'open'
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number
                           and c.stage not in ('verified', 'denied', 'refused', 'failed', 'expired', 'superseded'))`,
    [tenant],
  );
}

/** Back from verified to applied, for one more look, which is counted. The plan opens again with it, in one transaction. */
export async function moveAgain(tx: Queryable, tenant: string, { plan, seq }: ChangeRow, clock: Clock): Promise<void> {
  const at = isoTime(clock.now());
  await tx.query(
    `update change set stage = 'applied', next_at = $4, updated_at = $4, attempt = 0, rechecks = rechecks + 1
      where tenant = $1 and plan = $2 and seq = $3 and stage = 'verified'`,
    [tenant, plan, seq, at],
  );
  await tx.query(`update plan set state = 'open' where tenant = $1 and number = $2 and state = 'done'`, [tenant, plan]);
}
