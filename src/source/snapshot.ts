/**
 * Taking a snapshot, top to bottom: receive → frame → judge → attest. The gateway does all four itself; what control
 * and the connectors are given is the result.
 *
 * The raw payload is on disk before a byte of it is read for its meaning, so that whatever it does to the framing, the
 * evidence is there. A crash leaves an `incoming-*` folder, which says nothing and is swept at the next start.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { link, mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { assert } from '../assert.ts';
import type { Feed } from '../authority/authority.ts';
import { type Digest, digestOf } from '../canonical.ts';
import { type Clock, isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { Archive, type Archived } from './archive.ts';
import { checkContract, type Facts, type Judgement } from './contract.ts';
import { type Framing, frame, shapeOf } from './frame.ts';
import type { ManifestReading } from './manifest.ts';
import { type SignedStatement, type Statement, signStatement } from './statement.ts';

const MAX_PAYLOAD = 8 * 2 ** 30;
export const MAX_PAGE = 32 << 20;

export interface Taking {
  readonly tenant: string;
  /** The feed's name in the configuration. */
  readonly name: string;
  readonly feed: Feed;
  /** Chunks as they come; for a `json` feed each is one whole page. */
  readonly payload: AsyncIterable<Uint8Array>;
  /** URL or configured path, without credentials; its base name is what a manifest must name. */
  readonly origin: string;
  readonly tlsPeer: string | null;
  readonly manifest: ManifestReading;
  /** Value of the response header that `asOf.header` names, or null; looked at when the payload has come. */
  readonly header: string | null;
  /** Folder of this feed's snapshots. */
  readonly folder: string;
  /** The last accepted snapshot's statement, or null. */
  readonly previous: Statement | null;
  readonly clock: Clock;
  /** The gateway's Ed25519 private key. */
  readonly key: KeyObject;
}

export interface Snapshot {
  readonly statement: Statement;
  readonly signed: SignedStatement;
  readonly judgement: Judgement;
}

/**
 * @returns an attested snapshot, whatever its verdict: a payload that cannot be read at all is one that is held
 * @throws Failure `feed-unreadable` when the payload breaks off or is over its size, `feed-store` when the disk refuses
 */
export async function takeSnapshot(taking: Taking): Promise<Snapshot> {
  const { name, folder, previous, feed, clock } = taking;
  assert(previous === null || previous.verdict === 'accepted', 'a snapshot is compared with an accepted one');
  const guard = <T>(work: Promise<T>): Promise<T> =>
    work.catch((cause: NodeJS.ErrnoException) => {
      if (cause instanceof Failure || cause.code === undefined || cause.syscall === undefined) throw cause;
      throw new Failure('feed-store', `the snapshot of ${name} could not be written: ${cause.code}`, { cause });
    });
  await guard(mkdir(folder, { recursive: true, mode: 0o700 }));
  const incoming = await guard(mkdtemp(join(folder, 'incoming-')));
  try {
    const received = await receive(taking, join(incoming, 'raw'), guard);
    const receivedAt = clock.now();
    const framing = framingDigest(feed);
    const unchanged =
      previous?.rawDigest === received.digest &&
      previous.framing === framing &&
      previous.index !== undefined &&
      (await isKept(folder, previous.id));
    const framed = await guard(
      unchanged ? adopt(folder, previous, incoming, feed) : frameRecords(incoming, received.pages, feed),
    );
    const judgement = checkContract(feed, factsOf(taking, received.digest, receivedAt, framed, unchanged), previous);
    const said: Omit<Statement, 'id'> = {
      v: 1,
      tenant: taking.tenant,
      feed: name,
      origin: taking.origin,
      tlsPeer: taking.tlsPeer,
      rawDigest: received.digest,
      ...framed.archived,
      receivedAt: isoTime(receivedAt),
      asOf: judgement.asOf === null ? null : isoTime(judgement.asOf),
      asOfKind: judgement.asOfKind,
      verdict: judgement.verdict,
      findings: judgement.findings.map(({ code }) => code),
      mode: feed.contract.mode,
      key: feed.contract.key,
      framing,
      // A delta without records moves nothing, and must not make the feed forget how far it was.
      watermark: framed.watermark ?? previous?.watermark ?? null,
      previous: previous?.id ?? null,
    };
    const statement: Statement = { ...said, id: digestOf(said).slice(0, 12) };
    const signed = signStatement(statement, taking.key);
    await guard(publish(incoming, join(folder, statement.id), signed));
    return { statement, signed, judgement };
  } catch (thrown) {
    await rm(incoming, { recursive: true, force: true });
    throw thrown;
  }
}

/** Removes what snapshots that were never finished left behind. Only while none is being taken. */
export async function sweep(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names) {
    if (name.startsWith('incoming-')) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Every setting that decides how bytes become records. */
const framingDigest = (feed: Feed): Digest =>
  digestOf({
    format: feed.csv !== undefined ? 'csv' : feed.ndjson !== undefined ? 'ndjson' : 'json',
    items: feed.json?.items ?? null,
    encoding: feed.encoding ?? null,
    delimiter: feed.delimiter ?? null,
    ...shapeOf(feed),
  });

/* ---- receive --------------------------------------------------------------------------------------------------- */

interface Received {
  readonly digest: Digest;
  /** Byte lengths of the pages of a `json` feed, else null. */
  readonly pages: readonly number[] | null;
}

async function receive(
  { payload, feed, name }: Taking,
  path: string,
  guard: <T>(work: Promise<T>) => Promise<T>,
): Promise<Received> {
  const digest = createHash('sha256');
  const pages: number[] | null = feed.json ? [] : null;
  let size = 0;
  const file = await guard(open(path, 'wx', 0o600));
  const chunks = payload[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await chunks.next().catch((cause: unknown) => {
        if (cause instanceof Failure) throw cause;
        throw new Failure('feed-unreadable', `the feed ${name} broke off after ${size} bytes`, { cause });
      });
      if (next.done) break;
      const limit = pages && next.value.length > MAX_PAGE ? MAX_PAGE : size > MAX_PAYLOAD ? MAX_PAYLOAD : null;
      if (limit !== null) {
        throw new Failure('feed-unreadable', `the feed ${name} sent more than ${limit} bytes; split it`);
      }
      const bytes = pages ? Buffer.concat([next.value, Buffer.from('\n')]) : next.value;
      pages?.push(next.value.length);
      digest.update(bytes);
      size += bytes.length;
      for (let done = 0; done < bytes.length; ) {
        done += (await guard(file.write(bytes, done, bytes.length - done))).bytesWritten;
      }
    }
    await guard(file.sync());
    return { digest: digest.digest('hex') as Digest, pages };
  } finally {
    // Whatever became of ours, the source's file or connection is let go.
    await chunks.return?.();
    await file.close();
  }
}

/* ---- frame ----------------------------------------------------------------------------------------------------- */

interface Framed {
  readonly archived: Archived;
  readonly trouble: Framing['trouble'];
  readonly stated: Framing['stated'];
  readonly watermark: Framing['watermark'];
  readonly asOf: Framing['asOf'];
}

async function frameRecords(folder: string, pages: readonly number[] | null, feed: Feed): Promise<Framed> {
  const archive = new Archive(folder);
  try {
    const framing = await frame({ path: join(folder, 'raw'), pages, feed, sink: archive });
    // Half a payload's records would be a guess at the whole; the raw file shows what there was.
    if (framing.trouble) archive.clear();
    const archived = await archive.finish(feed.contract.key);
    return { ...framing, watermark: framing.trouble ? null : framing.watermark, archived };
  } finally {
    archive.close();
  }
}

const KEPT = ['raw', 'records.ndjson', 'tree', 'index', 'pages', 'quarantine.ndjson'] as const;

const isKept = async (folder: string, id: string): Promise<boolean> => {
  const found = await Promise.all(KEPT.map((file) => stat(join(folder, id, file)).catch(() => null)));
  return found.every((file) => file !== null);
};

/** The same bytes under the same settings are the same records: their files are shared, not made again. */
async function adopt(folder: string, previous: Statement, incoming: string, feed: Feed): Promise<Framed> {
  await rm(join(incoming, 'raw'));
  for (const file of KEPT) await link(join(folder, previous.id, file), join(incoming, file));
  const { recordsRoot, records, quarantined, index, watermark, asOf } = previous;
  assert(index !== undefined, 'only what proves its absences is adopted');
  return {
    archived: { recordsRoot, records, quarantined, index },
    trouble: null,
    stated: null,
    watermark,
    asOf: feed.asOf.field !== undefined && previous.asOfKind === 'field' && asOf !== null ? Date.parse(asOf) : null,
  };
}

/* ---- judge, attest --------------------------------------------------------------------------------------------- */

const factsOf = (
  { origin, manifest, header }: Taking,
  rawDigest: Digest,
  receivedAt: number,
  { archived, trouble, stated, watermark, asOf }: Framed,
  unchanged: boolean,
): Facts => ({
  receivedAt,
  file: basename(origin.replace(/[?#].*$/s, '')),
  rawDigest,
  trouble,
  records: archived.records,
  quarantined: archived.quarantined,
  stated,
  watermark,
  fieldAsOf: asOf,
  header,
  manifest,
  unchanged,
});

/** Durable under its own name, or not there at all. */
async function publish(incoming: string, final: string, signed: SignedStatement): Promise<void> {
  // The id is the digest of all that is said, so what lies there says the same of the same bytes.
  if (await stat(final).catch(() => null)) return rm(incoming, { recursive: true });
  const file = await open(join(incoming, 'statement.json'), 'wx', 0o600);
  try {
    await file.writeFile(JSON.stringify(signed));
    await file.sync();
  } finally {
    await file.close();
  }
  await syncFolder(incoming);
  try {
    await rename(incoming, final);
  } catch (cause) {
    // Two fetches within one millisecond say the same: the other was quicker.
    if (!['ENOTEMPTY', 'EEXIST'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    return rm(incoming, { recursive: true });
  }
  await syncFolder(join(final, '..'));
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
