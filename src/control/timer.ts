/**
 * Timers: what happens without anybody asking. Jobs lie in control's PostgreSQL (pg-boss), so that a turn that was taken
 * and not ended is taken again; a job says only that it is time to look, and all state is in the change.
 *
 *   plan     fetches feeds, plans, and carries what is permitted; as often as a feed says
 *   advance  carries on what is due: waiting targets, inconclusive looks, contradicted removals
 *   recheck  looks once more at proven removals after an hour, a day and a week, to find what came back
 */
import { PgBoss } from 'pg-boss';
import { advance } from '../advance.ts';
import { after, type Clock, every, isoTime } from '../clock.ts';
import { Failure, hasCode } from '../errors.ts';
import type { Connection } from '../store/database.ts';
import { plan } from './planning.ts';
import { moveAgain, readChanges } from './rows.ts';
import { run } from './run.ts';
import type { World } from './world.ts';

/** After a removal was proven, it is looked at again after these many seconds: another sync may have brought it back. */
export const RECHECK_S = [3_600, 86_400, 604_800] as const;
/** From each look to the next, because a look that confirms is the newest proof. */
const GAPS_S = RECHECK_S.map((seconds, at) => seconds - (RECHECK_S[at - 1] ?? 0));
/** Of one turn; what is due besides is due at the next. */
const MOST_RECHECKS = 500;
const ADVANCE_EVERY_MS = 15_000;
const RECHECK_EVERY_MS = 60_000;
const SCHEMA = 'pgboss';
/** One turn waits at most. How many are under way is not bounded: one of a process that was killed would block all others. */
const POLICY = 'short';
const QUEUES = ['advance', 'recheck', 'plan'];

export interface Timers {
  close(): Promise<void>;
}

interface Recheck {
  readonly plan: number;
  readonly seq: number;
}

/** So that pg-boss looks for jobs in our time. What it writes down of a job, the database times. */
const timersOf = (clock: Clock) => ({
  now: () => clock.now(),
  setTimeout: (act: () => void, ms: number) => after(clock, ms, act),
  clearTimeout: (over: unknown) => (over as (() => void) | null | undefined)?.(),
  setInterval: (act: () => void, ms: number) => every(clock, ms, act),
  clearInterval: (stop: unknown) => (stop as (() => void) | null | undefined)?.(),
});

export async function startTimers(world: World, connection: Connection, say: (line: string) => void): Promise<Timers> {
  const { authority, clock } = world;
  const boss = new PgBoss({
    ...('connectionString' in connection ? connection : { ...connection }),
    schema: SCHEMA,
    max: 3,
    application_name: 'writgate timers',
    schedule: false,
    clock: timersOf(clock),
  });
  const tell = (thrown: unknown) => say(`timers: ${thrown instanceof Error ? thrown.message : thrown}`);
  boss.on('error', tell);
  await boss.start();
  await unbook(world, boss);
  for (const queue of QUEUES) await boss.createQueue(queue, { policy: POLICY });

  const stopping = new AbortController();
  const carry = () => run(world, { signal: stopping.signal, progress: () => undefined });

  await boss.work('plan', async () => {
    try {
      const report = await plan(world, { progress: () => undefined });
      if (report.made.length > 0) say(`planned ${report.made.map((number) => `P${number}`).join(', ')}`);
      await carry();
    } catch (thrown) {
      // Somebody plans by hand at this moment; the next turn sees what came of it.
      if (!hasCode(thrown, 'already-running')) throw thrown;
    }
  });
  await boss.work('advance', async () => {
    await carry();
  });
  await boss.work('recheck', async () => {
    for (const due of await dueRechecks(world)) await recheck(world, due, say);
  });

  const turn = (queue: string, ms: number): (() => void) => {
    const send = () => void boss.send(queue, {}).catch(tell);
    send();
    return every(clock, ms, send);
  };
  const feeds = Object.values(authority.feeds).flatMap(({ every: ms }) => ms ?? []);
  const turns = [
    turn('advance', ADVANCE_EVERY_MS),
    turn('recheck', RECHECK_EVERY_MS),
    ...(feeds.length > 0 ? [turn('plan', Math.min(...feeds))] : []),
  ];

  return {
    async close() {
      stopping.abort();
      for (const stop of turns) stop();
      await boss.stop({ graceful: true, timeout: 3_000 });
    },
  };
}

/**
 * An earlier version kept each later look as a job with a date, and lost it when the store went away between the change
 * and its jobs. Looks that it had booked are due by the change again.
 */
async function unbook({ authority, database, clock }: World, boss: PgBoss): Promise<void> {
  for (const queue of await boss.getQueues(QUEUES)) {
    if (queue.policy === POLICY) continue;
    if (queue.name === 'recheck') {
      await database.query(
        `update change set rechecks = 0
          where tenant = $1 and stage = 'verified' and rechecks = $2 and updated_at > $3`,
        [authority.tenant, RECHECK_S.length, isoTime(clock.now() - RECHECK_S[2] * 1000)],
      );
    }
    await boss.deleteQueue(queue.name);
  }
}

/** Proven removals whose next look is due, those that wait longest first. */
async function dueRechecks({ authority, database, clock }: World): Promise<readonly Recheck[]> {
  return database.query<Recheck>(
    `select plan, seq from change
      where tenant = $1 and stage = 'verified' and effect in ('revoke', 'disable', 'delete')
        and rechecks < cardinality($3::int[])
        and updated_at <= $2::timestamptz - ($3::int[])[rechecks + 1] * interval '1 second'
      order by updated_at limit $4`,
    [authority.tenant, isoTime(clock.now()), GAPS_S, MOST_RECHECKS],
  );
}

/** Looks once more at a removal that was proven. What came back is contradicted, alarmed, and removed again. */
export async function recheck(
  world: World,
  { plan: number, seq }: Recheck,
  say: (line: string) => void,
): Promise<void> {
  const { tenant } = world.authority;
  const looks = (rechecks: number) =>
    world.database.query('update change set rechecks = $4 where tenant = $1 and plan = $2 and seq = $3', [
      tenant,
      number,
      seq,
      rechecks,
    ]);
  const [change] = (await readChanges(world.database, tenant, number)).filter((other) => other.seq === seq);
  if (!change) throw new Failure('not-found', `there is no change P${number}.${seq}`);
  if (change.stage !== 'verified') return;
  // A later change of the same thing makes this one history: who was let in again is meant to be in.
  const later = await world.database.query(
    `select 1 from change c where c.tenant = $1 and c.system = $2 and c.login = $3 and c.plan > $4
        and c.effect in ('create', 'enable', 'grant') and c.stage in ('permitted', 'applied', 'verified')
        and (c.effect <> 'grant' or c.entitlement is not distinct from $5) limit 1`,
    [tenant, change.leaf.system, change.leaf.object, number, change.leaf.entitlement],
  );
  if (later.length > 0) {
    await looks(RECHECK_S.length);
    return;
  }
  await world.database.tx((tx) => moveAgain(tx, tenant, change, world.clock));
  await advance(world, [{ ...change, stage: 'applied' }]);
  const [now] = (await readChanges(world.database, tenant, number)).filter((other) => other.seq === seq);
  if (now?.stage !== 'contradicted') return;
  say(`ALARM: P${number}.${seq} was proven and is so no more: it came back`);
  // It has to be proven anew, and is looked at again after that.
  await looks(0);
}
