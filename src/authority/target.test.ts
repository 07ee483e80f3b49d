import { describe, expect, test } from 'vitest';
import { Authority } from './authority.ts';
import { isLoopback } from './loopback.ts';
import { ownershipOf, requesterOf } from './ownership.ts';
import { entitlementNamed, mechanismsOf, nameOnSystem, optionsOf } from './target.ts';

const authority = Authority.parse({
  version: 1,
  tenant: 'acme',
  owner: '100',
  feeds: { hr: { csv: 'hr.csv', contract: { key: 'id', maxAge: '26h', count: {} }, map: { employeeId: 'row.id' } } },
  targets: {
    crm: { scim: 'http://127.0.0.1:1/scim', dialect: 'put' },
    corp: {
      ldap: 'ldap://127.0.0.1:389',
      base: 'dc=acme',
      people: 'ou=people',
      groups: 'ou=groups',
      flavour: 'openldap',
    },
    pay: { postgres: 'postgres://127.0.0.1/pay' },
    quiet: { postgres: 'postgres://127.0.0.1/quiet', mechanisms: ['account', 'membership'] },
  },
  entitlements: {
    staff: { on: 'crm', group: 'Staff', privilege: 'low' },
    finance: { on: 'corp', group: 'cn=finance,ou=groups', privilege: 'normal' },
  },
  connectors: {
    'crm-grant': {
      on: 'crm',
      duties: ['grant'],
      owner: '103',
      deputy: '104',
      credential: 'c',
      scope: ['grant staff'],
      expires: '2027-01-01',
    },
  },
  limits: { grants: { count: 1 }, removals: { count: 1 } },
  approvals: { low: 0, normal: { people: 1, role: 'owner' }, high: { people: 2, role: 'security' } },
});
const { crm, corp, pay, quiet } = authority.targets as Required<typeof authority.targets>;

describe('names on a system', () => {
  test('an LDAP group is its canonical name below the base', () => {
    expect(nameOnSystem(corp!, authority.entitlements['finance']!)).toBe('cn=finance,ou=groups,dc=acme');
  });
  test.each<[string, string, string | null]>([
    ['crm', 'Staff', 'staff'],
    ['crm', 'Admins', null],
    // The same name elsewhere is another thing.
    ['pay', 'Staff', null],
    ['nowhere', 'Staff', null],
    ['pay', '@connections', '@connections'],
  ])('on %s %s is %s', (system, name, expected) => {
    expect(entitlementNamed(authority, system, name)).toBe(expected);
  });
});

test('a connector learns options, and never an address', () => {
  for (const target of [crm!, corp!, pay!]) expect(JSON.stringify(optionsOf(target))).not.toContain('127.0.0.1');
});

test('open connections are a mechanism of PostgreSQL unless the target says otherwise', () => {
  expect([crm!, corp!, pay!, quiet!].map(mechanismsOf)).toEqual([[], [], ['@connections'], []]);
});

test('owner and deputy control a connector, and somebody controls Writgate itself', () => {
  expect(ownershipOf(authority)).toEqual(
    expect.arrayContaining([
      { owner: '103', owned: 'nhi:crm-grant' },
      { owner: '104', owned: 'nhi:crm-grant' },
      { owner: '100', owned: 'nhi:writgate' },
    ]),
  );
});

test.each([
  ['request R1 by 205', '205'],
  ['exception T1 by 103', '103'],
  ['birthright everyone', 'nhi:writgate'],
  ['left', 'nhi:writgate'],
])('who asked, by the cause %s', (cause, expected) => {
  expect(requesterOf({ cause })).toBe(expected);
});

describe('loopback', () => {
  test.each(['http://127.0.0.1:80', 'https://localhost/x', 'ldap://[::1]:389', 'postgres://127.9.9.9/db'])(
    '%s is',
    (url) => {
      expect(isLoopback(url)).toBe(true);
    },
  );
  test.each([
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'http://10.0.0.1',
    'http://0.0.0.0',
    'nonsense',
    '',
  ])('%s is not', (url) => {
    expect(isLoopback(url)).toBe(false);
  });
});
