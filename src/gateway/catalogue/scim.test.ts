import { describe, expect, test } from 'vitest';
import { FIRST_SECRET, type HttpCall, type Reply, type TargetOptions } from '../../connector/contract.ts';
import {
  activePatch,
  addMember,
  attributesPatch,
  ENTERPRISE,
  PATCH_OP,
  removeMember,
  USER,
  userBody,
} from '../../connectors/scim/attributes.ts';
import type { Classified } from './contract.ts';
import { catalogue } from './scim.ts';

type Body = NonNullable<HttpCall['body']>;

const call = (method: HttpCall['method'], path: readonly string[], body?: unknown, more: object = {}): HttpCall => ({
  kind: 'http',
  method,
  path,
  ...(body === undefined ? {} : { body: body as Body }),
  ...more,
});
const allowed = (asked: HttpCall, options: TargetOptions = {}): Classified => {
  const verdict = catalogue.classify(asked, options);
  if (!verdict.ok) return expect.fail(verdict.reason);
  expect(catalogue.operations).toContain(verdict.classified.operation);
  return verdict.classified;
};
const refusal = (asked: HttpCall, options: TargetOptions = {}): string => {
  const verdict = catalogue.classify(asked, options);
  return verdict.ok ? expect.fail(`allowed as ${JSON.stringify(verdict.classified)}`) : verdict.reason;
};
const patch = (...Operations: unknown[]) => ({ schemas: [PATCH_OP], Operations });
const onUser = (...operations: unknown[]) => call('PATCH', ['Users', 'u1'], patch(...operations));
const onGroup = (...operations: unknown[]) => call('PATCH', ['Groups', 'g1'], patch(...operations));
const create = (body: object) => call('POST', ['Users'], { schemas: [USER], userName: 'zoe', ...body });

describe('what is not in the catalogue is refused', () => {
  test.each([
    ['a bulk request', call('POST', ['Bulk'], { schemas: [], Operations: [] })],
    ['a search of everything', call('POST', ['.search'], { filter: 'userName pr' })],
    ['a search of users', call('POST', ['Users', '.search'], {})],
    ['a search by GET', call('GET', ['Users', '.search'])],
    ['oneself', call('PATCH', ['Me'], patch({ op: 'replace', path: 'active', value: false }))],
    ['oneself as a user', call('GET', ['Users', 'Me'])],
    ['a new group', call('POST', ['Groups'], { displayName: 'Admins' })],
    ['a deleted group', call('DELETE', ['Groups', 'g1'])],
    ['a replaced group', call('PUT', ['Groups', 'g1'], { displayName: 'Staff', members: [] })],
    ['all users', call('DELETE', ['Users'])],
    ['a path of three', call('GET', ['Users', 'u1', 'groups'])],
    ['no path', call('GET', [])],
    ['an empty id', call('DELETE', ['Users', ''])],
    ['a dot segment', call('DELETE', ['Users', '..'])],
    ['an id with control characters', call('DELETE', ['Users', 'a\r\nb'])],
    ['a resource in another case', call('GET', ['users'])],
    ['a route spelt as one segment', call('DELETE', ['Users/{id}'])],
    ['two segments spelt as one', call('GET', ['Users/u1'])],
    ['a resource that every object has', call('GET', ['constructor'])],
    ['another method', call('delete' as 'DELETE', ['Users', 'u1'])],
    ['a path that is a string', call('GET', 'Users' as never)],
    [
      'a method override',
      call('POST', ['Users'], { userName: 'a' }, { headers: { 'x-http-method-override': 'DELETE' } }),
    ],
    [
      'a header with a line break',
      call('DELETE', ['Users', 'u1'], undefined, { headers: { 'if-match': '"a"\r\nx: y' } }),
    ],
    ['a member of the call that is not known', call('GET', ['Users'], undefined, { url: 'https://elsewhere' })],
    ['a write with a query', call('DELETE', ['Users', 'u1'], undefined, { query: { cascade: 'true' } })],
    ['a read with a body', call('GET', ['Users'], {})],
    ['a read with an override', call('GET', ['Users'], undefined, { query: { _method: 'DELETE' } })],
    ['a DELETE with a body', call('DELETE', ['Users', 'u1'], {})],
    ['a call of another protocol', { kind: 'file', path: 'x' } as never],
  ])('%s', (_what, asked) => {
    refusal(asked);
  });
});

describe('reads', () => {
  test.each([
    [
      call('GET', ['Users'], undefined, { query: { filter: 'userName eq "a"', startIndex: '1', count: '9' } }),
      'read User',
    ],
    [call('GET', ['Users', 'a/b']), 'read User'],
    [call('GET', ['Groups'], undefined, { query: { cursor: '', excludedAttributes: 'members' } }), 'read Group'],
    [call('GET', ['Groups', 'g1']), 'read Group'],
    [call('GET', ['ServiceProviderConfig']), 'read configuration'],
  ])('%j is a %s', (asked, operation) => {
    expect(allowed(asked)).toEqual({
      operation,
      effect: 'read',
      object: null,
      entitlement: null,
      attributes: null,
      wantsSecret: false,
      call: asked,
    });
  });
});

describe('create', () => {
  const attributes = {
    employeeId: '7',
    displayName: 'Zoë',
    givenName: 'Zoë',
    familyName: 'Quinn',
    email: 'zoe@example.com',
    department: 'R&D',
    title: 'Engineer',
  };

  test('what the connector sends comes out as it went in, with the attributes that its digest is over', () => {
    const body = userBody('zoe', attributes, { active: true, password: true });
    expect(allowed(call('POST', ['Users'], body))).toEqual({
      operation: 'create User',
      effect: 'create',
      object: { login: 'zoe' },
      entitlement: null,
      attributes,
      wantsSecret: true,
      call: call('POST', ['Users'], body),
    });
  });

  test('names in another case and booleans as text are rebuilt in one spelling', () => {
    const asked = call('POST', ['Users'], {
      Schemas: [USER.toUpperCase(), ENTERPRISE],
      USERNAME: 'zoe',
      Active: 'TRUE',
      NAME: { givenname: 'Zoë' },
      Emails: [{ Value: 'zoe@example.com', primary: 'True' }],
      [ENTERPRISE.toLowerCase()]: { EmployeeNumber: '7' },
    });
    const some = { employeeId: '7', givenName: 'Zoë', email: 'zoe@example.com' };
    expect(allowed(asked)).toMatchObject({
      attributes: some,
      wantsSecret: false,
      call: { body: userBody('zoe', some, { active: true }) },
    });
  });

  test.each([
    ['roles', { roles: [{ value: 'admin' }] }],
    ['entitlements', { entitlements: [{ value: 'all' }] }],
    ['x509Certificates', { x509Certificates: [{ value: 'MII…' }] }],
    ['groups', { groups: [{ value: 'g1' }] }],
    ['an attribute that is not known', { isAdmin: true }],
    ['an attribute of another extension', { 'urn:example:2.0:User': { admin: true } }],
    ['a schema that is not known', { schemas: [USER, 'urn:example:2.0:User'] }],
    ['no schema of a user', { schemas: [ENTERPRISE] }],
    ['no schemas', { schemas: undefined }],
    ['two spellings of one attribute', { active: true, Active: false }],
    ['two spellings of the login', { username: 'admin' }],
    ['two spellings inside the name', { name: { givenName: 'a', GivenName: 'b' } }],
    [
      'two spellings of the extension',
      { [ENTERPRISE]: { department: 'a' }, [ENTERPRISE.toUpperCase()]: { department: 'b' } },
    ],
    ['an attribute both inside and by its path', { name: { givenName: 'a' }, 'name.givenName': 'b' }],
    ['an attribute by its schema', { [`${USER}:userName`]: 'admin' }],
    ['a manager', { [ENTERPRISE]: { manager: { value: 'u2' } } }],
    ['a password of its own', { password: 'hunter2' }],
    ['the marker of a secret elsewhere', { displayName: FIRST_SECRET }],
    ['a second address', { emails: [{ value: 'a@x' }, { value: 'b@x' }] }],
    ['an address for home', { emails: [{ value: 'a@x', type: 'home' }] }],
    ['an address with more to it', { emails: [{ value: 'a@x', display: 'b@x' }] }],
    ['an address that is no list', { emails: { value: 'a@x' } }],
    ['a name that is text', { name: 'Zoë' }],
    ['a formatted name', { name: { formatted: 'Zoë Quinn' } }],
    ['an attribute that is a number', { title: 7 }],
    ['an attribute that is null', { title: null }],
    ['text with a line break', { title: 'a\nb' }],
    ['text that is not Unicode', { title: '\ud800' }],
    ['active as a number', { active: 1 }],
    ['active as nothing', { active: null }],
    ['a disabled account', { active: false }],
    ['a disabled account as text', { active: 'False' }],
    ['no login', { userName: undefined }],
    ['an empty login', { userName: '' }],
    ['a login with blanks around it', { userName: ' admin' }],
    ['a login that is no text', { userName: { value: 'admin' } }],
    ['an id of its own', { id: 'u1' }],
    ['an external id', { externalId: '7' }],
    ['a prototype', JSON.parse('{"__proto__":{"active":true}}')],
  ])('%s is refused', (_what, more) => {
    refusal(create(more));
  });

  test.each([[null], ['text'], [[]], [[{ userName: 'a' }]]])('the body %j is refused', (body) => {
    refusal(call('POST', ['Users'], body));
  });
});

describe('PATCH of a user', () => {
  const off = { op: 'replace', path: 'active', value: false };
  const on = { ...off, value: true };
  const title = { op: 'replace', path: 'title', value: 'Director' };

  test.each([
    ['as the connector sends it', off],
    ['op in another case', { op: 'Replace', path: 'active', value: false }],
    ['names in another case', { OP: 'REPLACE', Path: 'ACTIVE', Value: false }],
    ['"False"', { op: 'replace', path: 'active', value: 'False' }],
    ['by add', { op: 'add', path: 'active', value: false }],
    ['without a path', { op: 'replace', value: { active: false } }],
    ['without a path, "False"', { op: 'Replace', value: { Active: 'False' } }],
    ['with the schema’s prefix', { op: 'replace', path: `${USER}:active`, value: false }],
  ])('active false, %s, is a disable', (_how, operation) => {
    expect(allowed(onUser(operation))).toEqual({
      operation: 'disable User',
      effect: 'disable',
      object: { id: 'u1' },
      entitlement: null,
      attributes: null,
      wantsSecret: false,
      call: call('PATCH', ['Users', 'u1'], activePatch(false)),
    });
  });

  test('active true is an enable, with the entity tag kept', () => {
    const headers = { 'if-match': 'W/"3"' };
    expect(allowed({ ...onUser(on), headers })).toMatchObject({
      operation: 'enable User',
      effect: 'enable',
      call: { headers, body: activePatch(true) },
    });
  });

  test.each([
    [
      'as the connector sends it',
      (
        attributesPatch({ employeeId: '7', givenName: 'Zoë', email: 'z@x', department: 'R&D' }) as {
          Operations: unknown[];
        }
      ).Operations,
    ],
    [
      'without a path',
      [
        {
          op: 'Add',
          value: {
            'name.givenName': 'Zoë',
            [`${ENTERPRISE}:employeeNumber`]: '7',
            [`${ENTERPRISE.toLowerCase()}:Department`]: 'R&D',
          },
        },
        { op: 'replace', path: 'emails', value: [{ value: 'z@x', type: 'work' }] },
      ],
    ],
    [
      'without a path, nested',
      [
        {
          op: 'replace',
          value: {
            name: { givenName: 'Zoë' },
            [ENTERPRISE]: { employeeNumber: '7', department: 'R&D' },
            emails: [{ value: 'z@x' }],
          },
        },
      ],
    ],
  ])('attributes, %s, are an update', (_how, operations) => {
    const attributes = { employeeId: '7', givenName: 'Zoë', email: 'z@x', department: 'R&D' };
    expect(allowed(onUser(...operations))).toEqual({
      operation: 'update User',
      effect: 'update',
      object: { id: 'u1' },
      entitlement: null,
      attributes,
      wantsSecret: false,
      call: call('PATCH', ['Users', 'u1'], attributesPatch(attributes)),
    });
  });

  test.each([
    ['an update and a disable', [title, off]],
    ['an update and an enable in one object', [{ op: 'replace', value: { title: 'a', active: true } }]],
    ['on and off', [on, off]],
    ['off twice in two spellings', [off, { ...off, path: 'Active' }]],
    ['an attribute twice', [title, { ...title, path: 'TITLE' }]],
    [
      'an attribute twice, nested and by its path',
      [{ op: 'replace', value: { name: { givenName: 'a' }, 'name.givenName': 'b' } }],
    ],
    ['two spellings in one object', [{ op: 'replace', value: { active: false, Active: true } }]],
    ['two spellings of op', [{ op: 'replace', Op: 'remove', path: 'active', value: false }]],
    ['two spellings of value', [{ op: 'replace', path: 'active', value: false, Value: true }]],
    ['an op that is not known', [{ op: 'move', path: 'active', value: false }]],
    ['no op', [{ path: 'active', value: false }]],
    ['an operation with more to it', [{ ...off, from: '/x' }]],
    ['an attribute that is taken away', [{ op: 'remove', path: 'title' }]],
    ['an attribute that is taken away, with its value', [{ op: 'remove', path: 'title', value: 'Director' }]],
    ['active taken away', [{ op: 'remove', path: 'active' }]],
    ['active taken away, with its value', [{ op: 'remove', path: 'active', value: false }]],
    ['another login', [{ op: 'replace', path: 'userName', value: 'admin' }]],
    ['another login, by its schema', [{ op: 'replace', path: `${USER}:userName`, value: 'admin' }]],
    ['another login beside an attribute', [title, { op: 'replace', path: 'userName', value: 'admin' }]],
    ['another login beside an enable', [{ op: 'replace', value: { active: true, userName: 'admin' } }]],
    ['a first secret beside an attribute', [title, { op: 'replace', path: 'password', value: FIRST_SECRET }]],
    ['a first secret beside an enable', [on, { op: 'replace', path: 'password', value: FIRST_SECRET }]],
    ['a password', [{ op: 'replace', path: 'password', value: 'hunter2' }]],
    ['a first secret', [{ op: 'replace', path: 'password', value: FIRST_SECRET }]],
    ['roles', [{ op: 'add', path: 'roles', value: [{ value: 'admin' }] }]],
    ['roles by a filter', [{ op: 'replace', path: 'roles[primary eq true].value', value: 'admin' }]],
    ['roles without a path', [{ op: 'add', value: { roles: [{ value: 'admin' }] } }]],
    ['entitlements', [{ op: 'add', path: 'entitlements', value: [{ value: 'x' }] }]],
    ['certificates', [{ op: 'add', path: 'x509Certificates', value: [{ value: 'x' }] }]],
    ['groups', [{ op: 'add', path: 'groups', value: [{ value: 'g1' }] }]],
    ['an address by a filter', [{ op: 'replace', path: 'emails[type eq "work"].value', value: 'a@x' }]],
    [
      'a nested filter',
      [{ op: 'replace', path: 'emails[type eq "work" and (value pr or primary eq true)].value', value: 'a' }],
    ],
    ['an address beside others', [{ op: 'add', path: 'emails', value: [{ value: 'a@x' }] }]],
    ['an address beside others, without a path', [{ op: 'add', value: { Emails: [{ value: 'a@x' }] } }]],
    ['a whole name', [{ op: 'replace', path: 'name', value: { givenName: 'a' } }]],
    ['the enterprise extension', [{ op: 'replace', path: ENTERPRISE, value: { department: 'a' } }]],
    ['schemas', [{ op: 'replace', value: { schemas: [], active: false } }]],
    ['no path and no object', [{ op: 'replace', value: 'active' }]],
    ['an empty path', [{ op: 'replace', path: '', value: { active: false } }]],
    ['a path that is no text', [{ op: 'replace', path: ['active'], value: false }]],
    ['a path with a blank', [{ op: 'replace', path: 'active ', value: false }]],
    ['active as text that is neither', [{ ...off, value: 'no' }]],
    ['active as a list', [{ ...off, value: [false] }]],
    ['nothing', []],
    ['an empty object', [{ op: 'replace', value: {} }]],
    ['an operation that is no object', ['replace']],
  ])('%s is refused', (_what, operations) => {
    refusal(onUser(...operations));
  });

  test.each([
    ['no schema', { Operations: [off] }],
    ['another schema', { schemas: ['urn:example'], Operations: [off] }],
    ['more schemas', { schemas: [PATCH_OP, USER], Operations: [off] }],
    ['operations in two spellings', { schemas: [PATCH_OP], Operations: [off], operations: [on] }],
    ['a resource beside the operations', { schemas: [PATCH_OP], Operations: [off], active: true }],
    ['operations that are no list', { schemas: [PATCH_OP], Operations: off }],
    ['a list of messages', [patch(off)]],
  ])('%s is refused', (_what, body) => {
    refusal(call('PATCH', ['Users', 'u1'], body));
  });
});

describe('PUT of a user', () => {
  const put = (more: object) => call('PUT', ['Users', 'u1'], { schemas: [USER], userName: 'zoe', title: 'a', ...more });
  const options = { dialect: 'put' };

  test('is refused where the roster did not say that the target needs it', () => {
    expect(refusal(put({}))).toMatch(/dialect/);
    expect(refusal(put({}), { dialect: 'patch' })).toMatch(/dialect/);
  });

  /** Whose account the gateway takes it for, after its own read of u1. */
  const accountOf = (asked: HttpCall, user: object): string | null => {
    const { object } = allowed(asked, options);
    const { call: question, read } = catalogue.resolveObject((object as { id: string }).id, options)!;
    expect(question).toEqual(call('GET', ['Users', 'u1']));
    return read({ kind: 'http', status: 200, headers: {}, body: user as never });
  };
  const now = { id: 'u1', userName: 'zoe', title: 'a', active: true };

  test.each([
    [{}, 'update'],
    [{ active: false }, 'disable'],
    [{ Active: 'False' }, 'disable'],
    [{ active: true }, 'enable'],
  ] as const)('%j is an %s', (more, effect) => {
    const active = effect === 'update' ? undefined : effect === 'enable';
    expect(allowed(put(more), options)).toEqual({
      operation: `${effect} User`,
      effect,
      object: { id: expect.any(String) },
      entitlement: null,
      attributes: effect === 'update' ? { title: 'a' } : null,
      wantsSecret: false,
      call: call('PUT', ['Users', 'u1'], userBody('zoe', { title: 'a' }, { active })),
    });
    expect(accountOf(put(more), now)).toBe('zoe');
  });

  test.each([{}, { active: true }, { active: false }])('%j that renames the account is nobody’s', (more) => {
    expect(accountOf(put({ ...more, userName: 'admin' }), now)).toBeNull();
    expect(accountOf(put({ ...more, userName: 'ZOE' }), now)).toBeNull();
  });

  test('an update that would let a disabled account in again is nobody’s', () => {
    expect(accountOf(put({}), { ...now, active: false })).toBeNull();
  });

  test.each([
    ['changes an attribute', { title: 'b' }],
    ['adds an attribute', { emails: [{ value: 'recovery@elsewhere' }] }],
  ])('an enable or disable that %s besides is nobody’s', (_what, more) => {
    expect(accountOf(put({ active: true, ...more }), { ...now, active: false })).toBeNull();
    expect(accountOf(put({ active: false, ...more }), now)).toBeNull();
  });

  test('an enable or disable that leaves an attribute out is nobody’s', () => {
    expect(accountOf(put({ active: false }), { ...now, displayName: 'Zoë' })).toBeNull();
  });

  test('what would erase an attribute that is not in the table is nobody’s', () => {
    for (const more of [{}, { active: true }, { active: false }]) {
      expect(accountOf(put(more), { ...now, roles: [{ value: 'auditor' }] })).toBeNull();
    }
  });

  test('an id cannot pretend to be more than an id', () => {
    refusal(call('DELETE', ['Users', (allowed(put({}), options).object as { id: string }).id]));
  });

  test.each([
    ['roles', { roles: [] }],
    ['a password', { password: FIRST_SECRET }],
    ['no login', { userName: undefined }],
    ['groups', { groups: [] }],
    ['an unknown attribute', { phoneNumbers: [] }],
  ])('with %s it is refused', (_what, more) => {
    refusal(put(more), options);
  });
});

describe('delete', () => {
  test('is of one user, named by its id', () => {
    expect(allowed(call('DELETE', ['Users', 'u1']))).toMatchObject({
      operation: 'delete User',
      effect: 'delete',
      object: { id: 'u1' },
    });
  });
});

describe('PATCH of a group', () => {
  const grants: [string, unknown][] = [
    ['as the connector sends it', { op: 'add', path: 'members', value: [{ value: 'u1' }] }],
    ['as an object', { op: 'Add', path: 'Members', value: { value: 'u1' } }],
    ['with its type', { op: 'add', path: 'members', value: [{ value: 'u1', type: 'User' }] }],
    ['without a path', { op: 'add', value: { members: [{ Value: 'u1' }] } }],
    [
      'with the schema’s prefix',
      { op: 'add', path: 'urn:ietf:params:scim:schemas:core:2.0:Group:members', value: [{ value: 'u1' }] },
    ],
  ];
  test.each(grants)('one member in, %s, is a grant', (_how, operation) => {
    expect(allowed(onGroup(operation))).toEqual({
      operation: 'grant',
      effect: 'grant',
      object: { id: 'u1' },
      entitlement: { ref: 'g1' },
      attributes: null,
      wantsSecret: false,
      call: call('PATCH', ['Groups', 'g1'], addMember('u1')),
    });
  });

  test.each([
    ['path', { op: 'remove', path: 'members[value eq "u1"]' }],
    ['path', { op: 'Remove', path: 'MEMBERS[ Value EQ "u1" ]' }],
    ['array', { op: 'remove', path: 'members', value: [{ value: 'u1' }] }],
    ['array', { op: 'remove', path: 'members', value: { value: 'u1' } }],
  ] as const)('one member out by %s is a revoke, in the same dialect: %j', (removal, operation) => {
    expect(allowed(onGroup(operation))).toMatchObject({
      operation: 'revoke',
      effect: 'revoke',
      object: { id: 'u1' },
      entitlement: { ref: 'g1' },
      call: { body: removeMember('u1', removal) },
    });
  });

  test('an id with quotes in it stays one id', () => {
    const id = 'a"] or x[value eq "b';
    expect(allowed(onGroup({ op: 'remove', path: `members[value eq ${JSON.stringify(id)}]` }))).toMatchObject({
      object: { id },
    });
  });

  const out = (path: string, value?: unknown) => ({ op: 'remove', path, ...(value === undefined ? {} : { value }) });
  test.each([
    ['everybody out', [out('members')]],
    ['everybody out, by an empty list', [out('members', [])]],
    ['two out', [out('members', [{ value: 'u1' }, { value: 'u2' }])]],
    ['two out by a filter', [out('members[value eq "u1" or value eq "u2"]')]],
    ['everybody but one out', [out('members[value ne "u1"]')]],
    ['everybody who begins so out', [out('members[value sw "u"]')]],
    ['everybody who has an id out', [out('members[value pr]')]],
    ['a nested filter', [out('members[value eq "u1" and (type eq "User")]')]],
    ['a filter in a filter', [out('members[value[x eq "u1"]]')]],
    ['a part of a member out', [out('members[value eq "u1"].value')]],
    ['a member by its name', [out('members[display eq "Zoë"]')]],
    ['a filter and a value', [out('members[value eq "u1"]', [{ value: 'u2' }])]],
    ['an id that is no text', [out('members[value eq 1]')]],
    ['an id that is nothing', [out('members[value eq ""]')]],
    ['a broken escape', [out('members[value eq "\\x"]')]],
    ['two in', [{ op: 'add', path: 'members', value: [{ value: 'u1' }, { value: 'u2' }] }]],
    [
      'one in, twice',
      [
        { op: 'add', path: 'members', value: [{ value: 'u1' }] },
        { op: 'add', path: 'members', value: [{ value: 'u2' }] },
      ],
    ],
    ['one in and one out', [{ op: 'add', path: 'members', value: [{ value: 'u1' }] }, out('members[value eq "u2"]')]],
    ['nobody in', [{ op: 'add', path: 'members', value: [] }]],
    ['a group in', [{ op: 'add', path: 'members', value: [{ value: 'g2', type: 'Group' }] }]],
    ['a member by reference', [{ op: 'add', path: 'members', value: [{ value: 'u1', $ref: '../Groups/g2' }] }]],
    ['a member in two spellings', [{ op: 'add', path: 'members', value: [{ value: 'u1', Value: 'u2' }] }]],
    ['a member that is text', [{ op: 'add', path: 'members', value: ['u1'] }]],
    ['a filter on add', [{ op: 'add', path: 'members[value eq "u1"]', value: 'u1' }]],
    ['all members replaced', [{ op: 'replace', path: 'members', value: [{ value: 'u1' }] }]],
    ['all members replaced, without a path', [{ op: 'replace', value: { members: [{ value: 'u1' }] } }]],
    ['another name', [{ op: 'replace', path: 'displayName', value: 'Admins' }]],
    ['another name beside a member', [{ op: 'add', value: { displayName: 'Admins', members: [{ value: 'u1' }] } }]],
    ['an external id', [{ op: 'add', path: 'externalId', value: 'x' }]],
    ['nothing', []],
  ])('%s is refused', (_what, operations) => {
    refusal(onGroup(...operations));
  });
});

describe('names behind ids', () => {
  const reply = (status: number, body: unknown): Reply => ({ kind: 'http', status, headers: {}, body: body as never });
  const object = catalogue.resolveObject('u1', {})!;
  const entitlement = catalogue.resolveEntitlement('g1', {})!;

  test('are asked by calls that the catalogue itself knows as reads', () => {
    expect(allowed(object.call as HttpCall).operation).toBe('read User');
    expect(allowed(entitlement.call as HttpCall).operation).toBe('read Group');
  });

  test('are read from an answer about that very id', () => {
    expect(object.read(reply(200, { id: 'u1', UserName: 'zoe' }))).toBe('zoe');
    expect(entitlement.read(reply(200, { id: 'g1', displayName: 'Staff' }))).toBe('Staff');
  });

  test.each([
    reply(200, { id: 'u2', userName: 'zoe', displayName: 'Staff' }),
    reply(200, { userName: 'zoe', displayName: 'Staff' }),
    reply(404, { id: 'u1', userName: 'zoe' }),
    reply(200, '<!doctype html>'),
    reply(200, null),
    { kind: 'lost', message: 'reset' } satisfies Reply,
  ])('are not read from %j', (answer) => {
    expect(object.read(answer)).toBeNull();
    expect(entitlement.read(answer)).toBeNull();
  });

  const list = (...names: string[]) => ({
    totalResults: names.length,
    Resources: names.map((displayName, at) => ({ id: `g${at + 1}`, displayName })),
  });
  const rivals = catalogue.findEntitlement('Staff "A"', {})!;

  test('who bears a name is asked by a read, with the name quoted', () => {
    expect(allowed(rivals.call as HttpCall).operation).toBe('read Group');
    expect(rivals.call).toMatchObject({ query: { filter: 'displayName eq "Staff \\"A\\""' } });
  });

  test('all who bear a name are told', () => {
    expect(rivals.read(reply(200, list()))).toEqual([]);
    expect(rivals.read(reply(200, list('Staff "A"')))).toEqual(['g1']);
    expect(rivals.read(reply(200, list('Staff "A"', 'STAFF "a"')))).toEqual(['g1', 'g2']);
  });

  test.each([
    ['a page of several', { ...list('Staff "A"'), totalResults: 2 }],
    ['a page that goes on', { ...list('Staff "A"'), nextCursor: 'x' }],
    ['an answer to another question', list('Staff "A"', 'Sales')],
    ['an entry without an id', { totalResults: 1, Resources: [{ displayName: 'Staff "A"' }] }],
    ['no list', { id: 'g1', displayName: 'Staff "A"' }],
  ])('%s does not tell who bears a name', (_, body) => {
    expect(rivals.read(reply(200, body))).toBeNull();
  });

  test('the id of a created account binds from a 201 about the login that was asked for, and from nothing else', () => {
    const asked = create({});
    expect(catalogue.createdId(asked, reply(201, { id: 'u9', userName: 'Zoe' }))).toBe('u9');
    expect(catalogue.createdId(asked, reply(201, { id: 'u9', userName: 'admin' }))).toBeNull();
    expect(catalogue.createdId(asked, reply(200, { id: 'u9', userName: 'zoe' }))).toBeNull();
    expect(catalogue.createdId(asked, reply(201, { userName: 'zoe' }))).toBeNull();
    expect(catalogue.createdId(asked, { kind: 'lost', message: '' })).toBeNull();
  });
});

describe('the first secret', () => {
  test('takes the place of the marker in the password, and of nothing else', () => {
    const asked = allowed(create({ password: FIRST_SECRET, title: 'a' })).call;
    expect(catalogue.withSecret(asked, 'open sesame')).toMatchObject({ body: { password: 'open sesame', title: 'a' } });
    const without = allowed(create({ title: 'a' })).call;
    expect(catalogue.withSecret(without, 'open sesame')).toEqual(without);
  });
});

describe('of the reply to a change of a group', () => {
  const members = ['u0', 'u1', 'u2'].map((value) => ({ value, display: `the name of ${value}` }));
  const reply = (body: unknown): Reply => ({ kind: 'http', status: 200, headers: {}, body: body as Body });
  const whole = { id: 'g1', displayName: 'Staff', members };
  const concerning = (asked: HttpCall, body: unknown) => {
    const answer = catalogue.concerning?.(asked, reply(body));
    return answer?.kind === 'http' ? answer.body : expect.fail('no HTTP reply');
  };
  const grant = call('PATCH', ['Groups', 'g1'], addMember('u1'));

  test('nobody is handed on but the one whom it concerns', () => {
    expect(concerning(grant, whole)).toEqual({ ...whole, members: [members[1]] });
    for (const how of ['path', 'array'] as const) {
      const revoke = call('PATCH', ['Groups', 'g1'], removeMember('u9', how));
      expect(concerning(revoke, whole)).toEqual({ ...whole, members: [] });
    }
    expect(concerning(grant, { id: 'g1', Members: [{ Value: 'u1' }, { Value: 'u3' }] })).toEqual({
      id: 'g1',
      members: [{ Value: 'u1' }],
    });
  });

  test.each([
    ['members that are no list', { ...whole, members: 'all' }],
    ['a member without an id', { ...whole, members: [{ value: 'u1' }, { display: 'u2' }] }],
    ['members in two spellings', { ...whole, MEMBERS: [] }],
    ['a page to sign in', '<html>'],
  ])('what is not understood stays as it came, for the connector to refuse: %s', (_, body) => {
    expect(concerning(grant, body)).toEqual(body);
  });

  test('and a reply about a user is handed on whole', () => {
    const user = { id: 'u1', userName: 'zoe', groups: [{ value: 'g1' }] };
    expect(concerning(create({}), user)).toEqual(user);
  });
});
