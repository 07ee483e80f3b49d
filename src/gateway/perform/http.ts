/**
 * Performs one HTTP call against one origin. The address is the roster's, the path is rebuilt from segments, the
 * credential is put in here and taken out of whatever comes back, and a redirect is an answer, not an instruction.
 */
import { Client, type Dispatcher, Pool } from 'undici';
import type { Json } from '../../canonical.ts';
import { after, type Clock, deadline } from '../../clock.ts';
import type { Call, HttpCall, Reply } from '../../connector/contract.ts';
import { Failure } from '../../errors.ts';
import type { Address, OpenPerformer, Secret } from './contract.ts';

const MAX_RESPONSE_BYTES = 32 * 1024 * 1024;
/** How much of an answer that is not JSON is handed on: enough to say what it was. */
const EXCERPT = 200;
/** The only reply headers that a connector has a use for; `set-cookie` and the rest stay here. */
const KEPT = ['content-type', 'date', 'etag', 'location', 'retry-after'] as const;
/** RFC 9110 section 8.8.3, or `*`. */
const ENTITY_TAG = /^(?:\*|(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")$/;
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

type HttpReply = Extract<Reply, { kind: 'http' }>;

/** @throws Failure `wrong-use` for an address that a credential must not be sent to. */
export const openHttp: OpenPerformer = (address, { clock }) => {
  const base = readAddress(address);
  const { signIn } = address;
  const pool = new Pool(base.origin, {
    // A second try is the caller's decision: one request a connection, nothing pipelined, nothing retried.
    pipelining: 1,
    connections: 32,
    headersTimeout: address.timeoutMs,
    bodyTimeout: address.timeoutMs,
    connect: { timeout: address.timeoutMs, rejectUnauthorized: true, ...(address.ca ? { ca: address.ca } : {}) },
  });
  return {
    perform: async (call, secret, signal) => {
      const request = readRequest(base, call, secret);
      if ('kind' in request) return request;
      return send(pool, request, { clock, signal, limitMs: address.timeoutMs, scrub: scrubber(secret) });
    },
    ...(signIn === undefined
      ? {}
      : { present: (login, password) => presentTo(signIn, address, clock, login, password) }),
    close: async () => {
      if (!pool.closed && !pool.destroyed) await pool.close();
    },
  };
};

function readAddress({ url, timeoutMs }: Address): URL {
  const base = URL.canParse(url) ? new URL(url) : null;
  const why = !base
    ? 'it is no URL'
    : base.protocol !== 'https:' && !(base.protocol === 'http:' && LOOPBACK.test(base.hostname))
      ? 'a credential goes over https, or over http to this machine'
      : base.username || base.password || base.search || base.hash
        ? 'it has more than an origin and a path'
        : timeoutMs > 0
          ? null
          : `its timeout is ${timeoutMs} ms`;
  if (why !== null || !base)
    throw new Failure('wrong-use', `the address ${base?.origin ?? 'of a target'} is refused: ${why}`);
  return base;
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

type Request = Pick<Dispatcher.DispatchOptions, 'method' | 'path' | 'body'> & {
  readonly headers: Record<string, string>;
};

const refuse = (message: string): Reply => ({ kind: 'refused', code: 'wrong-use', message });

function readRequest(base: URL, call: Call, secret: Secret): Request | Reply {
  if (call.kind !== 'http') return refuse(`a call of kind ${call.kind} to an HTTP target`);
  const path = joinPath(base.pathname, call.path);
  if (path === null) return refuse('a path segment is empty, a dot segment, or has control characters');
  const query = joinQuery(call.query ?? {});
  if (query === null) return refuse('the query has characters that cannot be encoded');
  const credential = authorization(secret);
  if (credential === undefined) return refuse(`a credential of kind ${secret.kind} that HTTP cannot carry`);
  const match = call.headers?.['if-match'];
  if (match !== undefined && !ENTITY_TAG.test(match)) return refuse('if-match is no entity tag');
  return {
    method: call.method,
    path: path + query,
    headers: {
      accept: 'application/scim+json, application/json',
      'user-agent': 'writgate',
      ...(credential === null ? {} : { authorization: credential }),
      ...(match === undefined ? {} : { 'if-match': match }),
      ...(call.body === undefined ? {} : { 'content-type': 'application/scim+json' }),
    },
    body: call.body === undefined ? null : JSON.stringify(call.body),
  };
}

/** Dot segments however they are written: a server behind another may decode once more than we encode. */
function isSafe(segment: string): boolean {
  let text = segment;
  for (let decoded = ''; ; text = decoded) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (/[\u0000-\u001f\u007f]/.test(text)) return false;
    if (text.split(/[/\\]/).some((part) => part === '.' || part === '..')) return false;
    decoded = text.replace(/%[0-9a-f]{2}/gi, (byte) => String.fromCharCode(Number.parseInt(byte.slice(1), 16)));
    if (decoded === text) return true;
  }
}

/** Below the base address: `/scim/v2` and `['Users', 'a/b']` make `/scim/v2/Users/a%2Fb`; null for what has no safe form. */
export function joinPath(basePath: string, segments: readonly string[]): string | null {
  if (segments.some((segment) => segment === '' || !segment.isWellFormed() || !isSafe(segment))) return null;
  return `${basePath.replace(/\/+$/, '')}/${segments.map(encodeURIComponent).join('/')}`;
}

/** `%20` and not `+`, which some servers leave as it is. */
function joinQuery(query: NonNullable<HttpCall['query']>): string | null {
  const pairs = Object.entries(query);
  if (pairs.some(([name, value]) => !name.isWellFormed() || !value.isWellFormed())) return null;
  return pairs
    .map(([name, value], at) => `${at ? '&' : '?'}${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join('');
}

/** The header's value; null for none, undefined for a secret that does not fit into a header. */
function authorization(secret: Secret): string | null | undefined {
  switch (secret.kind) {
    case 'none':
      return null;
    case 'bearer':
      // RFC 6750 section 2.1, wider: any visible ASCII.
      return /^[\x21-\x7e]+$/.test(secret.token) ? `Bearer ${secret.token}` : undefined;
    case 'basic':
      // RFC 7617 section 2: a user-id with a colon would move the border to the password.
      return secret.username.includes(':') || !`${secret.username}${secret.password}`.isWellFormed()
        ? undefined
        : `Basic ${pair(secret.username, secret.password)}`;
    case 'bind':
      return undefined;
  }
}

const pair = (username: string, password: string): string => Buffer.from(`${username}:${password}`).toString('base64');

/* ---- presenting a password ------------------------------------------------------------------------------------------ */

/**
 * What people do at the form: one POST on a connection of its own, and only the status is read. A redirect tells nothing,
 * because forms redirect those whom they let in and those whom they do not; neither does 400 or 422, about the form itself.
 */
async function presentTo(
  signIn: NonNullable<Address['signIn']>,
  { ca, timeoutMs }: Address,
  clock: Clock,
  login: string,
  password: string,
): Promise<'accepted' | 'refused' | 'unknown'> {
  if (login === '' || password === '') return 'unknown';
  const { origin, pathname } = readAddress({ url: signIn.url, ca, timeoutMs });
  const client = new Client(origin, {
    connect: { timeout: timeoutMs, rejectUnauthorized: true, ...(ca ? { ca } : {}) },
  });
  const limit = deadline(clock, timeoutMs);
  try {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: pathname,
      headers: { 'content-type': 'application/json', accept: 'application/json', 'user-agent': 'writgate', origin },
      body: JSON.stringify({ [signIn.name]: login, [signIn.password]: password }),
      signal: limit.signal,
    });
    await body.dump();
    if (statusCode >= 200 && statusCode < 300) return 'accepted';
    return statusCode === 401 || statusCode === 403 ? 'refused' : 'unknown';
  } catch {
    return 'unknown';
  } finally {
    limit.over();
    await client.destroy();
  }
}

/* ---- the reply -------------------------------------------------------------------------------------------------------- */

/**
 * `down` until the request goes onto a connection, `lost` from then until the answer was read whole. undici says which
 * by calling `onRequestStart`; an error's code alone does not (a reset can be either).
 *
 * The time runs from then as well: a target is not slow because we asked it for more than it has connections. Whoever
 * waits for one waits for others whose time runs, or for a handshake, which has a time of its own.
 */
function send(
  pool: Pool,
  request: Request,
  {
    clock,
    signal,
    limitMs,
    scrub,
  }: { clock: Clock; signal: AbortSignal | undefined; limitMs: number; scrub: (text: string) => string },
): Promise<Reply> {
  return new Promise((resolve) => {
    let inTime = (): void => undefined;
    let controller: Dispatcher.DispatchController | undefined;
    let sent = false;
    let status = 0;
    let headers: HttpReply['headers'] = {};
    let length = 0;
    const chunks: Buffer[] = [];

    const settle = (reply: Reply): void => {
      inTime();
      signal?.removeEventListener('abort', abort);
      resolve(reply);
    };
    const fail = (error: unknown): void => {
      const message = scrub(explain(error));
      settle(sent ? { kind: 'lost', message } : { kind: 'down', message });
    };
    const giveUp = (why: Error): void => {
      fail(why);
      controller?.abort(why);
    };
    const abort = (): void => giveUp(signal?.reason);
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort, { once: true });

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
        // Given up while it waited for a connection: `down` was said, and nothing may go out any more.
        if (signal?.aborted) return started.abort(signal.reason);
        sent = true;
        inTime = after(clock, limitMs, () => giveUp(new Error(`no whole answer within ${limitMs} ms`)));
      },
      onResponseStart(response, statusCode, raw) {
        status = statusCode;
        headers = Object.fromEntries(
          KEPT.flatMap((name) => {
            const value = raw[name];
            return value === undefined ? [] : [[name, scrub(String(value))]];
          }),
        );
        const encoding = raw['content-encoding'] ?? 'identity';
        if (encoding !== 'identity') response.abort(new Error('the answer is compressed, which was not asked for'));
      },
      onResponseData(response, chunk) {
        length += chunk.length;
        if (length <= MAX_RESPONSE_BYTES) chunks.push(chunk);
        else response.abort(new Error(`the answer is longer than ${MAX_RESPONSE_BYTES} bytes`));
      },
      onResponseEnd() {
        settle({
          kind: 'http',
          status,
          headers,
          body: readBody(Buffer.concat(chunks), headers['content-type'], scrub),
        });
      },
      onResponseError(_controller, error) {
        fail(error);
      },
    };
    try {
      pool.dispatch({ ...request, idempotent: false }, handler);
    } catch (error) {
      fail(error);
    }
  });
}

const explain = (error: unknown): string => {
  if (!(error instanceof Error)) return 'the request was given up';
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : '';
  return error instanceof AggregateError && error.errors[0] instanceof Error
    ? error.errors[0].message
    : `${code}${error.message}`;
};

/** What is not JSON comes back as a string, which no connector takes for an answer. */
function readBody(bytes: Buffer, contentType: string | undefined, scrub: (text: string) => string): Json {
  if (bytes.length === 0) return null;
  if (/^application\/(?:[\w.-]+\+)?json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(contentType ?? '')) {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      return scrubbed(JSON.parse(text), scrub);
    } catch {
      // Said to be JSON and is not: handed on like anything else that is not.
    }
  }
  return scrub(bytes.toString('utf8')).slice(0, EXCERPT).toWellFormed();
}

/** Replaces the credential, as it is and as a URL spells it, wherever the target says it back. */
function scrubber(secret: Secret): (text: string) => string {
  const words =
    secret.kind === 'bearer'
      ? [secret.token]
      : secret.kind === 'basic'
        ? [pair(secret.username, secret.password), secret.password]
        : [];
  const spelled = words.flatMap((word) => [word, encodeURIComponent(word)]).filter((word) => word !== '');
  return (text) => spelled.reduce((clean, word) => clean.replaceAll(word, '[scrubbed]'), text);
}

/** After parsing, because JSON may spell a character in several ways. */
function scrubbed(value: Json, scrub: (text: string) => string): Json {
  if (typeof value === 'string') return scrub(value);
  if (Array.isArray(value)) return value.map((item: Json) => scrubbed(item, scrub));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [scrub(name), scrubbed(member, scrub)]));
  }
  return value;
}
