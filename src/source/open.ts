/**
 * Reading a kept snapshot: one record by its key, its proof, or all of them in order; the rows are never loaded.
 *
 * That a key is *not* there is a statement too, and somebody may have spoilt the files to have it made. So the table of
 * the index's pages is held against the attested digest when the snapshot is opened, and stays in memory; it says which
 * one page could hold a key, and that page is held against the table each time it is read.
 */
import { hash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, parseCanonical } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { checkInclusion, foldCover, inclusionPath, leafHash } from '../ledger/tree.ts';
import { ENTRY, HASH, PAGE, PAGE_ENTRY, pageHash, pageTable, subtreePlace } from './archive.ts';
import { KEY_PREFIX, keyPrefix } from './key-table.ts';
import type { Quarantined } from './records.ts';
import type { SignedStatement, Statement } from './statement.ts';

export interface Found {
  /** The record in normal form (`records.ts`). */
  readonly row: Readonly<Record<string, string | null>>;
  /** The exact line whose leaf hash is in the tree. */
  readonly text: string;
  /** Physical line in the raw payload. */
  readonly line: number;
  /** Place in the tree, from 0. */
  readonly index: number;
}

export interface RecordProof {
  readonly text: string;
  readonly leaf: Digest;
  readonly index: number;
  readonly size: number;
  /** From the sibling upwards, against the statement's `recordsRoot`. */
  readonly proof: readonly Digest[];
}

export interface OpenSnapshot {
  readonly signed: SignedStatement;
  /** As it lies on disk; its signature is `checkStatement`'s business. */
  readonly statement: Statement;
  /**
   * One binary search and one page. `quarantined`: the key's record was set aside, or records were set aside whose key
   * cannot be told, or the whole snapshot is held, or it proves no absences; either way its absence means nothing.
   * null: it is not in the snapshot.
   * @throws Failure `snapshot-damaged` when the page that could hold it is not the attested one
   */
  find(key: string): Found | 'quarantined' | null;
  has(key: string): boolean;
  /** @throws Failure `snapshot-damaged` when the files do not lead to the attested root */
  prove(key: string): RecordProof | null;
  quarantined(): readonly Quarantined[];
  /** All records in the order of the payload, some thousands at a time. Holds 4 bytes a record. */
  records(): AsyncGenerator<readonly { readonly line: number; readonly text: string }[]>;
  close(): void;
}

/** @throws Failure `not-found` for an id that is not there */
export function openSnapshot(folder: string, id: string): OpenSnapshot {
  const at = (file: string) => join(folder, id, file);
  const open: number[] = [];
  const file = (name: string): number => {
    try {
      const fd = openSync(at(name), 'r');
      open.push(fd);
      return fd;
    } catch (cause) {
      for (const fd of open) closeSync(fd);
      throw new Failure('not-found', `snapshot ${id} has no file ${name}`, { cause });
    }
  };
  const statementFile = file('statement.json');
  const [index, rows, tree] = [file('index'), file('records.ndjson'), file('tree')];
  const signed = JSON.parse(readFileSync(statementFile, 'utf8')) as SignedStatement;
  const statement = parseCanonical(signed.body) as unknown as Statement;
  const size = fstatSync(index).size / ENTRY;
  const damaged = (what: string) => new Failure('snapshot-damaged', `snapshot ${id}: ${what}`);
  let aside: Map<string, Quarantined> | null = null;
  const quarantined = () => {
    const text = readFileSync(at('quarantine.ndjson'), 'utf8');
    if (hash('sha256', text) !== statement.quarantined.digest)
      throw damaged('the records set aside are not the attested ones');
    return readQuarantine(text);
  };

  const read = (fd: number, position: number, length: number): Buffer => {
    const bytes = Buffer.allocUnsafe(length);
    if (readSync(fd, bytes, 0, length, position) !== length)
      throw damaged(`a file ends before byte ${position + length}`);
    return bytes;
  };

  const pages = ((): Buffer => {
    if (statement.index === undefined) return pageTable(read(index, 0, size * ENTRY));
    const table = readFileSync(at('pages'));
    const whole = size === statement.records && table.length === Math.ceil(size / PAGE) * PAGE_ENTRY;
    if (whole && hash('sha256', table) === statement.index) return table;
    for (const fd of open) closeSync(fd);
    throw damaged('the index is not the attested one');
  })();

  const search = (key: string): Found | null => {
    const wanted = keyPrefix(key);
    // The last page that begins at or before it is the only one that could hold it.
    const number = firstAfter(pages, PAGE_ENTRY, wanted) - 1;
    if (number < 0) return null;
    const page = read(index, number * PAGE * ENTRY, Math.min(PAGE, size - number * PAGE) * ENTRY);
    if (!pages.subarray(number * PAGE_ENTRY + KEY_PREFIX, (number + 1) * PAGE_ENTRY).equals(pageHash(page)))
      throw damaged(`page ${number + 1} of the index is not the attested one`);
    const place = (firstAfter(page, ENTRY, wanted) - 1) * ENTRY;
    const entry = page.subarray(place, place + ENTRY);
    if (!entry.subarray(0, KEY_PREFIX).equals(wanted)) return null;
    const text = read(rows, entry.readUIntBE(KEY_PREFIX, 6), entry.readUInt32BE(KEY_PREFIX + 6)).toString('utf8');
    const row = JSON.parse(text) as Found['row'];
    // Another key with the same first twelve bytes of digest.
    if (row[statement.key] !== key) return null;
    return { row, text, line: entry.readUInt32BE(KEY_PREFIX + 10), index: entry.readUInt32BE(KEY_PREFIX + 14) };
  };

  return {
    signed,
    statement,
    quarantined,
    find(key) {
      const found = search(key);
      if (found) return found;
      if (statement.index === undefined || statement.verdict === 'held' || statement.quarantined.unkeyed > 0)
        return 'quarantined';
      aside ??= new Map(quarantined().flatMap((record) => (record.key === null ? [] : [[record.key, record]])));
      return aside.has(key) ? 'quarantined' : null;
    },
    has: (key) => search(key) !== null,
    prove(key) {
      const found = search(key);
      if (!found) return null;
      const leaf = leafHash(found.text);
      const subtree = ({ level, index: place }: { level: number; index: number }) =>
        read(tree, subtreePlace(level, place) * HASH, HASH).toString('hex') as Digest;
      const proof = inclusionPath(found.index, statement.records).map((cover) => foldCover(cover.map(subtree)));
      const claim = { leafHash: leaf, index: found.index, size: statement.records, proof, root: statement.recordsRoot };
      if (!checkInclusion(claim)) throw damaged(`the record ${JSON.stringify(key)} does not lead to the attested root`);
      return { text: found.text, leaf, index: found.index, size: statement.records, proof };
    },
    records: () => readRecords(at('records.ndjson'), linesByLeaf(read(index, 0, size * ENTRY))),
    close() {
      for (const fd of open) closeSync(fd);
    },
  };
}

/** Of sorted entries that begin with a key prefix: the place of the first one after `wanted`. */
function firstAfter(entries: Buffer, length: number, wanted: Buffer): number {
  let [low, high] = [0, entries.length / length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const from = middle * length;
    if (entries.compare(wanted, 0, KEY_PREFIX, from, from + KEY_PREFIX) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

const readQuarantine = (text: string): Quarantined[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Quarantined);

function linesByLeaf(index: Buffer): Uint32Array {
  const lines = new Uint32Array(index.length / ENTRY);
  for (let at = 0; at < index.length; at += ENTRY) {
    lines[index.readUInt32BE(at + KEY_PREFIX + 14)] = index.readUInt32BE(at + KEY_PREFIX + 10);
  }
  return lines;
}

async function* readRecords(path: string, lines: Uint32Array) {
  let rest = Buffer.alloc(0);
  let next = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    const end = bytes.lastIndexOf(10);
    rest = Buffer.from(bytes.subarray(end + 1));
    if (end < 0) continue;
    // A canonical line holds no line end but its own: JSON escapes them.
    yield bytes
      .toString('utf8', 0, end)
      .split('\n')
      .map((text) => ({ line: lines[next++]!, text }));
  }
}
