/** The envelope's budget is used up: what is left of a plan waits, says until when, and goes on by itself. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JOINER, PEOPLE, type Row, startWorld, type World } from './company/world.ts';

/** What the first day needs is 31 grants, so that two are left; and nothing may ever be removed. */
const BOUNDS = { grants: 33, removals: 0 };
const NIA: Row = { id: '114', name: 'Nia Nord', login: 'nia', department: 'board' };
const HOUR = 3_600_000;

interface Change {
  readonly stage: string;
  readonly note: string | null;
  readonly next_at: Date;
  readonly attempt: number;
}

let world: World;
const changesOf = (...logins: readonly string[]): Promise<Change[]> =>
  world.database.query('select stage, note, next_at, attempt from change where login = any($1) order by plan, seq', [
    logins,
  ]);
/** Where they stand, but for what a newer plan took over. */
async function stagesOf(...logins: readonly string[]): Promise<Record<string, number>> {
  const count: Record<string, number> = {};
  for (const { stage } of await changesOf(...logins))
    if (stage !== 'superseded') count[stage] = (count[stage] ?? 0) + 1;
  return count;
}

beforeAll(async () => {
  world = await startWorld(BOUNDS);
  await world.plan();
  await world.run();
  await world.exportHr([...PEOPLE, JOINER, NIA]);
});
afterAll(() => world?.stop());

test('what finds the budget empty waits until the hour at which there is room again', async () => {
  const before = Date.now();
  await world.plan();
  await world.run();
  expect(await stagesOf('mia', 'nia')).toEqual({ verified: 2, waiting: 3 });
  for (const { stage, note, next_at, attempt } of await changesOf('mia', 'nia')) {
    if (stage !== 'waiting') continue;
    expect(note).toContain('the automatic envelope allows 33 grants per window');
    expect(note).toContain(`there is room again at ${next_at.toISOString()}`);
    // The first grants of the day were made a little before.
    expect(next_at.getTime() - before).toBeLessThan(24 * HOUR);
    expect(next_at.getTime() - before).toBeGreaterThan(23 * HOUR);
    expect(attempt).toBe(0);
  }
});

test('until then it is left alone', async () => {
  expect((await world.run()).moved).toBe(0);
  expect(await stagesOf('mia', 'nia')).toEqual({ verified: 2, waiting: 3 });
});

test('another planning takes over what is left, and that waits as well', async () => {
  expect((await world.plan()).made).toHaveLength(1);
  await world.run();
  expect((await world.plan()).made).toEqual([]);
  expect((await world.run()).moved).toBe(0);
  expect(await stagesOf('mia', 'nia')).toEqual({ verified: 2, waiting: 3 });
});

test('it goes on when the window has rolled, under a new writ', async () => {
  await world.gatewayDatabase.query(`update budget set at = at - interval '25 hours'`);
  await world.database.query(`update change set next_at = now() where stage = 'waiting'`);
  await world.run();
  expect(await stagesOf('mia', 'nia')).toEqual({ verified: 5 });
  expect(await world.crm.members('Sales')).toContain('mia');
});

test('where the envelope has no room at all, nothing is waited for', async () => {
  await world.exportHr([...PEOPLE.filter(({ id }) => id !== '112'), JOINER, NIA], HOUR / 2);
  await world.plan();
  await world.run();
  const stages = (await changesOf('lou')).filter(({ note }) => note?.includes('allows 0 removals'));
  expect(stages.length).toBeGreaterThan(0);
  expect(new Set(stages.map(({ stage }) => stage))).toEqual(new Set(['refused']));
});
