/**
 * The log: orders entries, makes them durable, signs what the whole has become, and publishes it as static files.
 *
 * One process at a time appends (the sequencer). What submitters wait for, once per batch:
 *
 *     1 hash the batch onto the tree           (in memory, a copy)
 *     2 write it to this process's journal, flush
 *     3 swap the head from (size, root) to the new (size, root)
 *     4 copy it to the entries file, sign the checkpoint, acknowledge
 *
 * and what follows by itself, for several batches at once when they come fast:
 *
 *     5 write full tiles and bundles, the partial ones of this size, then the checkpoint
 *
 * What a crash, a full disk or a power cut leaves behind, and how opening mends it:
 *
 *     in 1–2  the head does not know the batch, so it never was: nobody was told otherwise, its journal is a leftover
 *     in 3    the outcome is unknown: this process stops; whoever opens next sees by the head which it was
 *     in 4    the head names the batch: it is copied from the journal again, over whatever is there of it
 *     in 4–5  the checkpoint is older than the head: it is signed again; submitters who were not told submit again,
 *             so who must not seal twice looks for what he sealed before he submits again
 *     in 5    tiles are derived: opening compares them with the entries and writes those that differ
 *
 * A failed write or flush is final (the page cache may have dropped what it could not write, and a second flush would
 * then say yes): the log stops, every waiter is refused, and the process must open it again. Two sequencers on one
 * folder are harmless: before the swap each writes only to its own journal; the loser of the swap stops; and the entries
 * file takes only what the head names, so that whoever writes at an offset writes the same bytes. For the same
 * reason nothing in it is ever cut off: if it holds more than the head names, the database went back, and the log
 * refuses to open rather than forget what it has acknowledged.
 */
import { join } from 'node:path';
import { type Digest, isDigest } from '../canonical.ts';
import { type Ambient, after } from '../clock.ts';
import { Failure, hasCode } from '../errors.ts';
import { formatCheckpoint, openCheckpoint } from './checkpoint.ts';
import type { Disk } from './disk.ts';
import { splitEntry } from './entry.ts';
import type { Head, HeadStore } from './head.ts';
import { chainTo, type Journal, journalPath, listJournals, openJournal } from './journal.ts';
import { type Signer, signNote } from './note.ts';
import { createPublisher } from './publish.ts';
import { frameEntries, splitEntries, TILE_WIDTH } from './tile.ts';
import { TiledTree } from './tiled.ts';
import { consistencyPath, coverRange, EMPTY_ROOT, foldCover, inclusionPath, leafHash, type Subtree } from './tree.ts';

export interface Sealed {
  readonly index: number;
  /** Signed checkpoint that covers the entry. */
  readonly checkpoint: string;
}

export interface Log {
  readonly size: number;
  /** Newest signed checkpoint. */
  checkpoint(): string;
  /**
   * Seals an entry; resolves when it is durable and the head names it.
   * @throws Failure `ledger-entry`, `ledger-fenced`, `ledger-stopped`. After the last two it may or may not be sealed.
   */
  submit(entry: Buffer): Promise<Sealed>;
  /** Seals entries in this order, with no promise that others do not come between. */
  submitAll(entries: readonly Buffer[]): Promise<Sealed[]>;
  /** @throws Failure `ledger-range`. */
  read(index: number): Promise<Buffer>;
  /** Entries from index `from` up to, not including, `to`. @throws Failure `ledger-range`. */
  entries(from: number, to: number): AsyncGenerator<Buffer, void, void>;
  /** Inclusion proof in the tree of `size` entries. @throws Failure `ledger-range`. */
  inclusion(index: number, size: number): Promise<Digest[]>;
  /** Consistency proof between two sizes, 0 < `from` ≤ `to`. @throws Failure `ledger-range`. */
  consistency(from: number, to: number): Promise<Digest[]>;
  /**
   * Keeps a checkpoint of this log with its witnesses' lines as `checkpoint.cosigned`, for auditors; an older one than
   * is kept already is ignored. @throws Failure `ledger-corrupt` when it is not of this log.
   */
  publishCosigned(note: string): Promise<void>;
  /** Resolves when the static files have caught up with what is sealed now. @throws Failure `ledger-stopped`, `ledger-fenced`. */
  published(): Promise<void>;
  /** Seals what is waiting, publishes, and lets the folder go. */
  close(): Promise<void>;
}

/** Bounds what one batch costs: about 15 ms of hashing, and memory. */
const BATCH_ENTRIES = 8192;
const BATCH_BYTES = 8 * 1024 * 1024;
const SCAN_BYTES = 1024 * 1024;

interface Waiting {
  readonly entry: Buffer;
  readonly seal: (sealed: Sealed) => void;
  readonly fail: (failure: Failure) => void;
}

const corrupt = (message: string): Failure => new Failure('ledger-corrupt', message);
const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Opens the ledger in `folder`, mends what a crash left, and publishes. Reads every entry once (about 300,000/s).
 * @param options.signer the log's own key; its name is `origin`.
 * @throws Failure `ledger-corrupt` when folder, head and published checkpoint do not fit together.
 */
export async function openLog(
  options: Ambient & {
    readonly folder: string;
    readonly origin: string;
    readonly signer: Signer;
    readonly head: HeadStore;
    readonly disk: Disk;
    /** Least time between two publications of the static files; 0 unless told. What is sealed is durable without them. */
    readonly publishPauseMs?: number;
  },
): Promise<Log> {
  const { folder, origin, signer, head: store, disk, clock, random, publishPauseMs = 0 } = options;
  if (signer.verifier.name !== origin)
    throw new Failure('ledger-key', `the key of ${origin} is named ${signer.verifier.name}`);

  const file = await disk.open(join(folder, 'entries'));
  const tree = new TiledTree();
  /** Offset in the entries file at which each bundle starts. */
  const bundles: number[] = [0];
  let end = 0;
  const publisher = createPublisher({ disk, folder, file, tree, bundles });

  /** Takes framed entries, which are committed, onto the tree. */
  function extend(entries: readonly Buffer[], growth = tree.grow(entries.map(leafHash))): void {
    let index = tree.size;
    for (const entry of entries) {
      index += 1;
      end += 2 + entry.length;
      if (index % TILE_WIDTH === 0) bundles.push(end);
    }
    tree.commit(growth);
  }

  /* ---- opening ---- */

  async function load(): Promise<{ head: Head | null; journals: string[] }> {
    // Read before the head: what they show was named by the head then, and must be so still.
    const length = await file.size();
    const published = await readPublished();
    const head = await store.load();
    const { size, root } = head ?? { size: 0, root: EMPTY_ROOT };
    if (!Number.isSafeInteger(size) || size < 0 || !isDigest(root))
      throw corrupt(`the head in the database is no head: ${size} ${root}`);
    if (published.size > size) {
      throw corrupt(
        `the published checkpoint has ${published.size} entries, the head in the database ${size}: was an older database restored?`,
      );
    }
    const journals = await listJournals(disk, folder);
    const { base, batches } = await chainTo({ size, root }, disk, journals);
    await scan(base.size, published);
    if (tree.size < base.size) throw corrupt(`the entries file has ${tree.size} whole entries, the head names ${size}`);
    if (tree.root() !== base.root)
      throw corrupt(`the root over the first ${base.size} entries is ${tree.root()}, not ${base.root}`);
    for (const { framed } of batches) {
      await file.write(end, framed);
      await take(splitEntries(framed).entries, published);
    }
    if (tree.size !== size || tree.root() !== root)
      throw corrupt(`the journal leads to ${tree.size} ${tree.root()}, the head is ${size} ${root}`);
    if (length > end) {
      throw corrupt(
        `the entries file has ${length} bytes, of which the head names ${end}: was an older database restored?`,
      );
    }
    await file.flush();
    await publisher.adopt(published.size);
    return { head, journals };
  }

  async function readPublished(): Promise<Head> {
    const note = await disk.read(join(folder, 'checkpoint'));
    if (note === null) return { size: 0, root: EMPTY_ROOT };
    const opened = openCheckpoint(note.toString(), signer.verifier);
    if (!opened.ok) throw corrupt(`the published checkpoint is not this log’s: ${opened.reason}`);
    return opened.checkpoint;
  }

  /** Onto the tree, stopping at the published size to compare, and saving tiles as they fill. */
  async function take(entries: readonly Buffer[], published: Head): Promise<void> {
    const before = Math.max(0, published.size - tree.size);
    for (const part of [entries.slice(0, before), entries.slice(before)]) {
      extend(part);
      if (tree.size === published.size && tree.root() !== published.root) {
        throw corrupt(
          `the first ${published.size} entries have the root ${tree.root()}, the published checkpoint says ${published.root}`,
        );
      }
    }
    await publisher.saveFull('compare');
  }

  async function scan(size: number, published: Head): Promise<void> {
    while (tree.size < size) {
      const { entries } = splitEntries(await file.read(end, SCAN_BYTES), size - tree.size);
      if (entries.length === 0) return;
      await take(entries, published);
    }
  }

  const sign = (head: Head): string =>
    signNote(formatCheckpoint({ origin, size: head.size, root: head.root as Digest }), signer);

  const opened = await load().catch(async (error) => {
    await file.close();
    throw error;
  });
  let current = opened.head;
  let note = sign(current ?? { size: 0, root: EMPTY_ROOT });

  /* ---- appending ---- */

  let stopped: Failure | null = null;
  let closed = false;
  let leftovers = opened.journals;
  let journal: Journal | null = null;
  const ownJournal = journalPath(folder, random(8).toString('hex'));
  const queue: Waiting[] = [];
  let draining: Promise<void> | null = null;
  let publishing: Promise<void> | null = null;
  /** How many wait for the static files, and how to cut a pause short for them. */
  let hurried = 0;
  let hurry = (): void => undefined;

  function stop(failure: Failure): Failure {
    stopped ??= failure;
    for (const waiting of queue.splice(0)) waiting.fail(stopped);
    return stopped;
  }

  const stopOn = (step: string, error: unknown): Failure =>
    stop(
      error instanceof Failure && hasCode(error, 'ledger-fenced')
        ? error
        : new Failure('ledger-stopped', `the ledger stopped at entry ${tree.size}: ${step} failed (${words(error)})`, {
            cause: error,
          }),
    );

  function nextBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && count < BATCH_ENTRIES && bytes < BATCH_BYTES) {
      bytes += queue[count]!.entry.length;
      count += 1;
    }
    return queue.splice(0, count);
  }

  async function sealBatch(batch: readonly Waiting[]): Promise<void> {
    const entries = batch.map(({ entry }) => entry);
    const growth = tree.grow(entries.map(leafHash));
    const framed = frameEntries(entries);
    const from = current ?? { size: 0, root: EMPTY_ROOT };
    const next: Head = { size: growth.frontier.size, root: growth.frontier.root() };

    journal ??= await openJournal(disk, ownJournal);
    await journal.append({ from, to: next, framed });
    if (!(await store.swap(current, next))) {
      throw new Failure(
        'ledger-fenced',
        `another process has moved the ledger past ${from.size} entries; only one sequencer may run`,
      );
    }
    const first = from.size;
    current = next;
    await file.write(end, framed);
    // In one turn of the event loop: readers and the publisher see the old size with its checkpoint, or the new.
    extend(entries, growth);
    note = sign(next);
    const checkpoint = note;
    for (const [position, waiting] of batch.entries()) waiting.seal({ index: first + position, checkpoint });
    await tidyJournals(journal);
  }

  /** A journal is let go only when the entries file has all of it, durably. */
  async function tidyJournals(own: Journal): Promise<void> {
    // Their owners can never win again after our swap, and opening has flushed what they had won.
    for (const path of leftovers) await disk.remove(path);
    leftovers = [];
    if (!own.isLong) return;
    await file.flush();
    await own.clear();
  }

  async function drain(): Promise<void> {
    // Whatever is submitted in this turn of the event loop goes into one batch.
    await Promise.resolve();
    while (queue.length > 0 && !stopped) {
      const batch = nextBatch();
      try {
        await sealBatch(batch);
      } catch (error) {
        const failure = stopOn('sealing', error);
        for (const waiting of batch) waiting.fail(failure);
      }
      publish();
    }
    draining = null;
  }

  function publish(): void {
    publishing ??= publishAll();
  }

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const over = after(clock, ms, resolve);
      hurry = () => {
        over();
        resolve();
      };
    });

  async function publishAll(): Promise<void> {
    await Promise.resolve();
    try {
      while (!stopped && publisher.note !== note) {
        await publisher.publish(note, end);
        // Between bursts of small batches: publishing each would cost more than sealing it.
        if (!closed && hurried === 0 && publisher.note !== note) await pause(publishPauseMs);
      }
    } catch (error) {
      stopOn('publishing', error);
    }
    publishing = null;
  }

  function submit(entry: Buffer): Promise<Sealed> {
    return new Promise((seal, fail) => {
      const form = splitEntry(entry);
      if (stopped) return fail(stopped);
      if (closed) return fail(new Failure('ledger-stopped', 'the ledger is closed'));
      if (typeof form === 'string') return fail(new Failure('ledger-entry', `refused to seal: ${form}`));
      queue.push({ entry, seal, fail });
      draining ??= drain();
    });
  }

  /* ---- reading ---- */

  function need(holds: boolean, what: string): void {
    if (!holds) throw new Failure('ledger-range', `${what}; the ledger has ${tree.size} entries`);
  }

  async function readBundle(bundle: number): Promise<Buffer[]> {
    const start = bundles[bundle]!;
    return splitEntries(await file.read(start, (bundles[bundle + 1] ?? end) - start)).entries;
  }

  async function* entries(from: number, to: number): AsyncGenerator<Buffer, void, void> {
    need(
      Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && from <= to && to <= tree.size,
      `no entries ${from} to ${to}`,
    );
    for (let index = from; index < to; ) {
      const bundle = Math.floor(index / TILE_WIDTH);
      const wanted = (await readBundle(bundle)).slice(index % TILE_WIDTH, to - bundle * TILE_WIDTH);
      yield* wanted;
      index += wanted.length;
    }
  }

  async function loadTile(path: string): Promise<Buffer> {
    const bytes = await disk.read(join(folder, path));
    if (bytes?.length !== TILE_WIDTH * 32)
      throw corrupt(`${path} is missing or short; opening the ledger writes it again`);
    return bytes;
  }

  const fold = async (cover: readonly Subtree[]): Promise<Digest> =>
    foldCover(await Promise.all(cover.map((subtree) => tree.hashOf(subtree, loadTile))));

  publish();
  return {
    get size() {
      return tree.size;
    },
    checkpoint: () => note,
    submit,
    submitAll: (list) => Promise.all(list.map(submit)),
    entries,
    read: async (index) => {
      need(Number.isSafeInteger(index) && index >= 0 && index < tree.size, `no entry ${index}`);
      return (await readBundle(Math.floor(index / TILE_WIDTH)))[index % TILE_WIDTH]!;
    },
    inclusion: async (index, size) => {
      need(
        Number.isSafeInteger(index) && index >= 0 && index < size && size <= tree.size,
        `no entry ${index} in size ${size}`,
      );
      return Promise.all(inclusionPath(index, size).map(fold));
    },
    consistency: async (from, to) => {
      need(Number.isSafeInteger(from) && from > 0 && from <= to && to <= tree.size, `no sizes ${from} to ${to}`);
      return Promise.all(consistencyPath(from, to).map(fold));
    },
    publishCosigned: async (cosigned) => {
      const found = openCheckpoint(cosigned, signer.verifier);
      if (!found.ok) throw corrupt(`refused to publish a cosigned checkpoint: ${found.reason}`);
      const { size, root } = found.checkpoint;
      need(size <= tree.size, `no size ${size}`);
      if ((await fold(coverRange(0, size))) !== root)
        throw corrupt(`a cosigned checkpoint of size ${size} has another root`);
      await publisher.keepCosigned(cosigned, size, signer.verifier);
    },
    published: async () => {
      hurried += 1;
      try {
        for (publish(); publishing; ) {
          hurry();
          await publishing;
        }
      } finally {
        hurried -= 1;
      }
      if (stopped) throw stopped;
    },
    close: async () => {
      closed = true;
      await draining;
      while (publishing) {
        hurry();
        await publishing;
      }
      try {
        if (!stopped) {
          await file.flush();
          if (journal) await disk.remove(ownJournal);
        }
      } finally {
        await journal?.close();
        await file.close();
      }
    },
  };
}
