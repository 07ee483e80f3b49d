import { describe, expect, test } from 'vitest';
import { canonical } from '../../canonical.ts';
import { type Call, FIRST_SECRET, type Reply, type SqlCall } from '../../connector/contract.ts';
import { STATEMENTS } from '../perform/statements.ts';
import { catalogue } from './postgres.ts';

const call = (statement: string, params: SqlCall['params'] = {}): SqlCall => ({ kind: 'sql', statement, params });
const attributes = { department: '50', title: 'Clerk' };
const CREATE = call('create account', { login: 'ann', password: FIRST_SECRET, attributes: canonical(attributes) });

const classified = (made: Call) => {
  const verdict = catalogue.classify(made, {});
  if (!verdict.ok) throw new Error(verdict.reason);
  expect(catalogue.operations).toContain(verdict.classified.operation);
  return verdict.classified;
};
const refused = (made: unknown): string => {
  const verdict = catalogue.classify(made as Call, {});
  expect(verdict, JSON.stringify(made)).toMatchObject({ ok: false, reason: expect.stringMatching(/./) });
  return verdict.ok ? '' : verdict.reason;
};

describe('refuses', () => {
  test.each([
    ['SQL text', call('drop role ann')],
    ['a name of the object prototype', call('constructor')],
    ['another', call('__proto__')],
    ['no name', call('')],
    ['another spelling of a statement', call('Delete Account', { login: 'ann' })],
    ['another protocol', { kind: 'http', method: 'DELETE', path: ['Users', 'ann'] }],
    ['a file', { kind: 'file', path: 'x' }],
  ])('%s', (_fact, made) => {
    refused(made);
  });

  test.each([
    ['no login', {}],
    ['a login of nothing', { login: '' }],
    ['a login that is a number', { login: 7 }],
    ['a login that is null', { login: null }],
    ['a login that is true', { login: true }],
    ['a login with a zero byte', { login: 'ann\0' }],
    ['a login with half a character', { login: 'ann\ud800' }],
    ['a login of 64 bytes', { login: 'a'.repeat(64) }],
    ['a login of 32 letters and 64 bytes', { login: 'ü'.repeat(32) }],
    ['one parameter more', { login: 'ann', role: 'staff' }],
    ['one of the prototype', JSON.parse('{"login":"ann","__proto__":"x"}')],
  ])('to delete %s', (_fact, params) => {
    refused(call('delete account', params));
  });

  test('to delete what only the prototype names', () => {
    refused(call('delete account', Object.create({ login: 'ann' })));
  });

  test.each([
    ['no text', 7],
    ['no JSON', 'department=50'],
    ['no record', '["50"]'],
    ['nothing', 'null'],
    ['another spelling', '{ "department": "50" }'],
    ['keys in another order', '{"title":"Clerk","department":"50"}'],
    ['a key twice', '{"department":"50","department":"90"}'],
    ['an attribute that is none', '{"rolsuper":"true"}'],
    ['a value that is no text', '{"department":50}'],
    ['a zero byte', '{"department":"5\\u00000"}'],
    ['a name of the prototype', '{"__proto__":"x"}'],
  ])('attributes that are %s', (_fact, text) => {
    refused(call('update account', { login: 'ann', attributes: text }));
    refused(call('create account', { ...CREATE.params, attributes: text }));
  });

  test('a first password that the caller brings', () => {
    for (const password of ['secret', '', `${FIRST_SECRET} `, FIRST_SECRET.slice(1)]) {
      const reason = refused(call('create account', { ...CREATE.params, password }));
      expect(reason).not.toContain('secret');
    }
  });

  test.each([0, -1, 1001, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '10', null])('a page of %j', (limit) => {
    refused(call('list accounts', { after: '', limit }));
  });
});

describe('classifies', () => {
  test('each statement of the table by its name alone', () => {
    const params = {
      name: 'ann',
      role: 'staff',
      start: '',
      count: 10,
      attributes: canonical(attributes),
      secret: FIRST_SECRET,
    };
    for (const [name, statement] of Object.entries(STATEMENTS)) {
      const filled = Object.entries(statement.params).map(([key, kind]) => [key, params[kind as keyof typeof params]]);
      const { effect, operation, object } = classified(call(name, Object.fromEntries(filled)));
      expect({ effect, operation }).toEqual({ effect: statement.effect, operation: statement.operation });
      expect(object).toEqual(effect === 'read' ? null : { login: 'ann' });
    }
  });

  test('a create with its attributes and the wish for a secret', () => {
    expect(classified(CREATE)).toMatchObject({ effect: 'create', attributes, wantsSecret: true, entitlement: null });
    expect(classified(call('update account', { login: 'ann', attributes: '{}' }))).toMatchObject({
      effect: 'update',
      attributes: {},
      wantsSecret: false,
    });
  });

  test('a membership by the role, and the end of connections by its mechanism', () => {
    const on = { login: 'ann', role: 'staff' };
    expect(classified(call('grant role', on))).toMatchObject({ effect: 'grant', entitlement: { name: 'staff' } });
    expect(classified(call('revoke role', on))).toMatchObject({ effect: 'revoke', entitlement: { name: 'staff' } });
    expect(classified(call('end connections', { login: 'ann' }))).toMatchObject({
      effect: 'revoke',
      entitlement: { name: '@connections' },
    });
  });

  test('a role that calls itself a mechanism is not the mechanism', () => {
    // `entitlementNamed` lets names with @ through as mechanisms, so a role must not have one.
    refused(call('revoke role', { login: 'ann', role: '@connections' }));
    refused(call('grant role', { login: 'ann', role: '@connections' }));
  });

  test('and forwards only what it understood, in one order', () => {
    const made = call('grant role', { role: 'staff', login: 'ann' });
    expect(Object.keys((classified(made).call as SqlCall).params)).toEqual(['login', 'role']);
    const extended = { ...made, sql: 'drop role ann' } as Call;
    expect(classified(extended).call).toEqual(made);
  });
});

test('an account’s id is its login, known from an answer without an error alone', () => {
  const reply = (sqlstate: string | null): Reply => ({ kind: 'sql', rows: [], count: 0, sqlstate, message: '' });
  expect(catalogue.createdId(CREATE, reply(null))).toBe('ann');
  expect(catalogue.createdId(CREATE, reply('42710'))).toBe(null);
  expect(catalogue.createdId(CREATE, { kind: 'lost', message: '' })).toBe(null);
  expect(catalogue.createdId(call('delete account', { login: 'ann' }), reply(null))).toBe(null);
  expect(catalogue.resolveObject('ann', {})).toBe(null);
  expect(catalogue.resolveEntitlement('staff', {})).toBe(null);
});

test('puts the secret in place of its marker and nowhere else', () => {
  const { call: rebuilt } = classified(CREATE);
  expect(catalogue.withSecret(rebuilt, 'made')).toEqual(call('create account', { ...CREATE.params, password: 'made' }));
  expect(() => catalogue.withSecret(call('delete account', { login: 'ann' }), 'made')).toThrow('assertion');
});
