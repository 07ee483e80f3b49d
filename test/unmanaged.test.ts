/**
 * Accounts that somebody made at the target by hand, under `unmanaged: revert` and `unmanaged: adopt`: what planning
 * proposes, what people sign, what comes of it on a target that lies, and what a compromised control wins by it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Peer } from '../src/connector/pipe.ts';
import { adopt, protect, unprotect } from '../src/control/adopt.ts';
import { PEOPLE, startWorld, type World } from './company/world.ts';
import { attempt, CALL, freeze, type SignedCase, sealed, signedWrit, type Wish, writBody } from './forgeries/forge.ts';

const lineOf = async (world: World, login: string): Promise<string> =>
  (await world.crm.picture()).split('\n').find((line) => line.replace(/^-/, '').startsWith(`${login}:`)) ?? 'nobody';
async function byHand(world: World, login: string, group: string): Promise<void> {
  await world.crm.post('/Users', { userName: login, active: true });
  await world.crm.join(login, group);
}
const openPlan = async (world: World, login: string) =>
  (await world.plans()).find(({ changes }) => changes.some((change) => change.login === login));
const stagesOf = async (world: World, login: string): Promise<readonly string[]> => {
  const rows = await world.database.query<{ line: string }>(
    `select effect || ' ' || stage as line from change where login = $1 order by plan, seq`,
    [login],
  );
  return rows.map(({ line }) => line);
};

describe('unmanaged: revert', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld(undefined, 'revert');
    await world.plan();
    await world.run();
  });
  afterAll(async () => {
    expect(await world.ledger()).toMatchObject({ ok: true, findings: [] });
    await world.stop();
  });
  const signed = async (login: string): Promise<void> => {
    await world.plan();
    const plan = (await openPlan(world, login))!.plan;
    for (const person of ['102', '103']) await world.signAs(plan, person);
    await world.run();
  };

  test('done: proposed, signed by two, stopped and emptied; planned again, nothing', async () => {
    await byHand(world, 'olga', 'Legal');
    await world.plan();
    expect(await openPlan(world, 'olga')).toMatchObject({ risk: 'removal', needs: { role: 'security', people: 2 } });
    await world.run();
    expect(await lineOf(world, 'olga')).toBe('olga: Legal');
    await signed('olga');
    expect(await lineOf(world, 'olga')).toBe('-olga: ');
    expect(await world.plan()).toMatchObject({ made: [], kept: [], superseded: [] });
  });

  test('refused by a person: nothing happens, and it is asked again, because it is still not explained', async () => {
    await byHand(world, 'oskar', 'Staff');
    await world.plan();
    const { plan } = (await openPlan(world, 'oskar'))!;
    await world.signAs(plan, '102', 'refuse');
    await world.run();
    expect(await lineOf(world, 'oskar')).toBe('oskar: Staff');
    expect(await stagesOf(world, 'oskar')).toEqual(['revoke refused', 'disable refused']);
    await world.plan();
    expect((await openPlan(world, 'oskar'))?.plan).not.toBe(plan);
    await protect(world.control().world, 'crm', ['oskar']);
    await world.plan();
    expect(await openPlan(world, 'oskar')).toBeUndefined();
  });

  test('protected by hand: out of reach also after the target was read again, until it is lifted', async () => {
    await byHand(world, 'ottilie', 'Staff');
    await world.plan();
    await protect(world.control().world, 'crm', ['ottilie']);
    for (let again = 0; again < 2; again++) await world.plan();
    expect(await openPlan(world, 'ottilie')).toBeUndefined();
    await unprotect(world.control().world, 'crm', ['ottilie']);
    await world.plan();
    expect(await openPlan(world, 'ottilie')).toBeDefined();
    await expect(unprotect(world.control().world, 'crm', ['svc-mail'])).rejects.toThrow('that is signed');
    await protect(world.control().world, 'crm', ['ottilie']);
  });

  test('a managed account protected by hand keeps what it has when its person leaves', async () => {
    await protect(world.control().world, 'crm', ['lou']);
    await world.exportHr(
      PEOPLE.filter(({ id }) => id !== '112'),
      2_000_000,
    );
    for (let again = 0; again < 2; again++) await world.plan();
    await world.run();
    expect(await lineOf(world, 'lou')).toBe('lou: Legal,Staff');
    await unprotect(world.control().world, 'crm', ['lou']);
    await world.exportHr(PEOPLE, 1_900_000);
    await world.plan();
  });

  test('failed but done: the target says 500 and did it; the look closes it', async () => {
    await byHand(world, 'otto', 'Sales');
    await world.crm.lie('500-but-done');
    await signed('otto');
    await world.crm.lie(null);
    expect(await stagesOf(world, 'otto')).toEqual(['revoke verified', 'disable verified']);
    expect(await lineOf(world, 'otto')).toBe('-otto: ');
  });

  test('claimed but not done: 204 and the account is active; it stays open, contradicted', async () => {
    await byHand(world, 'orla', 'Sales');
    await world.plan();
    await world.crm.lie('keeps-account');
    await signed('orla');
    await world.crm.lie(null);
    expect(await stagesOf(world, 'orla')).toEqual(['revoke contradicted', 'disable contradicted']);
    expect(await lineOf(world, 'orla')).toBe('orla: Sales');
  });

  test('too many at once: the plan refuses itself with numbers', async () => {
    for (const login of ['u1', 'u2', 'u3', 'u4']) await world.crm.post('/Users', { userName: login, active: true });
    await world.plan();
    expect(await openPlan(world, 'u1')).toMatchObject({
      state: 'refused',
      refusal: [{ message: 'concerns 4 people, limit 3' }],
    });
  });

  test('protected patterns and names of the system itself are out of reach, and the latter are told', async () => {
    await world.crm.post('/Users', { userName: 'svc-mail', active: true });
    await world.crm.post('/Users', { userName: 'admin', active: true });
    const report = await world.plan();
    expect(await openPlan(world, 'svc-mail')).toBeUndefined();
    expect(await openPlan(world, 'admin')).toBeUndefined();
    expect(report.leftAlone).toContainEqual(
      expect.objectContaining({ login: 'admin', why: 'an account of the system itself' }),
    );
  });

  test('what somebody is about to adopt is not stopped; what fits a person is a plan of its own', async () => {
    await world.exportHr([...PEOPLE, { id: '114', name: 'Nia Nord', login: 'nia', department: 'board' }], 1000);
    await byHand(world, 'nia', 'Staff');
    await world.plan();
    expect((await openPlan(world, 'nia'))?.changes.map(({ cause }) => cause)).toEqual([
      'revert an account that fits a person and was not adopted',
      'revert an account that fits a person and was not adopted',
    ]);
    await adopt(world.control().world, 'crm', ['nia']);
    await world.plan();
    const open = (await world.plans()).flatMap(({ changes }) => changes.filter(({ login }) => login === 'nia'));
    expect(open.map(({ effect }) => effect)).toEqual(['adopt']);
  });

  describe('a compromised control', () => {
    let door: Peer;
    let users: Readonly<Record<string, string>>;
    beforeAll(async () => {
      await byHand(world, 'opal', 'Staff');
      door = await world.door();
      const { users: all } = await world.crm.state();
      users = Object.fromEntries(all.map(({ userName, id }) => [userName, id]));
    });
    afterAll(() => door?.close());

    const REVERT: Wish = { effect: 'disable', object: 'opal', cause: 'revert nobody’s account' };
    const bySignatures = (wish: Wish, over: Partial<SignedCase> = {}) =>
      signedWrit(world, {
        wishes: [wish],
        by: ['102', '103'],
        header: { risk: 'removal' },
        request: { executors: ['crm-revoke'] },
        ...over,
      });
    const stops = (login: string) => CALL.active(users[login] ?? '', false);

    test.each<[string, Wish, () => unknown]>([
      ['an account that is bound', { ...REVERT, object: 'kim' }, () => stops('kim')],
      ['an account that is protected', { ...REVERT, object: 'svc-mail' }, () => stops('svc-mail')],
      ['an account of the system itself', { ...REVERT, object: 'admin' }, () => stops('admin')],
      ['under another cause than people were told', { ...REVERT, cause: 'left' }, () => stops('opal')],
      ['for good', { ...REVERT, effect: 'delete' }, () => CALL.remove(users['opal'] ?? '')],
      ['in the name of somebody whose it is not', { ...REVERT, key: '106' }, () => stops('opal')],
    ])('with signatures: %s', async (_name, wish, call) => {
      const before = await world.crm.picture();
      expect(await attempt(door, await bySignatures(wish), 'crm-revoke', call())).toBe('outside-envelope');
      expect(await world.crm.picture()).toBe(before);
    });

    test('without signatures, or with one: never', async () => {
      const alone = sealed(world, writBody(world, freeze(world, [REVERT], { risk: 'removal' })));
      expect(await attempt(door, alone, 'crm-revoke', stops('opal'))).toBe('outside-envelope');
      const one = await bySignatures(REVERT, { by: ['102'] });
      expect(await attempt(door, one, 'crm-revoke', stops('opal'))).toBe('not-approved');
      expect(await lineOf(world, 'opal')).toBe('opal: Staff');
    });

    test('the same with the signatures of two opens: what refuses above is not the form', async () => {
      expect(await attempt(door, await bySignatures(REVERT), 'crm-revoke', stops('opal'))).toBe('done');
    });
  });
});

describe('unmanaged: adopt', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld(undefined, 'adopt');
    for (const [login, group] of [
      ['kim', 'Sales'],
      ['lou', 'Legal'],
      ['olga', 'Legal'],
    ] as const)
      await byHand(world, login, group);
    await world.plan();
    await world.run();
  });
  afterAll(async () => {
    expect(await world.ledger()).toMatchObject({ ok: true, findings: [] });
    await world.stop();
  });

  test('proposes those that belong to exactly one person, once, and nothing of it happens unsigned', async () => {
    const plan = await openPlan(world, 'kim');
    expect(plan).toMatchObject({ risk: 'normal', needs: { role: 'security', people: 2 } });
    expect(plan?.changes.map(({ login, name, effect }) => `${effect} ${login} ${name}`)).toEqual([
      'adopt kim Kim Kerr',
      'adopt lou Lou Lang',
    ]);
    expect(await world.plan()).toMatchObject({ made: [] });
    expect(await world.gatewayDatabase.query(`select 1 from binding where login in ('kim', 'lou')`)).toEqual([]);
  });

  test('signed: bound, managed, and the rules go on from there; nobody’s account is left alone', async () => {
    const { plan } = (await openPlan(world, 'kim'))!;
    for (const person of ['102', '103']) await world.signAs(plan, person);
    await world.run();
    await world.plan();
    await world.run();
    expect(await lineOf(world, 'kim')).toBe('kim: Legal,Staff');
    expect(await lineOf(world, 'lou')).toBe('lou: Legal,Staff');
    expect(await lineOf(world, 'olga')).toBe('olga: Legal');
  });

  test('refused by a person: not asked again by itself, and `writgate adopt` asks again', async () => {
    await world.exportHr([...PEOPLE, { id: '114', name: 'Nia Nord', login: 'nia', department: 'board' }], 1000);
    await byHand(world, 'nia', 'Staff');
    await world.plan();
    await world.signAs((await openPlan(world, 'nia'))!.plan, '102', 'refuse');
    await world.run();
    expect(await world.plan()).toMatchObject({ made: [] });
    expect(await adopt(world.control().world, 'crm', ['nia'])).toHaveLength(1);
  });
});
