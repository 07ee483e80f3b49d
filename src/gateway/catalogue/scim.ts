/**
 * The catalogue of SCIM 2.0: what a call does, judged from its method, its path and its body.
 *
 * A call is taken apart into what we understand, and put together again by the functions that the connector itself
 * uses. What is left over after taking it apart is a refusal: an attribute that is not in the table, a spelling that
 * a server might read otherwise, a second effect. So nothing is forwarded that was not classified.
 */
import type { Json } from '../../canonical.ts';
import {
  ATTRIBUTES,
  type Attribute,
  type Attributes,
  type Call,
  FIRST_SECRET,
  type HttpCall,
  type Reply,
  type TargetOptions,
} from '../../connector/contract.ts';
import {
  ATTRIBUTE_AT,
  activePatch,
  addMember,
  attributesPatch,
  ENTERPRISE,
  equals,
  GROUP,
  PATCH_OP,
  removeMember,
  USER,
  userBody,
} from '../../connectors/scim/attributes.ts';
import { fold, readBoolean, readGroup, readPage, readUser, type User } from '../../connectors/scim/read.ts';
import type { Catalogue, Classification, Classified } from './contract.ts';

/** Why not. */
type Refusal = string;
type Result = Classified | Refusal;

const OPERATIONS = [
  'read User',
  'read Group',
  'read configuration',
  'create User',
  'update User',
  'enable User',
  'disable User',
  'delete User',
  'grant',
  'revoke',
] as const;

/* ---- the surface: method and path decide who reads the body -------------------------------------------------------- */

const READS: Readonly<Record<string, (typeof OPERATIONS)[number]>> = {
  Users: 'read User',
  Groups: 'read Group',
  ServiceProviderConfig: 'read configuration',
};
const QUERY = new Set(['filter', 'startIndex', 'count', 'cursor', 'attributes', 'excludedAttributes']);

function classifyCall(call: Call, options: TargetOptions): Result {
  if (call.kind !== 'http') return `a ${call.kind} call is not SCIM`;
  const flaw = flawOf(call);
  if (flaw !== null) return flaw;
  const [resource = '', id] = call.path;
  const route = `${call.method} /${resource}${id === undefined ? '' : '/{id}'}`;
  switch (route) {
    case 'GET /Users':
    case 'GET /Users/{id}':
    case 'GET /Groups':
    case 'GET /Groups/{id}':
    case 'GET /ServiceProviderConfig':
      return read(call, READS[resource]!);
    case 'POST /Users':
      return create(call);
    case 'PUT /Users/{id}':
      return options['dialect'] === 'put' ? replace(call, id!) : 'PUT is allowed where the target’s dialect is put';
    case 'PATCH /Users/{id}':
      return patchUser(call, id!);
    case 'PATCH /Groups/{id}':
      return patchGroup(call, id!);
    case 'DELETE /Users/{id}':
      return call.body === undefined
        ? write(call, 'delete User', 'delete', { object: { id: id! } })
        : 'a DELETE has no body';
    case 'PUT /Groups/{id}':
      return 'PUT of a group revokes from everybody who is left out';
    default:
      return `${route} is not in the catalogue`;
  }
}

const isText = (value: unknown): value is string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  typeof value === 'string' && value.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(value);

/** The call comes over a pipe, so its types are a claim. What is not looked at here is not forwarded. */
function flawOf({ path, query, headers, method, ...rest }: HttpCall): Refusal | null {
  if (Object.keys(rest).some((name) => name !== 'kind' && name !== 'body'))
    return 'the call has a member that is not known';
  if (!Array.isArray(path) || path.length > 2 || !path.every((part) => isText(part) && part !== '')) {
    return 'the path is not one or two segments of plain text';
  }
  // A resource is one word, so that no segment can be mistaken for a route of two.
  if (!/^[A-Za-z]+$/.test(path[0] ?? '')) return 'the path does not begin with a resource';
  // `/Users/.search` and dot segments; `Me` is a resource of its own and no user's id.
  if (path[1]?.startsWith('.') || path[1] === 'Me') return `/${path[0]}/${path[1]} is not in the catalogue`;
  if (Object.keys(headers ?? {}).some((name) => name !== 'if-match')) return 'a header other than if-match';
  if (headers?.['if-match'] !== undefined && !isText(headers['if-match'])) return 'if-match is not plain text';
  const asked = Object.entries(query ?? {});
  if (method !== 'GET' && asked.length > 0) return 'a write with a query';
  if (asked.some(([name, value]) => !QUERY.has(name) || !isText(value))) return 'a query that is not in the catalogue';
  return null;
}

function read(call: HttpCall, operation: string): Result {
  if (call.body !== undefined || call.headers) return 'a read with a body or a header';
  const { method, path, query } = call;
  return {
    operation,
    effect: 'read',
    object: null,
    entitlement: null,
    attributes: null,
    wantsSecret: false,
    call: { kind: 'http', method, path: [...path], ...(query ? { query: { ...query } } : {}) },
  };
}

/** The call again, from its parts. */
function write(
  { method, path, headers }: HttpCall,
  operation: (typeof OPERATIONS)[number],
  effect: Classified['effect'],
  more: Partial<Classified>,
  body?: Json,
): Classified {
  const match = headers?.['if-match'];
  return {
    operation,
    effect,
    object: null,
    entitlement: null,
    attributes: null,
    wantsSecret: false,
    ...more,
    call: {
      kind: 'http',
      method,
      path: [...path],
      ...(match === undefined ? {} : { headers: { 'if-match': match } }),
      ...(body === undefined ? {} : { body }),
    },
  };
}

/* ---- a user's body ---------------------------------------------------------------------------------------------------- */

/** What a body says about a user, each thing once. */
interface Said {
  readonly attributes: { [A in Attribute]?: string };
  active?: boolean;
  login?: string;
  password?: true;
}

/** Takes in one attribute by its path in lower case. @returns why not, or null */
function take(said: Said, path: string, value: unknown): Refusal | null {
  const attribute = ATTRIBUTE_AT.get(path);
  if (attribute) {
    const text = attribute === 'email' ? oneAddress(value) : value;
    if (!isText(text)) return `${path} is not ${attribute === 'email' ? 'one address for work' : 'plain text'}`;
    if (said.attributes[attribute] !== undefined) return `${path} is said twice`;
    said.attributes[attribute] = text;
    return null;
  }
  switch (path) {
    case 'active': {
      const active = readBoolean(value);
      if (active === null) return 'active is neither true nor false';
      if (said.active !== undefined) return 'active is said twice';
      said.active = active;
      return null;
    }
    case 'username':
      if (!isText(value) || value.trim() !== value || value === '') return 'userName is not plain text';
      said.login = value;
      return null;
    case 'password':
      if (value !== FIRST_SECRET) return 'a password other than the marker of a first secret';
      said.password = true;
      return null;
    default:
      return `attribute ${path} is not in the catalogue`;
  }
}

/** `[{ value, type: 'work', primary: true }]`, in the spellings that mean nothing else. */
function oneAddress(value: unknown): unknown {
  const address = Array.isArray(value) && value.length === 1 ? fold(value[0]) : null;
  if (!address || [...address.keys()].some((name) => !['value', 'type', 'primary'].includes(name))) return null;
  const type = address.get('type') ?? 'work';
  const primary = address.has('primary') ? readBoolean(address.get('primary')) : true;
  return type === 'work' && primary === true ? address.get('value') : null;
}

/** Takes in an object of attributes; `name` and the enterprise extension hold further ones. */
function takeAll(said: Said, body: unknown): Refusal | null {
  const fields = fold(body);
  if (!fields) return 'the body is no object, or names an attribute in two spellings';
  for (const [name, value] of fields) {
    if (name === 'schemas') continue;
    const holds = name === 'name' ? 'name.' : name === ENTERPRISE.toLowerCase() ? `${name}:` : null;
    if (holds === null) {
      const flaw = take(said, name, value);
      if (flaw !== null) return flaw;
      continue;
    }
    const inner = fold(value);
    if (!inner) return `${name} is no object, or names an attribute in two spellings`;
    for (const [within, leaf] of inner) {
      const flaw = take(said, `${holds}${within}`, leaf);
      if (flaw !== null) return flaw;
    }
  }
  return null;
}

/** The body of a POST or PUT; its `schemas` say what kind of thing it is. */
function readBody(body: unknown): Said | Refusal {
  const schemas = fold(body)?.get('schemas');
  const known = [USER, ENTERPRISE].map((schema) => schema.toLowerCase());
  const named = Array.isArray(schemas) ? schemas.map((schema) => String(schema).toLowerCase()) : [];
  if (!named.includes(known[0]!) || !named.every((schema) => known.includes(schema))) {
    return 'the schemas are not those of a user, with or without the enterprise extension';
  }
  const said: Said = { attributes: {} };
  return takeAll(said, body) ?? (said.login === undefined ? 'the body has no userName' : said);
}

function create(call: HttpCall): Result {
  const said = readBody(call.body);
  if (typeof said === 'string') return said;
  const { attributes, active, login, password = false } = said;
  if (active === false) return 'an account that is created disabled is two effects';
  return write(
    call,
    'create User',
    'create',
    { object: { login: login! }, attributes, wantsSecret: password },
    userBody(login!, attributes, { active: true, password }),
  );
}

/**
 * A PUT says everything at once (RFC 7644 section 3.5.1), so by itself it can rename, let in and rewrite in one. Its
 * object is therefore more than an id: it is the account of this id *if* it is now as the PUT takes for granted, which
 * the gateway's own read has to confirm. Where it is not, the id stands for nobody, and the PUT is refused.
 */
interface Premise {
  readonly id: string;
  readonly login: string;
  /** What has to be so already: for an update that the account is active, which a PUT would make it. */
  readonly state: 'active' | null;
  /** What has to be so already: for an enable or disable all attributes, so that only `active` changes. */
  readonly attributes: Attributes | null;
}

/** No id of a path begins so: control characters are refused there. */
const PREMISE = '\u0001premise ';
const premised = (premise: Premise): { readonly id: string } => ({ id: `${PREMISE}${JSON.stringify(premise)}` });
const readPremise = (id: string): Premise | null =>
  id.startsWith(PREMISE) ? (JSON.parse(id.slice(PREMISE.length)) as Premise) : null;

const holds = ({ login, state, attributes }: Premise, user: User): boolean =>
  user.login === login &&
  user.beyond.length === 0 &&
  (state === null || user.state === state) &&
  (attributes === null || ATTRIBUTES.every((name) => user.attributes[name] === attributes[name]));

/** `active` decides; without it a PUT is an update. */
function replace(call: HttpCall, id: string): Result {
  const said = readBody(call.body);
  if (typeof said === 'string') return said;
  const { attributes, active, login, password } = said;
  if (password) return 'a first secret is for a new account';
  const body = userBody(login!, attributes, { active });
  if (active === undefined) {
    const object = premised({ id, login: login!, state: 'active', attributes: null });
    return write(call, 'update User', 'update', { object, attributes }, body);
  }
  const object = premised({ id, login: login!, state: null, attributes });
  return active
    ? write(call, 'enable User', 'enable', { object }, body)
    : write(call, 'disable User', 'disable', { object }, body);
}

/* ---- PATCH -------------------------------------------------------------------------------------------------------------- */

interface Operation {
  readonly op: string;
  /** Without the schema's prefix; null where there is none. */
  readonly path: string | null;
  readonly value: unknown;
}

/** RFC 7644 section 3.5.2, with `op` and names in any case, as Entra and others send them. */
function readOperations(body: unknown, schema: string): readonly Operation[] | Refusal {
  const message = fold(body);
  const schemas = message?.get('schemas');
  const operations = message?.get('operations');
  if (message?.size !== 2 || !Array.isArray(operations) || operations.length === 0) {
    return 'the body is not schemas and Operations';
  }
  if (!Array.isArray(schemas) || schemas.length !== 1 || schemas[0] !== PATCH_OP) return 'the schema is not PatchOp';
  const read: Operation[] = [];
  for (const item of operations) {
    const operation = fold(item);
    const op = operation?.get('op');
    const path = operation?.get('path') ?? null;
    if (!operation || [...operation.keys()].some((name) => !['op', 'path', 'value'].includes(name))) {
      return 'an operation has more than op, path and value';
    }
    if (typeof op !== 'string' || !['add', 'remove', 'replace'].includes(op.toLowerCase()))
      return 'an op that is not known';
    if (path !== null && (!isText(path) || path === '')) return 'a path that is not plain text';
    const prefixed = path?.toLowerCase().startsWith(`${schema.toLowerCase()}:`) ?? false;
    read.push({
      op: op.toLowerCase(),
      path: prefixed ? path!.slice(schema.length + 1) : path,
      value: operation.get('value'),
    });
  }
  return read;
}

function patchUser(call: HttpCall, id: string): Result {
  const operations = readOperations(call.body, USER);
  if (typeof operations === 'string') return operations;
  const said: Said = { attributes: {} };
  for (const { op, path, value } of operations) {
    if (op === 'remove') return 'an attribute is taken away';
    // Added addresses stand beside the old ones, replaced ones do not: only the second is what we would send.
    if (op === 'add' && (path ?? Object.keys(Object(value)).join()).toLowerCase().includes('emails')) {
      return 'an address is added to others';
    }
    const flaw = path === null ? takeAll(said, dotted(value)) : take(said, path.toLowerCase(), value);
    if (flaw !== null) return flaw;
  }
  if (said.login !== undefined) return 'an account is renamed';
  if (said.password) return 'a first secret is for a new account';
  const updates = ATTRIBUTES.some((attribute) => said.attributes[attribute] !== undefined);
  const { active, attributes } = said;
  if (active !== undefined && updates) return 'one body both changes attributes and lets in or shuts out';
  if (active === true) return write(call, 'enable User', 'enable', { object: { id } }, activePatch(true));
  if (active === false) return write(call, 'disable User', 'disable', { object: { id } }, activePatch(false));
  if (!updates) return 'the body changes nothing';
  return write(call, 'update User', 'update', { object: { id }, attributes }, attributesPatch(attributes));
}

/** Without a path, names may be paths: `{ "name.givenName": "Zoë" }`. `schemas` has no business here. */
const dotted = (value: unknown): unknown => (fold(value)?.has('schemas') ? null : value);

/** One member in, or one member out. */
function patchGroup(call: HttpCall, ref: string): Result {
  const operations = readOperations(call.body, GROUP);
  if (typeof operations === 'string') return operations;
  const [operation, second] = operations;
  if (!operation || second) return 'more than one operation on a group';
  const { op, path } = operation;

  const filtered = op === 'remove' && operation.value === undefined ? memberInPath(path) : null;
  if (filtered !== null) {
    return write(
      call,
      'revoke',
      'revoke',
      { object: { id: filtered }, entitlement: { ref } },
      removeMember(filtered, 'path'),
    );
  }
  let { value } = operation;
  if (path === null) {
    const fields = fold(value);
    if (fields?.size !== 1 || !fields.has('members')) return 'a change of a group other than its members';
    value = fields.get('members');
  } else if (path.toLowerCase() !== 'members') return 'a change of a group other than one of its members';
  if (op === 'replace') return 'the members are replaced';

  const id = oneMember(value);
  if (id === null) return 'not exactly one member, named by its id';
  const more = { object: { id }, entitlement: { ref } };
  return op === 'add'
    ? write(call, 'grant', 'grant', more, addMember(id))
    : write(call, 'revoke', 'revoke', more, removeMember(id, 'array'));
}

/** Whom a change of a group, as `patchGroup` spells it, puts in or takes out. */
function memberOf(body: unknown): string | null {
  const operations = readOperations(body, GROUP);
  if (typeof operations === 'string') return null;
  const [operation] = operations;
  return operation ? (memberInPath(operation.path) ?? oneMember(operation.value)) : null;
}

/** `members[value eq "…"]` and nothing nested, joined or behind it. */
function memberInPath(path: string | null): string | null {
  const quoted = /^members\s*\[\s*value\s+eq\s+("(?:[^"\\]|\\.)*")\s*\]$/i.exec(path ?? '')?.[1];
  try {
    const id: unknown = quoted === undefined ? null : JSON.parse(quoted);
    return isText(id) && id !== '' ? id : null;
  } catch {
    return null;
  }
}

/** `[{ value }]` or `{ value }`; a group in a group would be a grant to everybody in it. */
function oneMember(value: unknown): string | null {
  const entry = fold(Array.isArray(value) && value.length === 1 ? value[0] : value);
  if (!entry || [...entry.keys()].some((name) => name !== 'value' && name !== 'type')) return null;
  const id = entry.get('value');
  return (entry.get('type') ?? 'User') === 'User' && isText(id) && id !== '' ? id : null;
}

/* ---- the catalogue ------------------------------------------------------------------------------------------------------- */

const ok = <Item extends { readonly id: string }>(
  reply: Reply,
  readItem: (value: unknown) => Item | null,
  id: string,
): Item | null => {
  const item = reply.kind === 'http' && reply.status === 200 ? readItem(reply.body) : null;
  return item?.id === id ? item : null;
};

export const catalogue: Catalogue = {
  protocol: 'scim',
  operations: OPERATIONS,

  classify(call, options): Classification {
    const result = classifyCall(call, options);
    return typeof result === 'string' ? { ok: false, reason: result } : { ok: true, classified: result };
  },

  resolveObject(named) {
    const premise = readPremise(named);
    const id = premise?.id ?? named;
    return {
      call: { kind: 'http', method: 'GET', path: ['Users', id] },
      read(reply) {
        const user = ok(reply, readUser, id);
        return user && (premise === null || holds(premise, user)) ? user.login : null;
      },
    };
  },

  resolveEntitlement: (ref) => ({
    call: { kind: 'http', method: 'GET', path: ['Groups', ref], query: { excludedAttributes: 'members' } },
    read: (reply) => ok(reply, readGroup, ref)?.name ?? null,
  }),

  findEntitlement: (name) => ({
    call: {
      kind: 'http',
      method: 'GET',
      path: ['Groups'],
      query: { filter: equals('displayName', name), excludedAttributes: 'members' },
    },
    read(reply) {
      const page = readPage(reply, readGroup);
      // All of them on one page, or nobody knows how many there are.
      if (page === null || page.total !== page.items.length || page.nextCursor !== null) return null;
      // displayName is not case-exact (RFC 7643 section 4.2): whatever a server takes for the same name is a rival.
      return page.items.some((group) => group.name.toLowerCase() !== name.toLowerCase())
        ? null
        : page.items.map(({ id }) => id);
    },
  }),

  createdId(call, reply) {
    if (call.kind !== 'http' || reply.kind !== 'http' || reply.status !== 201) return null;
    const asked = fold(call.body)?.get('username');
    const created = readUser(reply.body);
    return created && typeof asked === 'string' && created.login.toLowerCase() === asked.toLowerCase()
      ? created.id
      : null;
  },

  concerning(call, reply) {
    if (call.kind !== 'http' || call.path[0] !== 'Groups' || reply.kind !== 'http') return reply;
    const fields = fold(reply.body);
    const members = fields?.get('members');
    const member = memberOf(call.body);
    if (!fields || !Array.isArray(members) || member === null) return reply;
    // What is not understood is handed on as it came: then the connector does not take it for an answer either.
    const ids = members.map((entry) => fold(entry)?.get('value'));
    if (!ids.every((id) => typeof id === 'string')) return reply;
    const own = members.filter((_, index) => ids[index] === member);
    const rest = Object.entries(reply.body as object).filter(([name]) => name.toLowerCase() !== 'members');
    return { ...reply, body: { ...Object.fromEntries(rest), members: own } };
  },

  withSecret(call, secret) {
    if (call.kind !== 'http' || fold(call.body)?.get('password') !== FIRST_SECRET) return call;
    return { ...call, body: { ...(call.body as { readonly [name: string]: Json }), password: secret } };
  },
};
