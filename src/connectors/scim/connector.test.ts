/** What no server that runs here does: replies made by hand. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../canonical.ts';
import {
  type Call,
  FIRST_SECRET,
  type HttpCall,
  type Reply,
  type TargetOptions,
  type Task,
} from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import { ENTERPRISE, USER } from './attributes.ts';
import { connector, retryAfterMs } from './connector.ts';
import { readUser } from './read.ts';

const http = (status: number, body: Json = null, headers: Record<string, string> = {}): Reply => ({
  kind: 'http',
  status,
  headers,
  body,
});
const list = (Resources: readonly Json[], totalResults = Resources.length, more: Record<string, Json> = {}): Reply =>
  http(200, { totalResults, Resources, ...more });
const user = (id: string, more: Record<string, Json> = {}): Record<string, Json> => ({
  id,
  userName: id,
  active: true,
  ...more,
});
const NOTHING = list([]);
const CONFIG = { patch: { supported: true }, filter: { supported: true }, etag: { supported: true } };

/** Answers by `METHOD /path?query`, un-encoded; whatever is not in the table is a test that does not know what it asks. */
const answering =
  (table: Readonly<Record<string, Reply>>) =>
  (call: Call): Reply => {
    const { method, path, query = {} } = call as HttpCall;
    const asked = Object.entries(query).map(([name, value]) => `${name}=${value}`);
    const key = `${method} /${path.join('/')}${asked.length ? `?${asked.join('&')}` : ''}`;
    return table[key] ?? expect.fail(`not in the table: ${key}`);
  };
const observe = (table: Readonly<Record<string, Reply>>, options: TargetOptions = {}) =>
  drive(connector.observe(options), answering(table));
const apply = (task: Task, table: Readonly<Record<string, Reply>>, options: TargetOptions = { dialect: 'patch' }) =>
  drive(connector.apply(options, task), answering(table));
const bodies = (calls: readonly Call[]): unknown[] => calls.map((call) => (call as HttpCall).body).filter(Boolean);

describe('options', () => {
  test.each([{ dialect: 'post' }, { removal: 'all' }, { pageSize: 0 }, { pageSize: '100' }, { password: 'yes' }])(
    '%j is a fault before any call',
    async (options) => {
      await expect(drive(connector.observe(options), () => expect.fail())).rejects.toMatchObject({
        code: 'bad-options',
      });
    },
  );
});

describe('Retry-After', () => {
  test.each([
    [{ 'retry-after': '17' }, 17_000],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:30 GMT', date: 'Wed, 21 Oct 2026 07:28:00 GMT' }, 30_000],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT', date: 'Wed, 21 Oct 2026 07:28:30 GMT' }, 0],
    // A date says nothing to somebody without a clock.
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:30 GMT' }, null],
    [{ 'retry-after': 'soon', date: 'Wed, 21 Oct 2026 07:28:00 GMT' }, null],
    [{ 'retry-after': '-5' }, null],
    [{ 'retry-after': '1.5' }, null],
    [{ 'retry-after': '99999999999999999999' }, null],
    [{}, null],
  ] as [Record<string, string>, number | null][])('%j is %s ms', (headers, expected) => {
    expect(retryAfterMs(headers)).toBe(expected);
  });
});

describe('the whole population', () => {
  const base = { 'GET /ServiceProviderConfig': http(200, CONFIG), 'GET /Groups?startIndex=1&count=2': NOTHING };
  const first = 'GET /Users?startIndex=1&count=2';
  const second = 'GET /Users?startIndex=3&count=2';
  const two = { pageSize: 2 };

  test('by index, a server that gives fewer than asked is asked for the rest', async () => {
    const { emitted } = await observe(
      { ...base, [first]: list([user('a')], 2), 'GET /Users?startIndex=2&count=2': list([user('b')], 2) },
      two,
    );
    expect(emitted.map((fact) => fact.type === 'account' && fact.id)).toEqual(['a', 'b']);
  });

  test.each([
    ['an empty page before the total', { [first]: list([user('a'), user('b')], 3), [second]: list([], 3) }, /gap/],
    ['more than the total', { [first]: list([user('a'), user('b')], 1) }, /count is wrong/],
    [
      'a total that changes',
      { [first]: list([user('a'), user('b')], 3), [second]: list([user('c')], 4) },
      /total changed/,
    ],
    [
      'one that comes twice',
      { [first]: list([user('a'), user('b')], 4), [second]: list([user('b')], 4) },
      /b came twice/,
    ],
    [
      'another page',
      { [first]: list([user('a'), user('b')], 4), [second]: list([user('c')], 4, { startIndex: 1 }) },
      /from 1/,
    ],
    ['no total', { [first]: http(200, { Resources: [user('a')] }) }, /answered 200/],
    ['no resources', { [first]: http(200, { totalResults: 3 }) }, /answered 200/],
    ['a user without an id', { [first]: list([{ userName: 'a' }], 1) }, /answered 200/],
    ['a user who is active "maybe"', { [first]: list([user('a', { active: 'maybe' })], 1) }, /answered 200/],
    ['a user who is active twice', { [first]: list([user('a', { Active: false })], 1) }, /answered 200/],
    ['a page to sign in', { [first]: http(200, '<!doctype html>') }, /doctype/],
  ] as [string, Record<string, Reply>, RegExp][])('%s is a fault', async (_what, table, message) => {
    await expect(observe({ ...base, ...table }, two)).rejects.toThrow(message);
  });

  test('a configuration that cannot be read is a fault, one that is not there is none', async () => {
    await expect(observe({ 'GET /ServiceProviderConfig': http(200, {}) })).rejects.toThrow(/ServiceProviderConfig/);
    const { emitted } = await observe({
      'GET /ServiceProviderConfig': http(404),
      'GET /Users?startIndex=1&count=100': NOTHING,
      'GET /Groups?startIndex=1&count=100': NOTHING,
    });
    expect(emitted).toEqual([]);
  });

  test('a group whose members a list leaves out is asked itself', async () => {
    const { emitted } = await observe({
      'GET /ServiceProviderConfig': http(404),
      'GET /Users?startIndex=1&count=100': NOTHING,
      'GET /Groups?startIndex=1&count=100': list([{ id: 'g', displayName: 'Staff' }]),
      'GET /Groups/g': http(200, { id: 'g', displayName: 'Staff', Members: [{ value: 'a' }] }),
    });
    expect(emitted).toEqual([
      { type: 'entitlement', ref: 'g', name: 'Staff' },
      { type: 'membership', ref: 'g', account: 'a' },
    ]);
  });

  describe('by cursor (RFC 9865)', () => {
    const paged = http(200, { ...CONFIG, filter: { supported: true, maxResults: 2 }, pagination: { cursor: true } });
    const table = {
      'GET /ServiceProviderConfig': paged,
      'GET /Users?cursor=&count=2': list([user('a'), user('b')], 3, { nextCursor: 'n+/= 1' }),
      'GET /Users?cursor=n+/= 1&count=2': list([user('c')], 3),
      'GET /Groups?cursor=&count=2': NOTHING,
    };

    test('is read to the page without a next cursor, in the pages that the server allows', async () => {
      expect((await observe(table)).emitted).toHaveLength(3);
    });

    test.each([
      ['the cursors end before the total', list([], 3), /count is wrong/],
      ['a page repeats', list([user('a')], 3), /a came twice/],
      ['a page is empty and has a next one', list([], 3, { nextCursor: 'again' }), /gap/],
      ['the cursor has expired', http(400, { scimType: 'expiredCursor', detail: 'it is old' }), /400: it is old/],
    ] as const)('%s: a fault', async (_what, reply, message) => {
      await expect(observe({ ...table, 'GET /Users?cursor=n+/= 1&count=2': reply })).rejects.toThrow(message);
    });

    test('a server that does not say how many there are cannot be read whole', async () => {
      const uncounted = http(200, { Resources: [user('a')] });
      await expect(observe({ ...table, 'GET /Users?cursor=&count=2': uncounted })).rejects.toThrow(/answered 200/);
    });
  });
});

describe('a user as servers spell it', () => {
  test.each([
    [true, 'active'],
    ['True', 'active'],
    [undefined, 'active'],
    [null, 'active'],
    [false, 'disabled'],
    ['False', 'disabled'],
    ['FALSE', 'disabled'],
  ])('active: %j is %s', (active, state) => {
    expect(readUser({ id: '1', userName: 'a', active })?.state).toBe(state);
  });

  test.each([0, 1, 'no', '', {}, [false]])('active: %j is not read', (active) => {
    expect(readUser({ id: '1', userName: 'a', active })).toBeNull();
  });

  test('names in any case, the primary address of several, the enterprise extension', () => {
    const read = readUser({
      ID: '1',
      USERNAME: 'zoe',
      Name: { GIVENNAME: 'Zoë', familyname: 'Quinn' },
      Emails: [
        { value: 'home@example.com', type: 'home' },
        { Value: 'zoe@example.com', Primary: 'True' },
      ],
      [ENTERPRISE.toUpperCase()]: { EmployeeNumber: '7', department: 'R&D' },
      meta: { version: 'W/"3"' },
    });
    expect(read).toMatchObject({
      id: '1',
      login: 'zoe',
      version: 'W/"3"',
      attributes: {
        employeeId: '7',
        givenName: 'Zoë',
        familyName: 'Quinn',
        email: 'zoe@example.com',
        department: 'R&D',
      },
    });
  });
});

describe('finding one', () => {
  const byName = 'GET /Users?filter=userName eq "zoe"';
  const disable: Task = { effect: 'disable', account: { login: 'zoe', id: null } };

  test.each([
    ['two of the same login', list([user('1', { userName: 'zoe' }), user('2', { userName: 'Zoe' })])],
    ['somebody else', list([user('1', { userName: 'other' })])],
    ['nobody, of one', list([], 1)],
  ])('%s: unknown, and nothing is written', async (_what, reply) => {
    const { result, calls } = await apply(disable, { [byName]: reply });
    expect(result.outcome).toBe('unknown');
    expect(bodies(calls)).toEqual([]);
  });

  test('an id that is somebody else’s by now is refused', async () => {
    const task: Task = { effect: 'delete', account: { login: 'zoe', id: '1' } };
    const { result, calls } = await apply(task, { 'GET /Users/1': http(200, user('1', { userName: 'other' })) });
    expect(result).toEqual({ outcome: 'refused', message: 'the target says that 1 is other' });
    expect(calls).toHaveLength(1);
  });

  test('a server without filters is searched, whole or not at all', async () => {
    const no = http(400, { scimType: 'invalidFilter' });
    const page = 'GET /Users?startIndex=1&count=100';
    const body = user('1', { userName: 'zoe' });
    const found = await apply(disable, { [byName]: no, [page]: list([user('2'), body]), 'PATCH /Users/1': http(204) });
    expect(found.result.outcome).toBe('done');
    const cut = await apply(disable, {
      [byName]: no,
      [page]: list([user('2')], 2),
      'GET /Users?startIndex=2&count=100': NOTHING,
    });
    expect(cut.result.outcome).not.toMatch(/done|already/);
  });

  test('a forbidden read is refused, a lost one is later: nothing was written', async () => {
    expect((await apply(disable, { [byName]: http(403) })).result.outcome).toBe('refused');
    expect((await apply(disable, { [byName]: { kind: 'lost', message: 'reset' } })).result.outcome).toBe('later');
  });
});

describe('PATCH or PUT', () => {
  const update: Task = { effect: 'update', account: { login: 'a', id: 'a' }, attributes: { title: 'Director' } };
  const there = user('a', { meta: { version: 'W/"1"' }, title: 'Engineer' });

  test('the server is asked where the options do not say, and entity tags are used where it has them', async () => {
    const config = { ...CONFIG, patch: { supported: false }, etag: { supported: false } };
    const { calls } = await apply(
      update,
      { 'GET /Users/a': http(200, there), 'GET /ServiceProviderConfig': http(200, config), 'PUT /Users/a': http(204) },
      {},
    );
    expect(calls.at(-1)).toEqual({
      kind: 'http',
      method: 'PUT',
      path: ['Users', 'a'],
      body: { schemas: [USER], userName: 'a', title: 'Director' },
    });
    const patched = await apply(update, { 'GET /Users/a': http(200, there), 'PATCH /Users/a': http(204) });
    expect(patched.calls.at(-1)).toMatchObject({ headers: { 'if-match': 'W/"1"' } });
  });

  test.each([
    ['attributes that we do not know', { phoneNumbers: [{ value: '1' }] }, /phonenumbers/],
    ['a second address', { emails: [{ value: 'a@x' }, { value: 'b@x' }] }, /1 more emails/],
    ['a part of the name that we do not know', { name: { middleName: 'M' } }, /name.middlename/],
    ['an attribute that the update does not carry', { displayName: 'A' }, /erase displayName/],
    ['a disabled account, which it would enable', { active: false }, /would enable/],
  ])('a PUT over %s is refused', async (_what, more, message) => {
    const table = { 'GET /Users/a': http(200, { ...there, ...(more as Record<string, Json>) }) };
    const { result } = await apply(update, table, { dialect: 'put' });
    expect(result).toMatchObject({ outcome: 'refused', message: expect.stringMatching(message) });
  });

  test('a disable by PUT keeps the attributes', async () => {
    const task: Task = { effect: 'disable', account: { login: 'a', id: 'a' } };
    const { calls } = await apply(
      task,
      { 'GET /Users/a': http(200, there), 'PUT /Users/a': http(204) },
      { dialect: 'put' },
    );
    expect(bodies(calls)).toEqual([{ schemas: [USER], userName: 'a', title: 'Engineer', active: false }]);
  });
});

describe('a first secret', () => {
  const task: Task = { effect: 'create', account: { login: 'a', id: null }, attributes: {} };
  const table = { 'POST /Users': http(201, user('1', { userName: 'a' })) };

  test('is a marker in the body when the options ask for one, and else is not there', async () => {
    const asked = await apply(task, table, { password: true });
    expect(bodies(asked.calls)).toMatchObject([{ password: FIRST_SECRET }]);
    expect(bodies((await apply(task, table)).calls)[0]).not.toHaveProperty('password');
  });
});

describe('create', () => {
  const task: Task = { effect: 'create', account: { login: 'a', id: null }, attributes: {} };

  test.each([
    ['somebody else', user('1', { userName: 'b' })],
    ['an account that is disabled', user('1', { userName: 'a', active: false })],
    ['an account without an id', { userName: 'a' }],
  ])('201 with %s is unknown', async (_what, body) => {
    expect((await apply(task, { 'POST /Users': http(201, body) })).result.outcome).toBe('unknown');
  });

  test('202 is unknown: it was accepted, not done', async () => {
    expect((await apply(task, { 'POST /Users': http(202, user('1', { userName: 'a' })) })).result.outcome).toBe(
      'unknown',
    );
  });

  test('409 about something else than the login is refused', async () => {
    const table = {
      'POST /Users': http(409, { detail: 'the address is taken' }),
      'GET /Users?filter=userName eq "a"': NOTHING,
    };
    expect((await apply(task, table)).result).toMatchObject({
      outcome: 'refused',
      message: expect.stringContaining('address'),
    });
  });

  test('409 and no look at whose it is: unknown', async () => {
    const table = { 'POST /Users': http(409), 'GET /Users?filter=userName eq "a"': http(503) };
    expect((await apply(task, table)).result.outcome).toBe('unknown');
  });
});

describe('membership', () => {
  const grant: Task = { effect: 'grant', account: { login: 'a', id: 'a' }, entitlement: 'Staff' };
  const revoke: Task = { ...grant, effect: 'revoke' };
  const groups = 'GET /Groups?filter=displayName eq "Staff"';
  const group = (...members: string[]): Json => ({
    id: 'g',
    displayName: 'Staff',
    members: members.map((value) => ({ value })),
  });

  test('a mechanism that SCIM does not have is refused without a call', async () => {
    const { result, calls } = await apply({ ...revoke, entitlement: '@connections' }, {});
    expect(result.outcome).toBe('refused');
    expect(calls).toEqual([]);
  });

  test('a group that is not there is refused, for a revoke too: its name could be spelt wrong', async () => {
    expect((await apply(revoke, { [groups]: NOTHING })).result.outcome).toBe('refused');
  });

  test.each([
    ['path', { op: 'remove', path: 'members[value eq "a"]' }],
    ['array', { op: 'remove', path: 'members', value: [{ value: 'a' }] }],
  ])('is taken away by %s', async (removal, operation) => {
    const table = { [groups]: list([group('a', 'b')]), 'PATCH /Groups/g': http(204) };
    const { result, calls } = await apply(revoke, table, { dialect: 'patch', removal });
    expect(result.outcome).toBe('done');
    expect(bodies(calls)).toMatchObject([{ Operations: [operation] }]);
  });

  test('an answer that still shows the member is not a revoke', async () => {
    const table = { [groups]: list([group('a')]), 'PATCH /Groups/g': http(200, group('a')) };
    expect((await apply(revoke, table)).result.outcome).toBe('unknown');
  });

  test('an answer about another group, or about a user, is not a grant', async () => {
    for (const body of [{ id: 'h', displayName: 'Other', members: [{ value: 'a' }] }, user('a'), {}, null]) {
      const table = { [groups]: list([group('b')]), 'PATCH /Groups/g': http(200, body) };
      expect((await apply(grant, table)).result.outcome).toBe('unknown');
    }
  });

  test('a server that finds no such member makes a revoke already so', async () => {
    const table = { [groups]: list([group('a')]), 'PATCH /Groups/g': http(400, { scimType: 'noTarget' }) };
    expect((await apply(revoke, table)).result.outcome).toBe('already');
  });

  describe('is looked at', () => {
    const named = 'GET /Groups?filter=displayName eq "Staff"&excludedAttributes=members';
    const byFilter = 'GET /Groups?filter=members.value eq "a"&excludedAttributes=members';
    const bare = { id: 'g', displayName: 'Staff' };
    const look = async (shownByUser: Json | undefined, shownByGroup: Json, more: Record<string, Reply> = {}) => {
      const there = user('a', shownByUser === undefined ? {} : { groups: shownByUser });
      const table = {
        'GET /Users?filter=userName eq "a"': list([there]),
        [named]: list([bare]),
        'GET /Groups/g': http(200, shownByGroup),
        ...more,
      };
      const question = { account: { login: 'a', id: 'a' }, entitlement: 'Staff' };
      return (await drive(connector.look({}, question), answering(table))).result;
    };

    test('held when only the user shows the group', async () => {
      expect(await look([{ value: 'g' }], group('b'))).toMatchObject({
        holds: true,
        message: expect.stringContaining('user'),
      });
    });

    test('held when only the group shows the member', async () => {
      expect(await look([], group('a'))).toMatchObject({ holds: true });
    });

    test('not held when one of them shows others and neither shows it', async () => {
      expect(await look(undefined, group('b'))).toMatchObject({
        holds: false,
        path: expect.stringContaining('GET /Groups/{id}'),
      });
      expect(await look([{ value: 'other' }], bare)).toMatchObject({ holds: false });
    });

    test('asked by a filter where neither shows anything, and not seen where the filter is not understood', async () => {
      expect(await look(undefined, bare, { [byFilter]: list([bare]) })).toMatchObject({ holds: true });
      expect(await look(undefined, bare, { [byFilter]: NOTHING })).toMatchObject({ holds: false });
      expect(await look(undefined, bare, { [byFilter]: http(400) })).toMatchObject({ holds: null });
      expect(await look(undefined, bare, { [byFilter]: list([], 1) })).toMatchObject({ holds: null });
    });

    test('seen under an id that outlived its account', async () => {
      const table = {
        'GET /Users?filter=userName eq "a"': NOTHING,
        'GET /Users/a': http(404),
        [named]: list([bare]),
        'GET /Groups/g': http(200, group('a')),
      };
      const question = { account: { login: 'a', id: 'a' }, entitlement: 'Staff' };
      const { result } = await drive(connector.look({}, question), answering(table));
      expect(result).toMatchObject({ account: 'absent', holds: true });
    });
  });
});

describe('an account is looked at', () => {
  const byName = 'GET /Users?filter=userName eq "zoe"';
  const look = async (table: Record<string, Reply>) =>
    (await drive(connector.look({}, { account: { login: 'zoe', id: '1' } }), answering(table))).result;

  test('absent only when neither its login nor its id finds it', async () => {
    expect(await look({ [byName]: NOTHING, 'GET /Users/1': http(404) })).toMatchObject({ account: 'absent' });
    expect(await look({ [byName]: NOTHING, 'GET /Users/1': http(200, user('1', { userName: 'zoe' })) })).toMatchObject({
      account: 'active',
    });
    expect(await look({ [byName]: NOTHING, 'GET /Users/1': http(500) })).toMatchObject({ account: null });
  });

  test('kept under another login, it is still seen', async () => {
    const renamed = user('1', { userName: 'zoe-old' });
    expect(await look({ [byName]: NOTHING, 'GET /Users/1': http(200, renamed) })).toMatchObject({
      account: 'active',
      message: 'active under the login zoe-old',
    });
  });

  test('a disabled namesake does not hide the account that was meant', async () => {
    const namesake = user('2', { userName: 'zoe', active: false });
    const table = { [byName]: list([namesake]), 'GET /Users/1': http(200, user('1', { userName: 'zoe-old' })) };
    expect(await look(table)).toMatchObject({ account: 'active', id: '1' });
    expect(await look({ ...table, 'GET /Users/1': http(500) })).toMatchObject({ account: null });
    expect(await look({ ...table, 'GET /Users/1': http(404) })).toMatchObject({ account: 'disabled', id: '2' });
  });
});
