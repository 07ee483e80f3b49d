/**
 * The template: copy this folder, keep the order, change the protocol. README.md walks through it.
 *
 * A connector yields calls and is given replies. It holds no secret and opens nothing; it may be wrong about a target
 * but cannot do more than its writ. What it must get right is modesty: say `done` only for a reply that it understood.
 */
import {
  ATTRIBUTES,
  type Attributes,
  type Connector,
  type HttpCall,
  type Observed,
  type Receipt,
  type Reply,
  type Step,
  type TargetOptions,
  type Task,
} from '../../connector/contract.ts';
import { ConnectorFault } from '../../connector/fault.ts';
import { unanswered } from '../../connector/receipt.ts';

/* ---- reading: from unknown bytes to facts, or null --------------------------------------------------------------- */

interface Account {
  readonly id: string;
  readonly login: string;
  readonly state: 'active' | 'disabled';
  readonly attributes: Attributes;
}

interface Group {
  readonly id: string;
  readonly name: string;
  readonly members: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function readAccount(value: unknown): Account | null {
  if (!isFields(value) || typeof value.id !== 'string' || typeof value.login !== 'string') return null;
  const { id, login, state, attributes } = value;
  // `active` and `disabled` and nothing else: a word that we do not know is not "disabled".
  if ((state !== 'active' && state !== 'disabled') || !isFields(attributes)) return null;
  const known = ATTRIBUTES.filter((name) => attributes[name] !== undefined);
  if (known.some((name) => typeof attributes[name] !== 'string')) return null;
  return { id, login, state, attributes: Object.fromEntries(known.map((name) => [name, attributes[name]])) };
}

function readGroup(value: unknown): Group | null {
  if (!isFields(value) || typeof value.id !== 'string' || typeof value.name !== 'string') return null;
  const { id, name, members } = value;
  if (!Array.isArray(members) || !members.every((member) => typeof member === 'string')) return null;
  return { id, name, members };
}

/** A page is read whole or not at all: one unreadable item would be one account that nobody governs. */
function readPage<Item>(reply: Reply, readItem: (value: unknown) => Item | null) {
  if (reply.kind !== 'http' || reply.status !== 200 || !isFields(reply.body)) return null;
  const { items, next = null, total } = reply.body;
  if (!Array.isArray(items) || !Number.isSafeInteger(total) || (next !== null && typeof next !== 'string')) return null;
  const read = items.map(readItem);
  return read.includes(null) ? null : { items: read as Item[], next, total: total as number };
}

/* ---- what a reply means for a change ------------------------------------------------------------------------------ */

/** Seconds (RFC 9110 section 10.2.3). The form with a date needs a clock, which a connector does not have. */
function retryAfterMs(headers: Readonly<Record<string, string>>): number | null {
  const text = headers['retry-after'];
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) * 1000 : null;
}

/** A reply that is not success, as a receipt. After a write only a certain no is a no; before it nothing happened. */
function explain(reply: Reply, stage: 'before' | 'write'): Receipt {
  if (reply.kind !== 'http') return unanswered(reply, stage, 'an HTTP call');
  const message = `the target answered ${reply.status}`;
  if (reply.status === 429 || reply.status === 503) {
    return { outcome: 'later', retryAfterMs: retryAfterMs(reply.headers), message };
  }
  return { outcome: [400, 401, 403, 404, 405, 409, 422].includes(reply.status) ? 'refused' : 'unknown', message };
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

type Asking<Result> = Generator<Step, Result, Reply>;
/** Found, certainly absent, or the reply that told neither. */
type Found<Item> = { readonly item: Item | null } | { readonly reply: Reply };

const http = (method: HttpCall['method'], path: readonly string[], more: Partial<HttpCall> = {}): HttpCall => ({
  kind: 'http',
  method,
  path,
  ...more,
});

/** By id where there is one: a login can be given to somebody else, an id cannot. */
function* findAccount({ login, id }: Task['account']): Asking<Found<Account>> {
  if (id !== null) {
    const reply = yield { call: http('GET', ['accounts', id]) };
    if (reply.kind === 'http' && reply.status === 404) return { item: null };
    const item = reply.kind === 'http' && reply.status === 200 ? readAccount(reply.body) : null;
    return item?.id === id ? { item } : { reply };
  }
  const reply = yield { call: http('GET', ['accounts'], { query: { login } }) };
  const page = readPage(reply, readAccount);
  const [item = null, second] = page?.items ?? [];
  return !page || second || (item && item.login !== login) ? { reply } : { item };
}

function* findGroup(name: string): Asking<Found<Group>> {
  const reply = yield { call: http('GET', ['groups']) };
  const page = readPage(reply, readGroup);
  return page ? { item: page.items.find((group) => group.name === name) ?? null } : { reply };
}

/* ---- the three generators -------------------------------------------------------------------------------------------- */

function* observe({ pageSize = 100 }: TargetOptions): Asking<void> {
  let read = 0;
  let after: string | null = null;
  do {
    const query: Record<string, string> = { limit: String(pageSize), ...(after === null ? {} : { after }) };
    const page = readPage(yield { call: http('GET', ['accounts'], { query }) }, readAccount);
    if (!page) throw new ConnectorFault('incomplete-read', `the accounts could not be read past the first ${read}`);
    yield { emit: page.items.map((account): Observed => ({ type: 'account', ...account })) };
    read += page.items.length;
    after = page.next;
    // Whatever ends the reading early, or keeps it from ending, would look like people who left.
    if (after === null ? read !== page.total : page.items.length === 0) {
      throw new ConnectorFault('incomplete-read', `read ${read} of ${page.total} accounts`);
    }
  } while (after !== null);

  const groups = readPage(yield { call: http('GET', ['groups']) }, readGroup);
  if (!groups || groups.items.length !== groups.total) {
    throw new ConnectorFault('incomplete-read', 'the groups could not be read');
  }
  for (const { id: ref, name, members } of groups.items) {
    yield { emit: [{ type: 'entitlement', ref, name }, ...members.map((account) => membership(ref, account))] };
  }
}

const membership = (ref: string, account: string): Observed => ({ type: 'membership', ref, account });

function* apply(_options: TargetOptions, task: Task): Asking<Receipt> {
  return task.effect === 'create' ? yield* create(task) : yield* change(task, task.effect);
}

function* create({ account: { login }, attributes = {} }: Task): Asking<Receipt> {
  const reply = yield { call: http('POST', ['accounts'], { body: { login, attributes: { ...attributes } } }) };
  if (reply.kind === 'http' && reply.status === 201) {
    const created = readAccount(reply.body);
    return created?.login === login
      ? { outcome: 'done', id: created.id, message: 'created' }
      : { outcome: 'unknown', message: 'the target answered 201 without the account' };
  }
  if (reply.kind !== 'http' || reply.status !== 409) return explain(reply, 'write');
  const found = yield* findAccount({ login, id: null });
  if ('reply' in found) return explain(found.reply, 'before');
  return found.item
    ? { outcome: 'already', id: found.item.id, message: 'there is an account of this login' }
    : { outcome: 'unknown', message: 'the target answered 409 and has no such account' };
}

/** What each change of an existing account sends, and by what it is seen to be so already. */
interface Change {
  readonly already: boolean;
  readonly call: HttpCall;
}

function* change(task: Task, effect: Exclude<Task['effect'], 'create'>): Asking<Receipt> {
  const found = yield* findAccount(task.account);
  if ('reply' in found) return explain(found.reply, 'before');
  if (found.item === null) {
    return effect === 'delete' || effect === 'disable' || effect === 'revoke'
      ? { outcome: 'already', message: 'the target says that there is no such account' }
      : { outcome: 'refused', message: `no account to ${effect}` };
  }
  const account = found.item;
  const path = ['accounts', account.id];

  let wanted: Change;
  switch (effect) {
    case 'update': {
      const attributes = { ...task.attributes };
      const already = ATTRIBUTES.every(
        (name) => (attributes[name] ?? account.attributes[name]) === account.attributes[name],
      );
      wanted = { already, call: http('PATCH', path, { body: { attributes } }) };
      break;
    }
    case 'disable':
    case 'enable': {
      const state = effect === 'disable' ? 'disabled' : 'active';
      wanted = { already: account.state === state, call: http('PATCH', path, { body: { state } }) };
      break;
    }
    case 'delete':
      wanted = { already: false, call: http('DELETE', path) };
      break;
    case 'grant':
    case 'revoke': {
      const group = yield* findGroup(task.entitlement ?? '');
      if ('reply' in group) return explain(group.reply, 'before');
      if (!group.item) return { outcome: 'refused', message: `no group named ${task.entitlement}` };
      const already = group.item.members.includes(account.id) === (effect === 'grant');
      const member = ['groups', group.item.id, 'members', account.id];
      wanted = { already, call: http(effect === 'grant' ? 'PUT' : 'DELETE', member) };
    }
  }
  if (wanted.already) return { outcome: 'already', message: `${effect}: nothing to do` };

  const reply = yield { call: wanted.call };
  if (reply.kind !== 'http') return explain(reply, 'write');
  // The protocol: PATCH answers 200 with the account, the rest 204. Another success is one that we do not know.
  const understood = wanted.call.method === 'PATCH' ? readAccount(reply.body)?.id === account.id : reply.status === 204;
  if (understood && reply.status === (wanted.call.method === 'PATCH' ? 200 : 204)) {
    return { outcome: 'done', message: `the target answered ${reply.status}` };
  }
  const gone = wanted.call.method === 'DELETE' && reply.status === 404;
  return gone ? { outcome: 'already', message: 'the target answered 404' } : explain(reply, 'write');
}

/** The path differs from the writer's: a membership is asked for by member, not read from the group. */
const look: Connector['look'] = function* (_options, question) {
  const path = question.account.id === null ? 'GET /accounts?login' : 'GET /accounts/{id}';
  const nothing = { account: null, id: null, attributes: null, holds: null, path };
  const found = yield* findAccount(question.account);
  if ('reply' in found) return { ...nothing, message: explain(found.reply, 'before').message };
  const account = found.item;
  if (!account) return { ...nothing, account: 'absent', holds: false, message: 'no such account' };
  const seen = { account: account.state, id: account.id, attributes: account.attributes };
  if (question.entitlement === undefined) return { ...seen, holds: null, path, message: account.state };

  const group = yield* findGroup(question.entitlement);
  if ('reply' in group || !group.item) {
    // A group that is not there could be a name that is spelt wrong: not seen, so not said.
    return { ...seen, holds: null, path: 'GET /groups', message: `${question.entitlement} could not be found` };
  }
  const reply = yield { call: http('GET', ['groups', group.item.id, 'members', account.id]) };
  const answer = reply.kind === 'http' && reply.status === 200 && isFields(reply.body) ? reply.body : {};
  const holds = answer.account === account.id && typeof answer.held === 'boolean' ? answer.held : null;
  return { ...seen, holds, path: 'GET /groups/{id}/members/{account}', message: `held: ${holds ?? 'not seen'}` };
};

export const connector: Connector = { kind: 'dummy', mechanisms: ['account', 'membership'], observe, apply, look };
