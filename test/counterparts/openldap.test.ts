/** What OpenLDAP says and what is so: the measured lies, and what we do about each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Attribute, Change, Client } from 'ldapts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, type Bind, type OpenLdap, startOpenLdap } from '../../examples/company/openldap.ts';
import { systemAmbient } from '../../src/clock.ts';
import type { Call, Receipt, Reply, Sighting, Task } from '../../src/connector/contract.ts';
import { drive } from '../../src/connector/drive.ts';
import type { Bench } from '../../src/connector/suite.ts';
import { connector } from '../../src/connectors/ldap/connector.ts';
import type { Performer } from '../../src/gateway/perform/contract.ts';
import { openLdap } from '../../src/gateway/perform/ldap.ts';
import { counterpart } from './counterpart.ts';
import { FIRST_PASSWORD, openLdapBench } from './ldap-bench.ts';

describe.skipIf(!counterpart('OpenLDAP', available()))('OpenLDAP', () => {
  let server: OpenLdap;
  let bench: Bench;
  let performer: Performer;
  beforeAll(async () => {
    server = await startOpenLdap({ groups: ['finance', 'staff'] });
    const address = { url: server.url, ca: null, timeoutMs: 5000 };
    performer = openLdap(address, systemAmbient);
    bench = openLdapBench({
      address,
      options: { base: server.base, people: server.people, groups: server.groups, flavour: 'openldap' },
      writer: server.writer,
      reader: server.reader,
      group: 'cn=finance,ou=groups',
    });
  });
  afterAll(async () => {
    await bench.close();
    await performer.close();
    await server.stop();
  });

  const nameOf = (login: string): string => `uid=${login},ou=people,${server.base}`;
  const finance = (): string => `cn=finance,ou=groups,${server.base}`;
  const apply = async (effect: Task['effect'], login: string, more: Partial<Task> = {}): Promise<Receipt> => {
    const account = { login, id: effect === 'create' ? null : nameOf(login) };
    return (await drive(connector.apply(bench.options, { effect, account, ...more }), bench.perform)).result;
  };
  const look = async (
    login: string,
    entitlement?: string,
    perform: (call: Call) => Promise<Reply> = bench.look,
  ): Promise<Sighting> => {
    const question = { account: { login, id: nameOf(login) }, ...(entitlement === undefined ? {} : { entitlement }) };
    return (await drive(connector.look(bench.options, question), perform)).result;
  };
  const enter = async (login: string): Promise<void> => {
    expect(await apply('create', login, { attributes: { displayName: login } })).toMatchObject({ outcome: 'done' });
    expect(await performer.present!(nameOf(login), FIRST_PASSWORD)).toBe('accepted');
  };

  /** Somebody else's program, with whatever credential. */
  const plain = async <T>({ dn, password }: Bind, act: (client: Client) => Promise<T>): Promise<T> => {
    const client = new Client({ url: server.url, timeout: 5000, connectTimeout: 2000 });
    try {
      await client.bind(dn, password);
      return await act(client);
    } finally {
      await client.unbind();
    }
  };
  const set = (operation: 'add' | 'delete' | 'replace', type: string, ...values: string[]): Change =>
    new Change({ operation, modification: new Attribute({ type, values }) });

  describe('the lie of the lock mark', () => {
    test('the mark alone is written, is seen, and stops nobody; presenting the password shows it', async () => {
      await enter('mark');
      await plain(server.writer, (client) =>
        client.modify(nameOf('mark'), set('replace', 'pwdAccountLockedTime', '000001010000Z')),
      );
      expect((await look('mark')).account).toBe('disabled');
      expect(await performer.present!(nameOf('mark'), FIRST_PASSWORD)).toBe('accepted');
    });

    test('our disable is effective: the password is refused', async () => {
      await enter('leaver');
      expect(await apply('disable', 'leaver')).toMatchObject({ outcome: 'done' });
      expect((await look('leaver')).account).toBe('disabled');
      expect(await performer.present!(nameOf('leaver'), FIRST_PASSWORD)).toBe('refused');
    });

    test('an account that carries the mark and still has a password is not taken for disabled already', async () => {
      await enter('half');
      await plain(server.writer, (client) =>
        client.modify(nameOf('half'), set('replace', 'pwdAccountLockedTime', '000001010000Z')),
      );
      expect(await apply('disable', 'half')).toMatchObject({ outcome: 'done' });
      expect(await performer.present!(nameOf('half'), FIRST_PASSWORD)).toBe('refused');
      expect((await look('half')).account).toBe('disabled');
      expect(await apply('disable', 'half')).toMatchObject({ outcome: 'already' });
    });

    test('nothing that stays in the entry works as a password, the empty one included', async () => {
      await enter('empty');
      await apply('disable', 'empty');
      for (const word of ['000001010000Z', '{SSHA}', '*', '!', ' ']) {
        expect(await performer.present!(nameOf('empty'), word), word).toBe('refused');
      }
      expect(await performer.present!(nameOf('empty'), '')).toBe('unknown');
    });

    test('enabled again, a new secret works and the mark is gone', async () => {
      await enter('back');
      await apply('disable', 'back');
      expect(await apply('enable', 'back')).toMatchObject({ outcome: 'done' });
      expect((await look('back')).account).toBe('active');
      expect(await performer.present!(nameOf('back'), FIRST_PASSWORD)).toBe('accepted');
    });

    test('setting a password takes the mark away: whoever may reset passwords lets people in again', async () => {
      await enter('reset');
      await apply('disable', 'reset');
      await plain(server.writer, (client) =>
        client.modify(nameOf('reset'), set('replace', 'userPassword', 'Help-Desk-1')),
      );
      expect(await performer.present!(nameOf('reset'), 'Help-Desk-1')).toBe('accepted');
      expect((await look('reset')).account).toBe('active');
    });
  });

  describe('the lie of the open connection', () => {
    test('a bound connection goes on reading after disable and after delete; LDAP can neither show nor end it', async () => {
      await enter('open');
      const client = new Client({ url: server.url, timeout: 5000, connectTimeout: 2000 });
      const readsItself = async (): Promise<number> =>
        (await client.search(nameOf('open'), { scope: 'base', attributes: ['cn'] })).searchEntries.length;
      try {
        await client.bind(nameOf('open'), FIRST_PASSWORD);
        expect(await readsItself()).toBe(1);
        expect(await apply('disable', 'open')).toMatchObject({ outcome: 'done' });
        expect(await performer.present!(nameOf('open'), FIRST_PASSWORD)).toBe('refused');
        expect(await readsItself()).toBe(1);

        expect(await apply('revoke', 'open', { entitlement: '@connections' })).toMatchObject({ outcome: 'refused' });
        expect(await look('open', '@connections')).toMatchObject({ account: 'disabled', holds: null });

        expect(await apply('delete', 'open')).toMatchObject({ outcome: 'done' });
        expect((await look('open')).account).toBe('absent');
        // RFC 4532, Who am I: the directory still takes the connection for somebody whom it no longer has.
        expect((await client.exop('1.3.6.1.4.1.4203.1.11.3')).value).toBe(`dn:${nameOf('open')}`);
      } finally {
        await client.unbind();
      }
    });
  });

  describe('membership', () => {
    test('held: the back-link says so; not held: the group says so', async () => {
      await enter('member');
      expect(await apply('grant', 'member', { entitlement: finance() })).toMatchObject({ outcome: 'done' });
      expect(await look('member', 'CN=Finance,ou=groups')).toMatchObject({
        holds: true,
        path: `memberOf of ${nameOf('member')}`,
      });
      expect(await apply('revoke', 'member', { entitlement: finance() })).toMatchObject({ outcome: 'done' });
      expect(await look('member', finance())).toMatchObject({
        holds: false,
        path: `memberOf of ${nameOf('member')}, member of ${finance()}`,
      });
    });

    test('the last member of a group can be revoked, and leaves the placeholder', async () => {
      await enter('last');
      const group = `cn=lonely,ou=groups,${server.base}`;
      await plain(server.admin, (client) => client.add(group, { objectClass: 'groupOfNames', member: nameOf('last') }));
      expect(await look('last', group)).toMatchObject({ holds: true });
      expect(await apply('revoke', 'last', { entitlement: group })).toMatchObject({ outcome: 'done' });
      expect(await look('last', group)).toMatchObject({ holds: false });
      const { searchEntries } = await plain(server.admin, (client) =>
        client.search(group, { scope: 'base', attributes: ['member'] }),
      );
      expect(searchEntries[0]?.member).toBe(`cn=nobody,ou=groups,${server.base}`);
      expect(await apply('revoke', 'last', { entitlement: group })).toMatchObject({ outcome: 'already' });
    });

    test('a membership that outlives its account is seen and revoked', async () => {
      await plain(server.admin, (client) => client.modify(finance(), set('add', 'member', nameOf('ghost'))));
      expect(await look('ghost', finance())).toMatchObject({ account: 'absent', holds: true });
      expect(await apply('revoke', 'ghost', { entitlement: finance() })).toMatchObject({ outcome: 'done' });
      expect(await look('ghost', finance())).toMatchObject({ account: 'absent', holds: false });
    });

    test('nothing is granted to an account that is not there, though the directory would take it', async () => {
      expect(await apply('grant', 'future', { entitlement: finance() })).toMatchObject({ outcome: 'refused' });
    });

    test('a group that is not there: no grant, nothing to revoke, and not seen', async () => {
      await enter('lost');
      const group = `cn=nowhere,ou=groups,${server.base}`;
      expect(await apply('grant', 'lost', { entitlement: group })).toMatchObject({ outcome: 'refused' });
      expect(await apply('revoke', 'lost', { entitlement: group })).toMatchObject({ outcome: 'already' });
      expect(await look('lost', group)).toMatchObject({ account: 'active', holds: null });
    });
  });

  describe('what a credential may not see', () => {
    /** A credential that reads its own entry and nothing else, as a reader does that lost its rights. */
    const asPerson =
      (login: string) =>
      (call: Call): Promise<Reply> =>
        performer.perform(call, { kind: 'bind', dn: nameOf(login), password: FIRST_PASSWORD });

    test('an account that cannot be seen is not absent', async () => {
      await enter('seen');
      await enter('blind');
      expect(await look('seen', undefined, asPerson('blind'))).toMatchObject({ account: null, id: null });
    });

    test('a group that cannot be seen is not "not a member"', async () => {
      await enter('own');
      expect(await look('own', finance(), asPerson('own'))).toMatchObject({ account: 'active', holds: null });
    });

    test('a population that cannot be seen is a fault and not an empty one', async () => {
      await enter('nobody');
      await expect(drive(connector.observe(bench.options), asPerson('nobody'))).rejects.toMatchObject({
        code: 'incomplete-read',
      });
    });
  });

  test('an account that was moved is not absent', async () => {
    await enter('moved');
    await plain(server.admin, async (client) => {
      await client.add(`ou=north,ou=people,${server.base}`, { objectClass: 'organizationalUnit' });
      await client.modifyDN(nameOf('moved'), `uid=moved,ou=north,ou=people,${server.base}`);
    });
    expect(await look('moved')).toMatchObject({ account: 'active', id: `uid=moved,ou=north,ou=people,${server.base}` });
  });

  test('a login that somebody else has is not taken over', async () => {
    await enter('taken');
    expect(await apply('create', 'taken', { attributes: { displayName: 'Somebody Else' } })).toMatchObject({
      outcome: 'refused',
    });
    await apply('disable', 'taken');
    expect(await apply('create', 'taken', { attributes: { displayName: 'taken' } })).toMatchObject({
      outcome: 'refused',
    });
  });

  test('the directory keeps no first secret in plain text', async () => {
    await enter('hashed');
    const { searchEntries } = await plain(server.admin, (client) =>
      client.search(nameOf('hashed'), { scope: 'base', attributes: ['userPassword'] }),
    );
    expect(String(searchEntries[0]?.userPassword)).toMatch(/^\{SSHA\}/);
    expect(JSON.stringify(searchEntries)).not.toContain(FIRST_PASSWORD);
  });

  test('attributes come and go: an empty value takes one away, and the mandatory ones have a stand-in', async () => {
    const attributes = { displayName: 'Ann Lee', familyName: 'Lee', title: 'Engineer' };
    expect(await apply('create', 'ann', { attributes })).toMatchObject({ outcome: 'done' });
    expect(await apply('update', 'ann', { attributes: { displayName: '', familyName: '', title: '' } })).toMatchObject({
      outcome: 'done',
    });
    expect((await look('ann')).attributes).toEqual({});
    expect(await apply('update', 'ann', { attributes })).toMatchObject({ outcome: 'done' });
    expect((await look('ann')).attributes).toEqual(attributes);
  });

  test('a directory that was stopped and started again has kept everything', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'writgate-openldap-kept-'));
    try {
      const first = await startOpenLdap({ folder, groups: ['staff'] });
      await first.stop();
      const second = await startOpenLdap({ folder });
      try {
        expect(second.writer).toEqual(first.writer);
        const client = new Client({ url: second.url, timeout: 5000, connectTimeout: 2000 });
        await client.bind(second.reader.dn, second.reader.password);
        const { searchEntries } = await client.search(`cn=staff,ou=groups,${second.base}`, { scope: 'base' });
        expect(searchEntries).toHaveLength(1);
        await client.unbind();
      } finally {
        await second.stop();
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
