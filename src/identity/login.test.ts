import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Target } from '../authority/authority.ts';
import type { Fields } from '../expression.ts';
import { candidateLogins, isProtected, loginKey, matchesPattern } from './login.ts';

const fields: Fields = new Map([
  ['login', 'string'],
  ['email', 'string'],
  ['employeeId', 'string'],
  ['givenName', 'string'],
  ['familyName', 'string'],
]);
const scim = Target.parse({
  scim: 'https://crm.example',
  match: 'userName == person.login',
  protected: ['svc-*', 'king'],
});
const ad = Target.parse({
  ldap: 'ldaps://dc.example',
  flavour: 'ad',
  base: 'dc=acme',
  match: 'sAMAccountName == person.login',
});
const openldap = Target.parse({ ldap: 'ldaps://dc.example', base: 'dc=acme', match: 'uid == person.login' });
const postgres = Target.parse({ postgres: 'postgres://db.example/pay', match: 'rolname == person.login' });
const byNumber = Target.parse({ scim: 'https://crm.example', match: 'employeeId == person.employeeId' });
const byName = Target.parse({
  scim: 'https://crm.example',
  match: 'userName == person.givenName + "." + person.familyName',
});

const first = (login: string | null, target = scim) => candidateLogins({ login }, target, fields)[0] ?? null;

describe('logins that are never given', () => {
  it.each([
    'root',
    'ROOT',
    'admin',
    'Admin7',
    'administrator',
    'postgres',
    'pg_monitor',
    'pg_read_all_data',
    'public',
    'none',
    'krbtgt',
    'writgate',
    'nobody',
    'guest',
    'system',
  ])('%s, nor with a number', (name) => {
    for (const target of [scim, ad, openldap, postgres])
      expect(candidateLogins({ login: name }, target, fields)).toEqual([]);
  });

  it('a reserved name in front of a domain', () => {
    expect(candidateLogins({ login: 'admin@acme.example' }, scim, fields)).toEqual([]);
  });

  it('a reserved name that only folding reveals', () => {
    expect(candidateLogins({ login: 'ádmin' }, scim, fields)).toEqual([]);
    expect(candidateLogins({ login: '.root.' }, scim, fields)).toEqual([]);
  });

  it('what the target protects, while the next number is free', () => {
    expect(candidateLogins({ login: 'svc-backup' }, scim, fields)).toEqual([]);
    expect(candidateLogins({ login: 'king' }, scim, fields)[0]).toBe('king2');
  });

  it.each([null, '', '   ', '...', 'Иван', '@acme.example', 'a@', 'a@b@c'])(
    'anything for %j: a person has to say',
    (login) => {
      expect(candidateLogins({ login }, scim, fields)).toEqual([]);
    },
  );

  it('anything where the rule has no answer', () => {
    expect(candidateLogins({ givenName: 'Ann', familyName: null }, byName, fields)).toEqual([]);
    expect(candidateLogins({}, scim, fields)).toEqual([]);
  });
});

describe('logins that are given', () => {
  it.each<[string, Target, string]>([
    ['SKING', scim, 'sking'],
    ['Jérôme Müßig', scim, 'jerome.mussig'],
    ["o'neil", scim, 'oneil'],
    ['a..b', scim, 'a.b'],
    ['jane@acme.example', scim, 'jane@acme.example'],
    ['jane@acme.example', postgres, 'janeacme.example'],
    ['jane.', ad, 'jane'],
    ['x"; drop role y', postgres, 'x.drop.role.y'],
  ])('%s', (login, target, expected) => {
    expect(first(login, target)).toBe(expected);
  });

  it('numbers 2 to 99 follow, before the domain', () => {
    const candidates = candidateLogins({ login: 'jane@acme.example' }, scim, fields);
    expect(candidates.length).toBe(99);
    expect(candidates.slice(0, 2)).toEqual(['jane@acme.example', 'jane2@acme.example']);
    expect(candidates.at(-1)).toBe('jane99@acme.example');
  });

  it.each([
    [ad, 20],
    [postgres, 63],
    [openldap, 64],
    [scim, 254],
  ])('are cut to what the target takes, the number included', (target, max) => {
    const candidates = candidateLogins({ login: 'x'.repeat(300) }, target, fields);
    expect(candidates.length).toBe(99);
    expect(new Set(candidates.map((login) => login.length))).toEqual(new Set([max]));
  });

  it('come from the rule of the target, or from person.login where it matches by something else', () => {
    expect(candidateLogins({ givenName: 'Ann', familyName: 'Lee' }, byName, fields)[0]).toBe('ann.lee');
    expect(candidateLogins({ login: 'alee', employeeId: '7' }, byNumber, fields)[0]).toBe('alee');
  });

  it('are the same each time, distinct, and of harmless characters', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 80 }),
        fc.constantFrom(scim, ad, openldap, postgres),
        (login, target) => {
          const candidates = candidateLogins({ login }, target, fields);
          expect(candidateLogins({ login }, target, fields)).toEqual(candidates);
          expect(new Set(candidates).size).toBe(candidates.length);
          for (const one of candidates) expect(one).toMatch(/^[a-z0-9][a-z0-9._@+-]*$/);
        },
      ),
    );
  });
});

describe('patterns', () => {
  it.each([
    ['svc-*', 'svc-backup', true],
    ['svc-*', 'SVC-Backup', true],
    ['svc-*', 'my-svc-backup', false],
    ['*-svc', 'backup-svc', true],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['*', 'anything', true],
    ['postgres', 'postgres', true],
    ['postgres', 'postgres2', false],
    ['a.c', 'abc', false],
    ['**', '', true],
  ])('%s against %s: %s', (pattern, login, expected) => {
    expect(matchesPattern(pattern, login)).toBe(expected);
  });

  it('stay linear, whatever is written', () => {
    const started = performance.now();
    expect(matchesPattern(`${'*a'.repeat(500)}b`, 'a'.repeat(5000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('protect by the target’s list', () => {
    expect(isProtected(scim, 'SVC-x')).toBe(true);
    expect(isProtected(ad, 'svc-x')).toBe(false);
  });
});

it('only PostgreSQL tells Jane from jane', () => {
  expect(loginKey(postgres, 'Jane')).toBe('Jane');
  for (const target of [scim, ad, openldap]) expect(loginKey(target, 'Jane')).toBe('jane');
});
