/**
 * SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865) as generators. README.md says what the options mean.
 *
 * Three things are never taken for granted: that a list is the whole list, that a 2xx means what it says, and that
 * the user in an answer is the user who was asked for.
 */
import {
  ATTRIBUTES,
  type Attributes,
  type Connector,
  type HttpCall,
  type Observed,
  type Question,
  type Receipt,
  type Reply,
  type Sighting,
  type Step,
  type TargetOptions,
  type Task,
} from '../../connector/contract.ts';
import { ConnectorFault } from '../../connector/fault.ts';
import { unanswered } from '../../connector/receipt.ts';
import {
  activePatch,
  addMember,
  attributesPatch,
  equals,
  REMOVALS,
  type Removal,
  removeMember,
  userBody,
} from './attributes.ts';
import { type Abilities, fold, type Group, readAbilities, readGroup, readPage, readUser, type User } from './read.ts';

type Asking<Result> = Generator<Step, Result, Reply>;

/* ---- options ---------------------------------------------------------------------------------------------------- */

interface Options {
  /** Undefined: ask the server. */
  readonly dialect: 'patch' | 'put' | undefined;
  readonly removal: Removal;
  readonly pageSize: number;
  readonly password: boolean;
}

/** @throws ConnectorFault `bad-options` */
function readOptions({ dialect, removal = 'path', pageSize = 100, password = false }: TargetOptions): Options {
  const bad = (what: string): never => {
    throw new ConnectorFault('bad-options', `scim: ${what}`);
  };
  if (dialect !== undefined && dialect !== 'patch' && dialect !== 'put') return bad('dialect is patch or put');
  if (!REMOVALS.includes(removal as Removal)) return bad(`removal is one of ${REMOVALS.join(', ')}`);
  if (!Number.isSafeInteger(pageSize) || (pageSize as number) < 1) return bad('pageSize is a positive integer');
  if (typeof password !== 'boolean') return bad('password is true or false');
  return { dialect, removal: removal as Removal, pageSize: pageSize as number, password };
}

/* ---- what a reply means ------------------------------------------------------------------------------------------ */

/**
 * Retry-After in milliseconds (RFC 9110 section 10.2.3): seconds, or a date, which is measured against the reply's own
 * `Date`, since a connector has no clock and the server's may be wrong.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>): number | null {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const wait = /[A-Za-z]{3}/.test(text) ? Date.parse(text) - Date.parse(headers['date'] ?? '') : Number.NaN;
  return Number.isNaN(wait) ? null : Math.max(0, wait);
}

/** The reply's status and what the server says about it (RFC 7644 section 3.12). */
function describe(reply: Reply): string {
  if (reply.kind !== 'http') return reply.message;
  const error = fold(reply.body);
  const said = error?.get('detail') ?? error?.get('scimtype') ?? (typeof reply.body === 'string' ? reply.body : '');
  return typeof said === 'string' && said !== '' ? `${reply.status}: ${said.slice(0, 200)}` : `${reply.status}`;
}

/** A certain no. 404 and 409 are judged where they happen. */
const NO: ReadonlySet<number> = new Set([400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 501]);
/** Not now, and certainly not done: the request was turned away (429, 503), or was over (408, 412, 425). */
const NOT_NOW: ReadonlySet<number> = new Set([408, 412, 425, 429, 503]);

/** A reply that is no success, as a receipt. Before a write nothing can have happened; after it only a certain no is one. */
function explain(reply: Reply, stage: 'before' | 'write'): Receipt {
  if (reply.kind !== 'http') return unanswered(reply, stage, 'an HTTP call');
  const message = `the target answered ${describe(reply)}`;
  if (NOT_NOW.has(reply.status)) return { outcome: 'later', retryAfterMs: retryAfterMs(reply.headers), message };
  return { outcome: NO.has(reply.status) ? 'refused' : 'unknown', message };
}

const isStatus = (reply: Reply, ...statuses: readonly number[]): boolean =>
  reply.kind === 'http' && statuses.includes(reply.status);

/* ---- reading ------------------------------------------------------------------------------------------------------- */

const http = (method: HttpCall['method'], path: readonly string[], more: Partial<HttpCall> = {}): HttpCall => ({
  kind: 'http',
  method,
  path,
  ...more,
});

/** Found, certainly absent, or the reply that told neither. */
type Found<Item> = { readonly item: Item | null } | { readonly reply: Reply };

/** `userName` and a group's `displayName` are not case-exact (RFC 7643 sections 4.1.1 and 4.2). */
const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** What a server without RFC 7644 section 4 can be held to. */
const UNTOLD: Abilities = { patch: true, etag: true, cursor: false, maxResults: null };

function* discover(): Asking<Abilities | { readonly reply: Reply }> {
  const reply = yield { call: http('GET', ['ServiceProviderConfig']) };
  if (isStatus(reply, 404, 501)) return UNTOLD;
  return (isStatus(reply, 200) && reply.kind === 'http' ? readAbilities(reply.body) : null) ?? { reply };
}

/**
 * The whole population, page by page, proved: every page says the same total, nothing comes twice, and the total is
 * reached exactly. A server that cannot say how many there are (RFC 9865 lets it) cannot be read whole.
 * @throws ConnectorFault
 */
function* pages<Item extends { readonly id: string }>(
  resource: 'Users' | 'Groups',
  readItem: (value: unknown) => Item | null,
  size: number,
  byCursor: boolean,
): Generator<Step | { readonly page: readonly Item[] }, void, Reply> {
  const broken = (why: string): never => {
    throw new ConnectorFault(
      'incomplete-read',
      `${resource}: ${why}; read ${seen.size} of ${total ?? 'an unknown number'}`,
    );
  };
  const seen = new Set<string>();
  let total: number | null = null;
  let cursor = '';
  do {
    const from = seen.size + 1;
    const query = { ...(byCursor ? { cursor } : { startIndex: String(from) }), count: String(size) };
    const reply: Reply = yield { call: http('GET', [resource], { query }) };
    const page = readPage(reply, readItem);
    if (!page) return broken(`the target answered ${describe(reply)}`);
    if (total !== null && page.total !== total) return broken(`the total changed to ${page.total} between pages`);
    if (!byCursor && page.startIndex !== null && page.startIndex !== from && page.items.length > 0) {
      return broken(`asked for the page from ${from}, got the one from ${page.startIndex}`);
    }
    total = page.total;
    for (const { id } of page.items) {
      if (seen.has(id)) return broken(`${id} came twice`);
      seen.add(id);
    }
    const over = byCursor ? page.nextCursor === null : seen.size >= total;
    if (over ? seen.size !== total : page.items.length === 0 || seen.size > total) {
      return broken(over ? 'the pages end and the count is wrong' : 'a page with a gap');
    }
    yield { page: page.items };
    if (over) return;
    cursor = page.nextCursor ?? '';
  } while (true);
}

/** Reads everybody to find one: for servers that have no filter. @returns null where the population is not whole. */
function* search<Item extends { readonly id: string }>(
  resource: 'Users' | 'Groups',
  readItem: (value: unknown) => Item | null,
  isIt: (item: Item) => boolean,
  size: number,
): Asking<readonly Item[] | null> {
  const found: Item[] = [];
  const reading = pages(resource, readItem, size, false);
  try {
    let step = reading.next();
    while (!step.done) {
      if ('page' in step.value) {
        found.push(...step.value.page.filter(isIt));
        step = reading.next();
      } else step = reading.next(yield step.value);
    }
    return found;
  } catch (fault) {
    if (fault instanceof ConnectorFault) return null;
    throw fault;
  }
}

/** One by an attribute that is unique on the server. Two, or somebody else, is an answer that is not understood. */
function* findBy<Item extends { readonly id: string }>(
  resource: 'Users' | 'Groups',
  readItem: (value: unknown) => Item | null,
  [attribute, value]: readonly [string, string],
  isIt: (item: Item) => boolean,
  { pageSize }: Options,
  more: Readonly<Record<string, string>> = {},
): Asking<Found<Item>> {
  const reply = yield { call: http('GET', [resource], { query: { filter: equals(attribute, value), ...more } }) };
  let items: readonly Item[] | null;
  const unfiltered = isStatus(reply, 501) || (isStatus(reply, 400) && scimType(reply) === 'invalidFilter');
  if (unfiltered) items = yield* search(resource, readItem, isIt, pageSize);
  else {
    const page = readPage(reply, readItem);
    items = page?.items.filter(isIt) ?? null;
    // Something came and it is not what was asked for, or something is said to be there and did not come.
    if (page && items?.length === 0 && (page.total > 0 || page.items.length > 0)) items = null;
  }
  return items === null || items.length > 1 ? { reply } : { item: items[0] ?? null };
}

const scimType = (reply: Reply): unknown => (reply.kind === 'http' ? fold(reply.body)?.get('scimtype') : undefined);

const findLogin = (login: string, options: Options): Asking<Found<User>> =>
  findBy('Users', readUser, ['userName', login], (user) => same(user.login, login), options);

const findGroup = (name: string, options: Options, more?: Readonly<Record<string, string>>): Asking<Found<Group>> =>
  findBy('Groups', readGroup, ['displayName', name], (group) => same(group.name, name), options, more);

function* get<Item extends { readonly id: string }>(
  resource: 'Users' | 'Groups',
  id: string,
  readItem: (value: unknown) => Item | null,
): Asking<Found<Item>> {
  const reply = yield { call: http('GET', [resource, id]) };
  if (isStatus(reply, 404)) return { item: null };
  const item = isStatus(reply, 200) && reply.kind === 'http' ? readItem(reply.body) : null;
  return item?.id === id ? { item } : { reply };
}

/** The account of a task: by its id, and by its login where the id leads nowhere (some servers give a new one). */
function* findAccount({ login, id }: Task['account'], options: Options): Asking<Found<User>> {
  if (id !== null) {
    const found = yield* get('Users', id, readUser);
    if ('reply' in found) return found;
    if (found.item) return same(found.item.login, login) ? found : { reply: another(id, found.item.login) };
  }
  return yield* findLogin(login, options);
}

/** The id is somebody else's by now. */
const another = (id: string, login: string): Reply => ({
  kind: 'refused',
  code: 'not-found',
  message: `the target says that ${id} is ${login}`,
});

/* ---- observe ----------------------------------------------------------------------------------------------------- */

function* observe(given: TargetOptions): Asking<void> {
  const options = readOptions(given);
  const abilities = yield* discover();
  if ('reply' in abilities) {
    throw new ConnectorFault(
      'incomplete-read',
      `ServiceProviderConfig: the target answered ${describe(abilities.reply)}`,
    );
  }
  const size = Math.min(options.pageSize, abilities.maxResults ?? options.pageSize);

  const users = pages('Users', readUser, size, abilities.cursor);
  for (let step = users.next(); !step.done; ) {
    if ('page' in step.value) {
      yield { emit: step.value.page.map(account) };
      step = users.next();
    } else step = users.next(yield step.value);
  }

  const groups = pages('Groups', readGroup, size, abilities.cursor);
  for (let step = groups.next(); !step.done; ) {
    if ('page' in step.value) {
      for (const group of step.value.page) yield { emit: yield* entitlement(group) };
      step = groups.next();
    } else step = groups.next(yield step.value);
  }
}

const account = ({ id, login, state, attributes }: User): Observed => ({
  type: 'account',
  id,
  login,
  state,
  attributes,
});

/** Some servers leave the members out of a list: then the group itself is asked. */
function* entitlement({ id, name, members }: Group): Asking<Observed[]> {
  let held = members;
  if (held === null) {
    const found = yield* get('Groups', id, readGroup);
    if ('reply' in found || !found.item) {
      throw new ConnectorFault('incomplete-read', `the members of group ${name} could not be read`);
    }
    held = found.item.members ?? [];
  }
  return [
    { type: 'entitlement', ref: id, name },
    ...held.map((member): Observed => ({ type: 'membership', ref: id, account: member })),
  ];
}

/* ---- apply --------------------------------------------------------------------------------------------------------- */

function* apply(given: TargetOptions, task: Task): Asking<Receipt> {
  const options = readOptions(given);
  switch (task.effect) {
    case 'create':
      return yield* create(options, task);
    case 'grant':
    case 'revoke':
      return yield* member(options, task, task.effect);
    case 'delete':
      return yield* remove(options, task);
    case 'update':
    case 'enable':
    case 'disable':
      return yield* change(options, task, task.effect);
  }
}

const unknown = (message: string): Receipt => ({ outcome: 'unknown', message });
const refused = (message: string): Receipt => ({ outcome: 'refused', message });

function* create(options: Options, { account: { login }, attributes = {} }: Task): Asking<Receipt> {
  const body = userBody(login, attributes, { active: true, password: options.password });
  const reply = yield { call: http('POST', ['Users'], { body }) };
  if (isStatus(reply, 201) && reply.kind === 'http') {
    const created = readUser(reply.body);
    if (!created || !same(created.login, login)) return unknown('the target answered 201 without the account');
    if (created.state !== 'active') return unknown('the target answered 201 with an account that is disabled');
    return { outcome: 'done', id: created.id, message: 'created (201)' };
  }
  if (!isStatus(reply, 409)) return explain(reply, 'write');

  // Ours from an attempt whose answer was lost, or somebody else's: only an identifying attribute can tell.
  const found = yield* findLogin(login, options);
  if ('reply' in found) return unknown(`the target answered 409, then ${describe(found.reply)}`);
  const other = found.item;
  if (!other) return refused(`the target answered ${describe(reply)}, and has no account ${login}`);
  if (!isSame(attributes, other.attributes)) return refused(`${login} is taken by another account (${other.id})`);
  if (other.state === 'disabled') return refused(`${login} exists and is disabled (${other.id})`);
  return { outcome: 'already', id: other.id, message: `${login} exists with the same attributes` };
}

/** Both carry the employee id and it is equal; where one has none, the address decides; with neither, nothing does. */
function isSame(wanted: Attributes, there: Attributes): boolean {
  for (const attribute of ['employeeId', 'email'] as const) {
    if (wanted[attribute] !== undefined && there[attribute] !== undefined) {
      return wanted[attribute] === there[attribute];
    }
  }
  return false;
}

/** What a task without an account means: nothing to take away, or nothing to change. */
const withoutAccount = (effect: Task['effect']): Receipt =>
  effect === 'disable' || effect === 'delete' || effect === 'revoke'
    ? { outcome: 'already', message: 'the target says that there is no such account' }
    : refused(`there is no account to ${effect}`);

const guarded = (version: string | null): Partial<HttpCall> =>
  version === null ? {} : { headers: { 'if-match': version } };

function* remove(options: Options, task: Task): Asking<Receipt> {
  const found = yield* findAccount(task.account, options);
  if ('reply' in found) return explain(found.reply, 'before');
  if (!found.item) return withoutAccount('delete');
  const reply = yield { call: http('DELETE', ['Users', found.item.id], guarded(found.item.version)) };
  if (isStatus(reply, 204)) return { outcome: 'done', message: 'deleted (204)' };
  if (isStatus(reply, 404)) return { outcome: 'already', message: 'the target answered 404' };
  return explain(reply, 'write');
}

/** Update, enable and disable: read, compare, write one effect, read the answer again. */
function* change(options: Options, task: Task, effect: 'update' | 'enable' | 'disable'): Asking<Receipt> {
  const found = yield* findAccount(task.account, options);
  if ('reply' in found) return explain(found.reply, 'before');
  const user = found.item;
  if (!user) return withoutAccount(effect);

  const wanted = {
    state: effect === 'update' ? user.state : effect === 'enable' ? ('active' as const) : ('disabled' as const),
    attributes: effect === 'update' ? (task.attributes ?? {}) : {},
  };
  if (isSo(user, wanted)) return { outcome: 'already', message: `${effect}: it is so already` };

  const abilities = options.dialect ? { ...UNTOLD, patch: options.dialect === 'patch' } : yield* discover();
  if ('reply' in abilities) return explain(abilities.reply, 'before');
  let call = http('PATCH', ['Users', user.id], {
    body: effect === 'update' ? attributesPatch(wanted.attributes) : activePatch(effect === 'enable'),
  });
  if (!abilities.patch) {
    const body = replacement(user, task, effect);
    if (typeof body === 'string') return refused(body);
    call = http('PUT', ['Users', user.id], { body });
  }

  const reply = yield { call: { ...call, ...guarded(abilities.etag ? user.version : null) } };
  if (isStatus(reply, 204)) return { outcome: 'done', message: `${effect} (204)` };
  if (isStatus(reply, 404) && effect === 'disable') return { outcome: 'already', message: 'the target answered 404' };
  if (!isStatus(reply, 200) || reply.kind !== 'http') return explain(reply, 'write');
  const after = readUser(reply.body);
  if (after?.id !== user.id) return unknown('the target answered 200 without the account');
  return isSo(after, wanted)
    ? { outcome: 'done', message: `${effect} (200)` }
    : unknown(`the target answered 200 and shows an account that is not so`);
}

const isSo = (user: User, wanted: { readonly state: User['state']; readonly attributes: Attributes }): boolean =>
  user.state === wanted.state &&
  ATTRIBUTES.every((name) => (wanted.attributes[name] ?? user.attributes[name]) === user.attributes[name]);

/**
 * The body of a PUT, which replaces everything (RFC 7644 section 3.5.1); or why none can be sent. `active` is left out
 * of an update, so that the gateway can tell an update from letting somebody in again.
 */
function replacement(user: User, task: Task, effect: 'update' | 'enable' | 'disable') {
  if (user.beyond.length > 0) return `a PUT would erase ${user.beyond.join(', ')}; nothing was written`;
  if (effect !== 'update') return userBody(user.login, user.attributes, { active: effect === 'enable' });
  const missing = ATTRIBUTES.filter(
    (name) => user.attributes[name] !== undefined && task.attributes?.[name] === undefined,
  );
  if (missing.length > 0)
    return `a PUT would erase ${missing.join(', ')}; an update by PUT has to carry every attribute`;
  if (user.state === 'disabled')
    return 'a PUT would enable the account; an account that is disabled is updated by PATCH only';
  return userBody(user.login, task.attributes ?? {});
}

/** One member in or out of one group, always by PATCH: to replace a group is to revoke from everybody who is left out. */
function* member(options: Options, task: Task, effect: 'grant' | 'revoke'): Asking<Receipt> {
  const name = task.entitlement ?? '';
  if (name === '' || name.startsWith('@')) return refused(`SCIM has no mechanism ${name || 'without a name'}`);
  let id = task.account.id;
  if (id === null) {
    const found = yield* findAccount(task.account, options);
    if ('reply' in found) return explain(found.reply, 'before');
    if (!found.item) return withoutAccount(effect);
    id = found.item.id;
  }
  const found = yield* findGroup(name, options);
  if ('reply' in found) return explain(found.reply, 'before');
  const group = found.item;
  if (!group) return refused(`the target has no group ${name}`);
  if (group.members !== null && group.members.includes(id) === (effect === 'grant')) {
    return { outcome: 'already', message: `${effect}: it is so already` };
  }

  const body = effect === 'grant' ? addMember(id) : removeMember(id, options.removal);
  const reply = yield { call: http('PATCH', ['Groups', group.id], { body }) };
  if (isStatus(reply, 204)) return { outcome: 'done', message: `${effect} (204)` };
  // RFC 7644 section 3.5.2.2: a value path that matches nobody.
  if (effect === 'revoke' && isStatus(reply, 400) && scimType(reply) === 'noTarget') {
    return { outcome: 'already', message: 'the target has no such member' };
  }
  if (!isStatus(reply, 200) || reply.kind !== 'http') return explain(reply, 'write');
  const after = readGroup(reply.body);
  if (after?.id !== group.id) return unknown('the target answered 200 without the group');
  return (after.members ?? []).includes(id) === (effect === 'grant')
    ? { outcome: 'done', message: `${effect} (200)` }
    : unknown('the target answered 200 and shows a group in which it is not so');
}

/* ---- look ---------------------------------------------------------------------------------------------------------- */

const NOTHING = { account: null, id: null, attributes: null, holds: null } as const;

/**
 * The account by its login, and by its id before it counts as absent. The membership is asked of the group itself and
 * of the user, neither of which the writer used: held when either says so, not held only when one shows that it tells.
 */
function* look(given: TargetOptions, question: Question): Asking<Sighting> {
  const options = readOptions(given);
  const { login, id } = question.account;
  let path = 'GET /Users?filter=userName';
  let found = yield* findLogin(login, options);
  if (!('reply' in found) && found.item === null && id !== null) {
    path = 'GET /Users?filter=userName, GET /Users/{id}';
    found = yield* get('Users', id, readUser);
  }
  if ('reply' in found) return { ...NOTHING, path, message: `the target answered ${describe(found.reply)}` };

  let user = found.item;
  if (user && id !== null && user.id !== id) {
    // Under the login lives another account; the one that was meant may live on under another name.
    path = 'GET /Users?filter=userName, GET /Users/{id}';
    const meant = yield* get('Users', id, readUser);
    if ('reply' in meant) return { ...NOTHING, path, message: `the target answered ${describe(meant.reply)}` };
    if (meant.item?.state === 'active') user = meant.item;
  }
  const seen = user
    ? { account: user.state, id: user.id, attributes: user.attributes, message: portrait(question, user) }
    : { account: 'absent' as const, id: null, attributes: null, message: 'no such account' };
  if (question.entitlement === undefined) return { ...seen, holds: null, path };
  const membership = yield* holds(question.entitlement, user, [user?.id, id], options);
  return { ...seen, holds: membership.holds, path: membership.path, message: `${seen.message}; ${membership.message}` };
}

const portrait = ({ account: { login, id } }: Question, user: User): string => {
  if (!same(user.login, login)) return `${user.state} under the login ${user.login}`;
  return id !== null && user.id !== id ? `${user.state} under another id, ${user.id}` : user.state;
};

type Membership = Pick<Sighting, 'holds' | 'path' | 'message'>;

function* holds(
  name: string,
  user: User | null,
  known: readonly (string | null | undefined)[],
  options: Options,
): Asking<Membership> {
  const unseen = (path: string, message: string): Membership => ({ holds: null, path, message });
  const ids = known.filter((id): id is string => typeof id === 'string');
  const named = yield* findGroup(name, options, { excludedAttributes: 'members' });
  // A group that is not there could be a name that is spelt wrong: not seen, so not said.
  if ('reply' in named || !named.item) return unseen('GET /Groups?filter=displayName', `no group ${name} was seen`);
  const ref = named.item.id;

  const group = yield* get('Groups', ref, readGroup);
  const shown = 'reply' in group ? undefined : group.item?.members;
  const path = 'GET /Groups/{id}, GET /Users';
  if (shown?.some((member) => ids.includes(member))) return { holds: true, path, message: 'the group has the member' };
  if (user?.groups?.includes(ref)) return { holds: true, path, message: 'the user has the group' };
  if (shown === undefined) return unseen(path, `the members of ${name} could not be read`);
  if (shown !== null || user?.groups) return { holds: false, path, message: 'neither the group nor the user shows it' };
  if (ids.length === 0) return { holds: false, path, message: 'there is nobody who could hold it' };
  return yield* holdsByFilter(ref, ids);
}

/** Neither shows anything: an empty group, or a server that never shows members. A filter on members can tell. */
function* holdsByFilter(ref: string, ids: readonly string[]): Asking<Membership> {
  const path = 'GET /Groups?filter=members.value';
  let any = false;
  for (const id of new Set(ids)) {
    const query = { filter: equals('members.value', id), excludedAttributes: 'members' };
    const page = readPage(yield { call: http('GET', ['Groups'], { query }) }, readGroup);
    if (!page || page.items.length !== page.total) return { holds: null, path, message: 'the members are not shown' };
    any ||= page.items.some((group) => group.id === ref);
  }
  return { holds: any, path, message: any ? 'the group is among the member’s' : 'the group is not among the member’s' };
}

export const connector: Connector = { kind: 'scim', mechanisms: ['account', 'membership'], observe, apply, look };
