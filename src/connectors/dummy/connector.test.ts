import type { Call, Reply } from '../../connector/contract.ts';
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
