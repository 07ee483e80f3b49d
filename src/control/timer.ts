/**
 * Timers: what happens without anybody asking. Jobs lie in control's PostgreSQL (pg-boss), so that they survive a
 * restart; a job says only what to look at again, and all state is in the change.
 *
 *   plan     fetches feeds, plans, and carries what is permitted; as often as a feed says
 *   advance  carries on what is due: waiting targets, inconclusive looks, contradicted removals
 *   recheck  looks once more at a proven removal after an hour, a day and a week, to find what came back
 */
import { PgBoss } from 'pg-boss';
import { advance } from '../advance.ts';
import { isoTime } from '../clock.ts';
import { Failure, hasCode } from '../errors.ts';
import type { Connection } from '../store/database.ts';
import { plan } from './planning.ts';
import { moveAgain, readChanges } from './rows.ts';
import { run } from './run.ts';
import type { World } from './world.ts';

/** After a removal was proven, it is looked at again after these many seconds: another sync may have brought it back. */
export const RECHECK_S = [3_600, 86_400, 604_800] as const;
const ADVANCE_EVERY_MS = 15_000;
const SCHEMA = 'pgboss';

export interface Timers {
  close(): Promise<void>;
}

interface Recheck {
  readonly plan: number;
  readonly seq: number;
}

export async function startTimers(world: World, connection: Connection, say: (line: string) => void): Promise<Timers> {
  const { authority, clock, database } = world;
  const boss = new PgBoss({
    ...('connectionString' in connection ? connection : { ...connection }),
    schema: SCHEMA,
    max: 3,
    application_name: 'writgate timers',
  });
  boss.on('error', (thrown) => say(`timers: ${thrown.message}`));
  await boss.start();
  for (const queue of ['advance', 'recheck', 'plan']) await boss.createQueue(queue);

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
  await boss.work<Recheck>('recheck', async (jobs) => {
    for (const { data } of jobs) await recheck(world, data, say);
  });

  /** Sends each job once however many processes send it: a singleton in its slot of time. */
  const every = (queue: string, ms: number): NodeJS.Timeout => {
    const send = () =>
      void boss
        .send(queue, {}, { singletonKey: queue, singletonSeconds: Math.max(1, Math.floor(ms / 1000)) })
        .catch((thrown) => say(`timers: ${thrown instanceof Error ? thrown.message : thrown}`));
    send();
    return setInterval(send, ms);
  };
  const feeds = Object.values(authority.feeds).flatMap(({ every: ms }) => ms ?? []);
  const intervals = [
    every('advance', ADVANCE_EVERY_MS),
    ...(feeds.length > 0 ? [every('plan', Math.min(...feeds))] : []),
  ];

  // Removals that were proven and have no look booked yet: those since the last start, by whatever road they came.
  const book = async () => {
    const proven = await database.query<Recheck & { at: Date }>(
      `update change c set rechecks = $3
        where c.tenant = $1 and c.stage = 'verified' and c.rechecks = 0 and c.effect in ('revoke', 'disable', 'delete')
          and c.updated_at > $2::timestamptz
       returning c.plan, c.seq, c.updated_at as at`,
      [authority.tenant, isoTime(clock.now() - 86_400_000), RECHECK_S.length],
    );
    for (const { plan: number, seq, at } of proven) {
      for (const seconds of RECHECK_S) {
        await boss.send('recheck', { plan: number, seq }, { startAfter: new Date(at.getTime() + seconds * 1000) });
      }
    }
  };
  const booking = setInterval(() => void book().catch(() => undefined), 5_000);
  await book();

  return {
    async close() {
      stopping.abort();
      for (const timer of [...intervals, booking]) clearInterval(timer);
      await boss.stop({ graceful: true, timeout: 3_000 });
    },
  };
}

/** Looks once more at a removal that was proven. What came back is contradicted, alarmed, and removed again. */
export async function recheck(
  world: World,
  { plan: number, seq }: Recheck,
  say: (line: string) => void,
): Promise<void> {
  const { tenant } = world.authority;
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
  if (later.length > 0) return;
  await moveAgain(world.database, tenant, change, world.clock);
  await advance(world, [{ ...change, stage: 'applied' }]);
  const [after] = (await readChanges(world.database, tenant, number)).filter((other) => other.seq === seq);
  if (after?.stage === 'contradicted') say(`ALARM: P${number}.${seq} was proven and is so no more: it came back`);
}
