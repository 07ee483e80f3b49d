import { describe, expect, test } from 'vitest';
import type { Call, Reply } from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import { connectorSuite, TASK_EFFECTS } from '../../connector/suite.ts';
import { connector } from './connector.ts';
import { openDummyTarget } from './target.ts';

/** What the target answers when it means it. */
function success(call: Call): Reply {
  if (call.kind !== 'http') throw new Error('the dummy speaks HTTP only');
  const http = (status: number, body: Extract<Reply, { kind: 'http' }>['body'] = null): Reply => ({
    kind: 'http',
    status,
    headers: {},
    body,
  });
  const sent = (call.body ?? {}) as { login?: string; state?: string; attributes?: Record<string, string> };
  const account = { state: 'active', attributes: {}, ...sent };
  if (call.method === 'POST') return http(201, { id: 'a999999', ...account });
  if (call.method === 'PATCH') return http(200, { id: call.path[1]!, login: 'as-it-was', ...account });
  return http(204);
}

connectorSuite('dummy', async () => {
  const target = openDummyTarget(['other', 'staff']);
  return {
    connector,
    options: { pageSize: 3 },
    perform: async (call) => target.answer(call),
    look: async (call) => target.answer(call),
    entitlement: 'staff',
    success,
    supports: new Set(TASK_EFFECTS),
    close: async () => undefined,
  };
});

describe('what the suite cannot know of this protocol', () => {
  const account = { id: 'a1', login: 'zoe', state: 'active', attributes: {} };
  const page = (items: unknown[], next: string | null, total: number): Reply => ({
    kind: 'http',
    status: 200,
    headers: {},
    body: { items, next, total } as Extract<Reply, { kind: 'http' }>['body'],
  });

  test('a page that ends before the total is an incomplete read', async () => {
    const reading = drive(connector.observe({}), () => page([account], null, 2));
    await expect(reading).rejects.toMatchObject({ code: 'incomplete-read', message: 'read 1 of 2 accounts' });
  });

  test('an empty page that promises more is an incomplete read, not an endless one', async () => {
    const reading = drive(connector.observe({}), () => page([], 'again', 2));
    await expect(reading).rejects.toMatchObject({ code: 'incomplete-read' });
  });

  test('a state without a meaning here is not taken for disabled', async () => {
    const question = { account: { login: 'zoe', id: 'a1' } };
    const suspended = { kind: 'http', status: 200, headers: {}, body: { ...account, state: 'suspended' } } as const;
    const { result } = await drive(connector.look({}, question), () => suspended);
    expect(result.account).toBeNull();
  });

  test('another account than the one asked for is not looked at', async () => {
    const question = { account: { login: 'zoe', id: 'a2' } };
    const another = { kind: 'http', status: 200, headers: {}, body: account } as const;
    const { result } = await drive(connector.look({}, question), () => another);
    expect(result).toMatchObject({ account: null, id: null });
  });

  test('a revocation of somebody who is not there ends already, without a write', async () => {
    const target = openDummyTarget(['staff']);
    const task = { effect: 'revoke', account: { login: 'zoe', id: 'a1' }, entitlement: 'staff' } as const;
    const { result, calls } = await drive(connector.apply({}, task), (call) => target.answer(call));
    expect(result.outcome).toBe('already');
    expect(calls.every((call) => call.kind === 'http' && call.method === 'GET')).toBe(true);
  });
});
