/**
 * A snapshot's files, in its folder:
 *
 *   raw                the payload as it came (JSON pages: each followed by one LF)
 *   records.ndjson     the accepted records, one canonical object a line
 *   tree               their Merkle tree (RFC 6962), hashes of 32 bytes in the order in which subtrees complete
 *   index              sorted by key prefix: prefix 12 · offset 6 · length 4 · line 4 · leaf 4, big-endian
 *   pages              each page of the index: its first prefix 12 · SHA-256 of its entries 32; what proves an absence
 *   quarantine.ndjson  the records set aside: {"key","line","reason"}
 *   statement.json     what the gateway attests of all this (`statement.ts`)
 *
 * A crash leaves an `incoming-*` folder and nothing else; `sweep` removes it. A snapshot that has its name is whole.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsync, ftruncateSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assert } from '../assert.ts';
import { canonical, type Digest } from '../canonical.ts';
import { Frontier, leafHash } from '../ledger/tree.ts';
import { KEY_PREFIX, KeyTable } from './key-table.ts';
import type { Quarantined, Sink } from './records.ts';

export const ENTRY = KEY_PREFIX + 18;
export const HASH = 32;
/** Entries in a page of the index: what one look reads and checks. */
export const PAGE = 128;
/** A page's place in `pages`. */
export const PAGE_ENTRY = KEY_PREFIX + HASH;
/** Index entries written at a time: whole pages. */
const BATCH = 64 * PAGE;

/** Where leaf `index` lies among the tree file's hashes: before it come `index` leaves and the subtrees they complete. */
const leafPlace = (index: number): number => 2 * index - bitCount(index);

/** Where the subtree over leaves `index`·2^level and on lies: `level` places after the leaf that completes it. */
export const subtreePlace = (level: number, index: number): number => leafPlace((index + 1) * 2 ** level - 1) + level;

function bitCount(value: number): number {
  let count = 0;
  for (let rest = value; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/** Appends to a file through one buffer. Synchronous: a write per megabyte, between two reads that wait. */
class Appender {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(1 << 20);
  #open = true;
  #used = 0;
  #written = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'wx', 0o600);
  }

  /** @returns the bytes of `text`, valid until the next call */
  text(text: string): Uint8Array {
    const room = this.#room(text.length * 3);
    if (room === null) {
      const bytes = Buffer.from(text);
      this.#write(bytes);
      return bytes;
    }
    this.#used += this.#buffer.write(text, room, 'utf8');
    return this.#buffer.subarray(room, this.#used);
  }

  hex(digest: Digest): void {
    // The room first: making it may flush, and `+=` would have read the length before that.
    const at = this.#room(HASH)!;
    this.#used += this.#buffer.write(digest, at, 'hex');
  }

  /** The next `length` bytes (at most a megabyte), to be filled by the caller. */
  bytes(length: number): Buffer {
    const from = this.#room(length)!;
    this.#used += length;
    return this.#buffer.subarray(from, this.#used);
  }

  #room(length: number): number | null {
    if (this.#used + length > this.#buffer.length) this.flush();
    return length > this.#buffer.length ? null : this.#used;
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const wrote = writeSync(this.#fd, bytes, done, bytes.length - done, this.#written);
      done += wrote;
      this.#written += wrote;
    }
  }

  flush(): void {
    assert(this.#used <= this.#buffer.length, 'no more is pending than the buffer holds');
    this.#write(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  clear(): void {
    this.#used = 0;
    this.#written = 0;
    ftruncateSync(this.#fd, 0);
  }

  /** Durable when it resolves; closed in any case. */
  async finish(): Promise<void> {
    try {
      this.flush();
      await promisify(fsync)(this.#fd);
    } finally {
      this.close();
    }
  }

  /** Safe to call again: a number closed twice may by then be somebody else's file. */
  close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}

/** `records.ndjson` and `tree`, growing together. */
class RecordFiles {
  readonly keys = new KeyTable();
  readonly #records: Appender;
  readonly #tree: Appender;
  #frontier = new Frontier();

  constructor(folder: string, suffix = '') {
    this.#records = new Appender(join(folder, `records.ndjson${suffix}`));
    this.#tree = new Appender(join(folder, `tree${suffix}`));
  }

  append(line: number, text: string, key: string): void {
    const bytes = this.#records.text(text);
    const length = bytes.length + 1;
    const leaf = leafHash(bytes);
    this.#records.text('\n');
    this.#tree.hex(leaf);
    this.#frontier.append(leaf, (_, root) => this.#tree.hex(root));
    this.keys.add(key, line, length);
  }

  root(): Digest {
    return this.#frontier.root();
  }

  clear(): void {
    this.#records.clear();
    this.#tree.clear();
    this.#frontier = new Frontier();
    this.keys.clear();
  }

  flush(): void {
    this.#records.flush();
  }

  async finish(): Promise<void> {
    await this.#records.finish();
    await this.#tree.finish();
  }

  close(): void {
    this.#records.close();
    this.#tree.close();
  }
}

export interface Archived {
  readonly recordsRoot: Digest;
  readonly records: number;
  readonly quarantined: Quarantine;
  /** SHA-256 of `pages`: which keys there are, and so which there are not. */
  readonly index: Digest;
}

export interface Quarantine {
  readonly count: number;
  /** Of them, those whose key cannot be told. */
  readonly unkeyed: number;
  /** Of them, those that share their key with another record. */
  readonly duplicates: number;
  /** SHA-256 of `quarantine.ndjson`. */
  readonly digest: Digest;
}

/** Takes a framing's records and leaves them, durable and searchable, in a folder. */
export class Archive implements Sink {
  readonly #folder: string;
  readonly #aside: Appender;
  #files: RecordFiles;
  #asideDigest = createHash('sha256');
  /** Keys of the records set aside while framing, with their lines. */
  readonly #asideKeys = new Map<string, number>();
  #count = 0;
  #unkeyed = 0;

  /** @param folder exists, and is empty but for `raw` */
  constructor(folder: string) {
    this.#folder = folder;
    this.#aside = new Appender(join(folder, 'quarantine.ndjson'));
    this.#files = new RecordFiles(folder);
  }

  record(line: number, text: string, key: string): void {
    this.#files.append(line, text, key);
  }

  quarantine({ key, line, reason }: Quarantined): void {
    // A reason may quote what it is about, and what it is about may not be well-formed.
    this.#asideDigest.update(this.#aside.text(`${canonical({ key, line, reason: reason.toWellFormed() })}\n`));
    this.#count += 1;
    if (key === null) this.#unkeyed += 1;
    else this.#asideKeys.set(key, line);
  }

  /** Forgets everything: the payload could not be framed to its end. */
  clear(): void {
    this.#files.clear();
    this.#aside.clear();
    this.#asideKeys.clear();
    this.#asideDigest = createHash('sha256');
    this.#count = 0;
    this.#unkeyed = 0;
  }

  /**
   * Sets aside every record whose key another one has too, also one already set aside; writes the index, and syncs.
   * @param keyColumn where a record's normal form has its key
   */
  async finish(keyColumn: string): Promise<Archived> {
    let sorted = this.#files.keys.sort();
    for (const [key, line] of this.#asideKeys) {
      const rival = this.#files.keys.find(sorted.order, key);
      if (rival !== null) sorted.twins.set(rival, line);
    }
    const duplicates = sorted.twins.size;
    if (duplicates > 0) {
      this.#files = await this.#withoutTwins(sorted.twins, keyColumn);
      sorted = this.#files.keys.sort();
    }
    const { keys } = this.#files;
    const index = await writeIndex(this.#folder, keys, sorted.order);
    await this.#files.finish();
    await this.#aside.finish();
    const digest = this.#asideDigest.digest('hex') as Digest;
    return {
      recordsRoot: this.#files.root(),
      records: keys.size,
      quarantined: { count: this.#count, unkeyed: this.#unkeyed, duplicates, digest },
      index,
    };
  }

  /** Closes the files of a snapshot that will not be; after `finish` they are closed already. */
  close(): void {
    this.#files.close();
    this.#aside.close();
  }

  /** Rare, so it may be slow: the records file is written anew without them. */
  async #withoutTwins(twins: ReadonlyMap<number, number>, keyColumn: string): Promise<RecordFiles> {
    const all = this.#files;
    all.flush();
    const kept = new RecordFiles(this.#folder, '.kept');
    const fd = openSync(join(this.#folder, 'records.ndjson'), 'r');
    try {
      for (let index = 0; index < all.keys.size; index += 1) {
        const bytes = Buffer.allocUnsafe(all.keys.length(index));
        readSync(fd, bytes, 0, bytes.length, all.keys.offset(index));
        const text = bytes.toString('utf8');
        const key = (JSON.parse(text) as Record<string, string>)[keyColumn]!;
        const line = all.keys.line(index);
        const twin = twins.get(index);
        if (twin === undefined) kept.append(line, text, key);
        else this.quarantine({ key, line, reason: `its key is also on line ${twin}` });
      }
    } catch (thrown) {
      kept.close();
      throw thrown;
    } finally {
      closeSync(fd);
    }
    all.close();
    for (const name of ['records.ndjson', 'tree']) {
      renameSync(join(this.#folder, `${name}.kept`), join(this.#folder, name));
    }
    return kept;
  }
}

/** @returns the digest of `pages` */
async function writeIndex(folder: string, keys: KeyTable, order: Uint32Array): Promise<Digest> {
  const index = new Appender(join(folder, 'index'));
  const pages = new Appender(join(folder, 'pages'));
  const digest = createHash('sha256');
  try {
    for (let from = 0; from < order.length; from += BATCH) {
      const leaves = order.subarray(from, from + BATCH);
      const batch = index.bytes(leaves.length * ENTRY);
      for (let place = 0; place < leaves.length; place += 1) {
        const leaf = leaves[place]!;
        const at = place * ENTRY;
        keys.copyPrefix(leaf, batch, at);
        batch.writeUIntBE(keys.offset(leaf), at + KEY_PREFIX, 6);
        batch.writeUInt32BE(keys.length(leaf), at + KEY_PREFIX + 6);
        batch.writeUInt32BE(keys.line(leaf), at + KEY_PREFIX + 10);
        batch.writeUInt32BE(leaf, at + KEY_PREFIX + 14);
      }
      const table = pageTable(batch);
      table.copy(pages.bytes(table.length));
      digest.update(table);
    }
    await index.finish();
    await pages.finish();
  } finally {
    index.close();
    pages.close();
  }
  return digest.digest('hex') as Digest;
}

/** The table of an index, or of whole pages of one. */
export function pageTable(entries: Buffer): Buffer {
  const size = PAGE * ENTRY;
  const table = Buffer.allocUnsafe(Math.ceil(entries.length / size) * PAGE_ENTRY);
  for (let at = 0, place = 0; at < entries.length; at += size, place += PAGE_ENTRY) {
    const page = entries.subarray(at, at + size);
    page.copy(table, place, 0, KEY_PREFIX);
    pageHash(page).copy(table, place + KEY_PREFIX);
  }
  return table;
}

export const pageHash = (page: Buffer): Buffer => createHash('sha256').update(page).digest();
