/**
 * `writgate plan`: read, map, compare, freeze, decide. It changes no target.
 *
 * Feeds and targets are read side by side; a feed that is held and a target that is away take no part and are said
 * aloud. What would be done twice is not planned twice: a plan whose content is open already stays, with its signatures.
 */

import { advance } from '../advance.ts';
import type { Authority } from '../authority/authority.ts';
import { canonical, type Digest } from '../canonical.ts';
import { type Instant, isoTime, MAX_SKEW_MS } from '../clock.ts';
import { Failure } from '../errors.ts';
import { connectorFor } from '../gateway/scope.ts';
import { copyLine, type Ingested, ingest, type Settled, settlePersons } from '../identity/ingest.ts';
import { dateOf } from '../identity/lifecycle.ts';
import { isProtected } from '../identity/login.ts';
import { type ObservedCounts, observe } from '../identity/observe.ts';
import { leafBytes, parseLeaf, tupleOf } from '../plan/change.ts';
import { diff } from '../plan/diff.ts';
import { type Draft, draft, type LeftAlone, makePlans, type Plan } from '../plan/make.ts';
import type { Queryable } from '../store/database.ts';
import { storedJson } from '../store/text.ts';
import { tupleKey } from '../writ/tuple.ts';
import { endTerminations } from './ask.ts';
import { readEvidence } from './decide.ts';
import { closePlans, readChanges } from './rows.ts';
import { NO_SHARE, propose } from './unmanaged.ts';
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
    timed('targets', () => Promise.all(Object.keys(authority.targets).map((system) => readTarget(world, system)))),
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
  const terminated = new Set(await world.gateway.terminated());
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
      const differences = await diff(tx, authority, systems, now);
      const { drafts: all, leftAlone } = draft(differences, world.rules, await loginsOf(tx, authority));
      const proposed = await propose(tx, world, systems);
      // What is on its way, or was claimed and not proven, is carried on by its own plan.
      const moving = await underWay(tx, tenant);
      const isNew = (item: Draft) => !moving.has(tupleKey(tupleOf({ ...item, seq: 0, after: [], waitsFor: [] })));
      const existing = await tx.one<{ things: number }>(
        `select ((select count(*) from account where tenant = $1 and management = 'managed' and state = 'active')
               + (select count(*) from held h join account a using (tenant, system, login)
                   where h.tenant = $1 and a.management = 'managed'))::int as things`,
        [tenant],
      );
      const evidence = await readEvidence(tx, world);
      const { next } = await tx.one<{ next: number }>(
        'select coalesce(max(number), 0)::int + 1 as next from plan where tenant = $1',
        [tenant],
      );
      let number = next;
      // What has come to its end is no open plan that a new one could be equal to.
      await closePlans(tx, tenant);
      const open = await tx.query<{ number: number; content: string }>(
        `select number, content from plan where tenant = $1 and state in ('open', 'refused')`,
        [tenant],
      );
      const known = new Map(open.map((row) => [row.content, row.number]));
      const inputs = {
        authority,
        roster: world.roster,
        base: {
          authorityDigest: world.authorityDigest,
          snapshots: Object.fromEntries([...evidence].map(([feed, { id }]) => [feed, id])),
          observedAt: startedAt,
          policy: world.policyDigest,
        },
        terminated,
        now,
        numberFor: (content: Digest) => known.get(content) ?? number++,
      };
      const plans = [
        ...makePlans({ ...inputs, drafts: all.filter(isNew), existing }),
        ...makePlans({ ...inputs, drafts: proposed.reverts.filter(isNew), existing: proposed.existing }),
      ];
      const replaced = await replace(tx, world, plans, systems, now);
      // To adopt is to give nothing.
      const adoptions = makePlans({
        ...inputs,
        terminated: new Set(),
        drafts: proposed.adoptions,
        existing: NO_SHARE,
      });
      const { made } = await storePlans(tx, world, adoptions, now);
      return { ...replaced, made: [...replaced.made, ...made], leftAlone: [...leftAlone, ...proposed.leftAlone] };
    }),
  );

  options.progress('deciding');
  await timed('decide', async () => {
    for (const made of result.made) {
      await advance(
        world,
        (await readChanges(database, tenant, made)).filter(({ stage }) => stage === 'planned'),
      );
      await advance(
        world,
        (await readChanges(database, tenant, made)).filter(({ stage }) => stage === 'decided'),
      );
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

async function readTarget(world: World, system: string): Promise<TargetReport> {
  const reader = connectorFor(world.authority, system, 'read');
  if (!reader) return { system, counts: null, why: 'no connector may read it' };
  try {
    const chunks: Parameters<Parameters<World['worker']['observe']>[1]>[0][] = [];
    await world.worker.observe(reader.name, async (chunk) => {
      chunks.push(chunk);
    });
    const counts = await world.database.tx((tx) =>
      observe(tx, world.authority, system, world.clock.now(), async (onChunk) => {
        for (const chunk of chunks) await onChunk(chunk);
      }),
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
    await tx.query('drop table if exists arrived');
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

export async function loginsOf(tx: Queryable, authority: Authority) {
  const { tenant } = authority;
  const owned = await tx.query<{ system: string; login: string; person: string }>(
    `select system, login, person from login where tenant = $1
     union select system, login, person from account where tenant = $1 and person is not null`,
    [tenant],
  );
  const accounts = await tx.query<{ system: string; login: string; management: string }>(
    `select system, login, management from account where tenant = $1 and management <> 'managed'`,
    [tenant],
  );
  const byPerson = new Map(owned.map(({ system, login, person }) => [`${system} ${person}`, login]));
  const holders = new Set(owned.map(({ system, login }) => `${system} ${login}`));
  const others = new Map(accounts.map(({ system, login, management }) => [`${system} ${login}`, management]));
  return {
    held: (system: string, person: string) => byPerson.get(`${system} ${person}`) ?? null,
    taken: (system: string, login: string) => holders.has(`${system} ${login}`),
    unmanaged: (system: string, login: string) => others.get(`${system} ${login}`) === 'unmanaged',
    protected: (system: string, login: string) => {
      const target = authority.targets[system];
      return target === undefined || isProtected(target, login) || others.get(`${system} ${login}`) === 'protected';
    },
  };
}

async function underWay(tx: Queryable, tenant: string): Promise<ReadonlySet<string>> {
  const rows = await tx.query<{ leaf: string }>(
    `select leaf from change where tenant = $1 and stage in ('permitted', 'applied', 'inconclusive', 'contradicted')`,
    [tenant],
  );
  return new Set(rows.map(({ leaf }) => tupleKey(tupleOf(parseLeaf(leaf)))));
}

/** Stores what is new, keeps what still says the same, and supersedes what a newer plan takes the place of. */
async function replace(tx: Queryable, world: World, plans: readonly Plan[], systems: readonly string[], now: Instant) {
  const { tenant } = world.authority;
  const open = await tx.query<{ number: number; content: string; state: string }>(
    `select number, content, state from plan p
      where tenant = $1 and state in ('open', 'refused')
        -- An adoption is no difference between desired and observed, so no planning takes its place.
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number and c.effect = 'adopt')
        -- Of a target that was not read nothing new is known: its plans stay, with their signatures.
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number and c.system <> all($2))`,
    [tenant, systems],
  );
  const wanted = new Map(plans.map((item) => [item.content as string, item]));
  const kept = open.filter(({ content }) => wanted.has(content)).map(({ number }) => number);
  const keptContents = new Set(open.filter(({ number }) => kept.includes(number)).map(({ content }) => content));
  const gone = open.filter(({ content }) => !wanted.has(content)).map(({ number }) => number);
  // What has a writ already, or was claimed and not proven, goes on; only what did not start is replaced.
  await tx.query(
    `update change set stage = 'superseded', updated_at = $3 where tenant = $1 and plan = any($2)
        and stage in ('planned', 'decided', 'approved', 'held', 'waiting', 'denied', 'refused')`,
    [tenant, gone, isoTime(now)],
  );
  await tx.query(
    `update plan p set state = 'superseded' where tenant = $1 and number = any($2)
        and not exists (select 1 from change c where c.tenant = p.tenant and c.plan = p.number
                           and c.stage in ('permitted', 'applied', 'inconclusive', 'contradicted', 'verified'))`,
    [tenant, gone],
  );
  const { made } = await storePlans(
    tx,
    world,
    plans.filter(({ content }) => !keptContents.has(content)),
    now,
  );
  return { made, kept, superseded: gone };
}

export async function storePlans(tx: Queryable, world: World, plans: readonly Plan[], now: Instant) {
  const { tenant } = world.authority;
  for (const item of plans) {
    await tx.query(
      `insert into plan (tenant, number, risk, digest, content, header, size, state, role, people, critique, refusal, created_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
      [
        tenant,
        item.number,
        item.header.risk,
        item.digest,
        item.content,
        canonical(item.header),
        item.leaves.length,
        item.findings.length > 0 ? 'refused' : 'open',
        item.header.role,
        item.people,
        JSON.stringify(item.critique),
        item.findings.length > 0 ? JSON.stringify(item.findings) : null,
        isoTime(now),
      ],
    );
    const at = isoTime(now);
    const array = (numbers: readonly number[]) => `{${numbers.join(',')}}`;
    await tx.copyIn(
      `copy change (tenant, plan, seq, leaf, system, login, effect, entitlement, person, cause, stage, after, waits, next_at, updated_at) from stdin`,
      (function* () {
        for (const leaf of item.leaves) {
          yield copyLine(
            tenant,
            item.number,
            leaf.seq,
            leafBytes(leaf),
            leaf.system,
            leaf.object,
            leaf.effect,
            leaf.entitlement,
            leaf.person,
            leaf.cause,
            'planned',
            array(leaf.after),
            array(leaf.waitsFor.map((name) => Number(name.slice(1)))),
            at,
            at,
          );
        }
      })(),
    );
    await world.record(tx, [
      {
        kind: item.findings.length > 0 ? 'plan.refused' : 'plan.made',
        refs: { plan: item.header.plan },
        body: { header: item.header, digest: item.digest, findings: item.findings, critique: item.critique },
      },
    ]);
  }
  return { made: plans.map(({ number }) => number) };
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
