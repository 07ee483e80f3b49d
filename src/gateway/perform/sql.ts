/**
 * Performs one statement against one PostgreSQL server, on a connection of its own: nothing of one credential is left
 * over for the next, and a stopped connector has no session. The connection is opened only over verified TLS or to this
 * machine, and only to a server that proves, by SCRAM (RFC 5802 section 3), that it knows the login.
 */
import { isIP, Socket } from 'node:net';
import pg from 'pg';
import { assert } from '../../assert.ts';
import type { Json } from '../../canonical.ts';
import { after, type Clock, type Random } from '../../clock.ts';
import { type Call, FIRST_SECRET, type Reply, type SqlCall } from '../../connector/contract.ts';
import { Failure } from '../../errors.ts';
import { scramVerifier } from '../../store/scram.ts';
import type { Address, OpenPerformer, Performer, Secret } from './contract.ts';
import { isStatement, paramsFlaw, STATEMENTS, type Statement } from './statements.ts';

const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/;
const MAX_MESSAGE = 500;

type Basic = Extract<Secret, { kind: 'basic' }>;
type SqlReply = Extract<Reply, { kind: 'sql' }>;

/** @throws Failure `wrong-use` for an address that a credential must not be sent to. */
export const openSql: OpenPerformer = (address, { clock, random }): Performer => {
  const endpoint = readEndpoint(address);
  return {
    async perform(call, secret, signal) {
      const request = readRequest(call, secret, random);
      if ('kind' in request) return request;
      const { statement, values, basic } = request;
      const clean = (text: string): string => text.replaceAll(basic.password, '[scrubbed]').slice(0, MAX_MESSAGE);
      let opened: Opened;
      try {
        opened = await open(endpoint, basic, clock, signal);
      } catch (error) {
        return { kind: 'down', message: clean(messageOf(error)) };
      }
      try {
        const run = statement.effect === 'read' ? read : write;
        return await run(opened.client, statement, values);
      } catch (error) {
        // The server's ERROR ends the transaction and nothing of it stays; anything else may have come after COMMIT.
        if (!(error instanceof pg.DatabaseError) || error.severity !== 'ERROR' || error.code === undefined) {
          return { kind: 'lost', message: clean(opened.failure() ?? messageOf(error)) };
        }
        return { kind: 'sql', rows: [], count: 0, sqlstate: error.code, message: clean(explain(error)) };
      } finally {
        opened.close();
      }
    },

    /** Proof needs a conversation about this password: a refusal before it (`pg_hba.conf`) says nothing of it. */
    async present(login, password) {
      // Outside of ASCII the server may have stored another spelling (SASLprep), and its no would prove nothing.
      if (login === '' || !/^[\x20-\x7e]+$/.test(password)) return 'unknown';
      const seen = { asked: false };
      try {
        const opened = await open(endpoint, { kind: 'basic', username: login, password }, clock, undefined, seen);
        opened.close();
        return 'accepted';
      } catch (error) {
        const state = error instanceof pg.DatabaseError ? error.code : undefined;
        return seen.asked && (state === '28P01' || state === '28000') ? 'refused' : 'unknown';
      }
    },

    async close() {},
  };
};

/* ---- the address -------------------------------------------------------------------------------------------------------- */

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly ssl: false | { readonly rejectUnauthorized: true; readonly minVersion: 'TLSv1.2'; readonly ca?: string };
  readonly timeoutMs: number;
}

/** `postgres://host:port/database`: TLS with a verified name, which only this machine may do without. */
export function readEndpoint({ url, ca, timeoutMs }: Address): Endpoint {
  const base = URL.canParse(url) ? new URL(url) : null;
  const host = base?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const [, database = '', ...deeper] = base?.pathname.split('/') ?? [];
  const mode = base?.searchParams.get('sslmode') ?? null;
  const why = !base
    ? 'it is no URL'
    : base.protocol !== 'postgres:' && base.protocol !== 'postgresql:'
      ? 'it is not postgres://'
      : host === '' || database === '' || deeper.length > 0
        ? 'it needs a host and a database'
        : base.username || base.password || base.hash || [...base.searchParams.keys()].some((key) => key !== 'sslmode')
          ? 'it has more than a host, a port and a database'
          : mode !== null && mode !== 'verify-full' && !(mode === 'disable' && LOOPBACK.test(host))
            ? `sslmode=${mode} would not check who answers`
            : timeoutMs > 0
              ? null
              : `its timeout is ${timeoutMs} ms`;
  if (why !== null || !base) throw new Failure('wrong-use', `the address of a PostgreSQL target is refused: ${why}`);
  const plain = mode === 'disable' || (mode === null && ca === null && LOOPBACK.test(host));
  return {
    host,
    port: base.port === '' ? 5432 : Number(base.port),
    database: decodeURIComponent(database),
    ssl: plain ? false : { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(ca === null ? {} : { ca }) },
    timeoutMs,
  };
}

/* ---- the connection ------------------------------------------------------------------------------------------------------ */

interface Opened {
  readonly client: pg.Client;
  /** Why we ended it ourselves, or null. */
  failure(): string | null;
  close(): void;
}

/** What of `pg` is needed and not declared: the messages of the server as they come. */
interface Wire {
  on(message: string, listener: () => void): void;
}

/** @throws Error when there is no session. Nothing was asked of the target then. */
async function open(
  endpoint: Endpoint,
  { username, password }: Basic,
  clock: Clock,
  signal?: AbortSignal,
  seen = { asked: false },
): Promise<Opened> {
  const { host, port, database, ssl, timeoutMs } = endpoint;
  const socket = new Socket();
  const client = new pg.Client({
    host,
    port,
    database,
    user: username,
    password,
    ssl: ssl === false ? false : { ...ssl, ...(isIP(host) ? {} : { servername: host }) },
    stream: () => socket,
    application_name: 'writgate',
    // Names without a schema mean the server's own, whatever a database's owner has put before them.
    // And the server gives up before we do, because its no is certain and our silence is not.
    options: `-c search_path=pg_catalog -c statement_timeout=${Math.ceil(timeoutMs / 2)}`,
  });
  let failure: string | null = null;
  const end = (why: string): void => {
    failure ??= why;
    socket.destroy(new Error(why));
  };
  const abort = (): void => end('given up');
  const inTime = after(clock, timeoutMs, () => end(`no answer within ${timeoutMs} ms`));
  const close = (): void => {
    inTime();
    signal?.removeEventListener('abort', abort);
    // A transaction that is still open ends with its session.
    void client.end().catch(() => undefined);
    socket.destroySoon();
  };
  client.on('error', () => undefined);
  // Before pg's own listeners, which would answer: a server that wants the password itself, or its MD5, gets nothing.
  const wire = (client as unknown as { connection: Wire }).connection;
  let proven = false;
  for (const message of ['authenticationCleartextPassword', 'authenticationMD5Password']) {
    wire.on(message, () => end('the server asks for the password itself, and does not prove that it knows it (SCRAM)'));
  }
  wire.on('authenticationSASL', () => {
    seen.asked = true;
  });
  wire.on('authenticationSASLFinal', () => {
    proven = true;
  });
  try {
    if (signal?.aborted) end('given up');
    signal?.addEventListener('abort', abort, { once: true });
    await client.connect();
    if (!proven) throw new Error('the server let us in without asking who we are, and did not prove who it is');
    return { client, failure: () => failure, close };
  } catch (error) {
    close();
    throw failure === null ? error : new Error(failure, { cause: error });
  }
}

/* ---- the statement ------------------------------------------------------------------------------------------------------- */

interface Request {
  readonly statement: Statement;
  readonly values: Readonly<Record<string, string | number>>;
  readonly basic: Basic;
}

const refuse = (message: string): Reply => ({ kind: 'refused', code: 'wrong-use', message });

function readRequest(call: Call, secret: Secret, random: Random): Request | Reply {
  if (call.kind !== 'sql') return refuse(`a call of kind ${call.kind} to a PostgreSQL target`);
  if (secret.kind !== 'basic') return refuse(`a credential of kind ${secret.kind} that PostgreSQL cannot take`);
  if (secret.username === '' || secret.password === '')
    return refuse('a credential without a name or without a password');
  if (!isStatement(call.statement)) return refuse(`${JSON.stringify(call.statement)} is no statement of the gateway`);
  const flaw = paramsFlaw(call.statement, call.params);
  if (flaw !== null) return refuse(flaw);
  const statement: Statement = STATEMENTS[call.statement];
  return { statement, basic: secret, values: valuesOf(statement, call.params, random) };
}

function valuesOf({ params: kinds }: Statement, params: SqlCall['params'], random: Random): Request['values'] {
  const values = Object.entries(kinds).map(([name, kind]) => {
    const value = params[name];
    assert(typeof value === 'string' || typeof value === 'number', 'the parameters were checked');
    assert(value !== FIRST_SECRET, 'the gateway has put a secret in place of its marker');
    // Statements get into logs. A verifier there lets nobody in.
    return [name, kind === 'secret' ? scramVerifier(String(value), random) : value];
  });
  return Object.fromEntries(values);
}

async function read(client: pg.Client, { sql }: Statement, values: Request['values']): Promise<SqlReply> {
  await client.query('begin read only');
  const { rows } = await client.query<Record<string, Json>>(sql, Object.values(values));
  return { kind: 'sql', rows, count: rows.length, sqlstate: null, message: '' };
}

async function write(client: pg.Client, { sql }: Statement, values: Request['values']): Promise<SqlReply> {
  await client.query('begin');
  const settings = Object.keys(values).map((name, index) => `set_config('writgate.${name}', $${index + 1}, true)`);
  await client.query(`select ${settings.join(', ')}`, Object.values(values));
  await client.query(sql);
  const { rows } = await client.query<Record<string, Json>>(`select current_setting('writgate.outcome') as outcome`);
  await client.query('commit');
  return { kind: 'sql', rows, count: rows.length, sqlstate: null, message: '' };
}

const messageOf = (error: unknown): string =>
  error instanceof AggregateError && error.errors[0] instanceof Error
    ? error.errors[0].message
    : error instanceof Error
      ? error.message
      : String(error);

/** 2BP01: which objects stand in the way is in the detail. */
const explain = ({ code, message, detail }: pg.DatabaseError): string =>
  code === '2BP01' && detail ? `${message}: ${detail.replaceAll('\n', ', ')}` : message;
