/**
 * The clock goes wrong: back by minutes, back by days, ahead by a year and back again. Nobody gains or loses access by
 * it, whoever asks is told, and nothing has to wait until the wrong time has come.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { seeded } from '../../src/approval/testing.ts';
import { ask } from '../../src/control/ask.ts';
import { HOUR, JOINER, PEOPLE, type Row, startWorld, type World } from '../company/world.ts';
import { handClock } from '../hand-clock.ts';

const MINUTE = 60_000;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

const clock = handClock(Date.parse('2031-03-03T08:00:00Z'));
let world: World;
const plan = () => clock.during(world.plan());
const run = () => clock.during(world.run());
const hr = (rows: readonly Row[] = PEOPLE, ageMs = 2 * MINUTE) => world.exportHr(rows, ageMs);
const moved = (id: string, department: string): readonly Row[] =>
  PEOPLE.map((row) => (row.id === id ? { ...row, department } : row));
const without = (...ids: readonly string[]) => PEOPLE.filter(({ id }) => !ids.includes(id));
const groupsOf = async (login: string): Promise<string> =>
  (await world.crm.picture()).split('\n').find((line) => line.replace('-', '').startsWith(`${login}:`)) ?? 'nobody';
const unfinished = () =>
  world.database.query<{ login: string; effect: string; stage: string; note: string | null }>(
    `select c.login, c.effect, c.stage, c.note from change c join plan p on p.tenant = c.tenant and p.number = c.plan
      where p.state = 'open' and c.stage <> 'verified' and c.note is distinct from 'waits for signatures' order by c.plan, c.seq`,
  );
/** As a machine is set right: the clock is moved by hand and the feed is exported anew. */
async function onceMore(rows: readonly Row[] = PEOPLE): Promise<void> {
  clock.move(10 * MINUTE);
  await hr(rows, MINUTE);
  expect((await plan()).feeds).toMatchObject([{ verdict: 'accepted' }]);
  await run();
}

beforeAll(async () => {
  world = await clock.during(
    startWorld({ grants: 500, removals: 200 }, 'report', {}, { ambient: { clock, random: seeded('clock') } }),
  );
  await plan();
  await run();
});
afterEach(async () => expect(await clock.during(world.ledger())).toMatchObject({ ok: true, findings: [] }));
afterAll(async () => {
  if (world) await clock.during(world.stop());
});

describe('back by ten minutes', () => {
  test('between plan and run: everything goes on at once', async () => {
    await hr(moved('106', 'sales'), 20 * MINUTE);
    await plan();
    clock.move(-10 * MINUTE);
    await run();
    expect(await unfinished()).toEqual([]);
    expect(await groupsOf('finn')).toBe('finn: Sales,Staff');
  });

  test('the export of before is from the future: the feed is held and says by how much, and access stays', async () => {
    const before = await world.crm.picture();
    await hr(without('112'), -10 * MINUTE);
    const [feed] = (await plan()).feeds;
    expect(feed).toMatchObject({ verdict: 'held', findings: [{ code: 'as-of-future' }] });
    expect(feed?.findings[0]?.message).toMatch(
      /^as of 2031\S+, 10 min in the future \(tolerated: 5 min\); set the exporter’s clock$/,
    );
    await run();
    expect(await world.crm.picture()).toBe(before);
    clock.move(HOUR);
    await onceMore();
    expect(await groupsOf('finn')).toBe('finn: Legal,Staff');
  });
});

describe('back by three days', () => {
  test('between plan and run: what rests on a feed from the future is not granted; a right export carries on', async () => {
    await hr([...moved('106', 'sales'), JOINER]);
    await plan();
    const before = await world.crm.picture();
    clock.move(-3 * DAY);
    await run();
    expect(await world.crm.picture()).toBe(before);
    expect((await unfinished()).filter(({ stage }) => stage !== 'held')).toEqual([]);

    await onceMore([...moved('106', 'sales'), JOINER]);
    expect(await unfinished()).toEqual([]);
    expect(await groupsOf('finn')).toBe('finn: Sales,Staff');
    expect(await groupsOf('mia')).toBe('mia: Sales,Staff');
  });

  test('a writ of before opens nothing', async () => {
    await hr(moved('107', 'sales'));
    await plan();
    await run();
    const [writ] = await world.database.query<{ bytes: string }>(
      'select bytes from writ order by expires_at desc limit 1',
    );
    clock.move(-3 * DAY);
    const gateway = await clock.during(world.door());
    const admitted = clock.during(gateway.request('admit', { writ: JSON.parse(writ!.bytes) }));
    await expect(admitted).rejects.toMatchObject({
      code: 'writ-invalid',
      message: 'the writ is not accepted: it was issued in the future',
    });
    gateway.close();
    clock.move(3 * DAY);
  });
});

describe('ahead by a year', () => {
  test('a feed is old, nobody joins, nobody is deleted; a request and a grant with an end are over', async () => {
    clock.move(4 * DAY);
    await onceMore(without('112'));
    expect(await groupsOf('lou')).toBe('-lou: ');
    await ask(world.control().world, { person: '110', entitlement: 'admins', forMs: HOUR, reason: 'x', by: '109' });
    await hr(without('112'), MINUTE);
    await plan();
    const before = await world.crm.picture();

    clock.move(YEAR);
    const report = await plan();
    expect(report.feeds[0]).toMatchObject({
      verdict: 'stale',
      findings: [{ code: 'as-of-old' }, { code: 'unchanged' }],
    });
    expect(report.feeds[0]?.findings[0]?.message).toMatch(
      /^as of 2031\S+, 365 d old, limit 26 h; bring a newer export$/,
    );
    await run();
    // The retention of 30 days is over by this clock, and no fresh feed says that he has left.
    expect(await world.crm.picture()).toBe(before);
    expect(await groupsOf('jo')).not.toContain('Admins');
  });

  test('set right again: nothing waits for a year', async () => {
    clock.move(-YEAR);
    await onceMore(moved('108', 'legal'));
    expect(await unfinished()).toEqual([]);
    expect(await groupsOf('hana')).toBe('hana: Legal,Staff');
    expect(await groupsOf('lou')).toBe('lou: Legal,Staff');
  });

  test('with an exporter that was wrong as well: its snapshot is no measure for those that come after', async () => {
    clock.move(YEAR);
    await hr(moved('109', 'legal'), MINUTE);
    expect((await plan()).feeds).toMatchObject([{ verdict: 'accepted' }]);
    await run();
    clock.move(-YEAR);
    await onceMore(moved('110', 'legal'));
    expect(await unfinished()).toEqual([]);
    expect(await groupsOf('jo')).toBe('jo: Legal,Staff');
    expect(await groupsOf('ivo')).toBe('ivo: Sales,Staff');
  });
});
