/** Against @better-auth/scim: a second foreign server, before a real login, stricter than the first and without tags. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { scim } from '@better-auth/scim';
import { type BetterAuthPlugin, betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import type { Connector } from '../../connector/contract.ts';
import { connectorSuite } from '../../connector/suite.ts';
import { ENTITLEMENT, makeGroup, openBench } from './bench.ts';
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
