/**
 * Fetching feeds. The gateway gets each payload itself and attests what it was, so that nobody can invent freshness or
 * people later. Files are pinned: a symbolic link is refused, because it could lead to any other file.
 */

import type { KeyObject } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import type { request } from 'undici';
import { checkSshSignature } from '../approval/sshsig.ts';
import type { Authority, Feed } from '../authority/authority.ts';
import { type Clock, type Instant, isoTime, MAX_SKEW_MS } from '../clock.ts';
import { Failure } from '../errors.ts';
import { nextCursor } from '../source/json.ts';
import { type ManifestReading, readManifest } from '../source/manifest.ts';
import { MAX_PAGE, type Snapshot, takeSnapshot } from '../source/snapshot.ts';
import { checkStatement, type SignedStatement, type Statement } from '../source/statement.ts';
import type { Database } from '../store/database.ts';

const FETCH_TIMEOUT_MS = 30_000;
const MAX_PAGES = 100_000;

export interface FeedWorld {
  readonly authority: () => Authority;
  readonly database: Database;
  /** Folder of writgate.yaml: paths in it are relative to that. */
  readonly configFolder: string;
  readonly snapshots: string;
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  readonly clock: Clock;
  /** Asks a feed over HTTP; follows no redirect. */
  readonly request: typeof request;
}

async function* readPinned(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((cause) => {
    const why =
      cause.code === 'ELOOP' ? 'is a symbolic link, which could lead anywhere' : `cannot be opened (${cause.code})`;
    throw new Failure('feed-unreadable', `${path} ${why}`, { cause });
  });
  try {
    yield* file.createReadStream({ highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
  } finally {
    await file.close().catch(() => undefined);
  }
}

const optional = (path: string): Promise<Buffer | null> =>
  readFile(path).catch((cause) => {
    if (cause.code === 'ENOENT') return null;
    throw new Failure('feed-unreadable', `${path} cannot be read (${cause.code})`, { cause });
  });

async function manifestOf(feed: Feed, folder: string): Promise<ManifestReading> {
  if (feed.asOf.manifest === undefined) return { kind: 'none' };
  const path = isAbsolute(feed.asOf.manifest) ? feed.asOf.manifest : join(folder, feed.asOf.manifest);
  const [bytes, signature] = await Promise.all([optional(path), optional(`${path}.sig`)]);
  return readManifest({
    bytes,
    signature: signature?.toString('utf8') ?? null,
    exporter: feed.exporter,
    check: checkSshSignature,
  });
}

/** Whole pages, one after another, until the source says that there is no more. Redirects are not followed. */
async function* readPages(
  ask: typeof request,
  paging: NonNullable<Feed['json']>,
  header: (name: string) => void,
): AsyncGenerator<Uint8Array> {
  let cursor: string | null = null;
  const seen = new Set<string>();
  for (let page = 0; page < MAX_PAGES; page++) {
    const url = new URL(paging.url);
    if (cursor !== null) url.searchParams.set(paging.cursor, cursor);
    const answer: Awaited<ReturnType<typeof request>> = await ask(url, {
      headers: { accept: 'application/json' },
      headersTimeout: FETCH_TIMEOUT_MS,
      bodyTimeout: FETCH_TIMEOUT_MS,
    }).catch((cause) => {
      throw new Failure('feed-unreadable', `${paging.url} does not answer (${cause.code ?? cause.message})`, { cause });
    });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new Failure('feed-unreadable', `${paging.url} answered ${answer.statusCode} on page ${page + 1}`);
    }
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body) {
      size += chunk.length;
      if (size > MAX_PAGE)
        throw new Failure('feed-unreadable', `page ${page + 1} of ${paging.url} is over ${MAX_PAGE} bytes`);
      chunks.push(chunk);
    }
    if (page === 0) for (const [name, value] of Object.entries(answer.headers)) header(`${name}\u0000${String(value)}`);
    const bytes = Buffer.concat(chunks);
    yield bytes;
    cursor = nextCursor(bytes.toString('utf8'), paging);
    if (cursor === null) return;
    if (seen.has(cursor))
      throw new Failure('feed-unreadable', `${paging.url} gave the cursor of page ${page + 1} before`);
    seen.add(cursor);
  }
  throw new Failure('feed-unreadable', `${paging.url} has more than ${MAX_PAGES} pages`);
}

/**
 * The last accepted snapshot's statement, from the gateway's own database, or null. Which is last is told by their age,
 * which never goes back, and not by a clock that may have. One from the future, when the clock was wrong, is none: it
 * would make all others go backwards until then.
 */
export async function lastAccepted(
  database: Database,
  tenant: string,
  feed: string,
  key: KeyObject,
  now: Instant,
): Promise<Statement | null> {
  const row = await database.maybe<{ statement: string }>(
    `select statement from snapshot where tenant = $1 and feed = $2 and verdict = 'accepted' and as_of <= $3
      order by as_of desc, received_at desc limit 1`,
    [tenant, feed, isoTime(now + MAX_SKEW_MS)],
  );
  if (!row) return null;
  const check = checkStatement(JSON.parse(row.statement) as SignedStatement, { publicKey: key, tenant, feed });
  if (!check.ok)
    throw new Failure('snapshot-damaged', `the stored statement of ${feed} does not hold: ${check.reason}`);
  return check.statement;
}

export async function fetchFeed(world: FeedWorld, name: string): Promise<Snapshot> {
  const authority = world.authority();
  const { tenant } = authority;
  const feed = authority.feeds[name];
  if (!feed) throw new Failure('not-found', `no feed ${name}; there are ${Object.keys(authority.feeds).join(', ')}`);
  const path = feed.csv ?? feed.ndjson;
  const headers = new Map<string, string>();
  const payload =
    path !== undefined
      ? readPinned(resolve(world.configFolder, path))
      : readPages(world.request, feed.json as NonNullable<Feed['json']>, (line) => {
          const [header = '', value = ''] = line.split('\u0000');
          headers.set(header.toLowerCase(), value);
        });
  const snapshot = await takeSnapshot({
    tenant,
    name,
    feed,
    payload,
    origin: path ?? feed.json?.url ?? '',
    tlsPeer: null,
    manifest: await manifestOf(feed, world.configFolder),
    get header() {
      return feed.asOf.header === undefined ? null : (headers.get(feed.asOf.header.toLowerCase()) ?? null);
    },
    folder: join(world.snapshots, name),
    previous: await lastAccepted(world.database, tenant, name, world.publicKey, world.clock.now()),
    clock: world.clock,
    key: world.key,
  });
  const { statement } = snapshot;
  await world.database.query(
    `insert into snapshot (tenant, feed, id, verdict, as_of, as_of_kind, received_at, statement, facts)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing`,
    [
      tenant,
      name,
      statement.id,
      statement.verdict,
      statement.asOf,
      statement.asOfKind,
      isoTime(Date.parse(statement.receivedAt)),
      JSON.stringify(snapshot.signed),
      JSON.stringify({ records: statement.records }),
    ],
  );
  return snapshot;
}
