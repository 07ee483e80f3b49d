/** Against @better-auth/scim: a second foreign server, before a real login, stricter than the first and without tags. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { scim } from '@better-auth/scim';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { expect, test } from 'vitest';
import { connectorSuite } from '../../connector/suite.ts';
import { ENTITLEMENT, makeGroup, openBench } from './bench.ts';

const tokens = { writer: 'writer-token-2', reader: 'reader-token-2' };

async function start() {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const auth = betterAuth({
    baseURL: origin,
    secret: 'only for this test, and gone with its process',
    database: memoryAdapter({}),
    emailAndPassword: { enabled: true },
    plugins: [
      scim({
        connections: [
          {
            id: 'writgate',
            credentials: [
              { type: 'bearer', id: 'writer', token: tokens.writer },
              { type: 'bearer', id: 'reader', token: tokens.reader, scopes: ['scim.users.read', 'scim.groups.read'] },
            ],
          },
        ],
      }),
    ],
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

connectorSuite('scim × @better-auth/scim', async () => {
  const server = await start();
  await makeGroup(server.url, tokens.writer, ENTITLEMENT);
  return openBench(server.url, tokens, { pageSize: 50 }, { close: server.close });
});

test('placeholder', () => expect(1).toBe(1));
