/** A tiny target in memory: the other side of the template, and a test double that behaves. It never forgets a call. */
import { ATTRIBUTES, type Attributes, type Call, type HttpCall, type Reply } from '../../connector/contract.ts';

interface Account {
  readonly id: string;
  readonly login: string;
  state: 'active' | 'disabled';
  attributes: Attributes;
}

export interface DummyTarget {
  /** Answers at once; a call that is not HTTP is `refused`. */
  answer(call: Call): Reply;
  readonly calls: readonly Call[];
}

const reply = (status: number, body: Extract<Reply, { kind: 'http' }>['body'] = null): Reply => ({
  kind: 'http',
  status,
  headers: {},
  body,
});

/** `groups` are the names of the entitlements that exist; ids are given in order: `a1`, `a2`, … and `g1`, `g2`, … */
export function openDummyTarget(groups: readonly string[]): DummyTarget {
  const accounts = new Map<string, Account>();
  const members = new Map(groups.map((name, index) => [`g${index + 1}`, { name, ids: new Set<string>() }]));
  const calls: Call[] = [];
  let created = 0;

  const accountBody = ({ id, login, state, attributes }: Account) => ({
    id,
    login,
    state,
    attributes: { ...attributes },
  });
  const attributesIn = (body: unknown): Attributes => {
    const given = (body as { attributes?: Record<string, unknown> } | null)?.attributes ?? {};
    return Object.fromEntries(
      ATTRIBUTES.flatMap((name) => (typeof given[name] === 'string' ? [[name, given[name]]] : [])),
    );
  };

  function onAccounts({ method, query = {}, body }: HttpCall): Reply {
    if (method === 'GET') {
      const found = [...accounts.values()].filter(({ login }) => query.login === undefined || login === query.login);
      const start = Number(query.after ?? 0);
      const end = start + Number(query.limit ?? 100);
      const next = end < found.length ? String(end) : null;
      return reply(200, { items: found.slice(start, end).map(accountBody), next, total: found.length });
    }
    if (method !== 'POST') return reply(405);
    const { login } = body as { login: string };
    if ([...accounts.values()].some((account) => account.login === login)) return reply(409);
    const account: Account = { id: `a${++created}`, login, state: 'active', attributes: attributesIn(body) };
    accounts.set(account.id, account);
    return reply(201, accountBody(account));
  }

  function onAccount(account: Account, { method, body }: HttpCall): Reply {
    if (method === 'GET') return reply(200, accountBody(account));
    if (method === 'PATCH') {
      const { state } = body as { state?: Account['state'] };
      if (state) account.state = state;
      account.attributes = { ...account.attributes, ...attributesIn(body) };
      return reply(200, accountBody(account));
    }
    if (method !== 'DELETE') return reply(405);
    accounts.delete(account.id);
    for (const { ids } of members.values()) ids.delete(account.id);
    return reply(204);
  }

  function onMember(ids: Set<string>, account: Account, { method }: HttpCall): Reply {
    if (method === 'GET') return reply(200, { account: account.id, held: ids.has(account.id) });
    if (method === 'PUT') ids.add(account.id);
    else if (method === 'DELETE') ids.delete(account.id);
    else return reply(405);
    return reply(204);
  }

  function route(call: HttpCall): Reply {
    const [collection, id, sub, member] = call.path;
    if (collection === 'accounts') {
      if (id === undefined) return onAccounts(call);
      const account = accounts.get(id);
      return account ? onAccount(account, call) : reply(404);
    }
    if (collection !== 'groups') return reply(404);
    if (id === undefined) {
      const items = [...members].map(([group, { name, ids }]) => ({ id: group, name, members: [...ids] }));
      return reply(200, { items, total: items.length });
    }
    const account = accounts.get(member ?? '');
    const ids = members.get(id)?.ids;
    return sub === 'members' && ids && account ? onMember(ids, account, call) : reply(404);
  }

  return {
    calls,
    answer(call) {
      calls.push(call);
      if (call.kind !== 'http') return { kind: 'refused', code: 'operation', message: 'the dummy speaks HTTP only' };
      return route(call);
    },
  };
}
