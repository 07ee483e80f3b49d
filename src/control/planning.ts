/**
 * `writgate plan`: read, map, compare, freeze, decide. It changes no target.
 *
 * Feeds and targets are read side by side; a feed that is held and a target that is away take no part and are said
 * aloud. What would be done twice is not planned twice: a plan whose content is open already stays, with its signatures.
 */

import { advance } from '../advance.ts';
import { canonical } from '../canonical.ts';
import { type Instant, isoTime, MAX_SKEW_MS } from '../clock.ts';
import { Failure } from '../errors.ts';
import { connectorFor } from '../gateway/scope.ts';
import { type Ingested, ingest, type Settled, settlePersons } from '../identity/ingest.ts';
import { dateOf } from '../identity/lifecycle.ts';
import { type ObservedCounts, observe } from '../identity/observe.ts';
import { addAsked, clearUp, diff } from '../plan/diff.ts';
import { giveLogins, type LeftAlone } from '../plan/logins.ts';
import { type Making, makePlans, type OpenPlan, type Plan } from '../plan/make.ts';
import { passOver } from '../plan/moving.ts';
import type { Queryable } from '../store/database.ts';
import { storedJson } from '../store/text.ts';
import { endTerminations } from './ask.ts';
import { readEvidence } from './decide.ts';
import { changesIn, closePlans } from './rows.ts';
import { NO_SHARE, type Proposals, propose } from './unmanaged.ts';
import type { Fetched, Rows, World } from './world.ts';

export interface FeedReport {
  readonly feed: string;
  readonly id: string;
  readonly verdict: Fetched['verdict'];
  readonly records: number;
  readonly asOf: Instant | null;
  readonly asOfKind: string;
  readonly maxAge: number;
  readonly findings: Fetched['findings'];
  readonly quarantined: Rows['quarantined'];
  readonly joined: number;
  readonly left: number;
}
export interface TargetReport {
  readonly system: string;
  /** null: it could not be read whole, and takes no part. */
  readonly counts: ObservedCounts | null;
  readonly why: string | null;
}
export interface PlanningReport {
  readonly at: Instant;
  readonly feeds: readonly FeedReport[];
  readonly targets: readonly TargetReport[];
  readonly people: {
    readonly joined: readonly string[];
    readonly moved: readonly string[];
    readonly left: readonly string[];
  };
  /** Numbers of plans that this planning made, and of those that were open already and still say the same. */
  readonly made: readonly number[];
  readonly kept: readonly number[];
  readonly superseded: readonly number[];
  readonly leftAlone: readonly LeftAlone[];
  /** Milliseconds. */
  readonly took: Readonly<Record<string, number>>;
}

type Progress = (line: string) => void;

export async function plan(world: World, options: { progress: Progress }): Promise<PlanningReport> {
  const { authority, database, clock } = world;
  const { tenant } = authority;
  const startedAt = clock.now();
  const took: Record<string, number> = {};
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const from = clock.now();
    try {
      return await work();
    } finally {
      took[name] = (took[name] ?? 0) + clock.now() - from;
    }
  };

  options.progress('reading feeds and targets');
  const [fetched, observed] = await Promise.all([
    timed('feeds', () => Promise.all(Object.keys(authority.feeds).map((feed) => world.gateway.fetch(feed)))),
    timed('targets', () => readTargets(world)),
  ]);

  options.progress('mapping and correlating');
  const { feeds, settled } = await timed('identity', () =>
    database.tx(async (tx) => {
      // One after another: the second finds what the first took in, and has nothing to do.
      await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`identity ${tenant}`]);
      const reports: FeedReport[] = [];
      const today = dateOf(clock.now());
      const rulesChanged = await noteAuthority(tx, world);
      for (const snapshot of fetched) reports.push(await takeIn(tx, world, snapshot, today, rulesChanged));
      const settled = await settlePersons(tx, authority, world.rules, today, clock.now(), rulesChanged);
      await endTerminations(tx, tenant);
      return { feeds: reports, settled };
    }),
  );

  options.progress('comparing');
  const terminated = await world.gateway.terminated();
  const result = await timed('plan', () =>
    database.tx(async (tx) => {
      // One planning at a time: two would number, supersede and choose logins against each other.
      const [lock] = await tx.query<{ got: boolean }>(
        'select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as got',
        [`plan ${tenant}`],
      );
      if (!lock?.got)
        throw new Failure('already-running', 'another planning is under way; its plans will be there in a moment');
      const systems = observed.filter(({ counts }) => counts !== null).map(({ system }) => system);
      const now = clock.now();
      const found = await diff(tx, authority, systems, now);
      const leftAlone = await giveLogins(tx, authority, world.rules);
      // What is on its way, or was claimed and not proven, is carried on by its own plan.
      await passOver(tx, tenant);
      const proposed = await propose(tx, world, systems);
      const making = {
        authority,
        roster: world.roster,
        base: await baseOf(tx, world, startedAt),
        terminated,
        now,
      };
      const replaced = await replace(tx, world, making, proposed, systems);
      const made = [...replaced.made];
      if (proposed.adoptions.length > 0) {
        await addAsked(tx, proposed.adoptions);
        const adoptions = await makePlans(tx, {
          ...making,
          // To adopt is to give nothing.
          terminated: [],
          existing: async () => NO_SHARE,
          open: [],
          next: await nextNumber(tx, tenant),
        });
        made.push(...(await recordPlans(tx, world, adoptions)));
      }
      return { ...replaced, made, leftAlone: [...leftAlone, ...proposed.leftAlone], found };
    }),
  );

  await clearUp(database, result.found);

  options.progress('deciding');
  await timed('decide', async () => {
    for (const made of result.made) {
      for (const stage of ['planned', 'decided'] as const) {
        for await (const changes of changesIn(database, tenant, made, stage)) await advance(world, changes);
      }
    }
  });
  const names = (ids: readonly string[]) => namesOf(database, tenant, ids);
  const report: PlanningReport = {
    at: startedAt,
    feeds,
    targets: observed,
    people: await peopleIn(settled, names, database, tenant, startedAt),
    made: result.made,
    kept: result.kept,
    superseded: result.superseded,
    leftAlone: result.leftAlone,
    took,
  };
  await database.query('insert into planning (tenant, at, report) values ($1, $2, $3) on conflict do nothing', [
    tenant,
    isoTime(startedAt),
    storedJson(JSON.stringify(report)),
  ]);
  return report;
}

/** What is read streams into the database, so that each target holds one of our connections until it is read. */
const READ_AT_ONCE = 4;

async function readTargets(world: World): Promise<readonly TargetReport[]> {
  const reports = new Map<string, TargetReport>();
  const systems = Object.keys(world.authority.targets);
  const waiting = [...systems];
  const lane = async () => {
    for (let system = waiting.shift(); system !== undefined; system = waiting.shift()) {
      reports.set(system, await readTarget(world, system));
    }
  };
  await Promise.all(Array.from({ length: READ_AT_ONCE }, lane));
  return systems.flatMap((system) => reports.get(system) ?? []);
}

async function readTarget(world: World, system: string): Promise<TargetReport> {
  const reader = connectorFor(world.authority, system, 'read');
  if (!reader) return { system, counts: null, why: 'no connector may read it' };
  try {
    const counts = await world.database.tx((tx) =>
      observe(tx, world.authority, system, world.clock.now(), (onChunk) => world.worker.observe(reader.name, onChunk)),
    );
    return { system, counts, why: null };
  } catch (thrown) {
    return { system, counts: null, why: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

async function takeIn(
  tx: Queryable,
  world: World,
  snapshot: Fetched,
  today: string,
  rulesChanged: boolean,
): Promise<FeedReport> {
  const { tenant, feeds } = world.authority;
  // The same bytes under the same rules say nothing new. Judged by what is in this database, in this transaction: a
  // snapshot that was attested and then not taken in, because we died, is no reason to pass over the next.
  const last = await tx.maybe<{ raw_digest: string }>(
    `select raw_digest from snapshot where tenant = $1 and feed = $2 and verdict = 'accepted' and as_of <= $3
      order by as_of desc, received_at desc limit 1`,
    [tenant, snapshot.feed, isoTime(snapshot.receivedAt + MAX_SKEW_MS)],
  );
  const isNew = rulesChanged || last?.raw_digest !== snapshot.rawDigest;
  await tx.query(
    `insert into snapshot (tenant, feed, id, verdict, as_of, as_of_kind, received_at, records, raw_digest, statement, findings)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing`,
    [
      tenant,
      snapshot.feed,
      snapshot.id,
      snapshot.verdict,
      snapshot.asOf === null ? null : isoTime(snapshot.asOf),
      snapshot.asOfKind,
      isoTime(snapshot.receivedAt),
      snapshot.records,
      snapshot.rawDigest,
      snapshot.statement,
      storedJson(JSON.stringify(snapshot.findings)),
    ],
  );
  let taken: Ingested | null = null;
  const rows = world.gateway.rows(snapshot.feed, snapshot.id);
  const { quarantined } = rows;
  // Only an accepted snapshot says anything new. What is stale or held leaves everything as it was.
  if (snapshot.verdict === 'accepted' && isNew) {
    taken = await ingest(
      tx,
      world.authority,
      world.rules,
      { feed: snapshot.feed, id: snapshot.id, records: () => rows.records(), quarantined },
      today,
      world.clock.now(),
    );
  }
  rows.close();
  return {
    feed: snapshot.feed,
    id: snapshot.id,
    verdict: snapshot.verdict,
    records: snapshot.records,
    asOf: snapshot.asOf,
    asOfKind: snapshot.asOfKind,
    maxAge: feeds[snapshot.feed]?.contract.maxAge ?? 0,
    findings: snapshot.findings,
    quarantined: taken?.quarantined ?? quarantined,
    joined: taken?.joined ?? 0,
    left: taken?.left ?? 0,
  };
}

/** @returns whether the rules are others than at the last planning, so that everybody has to be looked at again */
async function noteAuthority(tx: Queryable, world: World): Promise<boolean> {
  const rows = await tx.query(
    `insert into authority (tenant, serial, digest, document, in_force_at)
     select $1, coalesce(max(serial), 0) + 1, $2, $3, $4 from authority where tenant = $1
     having not exists (select 1 from authority a where a.tenant = $1 and a.digest = $2
                           and a.serial = (select max(serial) from authority where tenant = $1))
     returning 1`,
    [world.authority.tenant, world.authorityDigest, canonical(world.authority), isoTime(world.clock.now())],
  );
  return rows.length > 0;
}

/** Stores what is new, keeps what still says the same, and supersedes what a newer plan takes the place of. */
async function replace(
  tx: Queryable,
  world: World,
  making: Omit<Making, 'existing' | 'open' | 'next'>,
  { reverts, existing }: Proposals,
  systems: readonly string[],
) {
  const { tenant } = world.authority;
  // What has come to its end is no open plan that a new one could be equal to.
  await closePlans(tx, tenant);
  const open = await tx.query<OpenPlan>(
    `select number, content, risk, size from plan p
      where tenant = $1 and state in ('open', 'refused')
        -- An adoption is no difference between desired and observed, so no planning takes its place.
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number and c.effect = 'adopt')
        -- Of a target that was not read nothing new is known: its plans stay, with their signatures.
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number and c.system <> all($2))`,
    [tenant, systems],
  );
  const next = () => nextNumber(tx, tenant);
  const plans = [
    ...(await makePlans(tx, {
      ...making,
      existing: () => existingThings(tx, tenant),
      open,
      next: await next(),
    })),
  ];
  if (reverts.length > 0) {
    await addAsked(tx, reverts);
    await passOver(tx, tenant);
    plans.push(...(await makePlans(tx, { ...making, existing: async () => existing, open, next: await next() })));
  }
  const wanted = new Set<string>(plans.map(({ content }) => content));
  const kept = open.filter(({ content }) => wanted.has(content)).map(({ number }) => number);
  const gone = open.filter(({ content }) => !wanted.has(content)).map(({ number }) => number);
  // What has a writ already, or was claimed and not proven, goes on; only what did not start is replaced.
  await tx.query(
    `update change set stage = 'superseded', updated_at = $3 where tenant = $1 and plan = any($2)
        and stage in ('planned', 'decided', 'approved', 'held', 'waiting', 'denied', 'refused')`,
    [tenant, gone, isoTime(making.now)],
  );
  await tx.query(
    `update plan p set state = 'superseded' where tenant = $1 and number = any($2)
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number
                           and c.stage in ('permitted', 'applied', 'inconclusive', 'contradicted', 'verified'))`,
    [tenant, gone],
  );
  return { made: await recordPlans(tx, world, plans), kept, superseded: gone };
}

/** What a plan that is made now is made from. */
export async function baseOf(tx: Queryable, world: World, observedAt: Instant) {
  const evidence = await readEvidence(tx, world);
  return {
    authorityDigest: world.authorityDigest,
    snapshots: Object.fromEntries([...evidence].map(([feed, { id }]) => [feed, id])),
    observedAt,
    policy: world.policyDigest,
  };
}

export async function nextNumber(tx: Queryable, tenant: string): Promise<number> {
  const sql = 'select coalesce(max(number), 0)::int + 1 as next from plan where tenant = $1';
  return (await tx.one<{ next: number }>(sql, [tenant])).next;
}

const existingThings = (tx: Queryable, tenant: string) =>
  tx.one<{ things: number }>(
    `select ((select count(*) from account where tenant = $1 and management = 'managed' and state = 'active')
           + (select count(*) from held h join account a using (tenant, system, login)
               where h.tenant = $1 and a.management = 'managed'))::int as things`,
    [tenant],
  );

/** Writes the plans that were made into the ledger. @returns their numbers */
export async function recordPlans(tx: Queryable, world: World, plans: readonly Plan[]): Promise<readonly number[]> {
  const made: number[] = [];
  for (const { number, made: plan } of plans) {
    if (plan === null) continue;
    made.push(number);
    await world.record(tx, [
      {
        kind: plan.findings.length > 0 ? 'plan.refused' : 'plan.made',
        refs: { plan: plan.header.plan },
        body: { header: plan.header, digest: plan.digest, findings: plan.findings, critique: plan.critique },
      },
    ]);
  }
  return made;
}

async function namesOf(db: Queryable, tenant: string, ids: readonly string[]): Promise<readonly string[]> {
  const rows = await db.query<{ name: string }>(
    `select coalesce(attributes ->> 'name', id) as name from person where tenant = $1 and id = any($2) order by 1`,
    [tenant, ids],
  );
  return rows.map(({ name }) => name);
}

async function peopleIn(
  settled: Settled,
  names: (ids: readonly string[]) => Promise<readonly string[]>,
  db: Queryable,
  tenant: string,
  since: Instant,
) {
  const works = (state: string | null) => state === 'active' || state === 'notice';
  const created = await db.query<{ id: string }>(
    `select id from person where tenant = $1 and created_at >= $2 and state in ('active', 'notice')`,
    [tenant, isoTime(since)],
  );
  const joined = [
    ...created.map(({ id }) => id),
    ...settled.changed.filter((row) => !works(row.before) && works(row.after)).map(({ id }) => id),
  ];
  const left = settled.changed.filter((row) => works(row.before) && !works(row.after)).map(({ id }) => id);
  const moved = settled.changed.filter((row) => row.moved && !joined.includes(row.id)).map(({ id }) => id);
  return { joined: await names(joined), moved: await names(moved), left: await names(left) };
}
