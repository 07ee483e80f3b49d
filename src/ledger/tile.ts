/** The layout on disk of c2sp.org/tlog-tiles, and its entry bundles. */
import type { Digest } from '../canonical.ts';

/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Levels of the tree that one tile spans. */
export const TILE_HEIGHT = 8;
/** An entry's length is a uint16. */
export const LARGEST_ENTRY = 65_535;

/** Path below the log's folder: `tile/0/x001/234.p/5`, `tile/entries/000`. A `width` of 256 is a full tile. */
export function tilePath(level: number | 'entries', index: number, width = TILE_WIDTH): string {
  const groups = [String(index % 1000).padStart(3, '0')];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    groups.unshift(`x${String(rest % 1000).padStart(3, '0')}`);
  }
  return `tile/${level}/${groups.join('/')}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

export const packHashes = (hashes: readonly Digest[]): Buffer => Buffer.from(hashes.join(''), 'hex');

export function unpackHashes(tile: Buffer): Digest[] {
  const hashes: Digest[] = [];
  for (let at = 0; at + 32 <= tile.length; at += 32) hashes.push(tile.toString('hex', at, at + 32) as Digest);
  return hashes;
}

/** Entries one after the other, each after its length as a big-endian uint16. */
export function frameEntries(entries: readonly Buffer[]): Buffer {
  const bytes = Buffer.allocUnsafe(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    bytes.writeUInt16BE(entry.length, at);
    entry.copy(bytes, at + 2);
    at += 2 + entry.length;
  }
  return bytes;
}

/**
 * How many framed entries there are, at most `most`, and how many bytes they take.
 * @param ended told of each where it ends
 */
export function measureEntries(
  bytes: Uint8Array,
  most = Number.POSITIVE_INFINITY,
  ended?: (end: number) => void,
): { count: number; whole: number } {
  let count = 0;
  let whole = 0;
  while (count < most && whole + 2 <= bytes.length) {
    const end = whole + 2 + bytes[whole]! * 256 + bytes[whole + 1]!;
    if (end > bytes.length) break;
    whole = end;
    count += 1;
    ended?.(end);
  }
  return { count, whole };
}

/** Reads at most `most` framed entries; `used` is where the first incomplete or further one begins. */
export function splitEntries(bytes: Buffer, most = Number.POSITIVE_INFINITY): { entries: Buffer[]; used: number } {
  const entries: Buffer[] = [];
  let used = 0;
  while (entries.length < most && used + 2 <= bytes.length) {
    const end = used + 2 + bytes.readUInt16BE(used);
    if (end > bytes.length) break;
    entries.push(bytes.subarray(used + 2, end));
    used = end;
  }
  return { entries, used };
}
