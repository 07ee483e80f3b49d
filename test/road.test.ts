/**
 * The road on a small company, where a plain scenario (`test/scenarios`) does not reach: order, quarantine, going over a
 * limit, roles that stop in the middle, two runs at once. After each the offline checker goes over the whole ledger.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ask } from '../src/control/ask.ts';
import { run } from '../src/control/run.ts';
import { askOverLimit } from '../src/control/sign.ts';
import type { Database } from '../src/store/database.ts';
import { HOUR, JOINER, PEOPLE, type RoleName, type Row, startWorld, type World } from './company/world.ts';

let world: World;
let ageMs = HOUR;
/** Each export is a little younger than the one before. */
const hr = (rows: readonly Row[]): Promise<void> => world.exportHr(rows, (ageMs -= 60_000));
const moved = (id: string, department: string, rows = PEOPLE): readonly Row[] =>
  rows.map((row) => (row.id === id ? { ...row, department } : row));
const without = (ids: readonly string[], rows = PEOPLE): readonly Row[] => rows.filter(({ id }) => !ids.includes(id));
const groupsOf = async (login: string): Promise<string> =>
  (await world.crm.picture()).split('\n').find((line) => line.replace('-', '').startsWith(`${login}:`)) ?? 'nobody';
/** Pauses between attempts are over. */
const timePasses = () =>
  world.database.query(`update change set next_at = now() - interval '1 second' where next_at < 'infinity'`);
const unfinished = () =>
  world.database.query<{ stage: string }>(
    `select stage from change c join plan p using (tenant) where p.number = c.plan and p.state = 'open' and c.stage <> 'verified'`,
  );

beforeAll(async () => {
  world = await startWorld({ grants: 500, removals: 200 });
  await world.plan();
  await world.run();
});
afterEach(async () => expect(await world.ledger()).toMatchObject({ ok: true, findings: [] }));
afterAll(() => world?.stop());

test('everybody has what the rules give, and every change was seen by the verifier', async () => {
  const rows = await world.database.query('select 1 from change where stage <> $1', ['verified']);
  expect(rows).toEqual([]);
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
  expect(await groupsOf('kim')).toBe('kim: Legal,Staff');
});

test('run again does nothing', async () => {
  const before = await world.crm.picture();
  const report = await world.plan();
  expect(report).toMatchObject({ made: [], kept: [], superseded: [] });
  expect(await world.run()).toMatchObject({ moved: 0 });
  expect(await world.crm.picture()).toBe(before);
});

test('a mover loses before he gains, as the gateway spent it', async () => {
  await hr(moved('111', 'sales'));
  await world.plan();
  await world.run();
  expect(await groupsOf('kim')).toBe('kim: Sales,Staff');
  const spent = await world.gatewayDatabase.query<{ effect: string }>(
    `select tuple ->> 'effect' as effect from spent
      where tuple ->> 'object' = 'kim' and tuple ->> 'entitlement' in ('legal', 'sales') order by at desc limit 2`,
  );
  expect(spent.map(({ effect }) => effect)).toEqual(['grant', 'revoke']);
});

test('a leaver who comes back is let in again with what he is due, and the account is the same', async () => {
  const before = (await world.crm.user('lou'))?.id;
  await hr(without(['112'], moved('111', 'sales')));
  await world.plan();
  await world.run();
  expect(await groupsOf('lou')).toBe('-lou: ');
  await hr(moved('111', 'sales'));
  await world.plan();
  await world.run();
  expect(await groupsOf('lou')).toBe('lou: Legal,Staff');
  expect((await world.crm.user('lou'))?.id).toBe(before);
});

test('a record that is set aside freezes its person: nothing gained, nothing lost', async () => {
  // Jo has moved to legal, and the record lacks what the contract requires. Ivo's move is none of its business.
  const broken = moved('110', 'legal', moved('109', 'legal', moved('111', 'sales'))).map((row) =>
    row.id === '110' ? { ...row, login: '' } : row,
  );
  await hr(broken);
  const report = await world.plan();
  expect(report.feeds[0]?.quarantined).toMatchObject([{ key: '110' }]);
  await world.run();
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
  expect(await groupsOf('ivo')).toBe('ivo: Legal,Staff');
});

test('a privileged grant waits for two people, is made, is seen, and is told with their names', async () => {
  const { world: w } = world.control();
  await ask(w, { person: '110', entitlement: 'admins', forMs: HOUR, reason: 'incident', by: '109' });
  await hr(moved('109', 'legal', moved('111', 'sales')));
  await world.plan();
  await world.run();
  expect(await groupsOf('jo')).not.toContain('Admins');
  const plan = (await world.plans()).find(({ risk }) => risk === 'high');
  await world.signAs(plan!.plan, '102');
  await world.run();
  expect(await groupsOf('jo')).not.toContain('Admins');
  await world.signAs(plan!.plan, '103');
  await world.run();
  expect(await groupsOf('jo')).toBe('jo: Admins,Sales,Staff');
});

test('its end is kept: when its hour is over, it is revoked without anybody', async () => {
  await world.database.query(`update cause set ends_at = now() - interval '1 minute' where entitlement = 'admins'`);
  await world.plan();
  await world.run();
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
});

test('a plan that refused itself goes on when two people lift its limit', async () => {
  const four = ['106', '107', '108', '112'];
  const before = await world.crm.picture();
  await hr(without(four, moved('109', 'legal', moved('111', 'sales'))));
  await world.plan();
  await world.run();
  expect(await world.crm.picture()).toBe(before);
  const [refused] = (await world.plans()).filter(({ state }) => state === 'refused');
  expect(new Set(refused!.changes.map(({ stage }) => stage))).toEqual(new Set(['refused']));
  await expect(world.signAs(refused!.plan, '102')).rejects.toThrow();
  const lifted = `P${await askOverLimit(world.control().world, Number(refused!.plan.slice(1)))}`;
  await world.run();
  expect(await world.crm.picture()).toBe(before);
  for (const person of ['102', '103']) await world.signAs(lifted, person);
  await world.run();
  for (const login of ['finn', 'gil', 'hana', 'lou']) expect(await groupsOf(login)).toBe(`-${login}: `);
  await hr(moved('109', 'legal', moved('111', 'sales')));
  await world.plan();
  await world.run();
});

describe('a role that stops in the middle of a run', () => {
  const DAYS: readonly (readonly Row[])[] = [
    [...moved('110', 'legal', moved('108', 'legal')), JOINER],
    [...PEOPLE, { ...JOINER, department: 'legal' }],
  ];
  test.each(['gateway', 'worker', 'verifier', 'control'] as const satisfies readonly RoleName[])(
    'the %s: run resumes, and all is as if nothing had been',
    async (role) => {
      const [first, second] = DAYS as [readonly Row[], readonly Row[]];
      await hr(first);
      await world.plan();
      await world.run();
      const wanted = await world.crm.picture();
      await hr(second);
      await world.plan();
      await world.run();
      await hr(first);
      await world.plan();
      const writes = new Promise<void>((resolve) => {
        const look = setInterval(async () => {
          if ((await world.crm.picture().catch(() => '')) !== '' && (await unfinished().catch(() => [])).length < 6) {
            clearInterval(look);
            resolve();
          }
        }, 5);
      });
      const running = world.run().catch(() => undefined);
      await writes;
      await world.halt(role);
      await world.restart(role);
      await running;
      for (let again = 0; again < 4 && (await unfinished()).length > 0; again++) {
        await timePasses();
        await world.run();
      }
      expect(await unfinished()).toEqual([]);
      expect(await world.crm.picture()).toBe(wanted);
      expect(await world.run()).toMatchObject({ moved: 0 });
    },
  );
});

test('two runs at once do each change once', async () => {
  await hr(moved('110', 'legal', moved('108', 'legal')));
  await world.plan();
  const since = new Date().toISOString();
  await Promise.all([world.run(), world.run()]);
  expect(await unfinished()).toEqual([]);
  const rows = await world.gatewayDatabase.query<{ attempts: number }>('select attempts from spent where at > $1', [
    since,
  ]);
  expect(rows.length).toBeGreaterThan(2);
  expect(rows.filter(({ attempts }) => attempts !== 1)).toEqual([]);
});

test('an answer that comes late ends no run: what was in hand when it was asked for goes on', async () => {
  const { world: w } = world.control();
  await hr(moved('109', 'legal', moved('110', 'legal')));
  await world.plan();
  // Ivo's first change is in hand until all others are through; then it is done between a question and its answer.
  let begun = false;
  let over = false;
  let letGo = (): void => undefined;
  const others = new Promise<void>((resolve) => (letGo = resolve));
  const worker: typeof w.worker = {
    ...w.worker,
    async apply(connector, writ, task) {
      begun ||= task.account.login === 'ivo';
      if (task.account.login === 'ivo') await others;
      return w.worker.apply(connector, writ, task);
    },
  };
  const inHand = () => w.database.query(`select 1 from change where login = 'ivo' and stage = 'permitted'`);
  const database: Database = {
    ...w.database,
    async query<T>(sql: string, params?: readonly unknown[]) {
      const rows = await w.database.query<T>(sql, params);
      const question = sql.includes('c.next_at <= $3');
      if (!question || !begun || over || !rows.every((row) => JSON.stringify(row).includes('ivo'))) return rows;
      over = true;
      letGo();
      while ((await inHand()).length > 0) await w.clock.sleep(20);
      await w.clock.sleep(100);
      return rows;
    },
  };
  await run({ ...w, database, worker }, { signal: new AbortController().signal, progress: () => undefined });
  expect(await unfinished()).toEqual([]);
  expect(await groupsOf('ivo')).toBe('ivo: Legal,Staff');
  expect(await groupsOf('jo')).toBe('jo: Legal,Staff');
  await hr(PEOPLE);
  await world.plan();
  await world.run();
});

test('two plannings at once make one plan', async () => {
  await hr(PEOPLE);
  const outcomes = await Promise.allSettled([world.plan(), world.plan()]);
  const made = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value.made : []));
  expect(new Set(made).size).toBe(made.length);
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'already-running' });
  await world.run();
  expect(await groupsOf('jo')).toBe('jo: Sales,Staff');
});
