/**
 * Days in seconds: all four roles and the timers in this process, in a time that is moved by hand and with randomness
 * from a seed. It is 2031 for Writgate while the machine knows better; so whatever took the machine's time would show.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { seeded } from '../src/approval/testing.ts';
import { isoTime } from '../src/clock.ts';
import { ask } from '../src/control/ask.ts';
import { startTimers, type Timers } from '../src/control/timer.ts';
import { openEntry } from '../src/ledger/entry.ts';
import type { Database } from '../src/store/database.ts';
import { readConnection } from '../src/store/prepare.ts';
import { HOUR, JOINER, PEOPLE, startWorld, type World } from './company/world.ts';
import { handClock } from './hand-clock.ts';

const START = Date.parse('2031-03-03T08:00:00Z');
const DAY = 24 * HOUR;
const MINUTE = 60_000;

const clock = handClock(START);
let world: World;
let timers: Timers | null = null;
const said: string[] = [];
/** Time goes on while roles work. */
const plan = () => clock.during(world.plan());
const run = () => clock.during(world.run());
const hr = (rows = PEOPLE, ageMs = MINUTE) => world.exportHr(rows, ageMs);
const without = (...ids: readonly string[]) => PEOPLE.filter(({ id }) => !ids.includes(id));
const groupsOf = async (login: string): Promise<string> =>
  (await world.crm.picture()).split('\n').find((line) => line.replace('-', '').startsWith(`${login}:`)) ?? 'nobody';
const stagesOf = (login: string, effect: string) =>
  world.database.query<{ plan: number; stage: string; note: string | null; rechecks: number }>(
    'select plan, stage, note, rechecks from change where login = $1 and effect = $2 order by plan, seq',
    [login, effect],
  );
const askForAdmins = (reason: string) =>
  ask(world.control().world, { person: '110', entitlement: 'admins', forMs: 8 * HOUR, reason, by: '109' });
const highPlan = async (): Promise<string> =>
  (await world.plans()).find(({ risk, state }) => risk === 'high' && state === 'open')!.plan;

beforeAll(async () => {
  world = await clock.during(
    startWorld({ grants: 500, removals: 200 }, 'report', {}, { ambient: { clock, random: seeded('days') } }),
  );
  await plan();
  await run();
});
afterEach(async () => expect(await clock.during(world.ledger())).toMatchObject({ ok: true, findings: [] }));
afterAll(async () => {
  if (timers) await clock.during(timers.close());
  if (world) await clock.during(world.stop());
});

test('the first day is done, in its own time', async () => {
  expect(await world.database.query('select 1 from change where stage <> $1', ['verified'])).toEqual([]);
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
});

test('a grant for eight hours ends when they are over, and not before', async () => {
  await askForAdmins('incident');
  await hr();
  await plan();
  const high = await highPlan();
  for (const person of ['102', '103']) await world.signAs(high, person);
  await run();
  expect(await groupsOf('jo')).toBe('jo: Admins,Sales,Staff');

  clock.move(7 * HOUR);
  await hr();
  await plan();
  await run();
  expect(await groupsOf('jo')).toBe('jo: Admins,Sales,Staff');

  clock.move(HOUR);
  await hr();
  await plan();
  await run();
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
});

test('a request that nobody signs for a day expires, and a signature that comes later opens nothing', async () => {
  await askForAdmins('another incident');
  await hr();
  await plan();
  const high = await highPlan();
  await world.signAs(high, '102');
  await run();
  clock.move(DAY + MINUTE);
  await expect(world.signAs(high, '103')).rejects.toMatchObject({
    code: 'not-approved',
    message: `${high} cannot be signed any more: the request has expired; plan again`,
  });
  await run();
  const [granted, ...others] = (await stagesOf('jo', 'grant')).filter(({ plan: number }) => `P${number}` === high);
  expect(others).toEqual([]);
  expect(granted).toMatchObject({
    stage: 'expired',
    note: expect.stringMatching(
      /^1 of 2 signatures had come when the request ended at 2031-03-04T\S+; plan again to ask anew$/,
    ),
  });
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
});

test('an export grows stale where it lies: it goes on supporting what is, and grants nothing new', async () => {
  await hr([...PEOPLE, JOINER]);
  clock.move(27 * HOUR);
  const before = await world.crm.picture();
  const report = await plan();
  expect(report.feeds).toMatchObject([{ verdict: 'stale', findings: [{ code: 'as-of-old' }] }]);
  await run();
  expect(await world.crm.picture()).toBe(before);
  await hr();
  expect((await plan()).feeds).toMatchObject([{ verdict: 'accepted' }]);
  await run();
});

test('a removal is looked at again after an hour, a day and a week, and what came back is removed again', async () => {
  const { world: control } = world.control();
  const connection = await readConnection(world.folder, 'control');
  timers = await clock.during(startTimers(control, connection, (line) => said.push(line)));
  await hr(without('112'));
  await plan();
  await run();
  const disabled = async () => (await stagesOf('lou', 'disable')).at(-1)!;
  const looks = (rechecks: number) =>
    clock.until(async () => {
      const change = await disabled();
      return change.stage === 'verified' && change.rechecks === rechecks ? change : null;
    });
  expect(await groupsOf('lou')).toBe('-lou: ');
  expect(await disabled()).toMatchObject({ stage: 'verified', rechecks: 0 });

  clock.move(59 * MINUTE);
  clock.move(2 * MINUTE);
  await looks(1);
  expect(said).toEqual([]);

  // Another synchronisation lets him in again. The next look is a day after the first proof.
  await clock.during(
    world.crm.edit(({ users }) => {
      Object.assign(users.find(({ userName }) => userName === 'lou') ?? {}, { active: true });
    }),
  );
  clock.move(22 * HOUR);
  expect(await groupsOf('lou')).toBe('lou: ');
  clock.move(HOUR);
  await clock.until(async () => said.find((line) => line.startsWith('ALARM')) ?? null);
  expect(said).toEqual([expect.stringMatching(/^ALARM: P\d+\.\d+ was proven and is so no more: it came back$/)]);
  // The turn that carries on what is due removes him again, with nobody at the keyboard.
  clock.move(2 * MINUTE);
  await looks(0);
  expect(await groupsOf('lou')).toBe('-lou: ');

  for (const [at, ms] of [HOUR, 23 * HOUR, 6 * DAY].entries()) {
    clock.move(ms - 5 * MINUTE);
    await clock.during(Promise.resolve());
    expect((await disabled()).rechecks).toBe(at);
    clock.move(7 * MINUTE);
    await looks(at + 1);
  }
  expect(said).toHaveLength(1);
  clock.move(30 * DAY);
  await clock.during(run());
  expect((await disabled()).rechecks).toBe(3);
});

/** Every time that stands in a database of ours. */
async function timesIn(database: Database): Promise<Map<string, { least: Date; most: Date }>> {
  const columns = await database.query<{ table: string; column: string }>(
    `select table_name as table, column_name as column from information_schema.columns
      where table_schema = 'public' and data_type = 'timestamp with time zone' and table_name <> 'migration'`,
  );
  const found = new Map<string, { least: Date; most: Date }>();
  for (const { table, column } of columns) {
    const { least, most } = await database.one<{ least: Date | null; most: Date | null }>(
      `select min("${column}") as least, max("${column}") as most from "${table}" where isfinite("${column}")`,
    );
    if (least && most) found.set(`${table}.${column}`, { least, most });
  }
  return found;
}

test('nothing of it ever asked the machine for the time', async () => {
  const earliest = START - HOUR;
  const latest = clock.now() + 400 * DAY;
  for (const database of [world.database, world.gatewayDatabase]) {
    const times = await timesIn(database);
    expect(times.size).toBeGreaterThan(3);
    for (const [where, { least, most }] of times) {
      expect(least.getTime(), `${where} ${isoTime(least.getTime())}`).toBeGreaterThanOrEqual(earliest);
      expect(most.getTime(), `${where} ${isoTime(most.getTime())}`).toBeLessThanOrEqual(latest);
    }
  }
  const { log } = world.control();
  for await (const bytes of log.entries(0, log.size)) {
    const opened = openEntry(bytes);
    if (!opened.ok) throw new Error(opened.reason);
    expect(opened.entry.at, opened.entry.kind).toBeGreaterThanOrEqual(START);
    expect(opened.entry.at, opened.entry.kind).toBeLessThanOrEqual(clock.now());
  }
});
