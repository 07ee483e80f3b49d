/** What somebody needs at night: to see what has just happened and to whom, and to have it tried at once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { showPerson, status } from '../src/control/inspect.ts';
import { retry } from '../src/control/retry.ts';
import { PEOPLE, type Row, startWorld, type World } from './company/world.ts';

let world: World;
let ageMs = 3_000_000;
const hr = (rows: readonly Row[]): Promise<void> => world.exportHr(rows, (ageMs -= 60_000));
const stagesOf = async (login: string, after = 0): Promise<readonly string[]> => {
  const rows = await world.database.query<{ line: string }>(
    `select effect || ' ' || coalesce(entitlement, 'account') || ' ' || stage as line from change
      where login = $1 and plan > $2 and effect in ('revoke', 'disable') order by plan, seq`,
    [login, after],
  );
  return rows.map(({ line }) => line);
};
const seen = () => status(world.control().world, { entries: 0, checkpoint: '' }, true);

beforeAll(async () => {
  world = await startWorld({ grants: 200, removals: 50 });
  await world.plan();
  await world.run();
});
afterAll(async () => {
  expect(await world.ledger()).toMatchObject({ ok: true, findings: [] });
  await world.stop();
});

test('contradicted: run leaves it to its timer, run --retry tries it now', async () => {
  await hr(PEOPLE.filter(({ id }) => id !== '112'));
  await world.plan();
  await world.crm.lie('keeps-account');
  await world.run();
  await world.crm.lie(null);
  const contradicted = ['revoke legal contradicted', 'revoke staff contradicted', 'disable account contradicted'];
  expect(await stagesOf('lou')).toEqual(contradicted);
  await world.run();
  expect(await stagesOf('lou')).toEqual(contradicted);

  const { alarms, alarmed, lately } = await seen();
  expect(alarmed).toBe(3);
  for (const alarm of alarms) expect(Date.parse(alarm.nextAt ?? '')).toBeGreaterThan(Date.now());
  expect(lately[0]).toMatchObject({
    risk: 'removal',
    cause: 'left',
    people: 1,
    systems: ['crm'],
    stages: { contradicted: 3 },
  });

  expect(await retry(world.control().world)).toHaveLength(3);
  await world.run();
  expect(await stagesOf('lou')).toEqual(['revoke legal verified', 'revoke staff verified', 'disable account verified']);
  expect(await seen()).toMatchObject({ alarms: [], alarmed: 0 });
  expect((await showPerson(world.control().world, '112')).lately.map(({ effect }) => effect)).toContain('disable');
  expect(await retry(world.control().world)).toEqual([]);
});

test('failed: given up after the last attempt, and taken up again by retry', async () => {
  await hr(PEOPLE.filter(({ id }) => id !== '112' && id !== '111'));
  await world.plan();
  await world.crm.lie('keeps-account');
  await world.run();
  await world.database.query(`update change set attempt = 5, next_at = now() where stage = 'contradicted'`);
  await world.run();
  await world.crm.lie(null);
  expect(await stagesOf('kim')).toEqual(['revoke legal failed', 'revoke staff failed', 'disable account failed']);
  expect(await world.run()).toMatchObject({ moved: 0 });
  expect((await seen()).alarmed).toBe(3);
  expect(await retry(world.control().world)).toHaveLength(3);
  await world.run();
  expect(await stagesOf('kim')).toEqual(['revoke legal verified', 'revoke staff verified', 'disable account verified']);
});

test('what a later change made history is neither tried again nor an alarm', async () => {
  await hr(PEOPLE.filter(({ id }) => id !== '112'));
  await world.plan();
  await world.run();
  const before = await world.crm.picture();
  expect(before).toContain('\nkim: Legal,Staff');
  // The revocation of before, as if it had been given up then.
  await world.database.query(`update change set stage = 'failed' where login = 'kim' and effect = 'revoke'`);
  expect(await retry(world.control().world)).toEqual([]);
  await world.run();
  expect(await world.crm.picture()).toBe(before);
  expect((await seen()).alarmed).toBe(0);
});
