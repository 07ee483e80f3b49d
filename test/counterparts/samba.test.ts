/** The contract suite against a real Active Directory domain, and what is particular to one. Takes some 20 s. */
import { Attribute, Client } from 'ldapts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemAmbient } from '../../src/clock.ts';
import type { Call, LdapCall, Receipt, Reply, Sighting, Task } from '../../src/connector/contract.ts';
import { drive } from '../../src/connector/drive.ts';
import { type Bench, connectorSuite } from '../../src/connector/suite.ts';
import { connector } from '../../src/connectors/ldap/connector.ts';
import { catalogue } from '../../src/gateway/catalogue/ldap.ts';
import type { Performer, Secret } from '../../src/gateway/perform/contract.ts';
import { openLdap } from '../../src/gateway/perform/ldap.ts';
import { counterpart } from './counterpart.ts';
import { FIRST_PASSWORD, openLdapBench } from './ldap-bench.ts';
import { available, type Samba, startSamba } from './samba.ts';

describe.skipIf(!counterpart('Samba AD', available()))('against Samba AD', () => {
  let server: Samba;
  let bench: Bench;
  let performer: Performer;
  beforeAll(async () => {
    server = await startSamba(['finance', 'staff']);
    const address = { url: server.url, ca: server.ca, timeoutMs: 10_000 };
    performer = openLdap(address, systemAmbient);
    bench = openLdapBench({
      address,
      options: { base: server.base, people: server.people, groups: server.groups, flavour: 'ad', pageSize: 200 },
      writer: server.writer,
      reader: server.reader,
      group: 'CN=Finance, OU=Groups',
    });
  });
  afterAll(async () => {
    await bench?.close();
    await performer?.close();
    await server?.stop();
  });

  connectorSuite('ldap (Active Directory)', async () => ({ ...bench, close: async () => undefined }));

  const as = ({ dn, password }: { dn: string; password: string }): Secret => ({ kind: 'bind', dn, password });
  const nameOf = (login: string): string => `cn=${login},ou=people,${server.base}`;
  const group = (name: string): string => `cn=${name},ou=groups,${server.base}`;
  const apply = async (effect: Task['effect'], login: string, more: Partial<Task> = {}): Promise<Receipt> => {
    const account = { login, id: effect === 'create' ? null : nameOf(login) };
    return (await drive(connector.apply(bench.options, { effect, account, ...more }), bench.perform)).result;
  };
  const look = async (login: string, entitlement: string): Promise<Sighting> => {
    const question = { account: { login, id: nameOf(login) }, entitlement };
    return (await drive(connector.look(bench.options, question), bench.look)).result;
  };
  const enter = async (login: string): Promise<void> => {
    expect(await apply('create', login, { attributes: { displayName: login } })).toMatchObject({ outcome: 'done' });
  };
  const modify = (
    dn: string,
    ...changes: readonly (readonly ['add' | 'delete' | 'replace', string, string])[]
  ): LdapCall => ({
    kind: 'ldap',
    op: 'modify',
    dn,
    changes: changes.map(([operation, attribute, value]) => ({ operation, attribute, values: [value] })),
  });
  const entryOf = async (login: string, ...attributes: string[]): Promise<Record<string, readonly string[]>> => {
    const call: Call = {
      kind: 'ldap',
      op: 'search',
      base: nameOf(login),
      scope: 'base',
      filter: '(objectClass=user)',
      attributes,
    };
    const reply = (await performer.perform(call, as(server.reader))) as Extract<Reply, { kind: 'ldap' }>;
    return reply.entries[0]!.attributes;
  };

  test('a joiner can log in at once, a leaver no more, and enabled again he has his old password', async () => {
    await enter('ann');
    expect(await performer.present!(nameOf('ann'), FIRST_PASSWORD)).toBe('accepted');
    expect(await performer.present!('ACME\\ann', FIRST_PASSWORD)).toBe('accepted');
    expect(await performer.present!(nameOf('ann'), 'wrong')).toBe('refused');
    expect(await apply('disable', 'ann')).toMatchObject({ outcome: 'done' });
    expect(await performer.present!(nameOf('ann'), FIRST_PASSWORD)).toBe('refused');
    expect(await apply('enable', 'ann')).toMatchObject({ outcome: 'done' });
    expect(await performer.present!(nameOf('ann'), FIRST_PASSWORD)).toBe('accepted');
  });

  test('a bound connection goes on reading after disable; LDAP can neither show nor end it', async () => {
    await enter('open');
    const client = new Client({ url: server.url, timeout: 5000, connectTimeout: 5000, tlsOptions: { ca: server.ca } });
    try {
      await client.bind(nameOf('open'), FIRST_PASSWORD);
      expect(await apply('disable', 'open')).toMatchObject({ outcome: 'done' });
      expect(await performer.present!(nameOf('open'), FIRST_PASSWORD)).toBe('refused');
      const { searchEntries } = await client.search(nameOf('open'), { scope: 'base', attributes: ['cn'] });
      expect(searchEntries).toHaveLength(1);
      expect(await look('open', '@connections')).toMatchObject({ account: 'disabled', holds: null });
    } finally {
      await client.unbind();
    }
  });

  test('flags that changed in the meantime are not overwritten: the directory refuses the old value', async () => {
    await enter('flags');
    await performer.perform(modify(nameOf('flags'), ['replace', 'userAccountControl', '66048']), as(server.admin));
    const stale = modify(
      nameOf('flags'),
      ['delete', 'userAccountControl', '512'],
      ['add', 'userAccountControl', '514'],
    );
    expect(catalogue.classify(stale, bench.options).ok).toBe(true);
    const reply = (await performer.perform(stale, as(server.writer))) as Extract<Reply, { kind: 'ldap' }>;
    expect(reply.code).not.toBe(0);
    expect((await entryOf('flags', 'userAccountControl')).userAccountControl).toEqual(['66048']);
    expect(await apply('disable', 'flags')).toMatchObject({ outcome: 'done' });
    expect((await entryOf('flags', 'userAccountControl')).userAccountControl).toEqual(['66050']);
  });

  test('a membership by primary group, which member does not show, is seen', async () => {
    await enter('primary');
    expect(await apply('grant', 'primary', { entitlement: group('staff') })).toMatchObject({ outcome: 'done' });
    const { objectSid } = await entryOf('primary', 'objectSid');
    expect(objectSid?.[0]).toMatch(/^[A-Za-z0-9+/]+=*$/);
    const token = await performer.perform(
      {
        kind: 'ldap',
        op: 'search',
        base: group('staff'),
        scope: 'base',
        filter: '(cn=staff)',
        attributes: ['primaryGroupToken'],
      },
      as(server.reader),
    );
    const [rid] = (token as Extract<Reply, { kind: 'ldap' }>).entries[0]!.attributes.primaryGroupToken!;
    expect(
      await performer.perform(modify(nameOf('primary'), ['replace', 'primaryGroupID', rid!]), as(server.admin)),
    ).toMatchObject({ code: 0 });
    const { memberOf = [] } = await entryOf('primary', 'memberOf');
    expect(memberOf.join()).not.toMatch(/staff/i);
    expect(await look('primary', group('staff'))).toMatchObject({ holds: true });
  });

  test('bytes come back as base64: an objectGUID has sixteen', async () => {
    await enter('guid');
    const { objectGUID } = await entryOf('guid', 'objectGUID');
    expect(Buffer.from(objectGUID![0]!, 'base64')).toHaveLength(16);
  });

  test('the login behind a name is read from the directory itself', async () => {
    await enter('named');
    const resolve = catalogue.resolveObject(nameOf('named').toUpperCase(), bench.options)!;
    expect(resolve.read(await bench.look(resolve.call))).toBe('named');
    expect(catalogue.resolveObject(server.writer.dn, bench.options)).toBeNull();
  });

  test('the reader may not write, and the code says so', async () => {
    await enter('safe');
    expect(await performer.perform(modify(nameOf('safe'), ['replace', 'title', 'x']), as(server.reader))).toMatchObject(
      { kind: 'ldap', code: 50 },
    );
  });

  describe('TLS', () => {
    const presented = async (url: string, ca: string): Promise<Reply> => {
      const other = openLdap({ url, ca, timeoutMs: 5000 }, systemAmbient);
      try {
        return await other.perform(
          {
            kind: 'ldap',
            op: 'search',
            base: `ou=people,${server.base}`,
            scope: 'base',
            filter: '(ou=people)',
            attributes: ['ou'],
          },
          as(server.reader),
        );
      } finally {
        await other.close();
      }
    };
    /** Port 389 by an address that does not look like this machine: StartTLS or nothing. */
    const plain = (): string => `ldap://[::ffff:${server.host}]:389`;

    test('a certificate of another CA: down, and no credential sent', async () => {
      expect(await presented(server.url, server.strangerCa)).toMatchObject({ kind: 'down' });
      expect(await presented(plain(), server.strangerCa)).toMatchObject({ kind: 'down' });
    });

    test('StartTLS with the pinned CA', async () => {
      expect(await presented(plain(), server.ca)).toMatchObject({ kind: 'ldap', code: 0 });
    });
  });

  test('1,100 accounts are all observed, in pages', async () => {
    const client = new Client({
      url: server.url,
      timeout: 10_000,
      connectTimeout: 5000,
      tlsOptions: { ca: server.ca },
    });
    try {
      await client.bind(server.admin.dn, server.admin.password);
      for (let n = 0; n < 1100; n++) {
        await client.add(nameOf(`many${n}`), [
          new Attribute({ type: 'objectClass', values: ['user'] }),
          new Attribute({ type: 'sAMAccountName', values: [`many${n}`] }),
        ]);
      }
    } finally {
      await client.unbind();
    }
    const { emitted } = await drive(connector.observe(bench.options), bench.look);
    const many = emitted.filter((fact) => fact.type === 'account' && fact.login.startsWith('many'));
    expect(many).toHaveLength(1100);
  });
});
