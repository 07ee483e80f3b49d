import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Call, FIRST_SECRET, type LdapCall, type TargetOptions } from '../../connector/contract.ts';
import type { Classified } from './contract.ts';
import { canonicalDn, catalogue } from './ldap.ts';

const BASE = 'dc=acme,dc=example';
const OPENLDAP: TargetOptions = { base: BASE, people: 'ou=people', groups: 'ou=groups', flavour: 'openldap' };
const AD: TargetOptions = { ...OPENLDAP, flavour: 'ad' };
const ANN = `uid=ann,ou=people,${BASE}`;
const BOB = `cn=bob,ou=people,${BASE}`;
const FINANCE = `cn=finance,ou=groups,${BASE}`;
const NOBODY = `cn=nobody,ou=groups,${BASE}`;
const LOCK = '000001010000Z';

type Change = Extract<LdapCall, { op: 'modify' }>['changes'][number];
const change = (operation: Change['operation'], attribute: string, ...values: string[]): Change => ({
  operation,
  attribute,
  values,
});
const modify = (dn: string, ...changes: Change[]): Call => ({ kind: 'ldap', op: 'modify', dn, changes });
const remove = (dn: string): Call => ({ kind: 'ldap', op: 'delete', dn });
const add = (dn: string, attributes: Record<string, string[]>): Call => ({ kind: 'ldap', op: 'add', dn, attributes });
const search = (more: Partial<Extract<LdapCall, { op: 'search' }>> = {}): Call => ({
  kind: 'ldap',
  op: 'search',
  base: `ou=people,${BASE}`,
  scope: 'sub',
  filter: '(uid=ann)',
  attributes: ['uid'],
  ...more,
});
const ann = {
  objectClass: ['inetOrgPerson'],
  uid: ['ann'],
  cn: ['Ann Lee'],
  sn: ['Lee'],
  displayName: ['Ann Lee'],
  userPassword: [FIRST_SECRET],
};
const bob = {
  objectClass: ['user'],
  cn: ['bob'],
  sAMAccountName: ['bob'],
  userAccountControl: ['512'],
  displayName: ['Bob'],
  unicodePwd: [FIRST_SECRET],
};

const accepted = (call: Call, options = OPENLDAP): Classified => {
  const verdict = catalogue.classify(call, options);
  if (!verdict.ok) throw new Error(verdict.reason);
  return verdict.classified;
};

describe('refuses', () => {
  const refusals: [string, Call, TargetOptions?][] = [
    ['a call of another protocol', { kind: 'http', method: 'GET', path: [] }],
    ['an operation that is not known', { kind: 'ldap', op: 'modrdn', dn: ANN, newRdn: 'uid=eve' } as unknown as Call],
    ['a field that nobody looks at', { ...remove(ANN), controls: ['1.2.840.113556.1.4.805'] } as unknown as Call],
    ['options without a flavour', remove(ANN), { ...OPENLDAP, flavour: 'edir' }],
    ['options without a container for people', remove(ANN), { base: BASE, groups: 'ou=groups', flavour: 'openldap' }],
    ['the base itself as the container for people', remove(ANN), { ...OPENLDAP, people: BASE }],

    ['a delete outside the base', remove('uid=ann,ou=people,dc=other')],
    ['a delete in a base that only looks alike', remove(`uid=ann,ou=people,dc=x${BASE}`)],
    ['a delete of a relative name', remove('uid=ann,ou=people')],
    ['a delete of the container', remove(`ou=people,${BASE}`)],
    ['a delete of a container below it', remove(`ou=north,ou=people,${BASE}`)],
    ['a delete of a group', remove(FINANCE)],
    ['a delete of a service account', remove(`cn=writer,ou=services,${BASE}`)],
    ['a delete by an escaped comma that hides the base', remove(`uid=ann\\,ou=people\\,${BASE},dc=other`)],
    ['a delete by GUID', remove('<GUID=6f9619ff-8b86-d011-b42d-00c04fc964ff>'), AD],
    ['a delete by a multi-valued name', remove(`uid=ann+cn=x,ou=people,${BASE}`)],
    ['a delete by a type that is not known', remove(`x-uid=ann,ou=people,${BASE}`)],

    ['an account outside the container', add(`uid=ann,ou=services,${BASE}`, ann)],
    ['an account below a sub-container', add(`uid=ann,ou=x,ou=people,${BASE}`, ann)],
    ['an account whose name is another login', add(ANN, { ...ann, uid: ['eve'] })],
    ['an account with two logins', add(ANN, { ...ann, uid: ['ann', 'eve'] })],
    ['an account with a password in the call', add(ANN, { ...ann, userPassword: ['secret'] })],
    ['an account with two passwords', add(ANN, { ...ann, userPassword: [FIRST_SECRET, 'secret'] })],
    ['an account with two passwords in two spellings', add(ANN, { ...ann, userpassword: ['secret'] })],
    ['an account without a first secret', add(ANN, { ...ann, userPassword: [] })],
    ['a secret in an attribute that can be read', add(ANN, { ...ann, title: [FIRST_SECRET] })],
    ['an account of another class', add(ANN, { ...ann, objectClass: ['posixAccount'] })],
    ['an account of a further class', add(ANN, { ...ann, objectClass: ['inetOrgPerson', 'ldapPublicKey'] })],
    ['an account with an SSH key', add(ANN, { ...ann, sshPublicKey: ['ssh-ed25519 AAAA'] })],
    ['an account with a numeric id', add(ANN, { ...ann, uidNumber: ['0'] })],
    ['an account that says what it is a member of', add(ANN, { ...ann, memberOf: [FINANCE] })],
    ['an account with an operational attribute', add(ANN, { ...ann, creatorsName: ['cn=admin'] })],
    ['a cn that is not the display name', add(ANN, { ...ann, cn: ['Eve'] })],
    ['an account without a surname', add(ANN, { ...ann, sn: [] })],
    ['an attribute option', add(ANN, { ...ann, 'mail;lang-en': ['a@b.c'] })],
    ['an attribute by its OID', add(ANN, { ...ann, '0.9.2342.19200300.100.1.3': ['a@b.c'] })],
    ['a lone surrogate', add(ANN, { ...ann, title: ['\ud800'] })],
    ['an account that never needs a password', add(BOB, { ...bob, userAccountControl: ['544'] }), AD],
    ['an account trusted for delegation', add(BOB, { ...bob, userAccountControl: ['524800'] }), AD],
    ['an account without pre-authentication', add(BOB, { ...bob, userAccountControl: ['4194816'] }), AD],
    ['a computer', add(BOB, { ...bob, objectClass: ['computer'] }), AD],
    ['an account with another login than its name', add(BOB, { ...bob, sAMAccountName: ['administrator'] }), AD],
    ['an account with adminCount', add(BOB, { ...bob, adminCount: ['1'] }), AD],
    ['an account with a past', add(BOB, { ...bob, sIDHistory: ['S-1-5-21-1-2-3-500'] }), AD],
    ['an account with a service name', add(BOB, { ...bob, servicePrincipalName: ['http/x'] }), AD],

    ['a modify of nothing', modify(ANN)],
    ['a modify of a service account', modify(`cn=writer,ou=services,${BASE}`, change('replace', 'title', 'x'))],
    ['an attribute added beside what is there', modify(ANN, change('add', 'mail', 'eve@x.y'))],
    ['an attribute value deleted', modify(ANN, change('delete', 'mail', 'ann@x.y'))],
    ['an attribute with two values', modify(ANN, change('replace', 'mail', 'ann@x.y', 'eve@x.y'))],
    ['an empty value', modify(ANN, change('replace', 'title', ''))],
    ['an attribute twice', modify(ANN, change('replace', 'title', 'a'), change('replace', 'title', 'b'))],
    ['an attribute twice in two cases', modify(ANN, change('replace', 'title', 'a'), change('replace', 'Title', 'b'))],
    ['an unknown attribute', modify(ANN, change('replace', 'description', 'x'))],
    ['an object class', modify(ANN, change('add', 'objectClass', 'posixAccount'))],
    ['an SSH key', modify(ANN, change('replace', 'sshPublicKey', 'ssh-ed25519 AAAA'))],
    ['a back-link', modify(ANN, change('add', 'memberOf', FINANCE))],
    ['a new login', modify(ANN, change('replace', 'uid', 'eve'))],
    ['a new cn alone', modify(ANN, change('replace', 'cn', 'Eve'))],
    [
      'a cn beside another display name',
      modify(ANN, change('replace', 'displayName', 'A'), change('replace', 'cn', 'B')),
    ],
    ['a display name without its cn', modify(ANN, change('replace', 'displayName', 'A'))],
    ['a password', modify(ANN, change('replace', 'userPassword', 'secret'))],
    ['a hashed password', modify(ANN, change('replace', 'userPassword', '{SSHA}AAAA'))],
    ['a second password', modify(ANN, change('add', 'userPassword', FIRST_SECRET))],
    ['a password taken away alone', modify(ANN, change('replace', 'userPassword'))],
    ['a secret in an attribute that can be read', modify(ANN, change('replace', 'title', FIRST_SECRET))],
    [
      'a password beside an attribute',
      modify(ANN, change('replace', 'userPassword', FIRST_SECRET), change('replace', 'title', 'x')),
    ],
    ['a lock mark alone, which stops nobody', modify(ANN, change('replace', 'pwdAccountLockedTime', LOCK))],
    ['a lock mark taken away', modify(ANN, change('replace', 'pwdAccountLockedTime'))],
    [
      'a lock that passes',
      modify(ANN, change('replace', 'pwdAccountLockedTime', '20990101000000Z'), change('replace', 'userPassword')),
    ],
    [
      'a lock and an attribute',
      modify(
        ANN,
        change('replace', 'pwdAccountLockedTime', LOCK),
        change('replace', 'userPassword'),
        change('replace', 'title', 'x'),
      ),
    ],
    [
      'a lock with a password that somebody knows',
      modify(ANN, change('replace', 'pwdAccountLockedTime', LOCK), change('replace', 'userPassword', 'secret')),
    ],
    [
      'OpenLDAP’s lock on Active Directory',
      modify(BOB, change('replace', 'pwdAccountLockedTime', LOCK), change('replace', 'userPassword')),
      AD,
    ],
    ['flags replaced', modify(BOB, change('replace', 'userAccountControl', '514')), AD],
    ['flags added alone', modify(BOB, change('add', 'userAccountControl', '514')), AD],
    [
      'flags that turn two bits',
      modify(BOB, change('delete', 'userAccountControl', '512'), change('add', 'userAccountControl', '66050')),
      AD,
    ],
    [
      'flags that do not turn the one bit',
      modify(BOB, change('delete', 'userAccountControl', '512'), change('add', 'userAccountControl', '66048')),
      AD,
    ],
    [
      'an enable of an account without a password',
      modify(BOB, change('delete', 'userAccountControl', '546'), change('add', 'userAccountControl', '544')),
      AD,
    ],
    [
      'an enable of an account trusted for delegation',
      modify(BOB, change('delete', 'userAccountControl', '524802'), change('add', 'userAccountControl', '524800')),
      AD,
    ],
    [
      'an enable of an account without pre-authentication',
      modify(BOB, change('delete', 'userAccountControl', '4194818'), change('add', 'userAccountControl', '4194816')),
      AD,
    ],
    [
      'a disable of a domain controller',
      modify(BOB, change('delete', 'userAccountControl', '8192'), change('add', 'userAccountControl', '8194')),
      AD,
    ],
    [
      'flags in another notation',
      modify(BOB, change('delete', 'userAccountControl', '0x200'), change('add', 'userAccountControl', '514')),
      AD,
    ],
    [
      'flags and a password',
      modify(
        BOB,
        change('delete', 'userAccountControl', '514'),
        change('add', 'userAccountControl', '512'),
        change('replace', 'unicodePwd', FIRST_SECRET),
      ),
      AD,
    ],
    ['a primary group', modify(BOB, change('replace', 'primaryGroupID', '512')), AD],
    ['a way to impersonate', modify(BOB, change('replace', 'msDS-AllowedToActOnBehalfOfOtherIdentity', 'x')), AD],
    ['a log-on script', modify(BOB, change('replace', 'scriptPath', '\\\\evil\\x.bat')), AD],
    ['a certificate to log in with', modify(BOB, change('replace', 'altSecurityIdentities', 'X509:x')), AD],

    ['two members at once', modify(FINANCE, change('add', 'member', ANN, `uid=eve,ou=people,${BASE}`))],
    [
      'two members one after the other',
      modify(FINANCE, change('add', 'member', ANN), change('add', 'member', `uid=eve,ou=people,${BASE}`)),
    ],
    [
      'one member swapped for another',
      modify(FINANCE, change('delete', 'member', ANN), change('add', 'member', `uid=eve,ou=people,${BASE}`)),
    ],
    ['all members replaced', modify(FINANCE, change('replace', 'member', ANN))],
    ['all members deleted', modify(FINANCE, change('delete', 'member'))],
    ['a group as a member', modify(FINANCE, change('add', 'member', `cn=staff,ou=groups,${BASE}`))],
    ['a member from outside', modify(FINANCE, change('add', 'member', 'cn=eve,dc=other'))],
    ['a member of a group outside', modify(`cn=admins,ou=services,${BASE}`, change('add', 'member', ANN))],
    ['a member of the container', modify(`ou=groups,${BASE}`, change('add', 'member', ANN))],
    [
      'a grant with the placeholder beside it',
      modify(FINANCE, change('add', 'member', ANN), change('add', 'member', NOBODY)),
    ],
    ['the placeholder as a grant', modify(FINANCE, change('add', 'member', NOBODY))],
    [
      'a revocation that renames the group',
      modify(FINANCE, change('delete', 'member', ANN), change('replace', 'cn', 'x')),
    ],
    ['an owner of a group', modify(FINANCE, change('replace', 'owner', ANN))],
    [
      'a placeholder where none is needed',
      modify(FINANCE, change('delete', 'member', BOB), change('add', 'member', NOBODY)),
      AD,
    ],

    ['a search outside the containers', search({ base: BASE })],
    ['a search of the root', search({ base: '' })],
    ['a search of the configuration', search({ base: 'cn=config' })],
    ['a search for every attribute', search({ attributes: ['*'] })],
    ['a search for every operational attribute', search({ attributes: ['+'] })],
    ['a search that names no attribute', search({ attributes: [] })],
    ['a search for passwords', search({ attributes: ['uid', 'userPassword'] })],
    ['a search for passwords by OID', search({ attributes: ['2.5.4.35'] })],
    ['a search for Active Directory’s managed passwords', search({ attributes: ['ms-Mcs-AdmPwd'] }), AD],
    ['a password tried by filter', search({ filter: '(userPassword=secret)' })],
    ['a password tried inside a not', search({ filter: '(!(userPassword=secret))' })],
    ['a filter about something else', search({ filter: '(loginShell=/bin/sh)' })],
    ['a substring filter', search({ filter: '(uid=a*)' })],
    ['a scope that is not known', search({ scope: 'children' as 'sub' })],
    ['a page of ten thousand', search({ page: { size: 10_000, cookie: '' } })],
  ];
  test.each(refusals)('%s', (_what, call, options = OPENLDAP) => {
    const verdict = catalogue.classify(call, options);
    expect(verdict, JSON.stringify(verdict)).toMatchObject({ ok: false, reason: expect.stringMatching(/./) });
  });

  test('whatever is not a call, with a reason and without a throw', () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            kind: fc.constant('ldap'),
            op: fc.constantFrom('search', 'add', 'modify', 'delete'),
            dn: fc.oneof(fc.constant(ANN), fc.anything()),
            attributes: fc.anything(),
            changes: fc.oneof(fc.anything(), fc.array(fc.anything())),
            base: fc.anything(),
            filter: fc.anything(),
          },
          { requiredKeys: ['kind', 'op'] },
        ),
        (call) => {
          const verdict = catalogue.classify(call as unknown as Call, OPENLDAP);
          if (!verdict.ok) expect(verdict.reason).toMatch(/./);
        },
      ),
    );
  });
});

describe('understands', () => {
  test('an account added: its attributes are re-derived, and the call is written anew', () => {
    const given = { ...ann, MAIL: ['ann@acme.example'], employeenumber: ['7'] };
    expect(accepted(add(`UID=Ann, OU=People,${BASE}`, given))).toEqual({
      operation: 'create User',
      effect: 'create',
      object: { login: 'ann' },
      entitlement: null,
      attributes: { displayName: 'Ann Lee', familyName: 'Lee', email: 'ann@acme.example', employeeId: '7' },
      wantsSecret: true,
      call: add(ANN, { ...ann, employeeNumber: ['7'], mail: ['ann@acme.example'] }),
    });
  });

  test('an account without a surname: the stand-in is not an attribute', () => {
    const { displayName: _, ...rest } = ann;
    const { attributes } = accepted(add(ANN, { ...rest, cn: ['ann'], sn: ['-'] }));
    expect(attributes).toEqual({});
  });

  test('an account added to Active Directory, enabled and with a password at once', () => {
    expect(accepted(add(BOB, bob), AD)).toMatchObject({
      effect: 'create',
      object: { login: 'bob' },
      attributes: { displayName: 'Bob' },
      wantsSecret: true,
    });
  });

  test('an update, with what is taken away as an empty value', () => {
    const call = modify(
      ANN,
      change('replace', 'displayName', 'Ann B'),
      change('replace', 'CN', 'Ann B'),
      change('replace', 'title'),
    );
    expect(accepted(call)).toMatchObject({
      operation: 'update User',
      effect: 'update',
      object: { login: 'ann' },
      attributes: { displayName: 'Ann B', title: '' },
      wantsSecret: false,
      call: {
        changes: [
          change('replace', 'displayName', 'Ann B'),
          change('replace', 'cn', 'Ann B'),
          change('replace', 'title'),
        ],
      },
    });
  });

  test('a lock with the password taken away is a disable, and its reverse with a new secret an enable', () => {
    expect(
      accepted(modify(ANN, change('replace', 'PWDACCOUNTLOCKEDTIME', LOCK), change('replace', 'userpassword'))),
    ).toMatchObject({
      effect: 'disable',
      wantsSecret: false,
      call: { changes: [change('replace', 'pwdAccountLockedTime', LOCK), change('replace', 'userPassword')] },
    });
    expect(
      accepted(
        modify(ANN, change('replace', 'pwdAccountLockedTime', LOCK), change('replace', 'userPassword', FIRST_SECRET)),
      ),
    ).toMatchObject({ effect: 'enable', wantsSecret: true });
  });

  test.each([
    [512, 514, 'disable'],
    [66048, 66050, 'disable'],
    [524800, 524802, 'disable'],
    [514, 512, 'enable'],
    [262658, 262656, 'enable'],
  ])('flags %i to %i: %s', (before, after, effect) => {
    const call = modify(
      BOB,
      change('delete', 'userAccountControl', String(before)),
      change('add', 'useraccountcontrol', String(after)),
    );
    expect(accepted(call, AD)).toMatchObject({ operation: `${effect} User`, effect, object: { id: BOB } });
  });

  test('a new secret alone is authenticate', () => {
    expect(accepted(modify(ANN, change('replace', 'userPassword', FIRST_SECRET)))).toMatchObject({
      effect: 'authenticate',
      wantsSecret: true,
    });
    expect(accepted(modify(BOB, change('replace', 'unicodePwd', FIRST_SECRET)), AD)).toMatchObject({
      effect: 'authenticate',
      wantsSecret: true,
    });
  });

  test('one member in is a grant and one out a revocation, of the entitlement in its one spelling', () => {
    const finance = { name: canonicalDn('CN=Finance,ou=groups', BASE)! };
    expect(accepted(modify(FINANCE.toUpperCase(), change('add', 'MEMBER', ANN.toUpperCase())))).toEqual({
      operation: 'grant',
      effect: 'grant',
      object: { login: 'ann' },
      entitlement: finance,
      attributes: null,
      wantsSecret: false,
      call: modify(FINANCE, change('add', 'member', ANN)),
    });
    expect(accepted(modify(FINANCE, change('delete', 'member', ANN)))).toMatchObject({
      effect: 'revoke',
      object: { login: 'ann' },
      entitlement: finance,
    });
    expect(accepted(modify(FINANCE, change('delete', 'member', BOB)), AD)).toMatchObject({
      effect: 'revoke',
      object: { id: BOB },
    });
  });

  test('a revocation may leave the placeholder behind, in its one spelling', () => {
    const { call } = accepted(
      modify(FINANCE, change('delete', 'member', ANN), change('add', 'member', ` CN=Nobody,ou=groups,${BASE}`)),
    );
    expect(call).toEqual(modify(FINANCE, change('delete', 'member', ANN), change('add', 'member', NOBODY)));
  });

  test('a delete', () => {
    expect(accepted(remove(`UID=ANN,ou=people,${BASE}`))).toMatchObject({
      effect: 'delete',
      object: { login: 'ann' },
      call: remove(ANN),
    });
    expect(accepted(remove(`cn=ann,ou=people,${BASE}`))).toMatchObject({ object: { id: `cn=ann,ou=people,${BASE}` } });
  });

  test('a search, with its filter and attributes written anew', () => {
    const call = search({
      filter: '(&(OBJECTCLASS=user)(UID=Zo\\c3\\ab))',
      attributes: ['UID', 'memberof', '1.1'],
      page: { size: 500, cookie: 'AA==' },
    });
    expect(accepted(call)).toMatchObject({
      operation: 'read User',
      effect: 'read',
      object: null,
      call: {
        filter: '(&(OBJECTCLASS=user)(UID=Zoë))',
        attributes: ['uid', 'memberOf', '1.1'],
        page: { size: 500, cookie: 'AA==' },
      },
    });
    expect(accepted(search({ base: FINANCE, scope: 'base', filter: `(member=${ANN})` })).operation).toBe('read Group');
  });

  test('whether there is a password may be asked, not which', () => {
    expect(accepted(search({ filter: '(&(uid=ann)(userPassword=*))' })).effect).toBe('read');
  });

  test('every operation that it names is one that it declares', () => {
    for (const call of [
      add(ANN, ann),
      remove(ANN),
      search(),
      search({ base: FINANCE }),
      modify(FINANCE, change('add', 'member', ANN)),
    ]) {
      expect(catalogue.operations).toContain(accepted(call).operation);
    }
  });
});

describe('whose name is it', () => {
  const reply = (dn: string, attributes: Record<string, string[]>, code = 0) => ({
    kind: 'ldap' as const,
    code,
    message: '',
    entries: [{ dn, attributes }],
    cookie: '',
  });
  const resolve = catalogue.resolveObject(BOB, AD)!;

  test('the read is of that name alone, and of accounts alone', () => {
    expect(resolve.call).toMatchObject({
      op: 'search',
      base: BOB,
      scope: 'base',
      filter: '(&(objectClass=user)(sAMAccountType=805306368))',
      attributes: ['sAMAccountName'],
    });
    expect(catalogue.classify(resolve.call, AD).ok).toBe(true);
  });

  test('a login is read from the one entry that was asked for', () => {
    expect(resolve.read(reply(BOB.toUpperCase(), { SAMACCOUNTNAME: ['Bob'] }))).toBe('bob');
    expect(resolve.read(reply(`cn=eve,ou=people,${BASE}`, { sAMAccountName: ['bob'] }))).toBeNull();
    expect(resolve.read(reply(BOB, { sAMAccountName: ['bob'] }, 4))).toBeNull();
    expect(resolve.read({ ...reply(BOB, {}), entries: [] })).toBeNull();
    expect(resolve.read({ kind: 'lost', message: '' })).toBeNull();
  });

  test('a name outside the container is nobody’s', () => {
    expect(catalogue.resolveObject(`cn=bob,ou=services,${BASE}`, AD)).toBeNull();
    expect(catalogue.resolveObject('bob', AD)).toBeNull();
  });

  test('a created account’s id is its name, when the directory said success', () => {
    const call = add(ANN, ann);
    expect(catalogue.createdId(call, { ...reply('', {}), entries: [] })).toBe(ANN);
    expect(catalogue.createdId(call, reply('', {}, 68))).toBeNull();
    expect(catalogue.createdId(remove(ANN), reply('', {}))).toBeNull();
  });
});

describe('a first secret', () => {
  test('goes where the marker is and nowhere else', () => {
    const { call } = accepted(add(BOB, bob), AD);
    expect(catalogue.withSecret(call, 's3cret')).toEqual({ ...call, attributes: { ...bob, unicodePwd: ['s3cret'] } });
  });

  test('is hashed before it goes to OpenLDAP, with another salt for each account', () => {
    const hashed = [ANN, `uid=eve,ou=people,${BASE}`].map((dn) => {
      const { call } = accepted(modify(dn, change('replace', 'userPassword', FIRST_SECRET)));
      const sent = catalogue.withSecret(call, 's3cret');
      return sent.kind === 'ldap' && sent.op === 'modify' ? sent.changes[0]!.values[0]! : '';
    });
    expect(hashed[0]).not.toBe(hashed[1]);
    for (const value of hashed) {
      const bytes = Buffer.from(value.replace('{SSHA}', ''), 'base64');
      const digest = createHash('sha1').update('s3cret').update(bytes.subarray(20)).digest();
      expect(bytes.subarray(0, 20).equals(digest)).toBe(true);
    }
  });

  test('leaves a call without a marker as it is', () => {
    const { call } = accepted(modify(ANN, change('replace', 'title', 'x')));
    expect(catalogue.withSecret(call, 's3cret')).toEqual(call);
  });
});
