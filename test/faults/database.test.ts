/**
 * The database goes away in the middle: stopped, started anew, full of others, its sessions killed. Every role stays up
 * and recovers by itself, and nothing that was acknowledged is lost: the ledger holds, and each change was made once.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Control } from '../../src/role/control.ts';
import { openDatabase } from '../../src/store/database.ts';
import { HOUR, PEOPLE, type Row, startWorld, type World } from '../company/world.ts';

let world: World;
let control: Control;
let ageMs = HOUR;
const hr = (rows: readonly Row[]): Promise<void> => world.exportHr(rows, (ageMs -= 30_000));
const sales = (...ids: readonly string[]): readonly Row[] =>
  PEOPLE.map((row) => (ids.includes(row.id) ? { ...row, department: 'sales' } : row));
const unfinished = () =>
  world.database.query<{ stage: string }>(
    `select stage from change c join plan p using (tenant) where p.number = c.plan and p.state = 'open' and c.stage <> 'verified'`,
  );
const timePasses = () =>
  world.database.query(`update change set next_at = now() - interval '1 second' where next_at < 'infinity'`);
/** Until it holds; fails after 40 s. */
async function until(what: string, holds: () => Promise<boolean>, everyMs = 100): Promise<void> {
  const end = systemClock.now() + 40_000;
  while (systemClock.now() < end) {
    if (await holds().catch(() => false)) return;
    await systemClock.sleep(everyMs);
  }
  throw new Error(`not within 40 s: ${what}`);
}
/** Whether each role answers and the ledger takes entries, with nobody having been started again. */
const recovered = () =>
  until('every role is as before', async () => {
    const door = await world.door();
    try {
      await door.request('budget', {});
    } finally {
      door.close();
    }
    await control.settle();
    return true;
  });

/** Carries on what is left, as turns of the timer do. */
async function carryOn(): Promise<void> {
  await until('all is verified', async () => {
    await timePasses();
    await world.run();
    return (await unfinished()).length === 0;
  });
}

/** Moves people between two departments, and does `fault` while the changes are being made. @returns what the run said */
async function inTheMiddle(rows: readonly Row[], fault: () => Promise<void>): Promise<unknown> {
  await hr(rows);
  await world.plan();
  const planned = (await unfinished()).length;
  expect(planned).toBeGreaterThan(5);
  const running = world.run().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  await until('some changes are made', async () => (await unfinished()).length < planned, 1);
  await fault();
  return running;
}
const movers = ['106', '107', '111'];
let turn = 0;
const nextRows = (): readonly Row[] => (turn++ % 2 === 0 ? sales(...movers) : PEOPLE);
const wanted = (): string => (turn % 2 === 1 ? 'Sales,Staff' : 'Legal,Staff');

beforeAll(async () => {
  world = await startWorld({ grants: 2000, removals: 2000 });
  await world.plan();
  await world.run();
});
beforeEach(() => {
  control = world.control();
});
afterEach(async () => {
  expect(world.control(), 'nobody was started again').toBe(control);
  expect(await world.ledger()).toMatchObject({ ok: true, findings: [] });
});
afterAll(() => world?.stop());

async function allIsDoneOnce(): Promise<void> {
  const otherwise = await world.database.query(
    `select plan, seq, effect, login, stage, note from change where stage not in ('verified', 'superseded')`,
  );
  expect(otherwise).toEqual([]);
  for (const login of ['finn', 'gil', 'kim']) {
    const line = (await world.crm.picture()).split('\n').find((text) => text.startsWith(`${login}:`));
    expect(line).toBe(`${login}: ${wanted()}`);
  }
  expect(await world.run()).toMatchObject({ moved: 0 });
  // What happened while nothing could be written down is said a moment later.
  await until('every outcome is in the ledger', async () => {
    const missing = await world.database.query(
      `select c.plan, c.seq from change c where c.stage = 'verified'
          and not exists (select 1 from ledger_entry e where e.kind = 'gateway.outcome'
                             and e.refs ->> 'change' = 'P' || c.plan || '.' || c.seq)`,
    );
    return missing.length === 0;
  });
}

describe('in the middle of a run', () => {
  test('the server is stopped and comes back: the run says so, roles recover by themselves, the next run goes on', async () => {
    const said = await inTheMiddle(nextRows(), async () => {
      await world.store.stop();
      await systemClock.sleep(1_000);
    });
    expect(said).toMatchObject({ code: expect.stringMatching(/^(store-unavailable|store-unknown|ledger-stopped)$/) });
    await expect(world.run()).rejects.toMatchObject({
      code: 'store-unavailable',
      message: /^the database is away: \S/,
    });
    await world.store.start();
    await recovered();
    await carryOn();
    await allIsDoneOnce();
  });

  test('every session is killed, three times', async () => {
    const admin = openDatabase(world.store.superuser, { maxConnections: 1, clock: systemClock });
    try {
      await inTheMiddle(nextRows(), async () => {
        for (let kill = 0; kill < 3; kill++) {
          await admin.query(
            `select pg_terminate_backend(pid) from pg_stat_activity where usename like 'writgate%' and backend_type = 'client backend'`,
          );
          await systemClock.sleep(100);
        }
      });
      await recovered();
      await carryOn();
      await allIsDoneOnce();
    } finally {
      await admin.close();
    }
  });

  test('the server lets nobody in for a while, and ends who is in', async () => {
    const admin = openDatabase(world.store.superuser, { maxConnections: 1, clock: systemClock });
    const letIn = (may: boolean) =>
      Promise.all(
        ['writgate_control', 'writgate_gateway'].map((name) =>
          admin.query(`alter database ${name} allow_connections ${may}`),
        ),
      );
    try {
      const said = await inTheMiddle(nextRows(), async () => {
        await letIn(false);
        await admin.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where usename like 'writgate%' and backend_type = 'client backend'`,
        );
        await systemClock.sleep(1_000);
      });
      expect(said).toMatchObject({ code: expect.stringMatching(/^(store-|ledger-stopped)/) });
      await expect(world.plan()).rejects.toMatchObject({ code: expect.stringMatching(/^store-/) });
      await letIn(true);
      await recovered();
      await carryOn();
      await allIsDoneOnce();
    } finally {
      await letIn(true);
      await admin.close();
    }
  });
});

test('gone while it plans: no half of a plan stays, and the next planning makes it whole', async () => {
  await hr(nextRows());
  const planning = world.plan().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  await systemClock.sleep(60);
  await world.store.stop();
  await planning;
  await world.store.start();
  await recovered();
  const torn = await world.database.query(
    `select p.number from plan p where p.size <> (select count(*) from change c where c.tenant = p.tenant and c.plan = p.number)`,
  );
  expect(torn).toEqual([]);
  await until('planned', async () => {
    await world.plan();
    return true;
  });
  await carryOn();
  await allIsDoneOnce();
});
