import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { available, type OpenLdap, startOpenLdap } from '../../../examples/company/openldap.ts';
import { counterpart } from '../../../test/counterparts/counterpart.ts';
import { systemAmbient } from '../../clock.ts';
import type { LdapCall, Reply } from '../../connector/contract.ts';
import { hasCode } from '../../errors.ts';
import type { Address, Performer, Secret } from './contract.ts';
import { openLdap } from './ldap.ts';

const SECRET: Secret = { kind: 'bind', dn: 'cn=writer,dc=acme', password: 'W-secret-1' };
const DELETE: LdapCall = { kind: 'ldap', op: 'delete', dn: 'uid=ann,dc=acme' };
const SEARCH: LdapCall = {
  kind: 'ldap',
  op: 'search',
  base: 'dc=acme',
  scope: 'sub',
  filter: '(uid=*)',
  attributes: ['uid'],
};

/* ---- a directory made of bytes -------------------------------------------------------------------------------------- */

const OP = {
  bind: 0x60,
  bound: 0x61,
  search: 0x63,
  entry: 0x64,
  found: 0x65,
  modified: 0x67,
  delete: 0x4a,
  deleted: 0x6b,
  reference: 0x73,
} as const;

const tlv = (tag: number, ...parts: readonly (Buffer | string)[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const octets = (text: string | Buffer): Buffer => tlv(4, text);
const envelope = (id: number, ...parts: Buffer[]): Buffer => tlv(0x30, tlv(2, Buffer.from([id])), ...parts);
const result = (id: number, tag: number, code: number, message = ''): Buffer =>
  envelope(id, tlv(tag, tlv(10, Buffer.from([code])), octets(''), octets(message)));
const entry = (id: number, dn: string, attributes: Record<string, readonly (string | Buffer)[]>): Buffer => {
  const listed = Object.entries(attributes).map(([name, values]) =>
    tlv(0x30, octets(name), tlv(0x31, ...values.map(octets))),
  );
  return envelope(id, tlv(OP.entry, octets(dn), tlv(0x30, ...listed)));
};
const paged = (id: number, cookie: string): Buffer => {
  const value = tlv(0x30, tlv(2, Buffer.from([0])), octets(cookie));
  const control = tlv(0x30, octets('1.2.840.113556.1.4.319'), octets(value));
  const done = tlv(OP.found, tlv(10, Buffer.from([0])), octets(''), octets(''));
  return envelope(id, done, tlv(0xa0, control));
};

interface Seen {
  readonly id: number;
  readonly op: number;
  readonly bytes: Buffer;
}
type Answer = (seen: Seen, socket: Socket) => Buffer | null;

const servers: Server[] = [];
const performers: Performer[] = [];
afterEach(async () => {
  for (const performer of performers.splice(0)) await performer.close();
  for (const server of servers.splice(0)) server.close();
});

/** Answers every bind with success, and the rest as told. */
async function forged(
  answer: Answer,
  timeoutMs = 400,
): Promise<{ performer: Performer; seen: Seen[]; connections: () => number }> {
  const seen: Seen[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const header = bytes[1]! < 128 ? 2 : 2 + (bytes[1]! & 0x7f);
      const message = { id: bytes[header + 2]!, op: bytes[header + 3]!, bytes };
      seen.push(message);
      const reply = answer(message, socket) ?? (message.op === OP.bind ? result(message.id, OP.bound, 0) : null);
      if (reply) socket.write(reply);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const performer = openLdap({ url: `ldap://127.0.0.1:${port}`, ca: null, timeoutMs }, systemAmbient);
  performers.push(performer);
  return { performer, seen, connections: () => connections };
}

describe('addresses', () => {
  const address = (url: string, more: Partial<Address> = {}): Address => ({ url, ca: null, timeoutMs: 1000, ...more });

  test.each([
    ['no URL', address('dc.example')],
    ['another protocol', address('https://dc.example')],
    ['no host', address('ldap:///dc=acme')],
    ['a password in it', address('ldaps://cn=x:secret@dc.example')],
    ['a base in it', address('ldaps://dc.example/dc=acme')],
    ['a query', address('ldaps://dc.example/?uid')],
    ['no time-out', address('ldaps://dc.example', { timeoutMs: 0 })],
  ])('refuses %s', (_what, given) => {
    expect(() => openLdap(given, systemAmbient)).toThrow(expect.objectContaining({ code: 'wrong-use' }));
    try {
      openLdap(given, systemAmbient);
    } catch (thrown) {
      expect(hasCode(thrown, 'wrong-use')).toBe(true);
      expect(String(thrown)).not.toContain('secret');
    }
  });

  test('sends no credential in plain text to another machine: without StartTLS, nothing', async () => {
    const seen: number[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        seen.push(bytes[5]!);
        expect(bytes.includes('W-secret-1')).toBe(false);
        socket.write(result(bytes[4]!, 0x78, 2, 'no TLS here'));
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '::', resolve));
    const bound = server.address();
    // The same loopback in a spelling that does not show it.
    const url = `ldap://[::ffff:127.0.0.1]:${typeof bound === 'object' && bound ? bound.port : 0}`;
    const performer = openLdap(address(url), systemAmbient);
    performers.push(performer);
    expect(await performer.perform(DELETE, SECRET)).toEqual({
      kind: 'down',
      message: 'StartTLS was answered 2; a credential does not go over plain text',
    });
    expect(await performer.present!('cn=ann', 'x')).toBe('unknown');
    expect(seen).toEqual([0x77, 0x77]);
  });
});

describe('refuses without a connection', () => {
  const nothing = async (call: Parameters<Performer['perform']>[0], secret: Secret): Promise<void> => {
    const { performer, connections } = await forged(() => null);
    expect(await performer.perform(call, secret)).toMatchObject({ kind: 'refused', code: 'wrong-use' });
    expect(connections()).toBe(0);
  };
  test('a call of another protocol', () => nothing({ kind: 'file', path: 'x' }, SECRET));
  test('a credential of another kind', () => nothing(DELETE, { kind: 'bearer', token: 'x' }));
  test('no credential', () => nothing(DELETE, { kind: 'none' }));
  test('a credential without a password, whose bind would be anonymous', () =>
    nothing(DELETE, { ...SECRET, password: '' }));
  test('a credential without a name', () => nothing(DELETE, { ...SECRET, dn: '' }));
  test('a filter that is not understood', () => nothing({ ...SEARCH, filter: '(uid=a*)' }, SECRET));
  test('a search for every attribute', () => nothing({ ...SEARCH, attributes: [] }, SECRET));
});

describe('down: certainly not performed', () => {
  test('nobody listens', async () => {
    const performer = openLdap({ url: 'ldap://127.0.0.1:1', ca: null, timeoutMs: 500 }, systemAmbient);
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({ kind: 'down' });
  });

  test('the directory refuses our credential, and does not learn what we wanted', async () => {
    const { performer, seen } = await forged(({ id }) => result(id, OP.bound, 49, 'bad W-secret-1'));
    const reply = await performer.perform(DELETE, SECRET);
    expect(reply).toEqual({ kind: 'down', message: 'the directory refused our credential cn=writer,dc=acme with 49' });
    expect(seen.map(({ op }) => op)).toEqual([OP.bind]);
  });

  test('the directory is silent at the bind', async () => {
    const { performer } = await forged(() => Buffer.alloc(0), 60);
    expect(await performer.perform(DELETE, SECRET)).toEqual({ kind: 'down', message: 'no answer within 60 ms' });
  });

  test('a listener that does not speak TLS', async () => {
    await forged(() => null);
    const address = servers[0]!.address();
    const url = `ldaps://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
    const performer = openLdap({ url, ca: null, timeoutMs: 300 }, systemAmbient);
    performers.push(performer);
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({ kind: 'down' });
  });

  test('given up before it began', async () => {
    const { performer, connections } = await forged(() => null);
    expect(await performer.perform(DELETE, SECRET, AbortSignal.abort())).toMatchObject({ kind: 'down' });
    expect(connections()).toBe(0);
  });
});

describe('lost: may have been performed', () => {
  test.each<[string, Answer]>([
    ['no answer in time', () => null],
    ['the connection closed', (_seen, socket) => socket.destroy() && null],
    ['an answer to another message', ({ id }) => result(id + 1, OP.deleted, 0)],
    ['a notice of disconnection (RFC 4511 section 4.4.1)', () => result(0, 0x78, 52)],
    ['an answer to another operation', ({ id }) => result(id, OP.modified, 0)],
    ['bytes that are not LDAP', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['half an answer', ({ id }) => result(id, OP.deleted, 0).subarray(0, 6)],
  ])('%s', async (_what, answer) => {
    const { performer } = await forged((seen, socket) => (seen.op === OP.bind ? null : answer(seen, socket)), 150);
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({
      kind: 'lost',
      message: expect.stringMatching(/./),
    });
  });

  test('given up while it was under way', async () => {
    const given = new AbortController();
    const { performer } = await forged(({ op }) => (op === OP.bind ? null : (given.abort() ?? null)), 5000);
    expect(await performer.perform(DELETE, SECRET, given.signal)).toEqual({ kind: 'lost', message: 'given up' });
  });

  test('an answer without end', async () => {
    const { performer } = await forged(({ id, op }, socket) => {
      if (op === OP.bind) return null;
      const page = Buffer.concat(Array.from({ length: 500 }, () => entry(id, 'uid=a', { uid: ['x'.repeat(30_000)] })));
      for (let sent = 0; sent < 6; sent++) socket.write(page);
      return null;
    }, 5000);
    expect(await performer.perform(SEARCH, SECRET)).toEqual({
      kind: 'lost',
      message: 'the answer is longer than 67108864 bytes',
    });
  });

  test('the next call has a connection of its own', async () => {
    let deletes = 0;
    const { performer, connections } = await forged(({ id, op }, socket) => {
      if (op === OP.bind) return null;
      deletes += 1;
      if (deletes === 1) socket.destroy();
      return deletes === 1 ? null : result(id, OP.deleted, 0);
    });
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({ kind: 'lost' });
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({ kind: 'ldap', code: 0 });
    expect(connections()).toBe(2);
  });
});

describe('answers', () => {
  const deleting =
    (code: number, message = ''): Answer =>
    ({ id, op }) =>
      op === OP.bind ? null : result(id, OP.deleted, code, message);

  test('a result code and its message come back as they are, without our secret', async () => {
    const { performer } = await forged(deleting(50, 'no write for W-secret-1'));
    expect(await performer.perform(DELETE, SECRET)).toEqual({
      kind: 'ldap',
      code: 50,
      message: 'no write for [scrubbed]',
      entries: [],
      cookie: '',
    });
  });

  test('a referral is an answer, and nobody goes there', async () => {
    const { performer, seen } = await forged(deleting(10));
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({ kind: 'ldap', code: 10 });
    expect(seen).toHaveLength(2);
  });

  test('a search that continues elsewhere is not an answer to half of it', async () => {
    const { performer } = await forged(({ id, op }) =>
      op === OP.bind
        ? null
        : Buffer.concat([
            entry(id, 'uid=ann', { uid: ['ann'] }),
            envelope(id, tlv(OP.reference, octets('ldap://evil.example/dc=x'))),
            paged(id, 'more'),
          ]),
    );
    expect(await performer.perform({ ...SEARCH, page: { size: 1, cookie: '' } }, SECRET)).toEqual({
      kind: 'ldap',
      code: 10,
      message: '1 continuation references, none followed',
      entries: [],
      cookie: '',
    });
  });

  test('bytes come back as base64, text as text, and an attribute cannot pass for the name', async () => {
    const guid = Buffer.from('00ff10e28882', 'hex');
    const { performer } = await forged(({ id, op }) =>
      op === OP.bind
        ? null
        : Buffer.concat([
            entry(id, 'uid=ann', { objectGUID: [guid], cn: ['Zoë', 'Z'], dn: ['uid=eve'], __proto__x: ['y'] }),
            result(id, OP.found, 0),
          ]),
    );
    const reply = (await performer.perform(SEARCH, SECRET)) as Extract<Reply, { kind: 'ldap' }>;
    expect(reply.entries).toEqual([
      {
        dn: 'uid=ann',
        attributes: { objectGUID: [guid.toString('base64')], cn: ['Zoë', 'Z'], dn: ['uid=eve'], __proto__x: ['y'] },
      },
    ]);
  });

  test('a password for Active Directory goes out quoted and in UTF-16', async () => {
    const { performer, seen } = await forged(({ id, op }) => (op === OP.bind ? null : result(id, OP.modified, 0)));
    const changes = [{ operation: 'replace', attribute: 'unicodePwd', values: ['pä"ss'] }] as const;
    await performer.perform({ kind: 'ldap', op: 'modify', dn: 'cn=ann', changes }, SECRET);
    expect(seen[1]!.bytes.includes(Buffer.from('"pä"ss"', 'utf16le'))).toBe(true);
  });
});

describe('connections', () => {
  const yes: Answer = ({ id, op }) => (op === OP.bind ? null : result(id, OP.deleted, 0));

  test('one is used again, and bound once', async () => {
    const { performer, seen } = await forged(yes);
    for (let times = 0; times < 3; times++) await performer.perform(DELETE, SECRET);
    expect(seen.map(({ op }) => op)).toEqual([OP.bind, OP.delete, OP.delete, OP.delete]);
  });

  test('none is used for another credential, not even for another password of the same name', async () => {
    const { performer, seen, connections } = await forged(yes);
    await performer.perform(DELETE, SECRET);
    await performer.perform(DELETE, { ...SECRET, password: 'W-secret-2' });
    await performer.perform(DELETE, { ...SECRET, dn: 'cn=reader,dc=acme' });
    expect(connections()).toBe(3);
    expect(seen.filter(({ op }) => op === OP.bind)).toHaveLength(3);
  });

  test('one that was closed in the meantime is opened and bound anew, and nothing is lost', async () => {
    const sockets = new Set<Socket>();
    const { performer, seen } = await forged((message, socket) => {
      sockets.add(socket);
      return yes(message, socket);
    });
    await performer.perform(DELETE, SECRET);
    const [socket] = sockets;
    // Closed from both sides only when the client has seen the end.
    const closed = new Promise((resolve) => socket!.once('close', resolve));
    socket!.end();
    await closed;
    expect(await performer.perform(DELETE, SECRET)).toMatchObject({ code: 0 });
    expect(seen.map(({ op }) => op)).toEqual([OP.bind, OP.delete, OP.bind, OP.delete]);
  });

  test('there are four at most, and the fifth call waits', async () => {
    const { performer, connections } = await forged(yes);
    const replies = await Promise.all(Array.from({ length: 40 }, () => performer.perform(DELETE, SECRET)));
    expect(replies.every((reply) => reply.kind === 'ldap' && reply.code === 0)).toBe(true);
    expect(connections()).toBe(4);
  });

  test('a credential that fails does not keep the others waiting', async () => {
    const { performer } = await forged(({ id, op, bytes }) =>
      op === OP.bind ? result(id, OP.bound, bytes.includes('wrong') ? 49 : 0) : result(id, OP.deleted, 0),
    );
    const calls = Array.from({ length: 20 }, (_, n) =>
      performer.perform(DELETE, n % 2 ? SECRET : { ...SECRET, password: 'wrong' }),
    );
    expect((await Promise.all(calls)).map(({ kind }) => kind)).toEqual(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? 'ldap' : 'down')),
    );
  });
});

describe('pages', () => {
  const page = (cookie: string): LdapCall => ({ ...SEARCH, page: { size: 2, cookie } });
  const pages: Answer = ({ id, op, bytes }) => {
    if (op === OP.bind) return null;
    if (bytes.includes('second')) return Buffer.concat([entry(id, 'uid=c', {}), paged(id, '')]);
    // RFC 2696 section 3: a page may be empty and not the last.
    return bytes.includes('first') ? paged(id, 'second') : Buffer.concat([entry(id, 'uid=a', {}), paged(id, 'first')]);
  };

  test('are read to the end, an empty one among them, on the connection that gave the cookie', async () => {
    const { performer, connections } = await forged(pages);
    const names: string[] = [];
    let cookie = '';
    do {
      const reply = (await performer.perform(page(cookie), SECRET)) as Extract<Reply, { kind: 'ldap' }>;
      expect(reply.code).toBe(0);
      names.push(...reply.entries.map(({ dn }) => dn));
      ({ cookie } = reply);
    } while (cookie !== '');
    expect(names).toEqual(['uid=a', 'uid=c']);
    expect(connections()).toBe(1);
  });

  test('a cookie is good once, for the same search and the same credential', async () => {
    const { performer } = await forged(pages);
    const begin = async (): Promise<string> =>
      ((await performer.perform(page(''), SECRET)) as Extract<Reply, { kind: 'ldap' }>).cookie;
    expect(await performer.perform(page('AAAA'), SECRET)).toMatchObject({ kind: 'lost' });
    expect(await performer.perform({ ...page(await begin()), filter: '(cn=*)' } as LdapCall, SECRET)).toMatchObject({
      kind: 'lost',
    });
    expect(await performer.perform(page(await begin()), { ...SECRET, password: 'other' })).toMatchObject({
      kind: 'lost',
    });
    const cookie = await begin();
    expect(await performer.perform(page(cookie), SECRET)).toMatchObject({ kind: 'ldap', code: 0 });
    expect(await performer.perform(page(cookie), SECRET)).toMatchObject({ kind: 'lost' });
  });

  test('a search that is not finished does not take the connections away for good', async () => {
    const { performer } = await forged(pages);
    for (let times = 0; times < 10; times++)
      expect(await performer.perform(page(''), SECRET)).toMatchObject({ kind: 'ldap', code: 0 });
  });
});

describe('presenting a password', () => {
  const binding =
    (code: number): Answer =>
    ({ id }) =>
      result(id, OP.bound, code);

  test.each([
    [0, 'accepted'],
    [49, 'refused'],
    [53, 'unknown'],
    [52, 'unknown'],
    [14, 'unknown'],
    [80, 'unknown'],
  ])('answered %i: %s', async (code, verdict) => {
    const { performer } = await forged(binding(code));
    expect(await performer.present!('uid=ann,dc=acme', 'secret')).toBe(verdict);
  });

  test('an empty password proves nothing, and is not sent (RFC 4513 section 5.1.2)', async () => {
    const { performer, connections } = await forged(binding(0));
    expect(await performer.present!('uid=ann,dc=acme', '')).toBe('unknown');
    expect(await performer.present!('', 'secret')).toBe('unknown');
    expect(connections()).toBe(0);
  });

  test('a directory that is silent or gone: unknown', async () => {
    const { performer } = await forged(() => Buffer.alloc(0), 50);
    expect(await performer.present!('uid=ann,dc=acme', 'secret')).toBe('unknown');
    expect(
      await openLdap({ url: 'ldap://127.0.0.1:1', ca: null, timeoutMs: 200 }, systemAmbient).present!('uid=ann', 'x'),
    ).toBe('unknown');
  });

  test('each time on a connection of its own, which is closed', async () => {
    const { performer, connections } = await forged(binding(0));
    await performer.present!('uid=ann,dc=acme', 'secret');
    await performer.present!('uid=ann,dc=acme', 'secret');
    expect(connections()).toBe(2);
  });
});

describe.skipIf(!counterpart('OpenLDAP', available()))('against OpenLDAP', () => {
  let server: OpenLdap;
  let performer: Performer;
  beforeAll(async () => {
    server = await startOpenLdap();
    performer = openLdap({ url: server.url, ca: null, timeoutMs: 5000 }, systemAmbient);
  });
  afterAll(async () => {
    await performer.close();
    await server.stop();
  });
  const as = ({ dn, password }: { dn: string; password: string }): Secret => ({ kind: 'bind', dn, password });
  const person = (uid: string): LdapCall => ({
    kind: 'ldap',
    op: 'add',
    dn: `uid=${uid},ou=people,${server.base}`,
    attributes: { objectClass: ['inetOrgPerson'], uid: [uid], cn: [uid], sn: ['-'], userPassword: ['Correct-Horse'] },
  });

  test('1,200 entries come in pages, where one search without them is cut at 500', async () => {
    const added = await Promise.all(
      Array.from({ length: 1200 }, (_, n) => performer.perform(person(`p${n}`), as(server.writer))),
    );
    expect(added.every((reply) => reply.kind === 'ldap' && reply.code === 0)).toBe(true);
    const all: LdapCall = { ...SEARCH, base: `ou=people,${server.base}` };
    expect(await performer.perform(all, as(server.reader))).toMatchObject({ kind: 'ldap', code: 4 });

    const names = new Set<string>();
    let cookie = '';
    do {
      const reply = await performer.perform({ ...all, page: { size: 400, cookie } }, as(server.reader));
      if (reply.kind !== 'ldap') throw new Error(reply.kind);
      expect(reply.code).toBe(0);
      for (const { dn } of reply.entries) names.add(dn);
      ({ cookie } = reply);
    } while (cookie !== '');
    expect(names.size).toBe(1200);
  });

  test('the reader may not write, and the code says so', async () => {
    expect(await performer.perform(person('eve'), as(server.reader))).toMatchObject({ kind: 'ldap', code: 50 });
  });

  test('a password is accepted or refused by binding with it', async () => {
    const dn = `uid=p1,ou=people,${server.base}`;
    expect(await performer.present!(dn, 'Correct-Horse')).toBe('accepted');
    expect(await performer.present!(dn, 'wrong')).toBe('refused');
    expect(await performer.present!(`uid=nobody,ou=people,${server.base}`, 'Correct-Horse')).toBe('refused');
  });

  test('a filter value in any script finds its entry', async () => {
    const zoe = { ...person('zoë') } as Extract<LdapCall, { op: 'add' }>;
    expect(await performer.perform(zoe, as(server.writer))).toMatchObject({ code: 0 });
    const search: LdapCall = { ...SEARCH, base: `ou=people,${server.base}`, filter: '(uid=zo\\c3\\ab)' };
    expect(await performer.perform(search, as(server.reader))).toMatchObject({
      code: 0,
      entries: [{ attributes: { uid: ['zoë'] } }],
    });
  });
});
