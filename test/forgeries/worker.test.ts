/**
 * A hostile worker, or a hostile connector in an honest one: it has the worker's door, tokens, and valid writs. What it
 * wins is the tuples of those writs; what it says of the target is a claim, and the verifier looks.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Attributes } from '../../src/connector/contract.ts';
import { type Listener, listenPipe, type Peer } from '../../src/connector/pipe.ts';
import { accountAttributes } from '../../src/identity/account.ts';
import type { Writ } from '../../src/writ/writ.ts';
import { JOINER, PEOPLE, type Row, startWorld, type World } from '../company/world.ts';
import { attempt, CALL, freeze, outcome, sealed, type Wish, writBody } from './forge.ts';

/** What the first day needs is 31 grants, so that two are left. */
const BOUNDS = { grants: 33, removals: 4 };
const NIA: Row = { id: '114', name: 'Nia Nord', login: 'nia', department: 'board' };

let world: World;
let door: Peer;
let users: Readonly<Record<string, string>>;
let groups: Readonly<Record<string, string>>;
const user = (login: string): string => users[login] ?? `nobody ${login}`;
const group = (name: string): string => groups[name] ?? `no group ${name}`;
const attributesOf = (row: Row): Attributes => {
  const assessed = world.control().world.rules.assess('hr', { ...row }, '2030-01-01');
  if (!assessed.ok) throw new Error(assessed.why);
  return accountAttributes(assessed.attributes);
};
/** Each under a plan of its own. */
const writFor = (...wishes: readonly Wish[]): Writ => sealed(world, writBody(world, freeze(world, wishes)));

beforeAll(async () => {
  world = await startWorld(BOUNDS);
  await world.plan();
  await world.run();
  // Kim moves to sales, Lou leaves, Mia and Nia join.
  await world.exportHr([
    ...PEOPLE.filter(({ id }) => id !== '112').map((row) => (row.id === '111' ? { ...row, department: 'sales' } : row)),
    JOINER,
    NIA,
  ]);
  door = await world.door();
  await door.request('fetch', { feed: 'hr' });
  const state = await world.crm.state();
  users = Object.fromEntries(state.users.map(({ userName, id }) => [userName, id]));
  groups = Object.fromEntries(state.groups.map(({ displayName, id }) => [displayName, id]));
});
afterAll(async () => {
  door?.close();
  await world?.stop();
});

const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';
const patch = (...Operations: object[]) => ({ schemas: [PATCH], Operations });
const KIM: Wish = { effect: 'grant', object: 'kim', key: '111', entitlement: 'sales' };

describe('under a writ for Kim in Sales', () => {
  const members = (...ids: string[]) => ids.map((value) => ({ value }));
  const CASES: readonly (readonly [name: string, code: string, connector: string, call: () => unknown])[] = [
    ['another user', 'writ-mismatch', 'crm-grant', () => CALL.grant(group('Sales'), user('ada'))],
    ['another group', 'writ-mismatch', 'crm-grant', () => CALL.grant(group('Legal'), user('kim'))],
    ['the group of the administrators', 'writ-mismatch', 'crm-grant', () => CALL.grant(group('Admins'), user('kim'))],
    ['a user who is not there', 'not-classified', 'crm-grant', () => CALL.grant(group('Sales'), 'ffff')],
    ['a group that is not there', 'out-of-scope', 'crm-grant', () => CALL.grant('ffff', user('kim'))],
    ['an id that is a path', 'not-classified', 'crm-grant', () => CALL.grant('../Users', user('kim'))],
    [
      'the other connector, for the same call',
      'out-of-scope',
      'crm-revoke',
      () => CALL.grant(group('Sales'), user('kim')),
    ],
    ['the same member out instead of in', 'out-of-scope', 'crm-grant', () => CALL.revoke(group('Sales'), user('kim'))],
    [
      'two members at once',
      'not-classified',
      'crm-grant',
      () =>
        CALL.http(
          'PATCH',
          ['Groups', group('Sales')],
          patch({ op: 'add', path: 'members', value: members(user('kim'), user('ada')) }),
        ),
    ],
    [
      'two operations at once',
      'not-classified',
      'crm-grant',
      () =>
        CALL.http(
          'PATCH',
          ['Groups', group('Sales')],
          patch(
            { op: 'add', path: 'members', value: members(user('kim')) },
            { op: 'add', path: 'members', value: members(user('ada')) },
          ),
        ),
    ],
    [
      'all members replaced',
      'not-classified',
      'crm-grant',
      () =>
        CALL.http(
          'PATCH',
          ['Groups', group('Sales')],
          patch({ op: 'replace', path: 'members', value: members(user('kim')) }),
        ),
    ],
    [
      'a group as a member',
      'not-classified',
      'crm-grant',
      () =>
        CALL.http(
          'PATCH',
          ['Groups', group('Sales')],
          patch({ op: 'add', path: 'members', value: [{ value: group('Staff'), type: 'Group' }] }),
        ),
    ],
    [
      'PUT of the group',
      'not-classified',
      'crm-grant',
      () => CALL.http('PUT', ['Groups', group('Sales')], { displayName: 'Sales', members: members(user('kim')) }),
    ],
    ['the group deleted', 'not-classified', 'crm-revoke', () => CALL.http('DELETE', ['Groups', group('Sales')])],
    [
      'the group renamed',
      'not-classified',
      'crm-grant',
      () =>
        CALL.http('PATCH', ['Groups', group('Admins')], patch({ op: 'replace', path: 'displayName', value: 'Sales' })),
    ],
    [
      'PUT of the user',
      'not-classified',
      'crm-grant',
      () => CALL.http('PUT', ['Users', user('kim')], { userName: 'kim' }),
    ],
    [
      'the user renamed',
      'not-classified',
      'crm-grant',
      () => CALL.http('PATCH', ['Users', user('kim')], patch({ op: 'replace', path: 'userName', value: 'ada' })),
    ],
    [
      'a password',
      'not-classified',
      'crm-grant',
      () => CALL.http('PATCH', ['Users', user('kim')], patch({ op: 'replace', path: 'password', value: 'known' })),
    ],
    [
      'the marker of a first secret on an account that exists',
      'not-classified',
      'crm-grant',
      () => CALL.http('PATCH', ['Users', user('kim')], patch({ op: 'replace', path: 'password', value: CALL.marker })),
    ],
    [
      'an attribute that no catalogue knows',
      'not-classified',
      'crm-grant',
      () =>
        CALL.http('PATCH', ['Users', user('kim')], patch({ op: 'add', path: 'roles', value: [{ value: 'admin' }] })),
    ],
    [
      'let in and changed in one',
      'not-classified',
      'crm-grant',
      () => CALL.http('PATCH', ['Users', user('kim')], patch({ op: 'replace', value: { active: true, title: 'CEO' } })),
    ],
    ['an update that is in no writ', 'writ-mismatch', 'crm-grant', () => CALL.update(user('kim'), { title: 'CEO' })],
    ['an account made', 'writ-mismatch', 'crm-grant', () => CALL.create('ghost', { displayName: 'Ghost' })],
    ['an account deleted', 'writ-mismatch', 'crm-revoke', () => CALL.remove(user('ada'))],
    ['/Bulk', 'not-classified', 'crm-grant', () => CALL.http('POST', ['Bulk'], { Operations: [] })],
    [
      '/Me',
      'not-classified',
      'crm-grant',
      () => CALL.http('PATCH', ['Users', 'Me'], patch({ op: 'replace', path: 'active', value: true })),
    ],
    [
      'a write with a query',
      'not-classified',
      'crm-grant',
      () => ({ ...CALL.grant(group('Sales'), user('kim')), query: { a: 'b' } }),
    ],
    ['SQL to a SCIM server', 'not-classified', 'crm-grant', () => ({ kind: 'sql', statement: 'grant', params: {} })],
    ['LDAP to a SCIM server', 'not-classified', 'crm-revoke', () => ({ kind: 'ldap', op: 'delete', dn: 'cn=x' })],
    ['a file', 'not-classified', 'crm-grant', () => ({ kind: 'file', path: '/etc/passwd' })],
  ];
  test.each(CASES)('%s is refused', async (_name, code, connector, call) => {
    const before = await world.crm.picture();
    expect(await attempt(door, writFor(KIM), connector, call())).toBe(code);
    expect(await world.crm.picture()).toBe(before);
  });

  test('a create with a password of the worker’s own choice is refused', async () => {
    const attributes = attributesOf(JOINER);
    const call = CALL.create('mia', attributes) as { body: object };
    const writ = writFor({ effect: 'create', object: 'mia', key: '113', value: attributes as Record<string, string> });
    expect(await attempt(door, writ, 'crm-grant', { ...call, body: { ...call.body, password: 'known' } })).toBe(
      'not-classified',
    );
    expect(await attempt(door, writ, 'crm-grant', { ...call, body: { ...call.body, title: 'CEO' } })).toBe(
      'writ-mismatch',
    );
    expect(await attempt(door, writ, 'crm-grant', { ...call, body: { ...call.body, active: false } })).toBe(
      'not-classified',
    );
    expect(await world.crm.user('mia')).toBeUndefined();
  });
  test('what is not a write needs no writ, and changes nothing', async () => {
    const before = await world.crm.picture();
    const { token } = (await door.request('token', { connector: 'crm-read' })) as { token: string };
    const call = CALL.http('GET', ['Users', user('kim')]);
    expect(await outcome(() => door.request('call', { token, writ: null, call }))).toBe('done');
    expect(await world.crm.picture()).toBe(before);
  });
});

describe('a worker that claims', () => {
  async function fakeWorker(receipt: object): Promise<Listener> {
    await world.halt('worker');
    return listenPipe(world.place.socket('worker'), { apply: () => ({ receipt, refusal: null }), observe: () => null });
  }
  test('"done" without a call ends contradicted, and stays open', async () => {
    const before = await world.crm.picture();
    await world.plan();
    const fake = await fakeWorker({ outcome: 'done', message: 'take my word' });
    await world.run();
    expect(await world.crm.picture()).toBe(before);
    const rows = await world.database.query<{ stage: string }>(
      `select distinct stage from change where updated_at > now() - interval '1 minute' and receipt ->> 'message' = 'take my word'`,
    );
    expect(rows.map(({ stage }) => stage)).toEqual(['contradicted']);
    const open = await world.database.query(`select 1 from plan where state = 'open'`);
    expect(open.length).toBeGreaterThan(0);
    await fake.close();
    await world.restart('worker');
  });
  test('what was contradicted is not planned a second time', async () => {
    expect((await world.plan()).made).toEqual([]);
  });
});

describe('the budget of the envelope', () => {
  test('is not stretched by splitting into many plans', async () => {
    const rows = [JOINER, NIA];
    const outcomes: string[] = [];
    for (const row of rows) {
      const attributes = attributesOf(row);
      const value = attributes as Record<string, string>;
      const writ = writFor({ effect: 'create', object: row.login, key: row.id, value });
      outcomes.push(await attempt(door, writ, 'crm-grant', CALL.create(row.login, attributes)));
    }
    expect(outcomes).toEqual(['done', 'done']);
    expect(await attempt(door, writFor(KIM), 'crm-grant', CALL.grant(group('Sales'), user('kim')))).toBe(
      'budget-empty',
    );
    expect(await world.crm.members('Sales')).not.toContain('kim');
  });
  test('is not emptied of removals by a loop of one plan, nor filled again by a new start', async () => {
    const off = writFor({ effect: 'disable', object: 'lou', key: '112', cause: 'left' });
    const outcomes: string[] = [];
    for (let round = 0; round < BOUNDS.removals + 1; round++) {
      outcomes.push(await attempt(door, off, 'crm-revoke', CALL.active(user('lou'), false)));
    }
    expect(outcomes).toEqual(['done', 'done', 'done', 'done', 'budget-empty']);
    await world.restart('gateway');
    door.close();
    door = await world.door();
    expect(await attempt(door, off, 'crm-revoke', CALL.active(user('lou'), false))).toBe('budget-empty');
    expect(await attempt(door, writFor(KIM), 'crm-grant', CALL.grant(group('Sales'), user('kim')))).toBe(
      'budget-empty',
    );
  });
});
