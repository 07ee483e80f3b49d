/**
 * PostgreSQL: logins are roles that may log in, entitlements are roles that they are members of. Every call names a
 * statement of the gateway (`gateway/perform/statements.ts`); there is no SQL here. Each change is one call, which the
 * server answers with what it did, so that two of us at once cannot take each other's word.
 */
import { canonical, type Json } from '../../canonical.ts';
import {
  type Attributes,
  type Connector,
  FIRST_SECRET,
  type Observed,
  type Receipt,
  type Reply,
  type SqlCall,
  type Step,
  type TargetOptions,
  type Task,
} from '../../connector/contract.ts';
import { ConnectorFault } from '../../connector/fault.ts';
import { unanswered } from '../../connector/receipt.ts';
import { readComment } from './comment.ts';

const CONNECTIONS = '@connections';

type Asking<Result> = Generator<Step, Result, Reply>;
type Fields = Readonly<Record<string, Json | undefined>>;

const sql = (statement: string, params: SqlCall['params']): { readonly call: SqlCall } => ({
  call: { kind: 'sql', statement, params },
});

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The one row that each statement gives, or null for any other reply. */
function rowOf(reply: Reply): Fields | null {
  if (reply.kind !== 'sql' || reply.sqlstate !== null || reply.rows.length !== 1) return null;
  const [row] = reply.rows;
  return isFields(row) ? row : null;
}

/* ---- what a reply means for a change -------------------------------------------------------------------------------- */

/** By SQLSTATE (PostgreSQL documentation, appendix A). What is not here is not known to have ended without effect. */
const REFUSALS: Readonly<Record<string, string>> = {
  '0LP01': 'the roles would be members of each other',
  '25006': 'the session may only read',
  '2BP01': 'give its objects to another role (REASSIGN OWNED BY … TO …; DROP OWNED BY …), or leave it disabled',
  '42501': 'the server or the gateway’s statement does not let this login do it',
  '42602': 'the server does not take such a name',
  '42704': 'there is no such role',
  '42710': 'there is such a role already',
  '42809': 'the role is no account',
  '42939': 'the name is reserved',
};
/** Rolled back, and likely to go another time: locks, time, room, and connections that have to end first. */
const NOT_NOW = new Set(['40001', '40P01', '53100', '53200', '53300', '55006', '55P03', '57014', '57P03']);

function explain(reply: Reply): Receipt {
  // Each change is one statement: there is no before.
  if (reply.kind !== 'sql') return unanswered(reply, 'write', 'a statement');
  const state = reply.sqlstate ?? '';
  const message = `${reply.message} (SQLSTATE ${state})`;
  if (NOT_NOW.has(state)) return { outcome: 'later', retryAfterMs: null, message };
  const refusal = Object.hasOwn(REFUSALS, state) ? REFUSALS[state] : undefined;
  return refusal === undefined
    ? { outcome: 'unknown', message }
    : { outcome: 'refused', message: `${message}; ${refusal}` };
}

/* ---- apply -------------------------------------------------------------------------------------------------------------- */

function callOf({ effect, account: { login }, attributes = {}, entitlement }: Task): { readonly call: SqlCall } {
  const text = canonical({ ...attributes });
  switch (effect) {
    case 'create':
      return sql('create account', { login, password: FIRST_SECRET, attributes: text });
    case 'update':
      return sql('update account', { login, attributes: text });
    case 'disable':
      return sql('disable account', { login });
    case 'enable':
      return sql('enable account', { login });
    case 'delete':
      return sql('delete account', { login });
    case 'grant':
      return sql('grant role', { login, role: entitlement ?? '' });
    case 'revoke':
      return entitlement === CONNECTIONS
        ? sql('end connections', { login })
        : sql('revoke role', { login, role: entitlement ?? '' });
  }
}

/** What the statement says that it did; null for anything else. */
const OUTCOMES = ['done', 'already', 'absent'] as const;
const outcomeOf = (reply: Reply) => OUTCOMES.find((one) => one === rowOf(reply)?.['outcome']) ?? null;

const REMOVING = new Set<Task['effect']>(['disable', 'delete', 'revoke']);

function* apply(_options: TargetOptions, task: Task): Asking<Receipt> {
  const reply = yield callOf(task);
  const outcome = outcomeOf(reply);
  if (outcome === 'absent') {
    return REMOVING.has(task.effect)
      ? { outcome: 'already', message: 'the server says that there is no such role' }
      : { outcome: 'refused', message: `there is no role ${task.account.login} to ${task.effect}` };
  }
  if (outcome !== null) {
    const id = task.effect === 'create' ? { id: task.account.login } : {};
    return { outcome, ...id, message: `${task.effect}: ${outcome}` };
  }
  const exists = task.effect === 'create' && reply.kind === 'sql' && reply.sqlstate === '42710';
  return exists ? yield* found(task) : explain(reply);
}

/** A role of the name was there. Ours from a try whose answer was lost, or somebody else's? */
function* found({ account: { login }, attributes = {} }: Task): Asking<Receipt> {
  const reply = yield sql('read account', { login });
  const account = readAccount(reply);
  if (account === 'unseen') return explain(reply);
  const isOurs =
    account?.active &&
    account.isMarked &&
    Object.entries(attributes).every(([name, value]) => account.attributes[name as keyof Attributes] === value);
  return isOurs
    ? { outcome: 'already', id: login, message: 'there is this account' }
    : {
        outcome: 'refused',
        message: `there is a role ${login} that is not this account; adopt it, or choose another login`,
      };
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

interface Account {
  readonly active: boolean;
  /** Whether Writgate made, changed or disabled it. */
  readonly isMarked: boolean;
  readonly attributes: Attributes;
}

function readAccount(reply: Reply): Account | null | 'unseen' {
  const row = rowOf(reply);
  if (row?.['found'] === false) return null;
  const { active, comment = null } = row ?? {};
  if (row?.['found'] !== true || typeof active !== 'boolean') return 'unseen';
  if (comment !== null && typeof comment !== 'string') return 'unseen';
  return accountOf(active, comment ?? '');
}

const look: Connector['look'] = function* (_options, { account: { login }, entitlement }) {
  const nothing = { account: null, id: null, attributes: null, holds: null, path: 'pg_roles' };
  const reply = yield sql('read account', { login });
  const account = readAccount(reply);
  if (account === 'unseen') return { ...nothing, message: explain(reply).message };
  if (entitlement === CONNECTIONS) return yield* lookAtConnections(login, account);
  if (account === null) return { ...nothing, account: 'absent', holds: false, message: 'no such role' };
  const seen = { ...nothing, account: stateOf(account), id: login, attributes: account.attributes };
  if (entitlement === undefined) return { ...seen, message: seen.account };

  const answer = yield sql('read membership', { login, role: entitlement });
  const held = rowOf(answer)?.['holds'];
  // A role that is not there could be a name that is spelt wrong: not seen, so not said.
  const holds = typeof held === 'boolean' ? held : null;
  const message = holds === null ? `${entitlement} could not be looked at` : `may use ${entitlement}: ${holds}`;
  return { ...seen, holds, path: 'pg_has_role', message };
};

/** A role that is gone may have left sessions, and then nobody can say whose they are. */
function* lookAtConnections(login: string, account: Account | null): ReturnType<Connector['look']> {
  const path = 'pg_stat_activity';
  const nothing = { account: null, id: null, attributes: null, holds: null, path };
  const reply = yield sql('read connections', { login });
  const { open, nameless } = rowOf(reply) ?? {};
  if (typeof open !== 'number' || typeof nameless !== 'number') return { ...nothing, message: explain(reply).message };
  if (account === null) {
    return nameless > 0
      ? { ...nothing, message: `no such role, and ${nameless} connections of roles that are gone` }
      : { ...nothing, account: 'absent', holds: false, message: 'no such role, and no connection without one' };
  }
  const seen = { ...nothing, account: stateOf(account), id: login, attributes: account.attributes };
  return { ...seen, holds: open > 0, message: `${open} open connections` };
}

function accountOf(active: boolean, comment: string): Account {
  const attributes = readComment(comment);
  return { active, isMarked: attributes !== null, attributes: attributes ?? {} };
}

const stateOf = ({ active }: Account): 'active' | 'disabled' => (active ? 'active' : 'disabled');

/* ---- observe ------------------------------------------------------------------------------------------------------------ */

function* observe({ pageSize = 500 }: TargetOptions): Asking<void> {
  if (typeof pageSize !== 'number' || !Number.isSafeInteger(pageSize) || pageSize < 1 || pageSize > 1000) {
    throw new ConnectorFault('bad-options', `pageSize is ${JSON.stringify(pageSize)}, not a number from 1 to 1000`);
  }
  const names = (fields: Fields, ...keys: string[]): readonly string[] =>
    keys.map((key) => {
      const value = fields[key];
      if (typeof value !== 'string' || value === '')
        throw new ConnectorFault('unreadable-reply', `an item without ${key}`);
      return value;
    });

  yield* pages('list accounts', { after: '' }, pageSize, (item) => {
    const [login = ''] = names(item, 'login');
    const { active, comment } = item;
    if (typeof active !== 'boolean' || typeof comment !== 'string') {
      throw new ConnectorFault('unreadable-reply', `the role ${login} could not be read`);
    }
    const account = accountOf(active, comment);
    return {
      next: { after: login },
      fact: { type: 'account', id: login, login, state: stateOf(account), attributes: account.attributes },
    };
  });
  yield* pages('list roles', { after: '' }, pageSize, (item) => {
    const [name = ''] = names(item, 'name');
    return { next: { after: name }, fact: { type: 'entitlement', ref: name, name } };
  });
  yield* pages('list memberships', { afterRole: '', afterLogin: '' }, pageSize, (item) => {
    const [ref = '', account = ''] = names(item, 'role', 'login');
    return { next: { afterRole: ref, afterLogin: account }, fact: { type: 'membership', ref, account } };
  });
}

/** Reads to the end, which is where the server says that nothing is left; a page that is short before it is a fault. */
function* pages(
  statement: string,
  start: Readonly<Record<string, string>>,
  limit: number,
  read: (item: Fields) => { next: Readonly<Record<string, string>>; fact: Observed },
): Asking<void> {
  let after = start;
  let done = 0;
  for (;;) {
    const reply = yield sql(statement, { ...after, limit });
    const { remaining, items } = rowOf(reply) ?? {};
    if (typeof remaining !== 'number' || !Array.isArray(items) || items.length !== Math.min(limit, remaining)) {
      throw new ConnectorFault('incomplete-read', `${statement}: could not be read past the first ${done}`);
    }
    const facts: Observed[] = [];
    for (const item of items as Json[]) {
      if (!isFields(item)) throw new ConnectorFault('unreadable-reply', `${statement}: an item is no record`);
      const { next, fact } = read(item);
      after = next;
      facts.push(fact);
    }
    yield { emit: facts };
    done += facts.length;
    if (facts.length === remaining) return;
  }
}

export const connector: Connector = {
  kind: 'postgres',
  mechanisms: ['account', 'membership', 'connections'],
  observe,
  apply,
  look,
};
