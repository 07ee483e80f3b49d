/** A bench for the contract suite: the connector before a real server, through the real catalogue and performer. */

import { systemAmbient } from '../../clock.ts';
import type { Call, Reply, TargetOptions } from '../../connector/contract.ts';
import { type Bench, TASK_EFFECTS } from '../../connector/suite.ts';
import { catalogue } from '../../gateway/catalogue/scim.ts';
import { openHttp } from '../../gateway/perform/http.ts';
import { connector } from './connector.ts';
import { fold } from './read.ts';

export interface Tokens {
  readonly writer: string;
  readonly reader: string;
}

/** As the gateway does it: classified, the account resolved by a read of its own, rebuilt, the first secret put in, performed. */
export function throughGateway(
  url: string,
  token: string,
  options: TargetOptions = {},
  timeoutMs = 10_000,
): { perform(call: Call): Promise<Reply>; close(): Promise<void> } {
  const performer = openHttp({ url, ca: null, timeoutMs }, systemAmbient);
  const secret = { kind: 'bearer', token } as const;
  const refused = (message: string): Reply => ({ kind: 'refused', code: 'wrong-use', message });
  return {
    async perform(call) {
      const verdict = catalogue.classify(call, options);
      if (!verdict.ok) return refused(verdict.reason);
      const { call: rebuilt, wantsSecret, object } = verdict.classified;
      if (object !== null && 'id' in object) {
        const question = catalogue.resolveObject(object.id, options);
        const login = question?.read(await performer.perform(question.call, secret));
        if (!login) return refused(`nobody can say whose account ${object.id} is`);
      }
      return performer.perform(
        wantsSecret ? catalogue.withSecret(rebuilt, 'correct horse battery staple') : rebuilt,
        secret,
      );
    },
    close: () => performer.close(),
  };
}

/** What an honest server answers to this write. */
export function success(call: Call): Reply {
  if (call.kind !== 'http') throw new Error('SCIM speaks HTTP only');
  const http = (status: number, body: Extract<Reply, { kind: 'http' }>['body'] = null): Reply => ({
    kind: 'http',
    status,
    headers: {},
    body,
  });
  return call.method === 'POST'
    ? http(201, { ...Object.fromEntries(fold(call.body)!), id: 'never-made' } as never)
    : http(204);
}

export const ENTITLEMENT = 'Staff "R&D" \\ north';

export async function openBench(
  url: string,
  tokens: Tokens,
  options: TargetOptions,
  more: Partial<Bench> = {},
): Promise<Bench> {
  const writer = throughGateway(url, tokens.writer, options);
  const reader = throughGateway(url, tokens.reader, options);
  return {
    connector,
    options,
    perform: writer.perform,
    look: reader.perform,
    entitlement: ENTITLEMENT,
    success,
    supports: new Set(TASK_EFFECTS),
    ...more,
    close: async () => {
      await writer.close();
      await reader.close();
      await more.close?.();
    },
  };
}

/** Groups are made by the administrator of a target; the catalogue does not let a connector make one. */
export async function makeGroup(url: string, token: string, displayName: string): Promise<string> {
  const response = await fetch(`${url}/Groups`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
    body: JSON.stringify({ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName }),
  });
  if (response.status !== 201) throw new Error(`the group was not made: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}
