/** Against @better-auth/scim: a second foreign server, before a real login, stricter than the first and without tags. */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { scim } from '@better-auth/scim';
import { type BetterAuthPlugin, betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemAmbient } from '../../clock.ts';
import type { Connector } from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import { connectorSuite } from '../../connector/suite.ts';
import type { Performer } from '../../gateway/perform/contract.ts';
import { openHttp } from '../../gateway/perform/http.ts';
import { judge, judgePresented } from '../../verification/look.ts';
import type { Tuple } from '../../writ/tuple.ts';
import { ENTITLEMENT, makeGroup, openBench, throughGateway } from './bench.ts';
import { connector } from './connector.ts';

const tokens = { writer: 'writer-token-2', reader: 'reader-token-2' };

async function start() {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const plugin = scim({
    connections: [
      {
        id: 'writgate',
        credentials: [
          { type: 'bearer', id: 'writer', token: tokens.writer },
          { type: 'bearer', id: 'reader', token: tokens.reader, scopes: ['scim.users.read', 'scim.groups.read'] },
        ],
      },
    ],
  });
  const tables = ['user', 'session', 'account', 'verification', ...Object.keys(plugin.schema)];
  const auth = betterAuth({
    baseURL: origin,
    secret: 'only for this test, and gone with its process',
    database: memoryAdapter(Object.fromEntries(tables.map((table) => [table, []]))),
    emailAndPassword: { enabled: true },
    // Its types were written for a looser tsconfig than ours.
    plugins: [plugin as unknown as BetterAuthPlugin],
  });
  server.on('request', toNodeHandler(auth));
  return {
    url: `${origin}/api/auth/scim/v2`,
    signIn: { url: `${origin}/api/auth/sign-in/email`, name: 'email', password: 'password' },
    /** What the application around it does when somebody chooses a password, and when it takes it away. */
    async setPassword(email: string, password: string | null): Promise<void> {
      const { internalAdapter, password: hashing } = await auth.$context;
      const found = await internalAdapter.findUserByEmail(email, { includeAccounts: true });
      if (!found) throw new Error(`nobody has ${email}`);
      if (password === null) {
        for (const { id, providerId } of found.accounts) {
          if (providerId === 'credential') await internalAdapter.deleteAccount(id);
        }
        return;
      }
      await internalAdapter.linkAccount({
        userId: found.user.id,
        providerId: 'credential',
        accountId: found.user.id,
        password: await hashing.hash(password),
      });
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** It wants an address of every user and lets no two have the same, so each account is created with its own. */
const withAddress: Connector = {
  ...connector,
  apply: (options, task) =>
    connector.apply(
      options,
      task.effect === 'create'
        ? { ...task, attributes: { ...task.attributes, email: `${task.account.login}@example.com` } }
        : task,
    ),
};

connectorSuite('scim × @better-auth/scim', async () => {
  const server = await start();
  await makeGroup(server.url, tokens.writer, ENTITLEMENT);
  return openBench(
    server.url,
    tokens,
    { pageSize: 50 },
    {
      connector: withAddress,
      attributes: {
        employeeId: '4711',
        displayName: 'Zoë Quinn-O’Hara, M.A.',
        givenName: 'Zoë',
        familyName: 'Quinn-O’Hara',
        department: 'R & D (north)',
        title: 'Engineer "II" \\ on call',
      },
      close: server.close,
    },
  );
});

describe('a password that outlives the account, as this server leaves it unless the application looks', () => {
  const login = 'ann';
  const tuple: Tuple = { system: 'app', object: login, effect: 'disable', entitlement: null, valueDigest: null };
  let server: Awaited<ReturnType<typeof start>>;
  let writer: ReturnType<typeof throughGateway>;
  let reader: ReturnType<typeof throughGateway>;
  let performer: Performer;
  beforeAll(async () => {
    server = await start();
    writer = throughGateway(server.url, tokens.writer);
    reader = throughGateway(server.url, tokens.reader);
    performer = openHttp({ url: server.url, ca: null, timeoutMs: 10_000, signIn: server.signIn }, systemAmbient);
    const attributes = { employeeId: '4711', displayName: 'Ann', email: 'ann@example.com' };
    const { result } = await drive(
      connector.apply({}, { effect: 'create', account: { login, id: null }, attributes }),
      writer.perform,
    );
    expect(result).toMatchObject({ outcome: 'done' });
    await server.setPassword('ann@example.com', 'correct horse battery');
  });
  afterAll(async () => {
    await Promise.all([writer.close(), reader.close(), performer.close()]);
    await server.close();
  });
  const look = async () => (await drive(connector.look({}, { account: { login, id: null } }), reader.perform)).result;
  /** As the verifier does it: by the address that the server itself shows. */
  const verdict = async () => {
    const sighting = await look();
    const presented = await performer.present!(sighting.attributes?.email ?? '', 'correct horse battery');
    return { presented, ...judgePresented(tuple, judge(tuple, null, sighting), presented) };
  };

  test('before: the account is active, and the password lets in', async () => {
    expect(await verdict()).toMatchObject({
      presented: 'accepted',
      verdict: 'contradicted',
      saw: 'the account is active',
    });
    expect(await performer.present!('ann@example.com', 'another password')).toBe('refused');
    expect(await performer.present!('nobody@example.com', 'correct horse battery')).toBe('refused');
  });

  test('active=false is done, is shown, and the password still lets in: contradicted, never confirmed', async () => {
    const { result } = await drive(
      connector.apply({}, { effect: 'disable', account: { login, id: (await look()).id } }),
      writer.perform,
    );
    expect(result).toMatchObject({ outcome: 'done' });
    const sighting = await look();
    expect(sighting).toMatchObject({ account: 'disabled' });
    expect(judge(tuple, null, sighting)).toMatchObject({ verdict: 'confirmed' });
    expect(await verdict()).toMatchObject({
      presented: 'accepted',
      verdict: 'contradicted',
      saw: 'its old password still lets it in',
    });
  });

  test('once the application has looked, the password is refused, and it is confirmed', async () => {
    await server.setPassword('ann@example.com', null);
    expect(await verdict()).toMatchObject({ presented: 'refused', verdict: 'confirmed' });
  });

  test('a form that is not there, or answers with a redirect: nobody knows, so inconclusive', async () => {
    const away = openHttp(
      {
        url: server.url,
        ca: null,
        timeoutMs: 500,
        signIn: { ...server.signIn, url: 'http://127.0.0.1:9/sign-in' },
      },
      systemAmbient,
    );
    const elsewhere = openHttp(
      {
        url: server.url,
        ca: null,
        timeoutMs: 5_000,
        signIn: { ...server.signIn, url: `${server.url}/nothing-here` },
      },
      systemAmbient,
    );
    for (const one of [away, elsewhere]) {
      const presented = await one.present!('ann@example.com', 'correct horse battery');
      const judged = judge(tuple, null, await look());
      expect(judgePresented(tuple, judged, presented).verdict, presented).not.toBe('confirmed');
      await one.close();
    }
  });
});
