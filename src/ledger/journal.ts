/**
 * The journal: where a batch is made durable *before* the head is swapped.
 *
 * Each process has a journal of its own, because a process that has been overtaken does not know it yet: were there
 * one file, its late write could destroy what the winner has acknowledged. A batch is worth something only if the head
 * names it, or a batch that follows it; the others are leftovers.
 */
import { join } from 'node:path';
import { isDigest } from '../canonical.ts';
import { parseSize } from './checkpoint.ts';
import type { Disk, DiskFile } from './disk.ts';
import type { Head } from './head.ts';

export interface Batch {
  readonly from: Head;
  readonly to: Head;
  /** The entries from `from.size` to `to.size`, framed as in a bundle. */
  readonly framed: Buffer;
}

const NAME = /^journal\.[0-9a-f]{16}$/;
export const journalPath = (folder: string, id: string): string => join(folder, `journal.${id}`);

const headKey = (head: Head): string => `${head.size} ${head.root}`;

/** One write: a line that says from which head to which, and how many bytes follow. */
const frameBatch = ({ from, to, framed }: Batch): Buffer =>
  Buffer.concat([Buffer.from(`batch ${headKey(from)} ${headKey(to)} ${framed.length}\n`), framed]);

/** Batches of one journal, as far as they are whole: the last may be torn. */
function readBatches(bytes: Buffer): Batch[] {
  const batches: Batch[] = [];
  for (let at = 0; at < bytes.length; ) {
    const lineEnd = bytes.indexOf('\n', at);
    const [word, fromSize, fromRoot, toSize, toRoot, length, more] =
      lineEnd < 0 ? [] : bytes.toString('latin1', at, lineEnd).split(' ');
    const [from, to, count] = [fromSize, toSize, length].map((text) => parseSize(text ?? ''));
    const end = lineEnd + 1 + (count ?? 0);
    if (word !== 'batch' || more !== undefined || from == null || to == null || count == null) break;
    if (!isDigest(fromRoot) || !isDigest(toRoot) || end > bytes.length) break;
    batches.push({
      from: { size: from, root: fromRoot },
      to: { size: to, root: toRoot },
      framed: bytes.subarray(lineEnd + 1, end),
    });
    at = end;
  }
  return batches;
}

/** Paths of the journals in a ledger's folder. */
export const listJournals = async (disk: Disk, folder: string): Promise<string[]> =>
  (await disk.list(folder)).filter((name) => NAME.test(name)).map((name) => join(folder, name));

/**
 * The batches that lead to `head`, as far back as the journals reach, and the head that they start from. What comes
 * back is not trusted either: the caller hashes it and compares with the head.
 */
export async function chainTo(
  head: Head,
  disk: Disk,
  journals: readonly string[],
): Promise<{ base: Head; batches: Batch[] }> {
  const byHead = new Map<string, Batch>();
  for (const path of journals) {
    for (const batch of readBatches((await disk.read(path)) ?? Buffer.alloc(0))) byHead.set(headKey(batch.to), batch);
  }
  const batches: Batch[] = [];
  let base = head;
  for (let batch = byHead.get(headKey(base)); batch && batch.from.size < base.size; batch = byHead.get(headKey(base))) {
    batches.unshift(batch);
    base = batch.from;
  }
  return { base, batches };
}

export interface Journal {
  /** Makes a batch durable. */
  append(batch: Batch): Promise<void>;
  /** Whether it has grown so long that it should be cleared once its batches are durable elsewhere. */
  readonly isLong: boolean;
  clear(): Promise<void>;
  close(): Promise<void>;
}

const LONG_BYTES = 64 * 1024 * 1024;

export async function openJournal(disk: Disk, path: string): Promise<Journal> {
  const file: DiskFile = await disk.open(path);
  let end = 0;
  return {
    append: async (batch) => {
      const bytes = frameBatch(batch);
      await file.write(end, bytes);
      await file.flush();
      end += bytes.length;
    },
    get isLong() {
      return end > LONG_BYTES;
    },
    clear: async () => {
      await file.clear();
      end = 0;
    },
    close: () => file.close(),
  };
}
