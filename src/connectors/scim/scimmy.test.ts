/** Against scimmy-routers: a foreign server, with PATCH and entity tags, in this process because it is one a process. */
import { afterAll, describe, expect, test } from 'vitest';
import { startScimServer } from '../../../examples/company/scim-server.ts';
import type { Task } from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import { connectorSuite } from '../../connector/suite.ts';
import { ENTITLEMENT, makeGroup, openBench, throughGateway } from './bench.ts';
import { connector } from './connector.ts';

const tokens = { writer: 'writer-token-1', reader: 'reader-token-1' };
const server = await startScimServer(tokens);
await makeGroup(server.url, tokens.writer, ENTITLEMENT);
await makeGroup(server.url, tokens.writer, 'Other');
afterAll(() => server.close());

connectorSuite('scim × scimmy-routers, PATCH', () =>
  openBench(server.url, tokens, { dialect: 'patch', pageSize: 150, password: true }),
);

connectorSuite('scim × scimmy-routers, PUT and array removal', () =>
  openBench(server.url, tokens, { dialect: 'put', removal: 'array', pageSize: 150 }),
);

describe('scim × scimmy-routers', () => {
  const options = { dialect: 'patch' } as const;
  const writer = throughGateway(server.url, tokens.writer, options);
  const reader = throughGateway(server.url, tokens.reader, options);
  afterAll(() => Promise.all([writer.close(), reader.close()]));
  const apply = (task: Task, through = writer) => drive(connector.apply(options, task), through.perform);
  const create = async (login: string): Promise<string> => {
    const { result } = await apply({
      effect: 'create',
      account: { login, id: null },
      attributes: { employeeId: login },
    });
    return result.outcome === 'done' && result.id ? result.id : expect.fail(JSON.stringify(result));
  };

  test('the reader’s credential writes nothing', async () => {
    const account = { login: 'by-reader', id: null };
    const { result } = await apply({ effect: 'create', account, attributes: {} }, reader);
    expect(result).toEqual({ outcome: 'refused', message: 'the target answered 403: reads only' });
  });

  test('a login with quotes and a filter in it finds itself and nobody else', async () => {
    const login = 'x" or userName pr or userName eq "\\';
    const id = await create(login);
    const { result } = await drive(connector.look(options, { account: { login, id: null } }), reader.perform);
    expect(result).toMatchObject({ account: 'active', id });
  });

  test('an account that was changed in between is left alone: later', async () => {
    const login = 'changed-in-between';
    const id = await create(login);
    const task: Task = { effect: 'disable', account: { login, id } };
    const { result } = await drive(connector.apply(options, task), async (call) => {
      if (call.kind === 'http' && call.method === 'PATCH') {
        await apply({ effect: 'update', account: { login, id }, attributes: { title: 'Director' } });
      }
      return writer.perform(call);
    });
    expect(result).toEqual({
      outcome: 'later',
      retryAfterMs: null,
      message: 'the target answered 412: it was changed',
    });
    const { result: seen } = await drive(connector.look(options, { account: { login, id } }), reader.perform);
    expect(seen).toMatchObject({ account: 'active', attributes: { title: 'Director' } });
  });

  test.each([
    ['another employee id', { employeeId: 'another', email: 'taken@example.com' }],
    ['an address only, where the account has none', { email: 'taken@example.com' }],
    ['nothing that identifies anybody', { title: 'Engineer' }],
  ])('a create over a login that is taken, with %s, is refused', async (what, attributes) => {
    const login = `taken, ${what}`;
    await create(login);
    const { result } = await apply({ effect: 'create', account: { login, id: null }, attributes });
    expect(result).toMatchObject({
      outcome: 'refused',
      message: expect.stringContaining('is taken by another account'),
    });
  });

  test('a create over a disabled account is refused: it would say that somebody can get in', async () => {
    const login = 'left-and-back';
    const id = await create(login);
    expect((await apply({ effect: 'disable', account: { login, id } })).result.outcome).toBe('done');
    const { result } = await apply({
      effect: 'create',
      account: { login, id: null },
      attributes: { employeeId: login },
    });
    expect(result).toMatchObject({ outcome: 'refused', message: expect.stringContaining('disabled') });
  });
});
