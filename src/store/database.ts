/**
 * The database as the rest of Writgate sees it: thin over `pg`, with exact integers, failures that have codes, and one
 * way to do a transaction. The same code runs on the embedded cluster and on any PostgreSQL 15 to 18.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { Clock } from '../clock.ts';
import { Failure } from '../errors.ts';

export interface Login {
  /** A host name, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}
export type Connection = Login | { readonly connectionString: string };

export type Row = Readonly<Record<string, unknown>>;

export interface Queryable {
  /**
   * `bigint` and `count(*)` come as numbers, or not at all when they are not safe integers; `date` and `timestamp` as
   * text; `timestamptz` as Date; `jsonb` parsed; `numeric` as text; `bytea` as Buffer.
   * @throws Failure `store-unavailable`, `store-full`, `store-conflict`, `store-failed`. Outside of a transaction a lost
   * connection leaves open whether a write took effect: writes that matter belong in `tx`.
   */
  query<T = Row>(sql: string, params?: readonly unknown[]): Promise<T[]>;
  /** Exactly one row. */
  one<T = Row>(sql: string, params?: readonly unknown[]): Promise<T>;
  /** One row or null; more are a failure. */
  maybe<T = Row>(sql: string, params?: readonly unknown[]): Promise<T | null>;
  /** `COPY … FROM STDIN`. @returns the number of rows. A source that throws aborts the copy, and its error comes out. */
  copyIn(sql: string, source: AsyncIterable<Buffer | string> | Iterable<Buffer | string>): Promise<number>;
  /** `COPY … TO STDOUT`, in the pieces that the server sends. */
  copyOut(sql: string): AsyncGenerator<Buffer, void, void>;
}

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable';
  /**
   * How often `work` may run in all when the server rolls it back because of another transaction (SQLSTATE 40001
   * serialization_failure, 40P01 deadlock_detected). 1 unless told: only who knows that `work` does nothing but talk to
   * this database may let it run again.
   */
  readonly attempts?: number;
}

export interface Database extends Queryable {
  /** Commits when `work` resolves, rolls back when it rejects. @throws Failure as `query`, and `store-unknown`. */
  tx<T>(work: (tx: Queryable) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /**
   * Calls `handler` with each notification's payload, and with null when some may have been missed: the connection was
   * lost and is there again. @returns how to stop.
   */
  listen(channel: string, handler: (payload: string | null) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly maxConnections?: number;
  readonly clock: Clock;
}

const CONNECT_TIMEOUT_MS = 10_000;
const LISTEN_AGAIN_MS = 500;

/** Opens nothing yet: the first query connects. */
export function openDatabase(connection: Connection, { maxConnections = 10, clock }: DatabaseOptions): Database {
  const config = {
    ...connection,
    types: TYPES,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'writgate',
  };
  const pool = new pg.Pool({ ...config, max: maxConnections });
  // A connection that dies while nobody uses it is replaced by the pool; whoever needs one next is told if it cannot be.
  pool.on('error', () => undefined);

  /** `use` on a connection of its own, which goes back to the pool unless it broke. */
  async function onClient<T>(use: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect().catch((cause) => {
      throw failureOf(cause);
    });
    let broken = false;
    const onError = () => {
      broken = true;
    };
    client.on('error', onError);
    try {
      return await use(client);
    } catch (cause) {
      // The server says that it ends the session before the session ends.
      broken ||= isLost(cause);
      throw cause;
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  }

  async function attempt<T>(work: (tx: Queryable) => Promise<T>, isolation: string): Promise<T> {
    return onClient(async (client) => {
      const tx = queryableOf((use) => use(client));
      await tx.query(`begin isolation level ${isolation}`);
      let result: T;
      try {
        result = await work(tx);
      } catch (cause) {
        await client.query('rollback').catch(() => undefined);
        throw cause;
      }
      const end = await client.query('commit').catch((cause) => {
        // The server's answer never came, and it may well have committed.
        if (isLost(cause)) {
          throw new Failure('store-unknown', 'the connection broke during COMMIT', { cause });
        }
        throw failureOf(cause);
      });
      // A statement failed, `work` went on as if it had not, and the server turned COMMIT into ROLLBACK.
      if (end.command !== 'COMMIT') {
        throw new Failure('store-failed', 'the transaction was rolled back: a statement of it had failed unnoticed');
      }
      return result;
    });
  }

  return {
    ...queryableOf(onClient),

    async tx(work, { isolation = 'read committed', attempts = 1 } = {}) {
      for (let tried = 1; ; tried++) {
        try {
          return await attempt(work, isolation);
        } catch (cause) {
          if (!(cause instanceof Failure && cause.code === 'store-conflict') || tried >= attempts) throw cause;
        }
      }
    },

    async listen(channel, handler) {
      const stopping = new AbortController();
      let client: pg.Client;

      const connect = async (): Promise<void> => {
        const next = new pg.Client(config);
        next.on('notification', (message) => handler(message.payload ?? ''));
        next.on('error', () => undefined);
        try {
          await next.connect();
          await next.query(`listen ${pg.escapeIdentifier(channel)}`);
        } catch (cause) {
          await next.end().catch(() => undefined);
          throw failureOf(cause);
        }
        next.once('end', () => void again());
        client = next;
      };
      const again = async (): Promise<void> => {
        while (!stopping.signal.aborted) {
          try {
            await clock.sleep(LISTEN_AGAIN_MS, stopping.signal);
            await connect();
            return handler(null);
          } catch {
            // Still away, or stopped; the loop tells which.
          }
        }
      };

      await connect();
      return async () => {
        stopping.abort();
        await client.end().catch(() => undefined);
      };
    },

    close: () => pool.end(),
  };
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

type OnClient = <T>(use: (client: pg.PoolClient) => Promise<T>) => Promise<T>;

function queryableOf(onClient: OnClient): Queryable {
  const query = async <T>(sql: string, params: readonly unknown[] = []): Promise<T[]> => {
    try {
      return await onClient(async (client) => (await client.query(sql, [...params])).rows as T[]);
    } catch (cause) {
      throw failureOf(cause);
    }
  };
  const maybe = async <T>(sql: string, params?: readonly unknown[]): Promise<T | null> => {
    const [row = null, second] = await query<T>(sql, params);
    if (second !== undefined) throw new Failure('store-failed', `more than one row where at most one belongs: ${sql}`);
    return row;
  };
  return {
    query,
    maybe,
    async one<T>(sql: string, params?: readonly unknown[]) {
      const row = await maybe<T>(sql, params);
      if (row === null) throw new Failure('store-failed', `no row where one belongs: ${sql}`);
      return row;
    },

    async copyIn(sql, source) {
      try {
        return await onClient(async (client) => {
          const sink = client.query(copyFrom(sql));
          await pipeline(Readable.from(source, { objectMode: false }), sink);
          return sink.rowCount;
        });
      } catch (cause) {
        // What the source itself threw is the caller's.
        throw sqlstateOf(cause) !== null || isLost(cause) ? failureOf(cause) : cause;
      }
    },

    async *copyOut(sql) {
      let finish = (): void => undefined;
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      // The connection is held until the reader has had enough; then the rest is drained, so that it can be used again.
      let holding: Promise<void> | undefined;
      const stream = await new Promise<Readable>((resolve, reject) => {
        holding = onClient(async (client) => {
          const rows = client.query(copyTo(sql));
          resolve(rows);
          await finished;
          if (!rows.readableEnded && !rows.destroyed) {
            await new Promise((end) => rows.once('close', end).once('end', end).once('error', end).resume());
          }
        });
        holding.catch(reject);
      });
      try {
        for await (const piece of stream.iterator({ destroyOnReturn: false })) yield piece as Buffer;
      } catch (cause) {
        throw failureOf(cause);
      } finally {
        finish();
        await holding;
      }
    },
  };
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */

/** SQLSTATE of what the server refused (PostgreSQL documentation, appendix A), also inside a Failure; else null. */
export function sqlstateOf(thrown: unknown): string | null {
  if (thrown instanceof Failure) return sqlstateOf(thrown.cause);
  return thrown instanceof pg.DatabaseError && thrown.code !== undefined ? thrown.code : null;
}

/** 57P01–57P03: shut down, crashed, not yet up; class 08: connection; 53300: no connection left. */
const AWAY = /^(08...|57P0[123]|53300)$/;
const LOST_SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EACCES',
]);
/** `pg` gives these no code. */
const LOST_WORDS =
  /^Connection terminated|timeout exceeded when trying to connect|^Client has encountered a connection error/;

function isLost(cause: unknown): boolean {
  if (cause instanceof Failure) return cause.code === 'store-unavailable' || cause.code === 'store-unknown';
  const state = sqlstateOf(cause);
  if (state !== null) return AWAY.test(state);
  const error = cause as NodeJS.ErrnoException;
  return error instanceof Error && (LOST_SYSTEM.has(error.code ?? '') || LOST_WORDS.test(error.message));
}

function failureOf(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  if (isLost(cause)) return new Failure('store-unavailable', `the database is away: ${message}`, { cause });
  const state = sqlstateOf(cause);
  if (state === '53100') return new Failure('store-full', `the database's disk is full: ${message}`, { cause });
  if (state === '40001' || state === '40P01')
    return new Failure('store-conflict', `${message} (SQLSTATE ${state})`, { cause });
  return new Failure('store-failed', state === null ? message : `${message} (SQLSTATE ${state})`, { cause });
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

function exactInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Failure('store-failed', `the integer ${text} cannot be held exactly`);
  return value;
}

const asText = (text: string): string => text;
const parseTextArray = pg.types.getTypeParser(1009 as never) as unknown as (text: string) => (string | null)[];

/** By OID, as in `pg_type.dat`. A date has no time zone, and `pg` would give it ours. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  20: exactInteger,
  1016: (text) => parseTextArray(text).map((item) => (item === null ? null : exactInteger(item))),
  1082: asText,
  1114: asText,
};

const TYPES: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text') =>
    (format ?? 'text') === 'text' && PARSERS[oid]
      ? PARSERS[oid]
      : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/* ---- where files lie ------------------------------------------------------------------------------------------------ */

/** The package's own folder: compiled code runs below `dist`, but SQL files are read where they were written. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
