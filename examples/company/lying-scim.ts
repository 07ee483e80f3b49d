/**
 * A SCIM server that lies, made for tests and for the demonstration. Started as
 *
 *   node dist/examples/company/lying-scim.js --port 0 --token-file tokens.json [--lie keeps-account]
 *
 * Honest until it is told to lie, by `--lie` or at run time by `POST /_lie {"lie":"…"}` with the writer's token
 * (`{"lie":null}` makes it honest again). It speaks the part of SCIM 2.0 that Writgate uses and is not meant as an
 * example of a server. Where a lie needs time to pass, time is counted in requests, so that no test has to sleep.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const LIES = {
  'keeps-account': 'answers 204 to every write and does nothing',
  '500-but-done': 'does it and answers 500',
  late: 'answers 204 and does it some requests later',
  forgets: 'does it, and some requests later all is as it was before',
  resurrects: 'deletes or disables, and some requests later the account is back',
  gaps: 'leaves out one entry between two pages',
  duplicates: 'repeats the last entry of a page on the next',
  'changes-id': 'gives the account another id with each write',
  'ignores-active': 'answers 200 and leaves active as it was',
  'first-of-two': 'honours the first operation of a PATCH and says nothing of the others',
  'timeout-after-doing': 'does it and never answers',
  html: 'does nothing and answers 200 with a page to sign in',
  'another-user': 'answers with somebody else',
  '429-with': 'answers 429 with Retry-After',
  '429-without': 'answers 429 without Retry-After',
  redirects: 'answers 307 to another origin',
  'lets-password-in': 'disables, and the old password still signs in',
} as const;
export type Lie = keyof typeof LIES;
const isLie = (text: unknown): text is Lie => typeof text === 'string' && Object.hasOwn(LIES, text);

/** How many requests pass until what is late is done, and what was done is forgotten. */
export const LATE_AFTER = 5;

interface User {
  id: string;
  userName: string;
  active: boolean;
  [attribute: string]: unknown;
}

interface Group {
  id: string;
  displayName: string;
  members: { value: string }[];
}

interface World {
  users: User[];
  groups: Group[];
}

/** What a person may sign in with, for as long as the process lives. */
type Passwords = Map<string, string>;

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const USER = 'urn:ietf:params:scim:schemas:core:2.0:User';
const GROUP = 'urn:ietf:params:scim:schemas:core:2.0:Group';
const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
const MESSAGES = 'urn:ietf:params:scim:api:messages:2.0';

const error = (status: number, detail: string, scimType?: string): Answer => ({
  status,
  body: { schemas: [`${MESSAGES}:Error`], status: String(status), detail, ...(scimType ? { scimType } : {}) },
});

/* ---- the honest server ------------------------------------------------------------------------------------------------ */

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

const showUser = (world: World, user: User) => ({
  schemas: [USER, ...(ENTERPRISE in user ? [ENTERPRISE] : [])],
  ...user,
  groups: world.groups
    .filter(({ members }) => members.some(({ value }) => value === user.id))
    .map(({ id, displayName }) => ({ value: id, display: displayName })),
});
const showGroup = (group: Group) => ({ schemas: [GROUP], ...group });

function patchUser(user: User, { path, value }: Operation): void {
  const inside = path.startsWith(`${ENTERPRISE}:`) ? ENTERPRISE : path.startsWith('name.') ? 'name' : null;
  if (inside === null) user[path] = value;
  else user[inside] = { ...(user[inside] as object | undefined), [path.slice(inside.length + 1)]: value };
}

function patchGroup(group: Group, { op, path, value }: Operation): void {
  const filtered = /^members\[value eq (".*")\]$/.exec(path)?.[1];
  const named = filtered ? [JSON.parse(filtered) as string] : (value as { value: string }[]).map((one) => one.value);
  group.members = group.members.filter((member) => !named.includes(member.value));
  if (op === 'add') group.members.push(...named.map((id) => ({ value: id })));
}

/** Changes the world and answers as RFC 7644 says. */
function write(world: World, method: string, [resource, id]: readonly string[], body: Record<string, unknown>): Answer {
  if (resource === 'Users' && method === 'POST') {
    const userName = String(body['userName']);
    if (world.users.some((user) => user.userName.toLowerCase() === userName.toLowerCase())) {
      return error(409, `${userName} is taken`, 'uniqueness');
    }
    const { schemas: _schemas, password: _password, ...attributes } = body;
    const user: User = { active: true, ...attributes, userName, id: randomUUID() };
    world.users.push(user);
    return { status: 201, body: showUser(world, user) };
  }
  if (resource === 'Groups' && method === 'POST') {
    const group: Group = { id: randomUUID(), displayName: String(body['displayName']), members: [] };
    world.groups.push(group);
    return { status: 201, body: showGroup(group) };
  }
  const user = resource === 'Users' ? world.users.find((one) => one.id === id) : undefined;
  const group = resource === 'Groups' ? world.groups.find((one) => one.id === id) : undefined;
  if (!user && !group) return error(404, `there is no ${id}`);
  if (method === 'DELETE' && user) {
    world.users = world.users.filter((one) => one !== user);
    for (const one of world.groups) one.members = one.members.filter(({ value }) => value !== user.id);
    return { status: 204 };
  }
  if (method !== 'PATCH') return error(501, `${method} is not implemented`);
  for (const operation of body['Operations'] as Operation[]) {
    if (user) patchUser(user, operation);
    if (group) patchGroup(group, operation);
  }
  return { status: 200, body: user ? showUser(world, user) : showGroup(group!) };
}

function read(world: World, [resource, id]: readonly string[], query: URLSearchParams, lie: Lie | null): Answer {
  if (resource === 'ServiceProviderConfig') {
    const no = { supported: false };
    const filter = { supported: true, maxResults: 200 };
    return {
      status: 200,
      body: { schemas: [], patch: { supported: true }, bulk: no, filter, changePassword: no, sort: no, etag: no },
    };
  }
  if (resource !== 'Users' && resource !== 'Groups') return error(404, `there is no ${resource}`);
  const shown = resource === 'Users' ? world.users.map((user) => showUser(world, user)) : world.groups.map(showGroup);
  if (id !== undefined) {
    const one = shown.find((entry) => entry.id === id);
    return one ? { status: 200, body: one } : error(404, `there is no ${id}`);
  }
  const [, attribute = '', quoted = ''] = /^([\w.]+) eq (".*")$/.exec(query.get('filter') ?? '') ?? [];
  const entries = attribute
    ? shown.filter((entry) => String((entry as never)[attribute]).toLowerCase() === JSON.parse(quoted).toLowerCase())
    : shown;
  let from = Number(query.get('startIndex') ?? 1) - 1;
  if (from > 0 && lie === 'gaps') from += 1;
  if (from > 0 && lie === 'duplicates') from -= 1;
  const page = entries.slice(from, from + Number(query.get('count') ?? 200));
  return {
    status: 200,
    body: {
      schemas: [`${MESSAGES}:ListResponse`],
      totalResults: entries.length,
      itemsPerPage: page.length,
      Resources: page,
    },
  };
}

/* ---- the liar ------------------------------------------------------------------------------------------------------------ */

class Liar {
  lie: Lie | null;
  readonly passwords: Passwords = new Map();
  world: World = { users: [], groups: [] };
  /** What becomes of the world later, and after how many more requests. */
  #later: { in: number; world: World } | null = null;

  constructor(lie: Lie | null) {
    this.lie = lie;
  }

  /** The form at which people sign in: not SCIM, and no business of whoever writes there. */
  signIn({ username, password }: Record<string, unknown>): Answer {
    const user = this.world.users.find(({ userName }) => userName === username);
    const isRight = user !== undefined && this.passwords.get(user.userName) === password;
    const isIn = isRight && (user.active || this.lie === 'lets-password-in');
    return isIn ? { status: 200, body: { token: randomUUID() } } : { status: 401, body: { error: 'wrong' } };
  }

  /** @returns null for no answer at all */
  answer(
    method: string,
    path: readonly string[],
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): Answer | null {
    if (this.#later && --this.#later.in <= 0) {
      this.world = this.#later.world;
      this.#later = null;
    }
    switch (this.lie) {
      case '429-with':
        return { ...error(429, 'too many'), headers: { 'retry-after': '17' } };
      case '429-without':
        return error(429, 'too many');
      case 'redirects':
        return { status: 307, headers: { location: 'http://127.0.0.1:9/elsewhere' } };
      case 'html':
        return { status: 200, body: '<!doctype html><title>Sign in</title>', headers: { 'content-type': 'text/html' } };
      default:
        return method === 'GET' ? this.#read(path, query) : this.#write(method, path, body);
    }
  }

  #read(path: readonly string[], query: URLSearchParams): Answer {
    const honest = read(this.world, path, query, this.lie);
    if (this.lie !== 'another-user' || path[0] !== 'Users') return honest;
    const somebody = { schemas: [USER], id: randomUUID(), userName: 'somebody.else', active: false };
    return path[1]
      ? { status: 200, body: somebody }
      : { status: 200, body: { schemas: [`${MESSAGES}:ListResponse`], totalResults: 1, Resources: [somebody] } };
  }

  #write(method: string, path: readonly string[], body: Record<string, unknown>): Answer | null {
    if (method === 'POST' && typeof body['password'] === 'string') {
      this.passwords.set(String(body['userName']), body['password']);
    }
    const done = (): Answer => write(this.world, method, path, body);
    if (this.lie === null) return done();
    const before = structuredClone(this.world);
    /** A success that tells nothing, except of a create, which has to show something. */
    const claim = (answer: Answer): Answer => (answer.status === 200 ? { status: 204 } : answer);
    switch (this.lie) {
      case 'keeps-account': {
        const answer = claim(done());
        this.world = before;
        return answer;
      }
      case 'late': {
        const answer = claim(done());
        this.#later = { in: LATE_AFTER, world: this.world };
        this.world = before;
        return answer;
      }
      case 'forgets': {
        const answer = done();
        this.#later = { in: LATE_AFTER, world: before };
        return answer;
      }
      case 'resurrects': {
        const answer = done();
        const after = structuredClone(this.world);
        for (const user of before.users) {
          const left = after.users.find(({ id }) => id === user.id);
          if (left) left.active = user.active;
          else after.users.push(user);
        }
        this.#later = { in: LATE_AFTER, world: after };
        return answer;
      }
      case '500-but-done':
        done();
        return error(500, 'something went wrong');
      case 'timeout-after-doing':
        done();
        return null;
      case 'ignores-active': {
        const operations = ((body['Operations'] ?? []) as Operation[]).filter(({ path: at }) => at !== 'active');
        return write(this.world, method, path, { ...body, Operations: operations });
      }
      case 'first-of-two':
        return claim(write(this.world, method, path, { ...body, Operations: [body['Operations']].flat().slice(0, 1) }));
      case 'changes-id': {
        const answer = claim(done());
        const user = this.world.users.find(({ id }) => id === path[1]);
        if (user) this.#rename(user);
        return answer;
      }
      case 'another-user': {
        const answer = done();
        const body = { schemas: [USER], id: randomUUID(), userName: 'somebody.else', active: true };
        return answer.status < 300 ? { status: answer.status === 204 ? 200 : answer.status, body } : answer;
      }
      default:
        return done();
    }
  }

  #rename(user: User): void {
    const id = randomUUID();
    for (const group of this.world.groups) {
      for (const member of group.members) if (member.value === user.id) member.value = id;
    }
    user.id = id;
  }
}

/* ---- the socket ------------------------------------------------------------------------------------------------------------ */

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

function respond(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/scim+json', ...headers });
  response.end(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
}

export interface Liable {
  readonly url: string;
  /** Where to POST `{ "lie": … }`. */
  readonly lieUrl: string;
  close(): Promise<void>;
}

/** @param port 0 lets the system choose one */
export async function startLyingScim(
  tokens: { readonly writer: string; readonly reader: string },
  port = 0,
  lie: Lie | null = null,
  state: string | null = null,
): Promise<Liable> {
  const liar = new Liar(lie);
  if (state !== null && existsSync(state)) Object.assign(liar.world, JSON.parse(readFileSync(state, 'utf8')));
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const token = request.headers.authorization?.replace(/^Bearer /, '');
    const method = request.method ?? 'GET';
    const body = await bodyOf(request).catch(() => null);
    if (pathname === '/sign-in' && method === 'POST') return respond(response, liar.signIn(body ?? {}));
    if (token !== tokens.writer && token !== tokens.reader) return respond(response, error(401, 'who are you?'));
    if (token === tokens.reader && method !== 'GET') return respond(response, error(403, 'reads only'));
    if (body === null) return respond(response, error(400, 'not JSON', 'invalidSyntax'));
    if (pathname === '/_lie' && method === 'POST') {
      const asked = body['lie'];
      if (asked !== null && !isLie(asked))
        return respond(response, error(400, `a lie is null or ${Object.keys(LIES)}`));
      liar.lie = asked;
      return respond(response, { status: 204 });
    }
    if (!pathname.startsWith('/scim/v2/')) return respond(response, error(404, 'nothing here'));
    const path = pathname.slice('/scim/v2/'.length).split('/').map(decodeURIComponent);
    const answer = liar.answer(method, path, searchParams, body);
    if (answer) respond(response, answer);
    if (state !== null && method !== 'GET') writeFileSync(state, JSON.stringify(liar.world));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${origin}/scim/v2`,
    lieUrl: `${origin}/_lie`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      'token-file': { type: 'string' },
      lie: { type: 'string' },
      state: { type: 'string' },
    },
  });
  if (values.lie !== undefined && !isLie(values.lie))
    throw new Error(`--lie is one of ${Object.keys(LIES).join(', ')}`);
  const tokens = JSON.parse(readFileSync(values['token-file'] ?? 'tokens.json', 'utf8'));
  const { url, lieUrl } = await startLyingScim(
    tokens,
    Number(values.port ?? 0),
    values.lie ?? null,
    values.state ?? null,
  );
  console.log(JSON.stringify({ url, lieUrl }));
}
