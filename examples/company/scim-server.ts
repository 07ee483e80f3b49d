/**
 * The company's CRM: a SCIM server that nobody of us wrote (scimmy-routers) over a store in memory. Started as
 *
 *   node dist/examples/company/scim-server.js --port 0 --token-file tokens.json [--state people.json]
 *
 * it prints one line, `{"url":"http://127.0.0.1:…/scim/v2"}`. The token file is `{"writer":"…","reader":"…"}`; the
 * reader's token is refused on writes with 403. With `--state` the store is a file and outlives the process.
 * scimmy keeps its resources globally: one server a process.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import express, { type Request, type Response } from 'express';
import SCIMMY from 'scimmy';
import SCIMMYRouters from 'scimmy-routers';

export interface Tokens {
  readonly writer: string;
  readonly reader: string;
}

export interface Running {
  /** Base address, with the path that SCIM is mounted at. */
  readonly url: string;
  close(): Promise<void>;
}

/** Of the schemas' attributes, those that this CRM does not keep. Each that is declared is coerced, on every read, of everybody. */
const NOT_KEPT = {
  user: [
    ...['nickName', 'profileUrl', 'userType', 'preferredLanguage', 'locale', 'timezone', 'phoneNumbers', 'ims'],
    ...['photos', 'addresses', 'entitlements', 'roles', 'x509Certificates', 'emails.display'],
    ...['name.formatted', 'name.middleName', 'name.honorificPrefix', 'name.honorificSuffix'],
    ...['groups.$ref', 'groups.type'],
  ],
  enterprise: ['costCenter', 'organization', 'division', 'manager'],
  group: ['members.display', 'members.$ref', 'members.type'],
};
/** How long a write may be in memory only. A CRM that is killed has lost that much; one that is stopped, nothing. */
const SAVE_WITHIN_MS = 100;

interface Stored {
  id: string;
  userName?: string;
  displayName?: string;
  members?: { value: string }[] | undefined;
  meta: { version: string; created: string; lastModified: string };
  [attribute: string]: unknown;
}

/** A filter as scimmy parsed it (RFC 7644 section 3.4.2.2): one of these must hold, and in it each attribute's expression. */
type Filter = readonly Readonly<Record<string, readonly unknown[]>>[] & { match<T>(values: T[]): T[] };

class Store {
  readonly users = new Map<string, Stored>();
  readonly groups = new Map<string, Stored>();
  readonly #file: string | null;
  #version = 0;
  #saving: NodeJS.Timeout | null = null;

  constructor(file: string | null) {
    this.#file = file;
    if (file === null || !existsSync(file)) return;
    const saved = JSON.parse(readFileSync(file, 'utf8')) as { version: number; users: Stored[]; groups: Stored[] };
    this.#version = saved.version;
    for (const user of saved.users) this.users.set(user.id, user);
    for (const group of saved.groups) this.groups.set(group.id, group);
  }

  put(kind: 'users' | 'groups', id: string | undefined, instance: object): Stored {
    const table = this[kind];
    const before = id === undefined ? undefined : table.get(id);
    if (id !== undefined && !before) throw new SCIMMY.Types.Error(404, null as never, `Resource ${id} not found`);
    const stored = JSON.parse(JSON.stringify(instance)) as Stored;
    const unique = kind === 'users' ? 'userName' : 'displayName';
    const taken = [...table.values()].some(
      (other) => other.id !== id && other[unique]?.toLowerCase() === stored[unique]?.toLowerCase(),
    );
    if (taken) throw new SCIMMY.Types.Error(409, 'uniqueness', `${unique} ${stored[unique]} is taken`);
    for (const { value } of stored.members ?? []) {
      if (!this.users.has(value)) throw new SCIMMY.Types.Error(400, 'invalidValue', `there is no user ${value}`);
    }
    const now = new Date().toISOString();
    stored.id = id ?? randomUUID();
    stored.meta = { version: `W/"${++this.#version}"`, created: before?.meta.created ?? now, lastModified: now };
    table.set(stored.id, stored);
    this.#save();
    return stored;
  }

  remove(kind: 'users' | 'groups', id: string): void {
    if (!this[kind].delete(id)) throw new SCIMMY.Types.Error(404, null as never, `Resource ${id} not found`);
    for (const group of this.groups.values()) {
      group.members = group.members?.filter(({ value }) => value !== id);
    }
    this.#save();
  }

  /** As scimmy wants it: `groups` is the server's to say. */
  show(kind: 'users' | 'groups', stored: Stored): Stored {
    if (kind === 'groups') return stored;
    const groups = [...this.groups.values()]
      .filter((group) => group.members?.some(({ value }) => value === stored.id))
      .map(({ id, displayName }) => ({ value: id, display: displayName }));
    return { ...stored, groups };
  }

  /** Those among whom a filter is to look: one where it names him, as an index would. */
  among(kind: 'users' | 'groups', filter: Filter | undefined): Stored[] {
    const all = [...this[kind].values()];
    const unique = kind === 'users' ? 'userName' : 'displayName';
    const wanted = filter?.length === 1 ? filter[0]?.[unique] : undefined;
    if (wanted?.[0] !== 'eq' || typeof wanted[1] !== 'string') return all;
    const folded = wanted[1].toLowerCase();
    return all.filter((stored) => stored[unique]?.toLowerCase() === folded);
  }

  #save(): void {
    if (this.#file !== null) this.#saving ??= setTimeout(() => this.flush(), SAVE_WITHIN_MS);
  }

  flush(): void {
    if (this.#file === null || this.#saving === null) return;
    clearTimeout(this.#saving);
    this.#saving = null;
    const content = { version: this.#version, users: [...this.users.values()], groups: [...this.groups.values()] };
    writeFileSync(`${this.#file}.new`, JSON.stringify(content), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}

type Resource = typeof SCIMMY.Resources.User | typeof SCIMMY.Resources.Group;

function declare(store: Store, kind: 'users' | 'groups', resource: Resource): void {
  // scimmy types the two resources apart; what happens to them here is the same.
  SCIMMY.Resources.declare(resource as typeof SCIMMY.Resources.User, {
    ingress: (({ id }: { id?: string }, instance: object) => store.show(kind, store.put(kind, id, instance))) as never,
    egress: (({ id, filter }: { id?: string; filter?: Filter }) => {
      if (id !== undefined) {
        const stored = store[kind].get(id);
        if (!stored) throw new SCIMMY.Types.Error(404, null as never, `Resource ${id} not found`);
        return store.show(kind, stored);
      }
      const all = store.among(kind, filter).map((stored) => store.show(kind, stored));
      return filter ? filter.match(all) : all;
    }) as never,
    degress: (({ id }: { id?: string }) => store.remove(kind, id!)) as never,
  });
}

/** RFC 7644 section 3.14; scimmy leaves it to the application. */
function guard(store: Store, tokens: Tokens) {
  return (request: Request, response: Response, next: () => void): void => {
    const [, resource = '', id = ''] = request.path.split('/');
    const known = [tokens.writer, tokens.reader].includes(bearer(request) ?? '');
    const table = store[resource === 'Groups' ? 'groups' : 'users'];
    const stored = known ? table.get(decodeURIComponent(id)) : undefined;
    const match = request.header('if-match');
    if (stored && match !== undefined && match !== '*' && match !== stored.meta.version) {
      response
        .status(412)
        .type('application/scim+json')
        .send({ schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'], status: '412', detail: 'it was changed' });
      return;
    }
    if (stored && request.method === 'GET') response.setHeader('etag', stored.meta.version);
    next();
  };
}

const bearer = (request: Request): string | undefined => request.header('authorization')?.replace(/^Bearer /, '');

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** @param port 0 lets the system choose one */
export async function startScimServer(tokens: Tokens, port = 0, state: string | null = null): Promise<Running> {
  const store = new Store(state);
  SCIMMY.Config.set({ etag: true } as never);
  SCIMMY.Schemas.User.truncate(NOT_KEPT.user);
  SCIMMY.Schemas.EnterpriseUser.truncate(NOT_KEPT.enterprise);
  SCIMMY.Schemas.Group.truncate(NOT_KEPT.group);
  SCIMMY.Resources.User.extend(SCIMMY.Schemas.EnterpriseUser, false);
  declare(store, 'users', SCIMMY.Resources.User);
  declare(store, 'groups', SCIMMY.Resources.Group);

  const app = express();
  app.disable('x-powered-by');
  // Express makes its own entity tags out of a body; ours are the resources' versions.
  app.set('etag', false);
  app.use('/scim/v2', (request, response, next) => {
    if (bearer(request) === tokens.reader && WRITES.has(request.method)) {
      response
        .status(403)
        .type('application/scim+json')
        .send({ schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'], status: '403', detail: 'reads only' });
      return;
    }
    // Express 5 parses the query anew at each look, so that scimmy's numbers would be strings again.
    Object.defineProperty(request, 'query', { value: request.query });
    next();
  });
  app.use('/scim/v2', guard(store, tokens));
  app.use(
    '/scim/v2',
    new SCIMMYRouters({
      type: 'bearer',
      handler: (request: Request) => {
        const token = bearer(request);
        if (token !== tokens.writer && token !== tokens.reader) throw new Error('the token is not known');
        return token === tokens.writer ? 'writer' : 'reader';
      },
    }) as never,
  );
  const server = await new Promise<Server>((resolve, reject) => {
    const starting = app.listen(port, '127.0.0.1', (error?: Error) => (error ? reject(error) : resolve(starting)));
  });
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : port}/scim/v2`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        store.flush();
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { port: { type: 'string' }, 'token-file': { type: 'string' }, state: { type: 'string' } },
  });
  const tokens = JSON.parse(readFileSync(values['token-file'] ?? 'tokens.json', 'utf8')) as Tokens;
  const { url, close } = await startScimServer(tokens, Number(values.port ?? 0), values.state ?? null);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void close());
  console.log(JSON.stringify({ url }));
}
