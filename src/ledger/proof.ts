/** A self-contained proof that an entry is in a log, as text (c2sp.org/tlog-proof). */
import type { Digest } from '../canonical.ts';
import { parseSize } from './checkpoint.ts';
import { fromBase64 } from './note.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
/** A tree of 2^63 leaves needs no more. */
const MOST_HASHES = 63;

export interface Proof {
  readonly index: number;
  /** Inclusion proof, from the leaf's sibling upwards. */
  readonly hashes: readonly Digest[];
  /** The signed checkpoint, verbatim, with all its signature lines. */
  readonly checkpoint: string;
}

export function formatProof({ index, hashes, checkpoint }: Proof): string {
  const lines = hashes.map((hash) => `${Buffer.from(hash, 'hex').toString('base64')}\n`);
  return `${HEADER}\nindex ${index}\n${lines.join('')}\n${checkpoint}`;
}

/** Reads a proof; null when malformed. Extra data is refused: we write none and it proves nothing. */
export function parseProof(text: string): Proof | null {
  // Here the *first* empty line separates: no line of the proof is empty, while a checkpoint contains one.
  const gap = text.indexOf('\n\n');
  if (gap < 0) return null;
  const [header, indexLine, ...hashLines] = text.slice(0, gap).split('\n');
  const index = indexLine?.startsWith('index ') ? parseSize(indexLine.slice('index '.length)) : null;
  const hashes = hashLines.map((line) => fromBase64(line));
  if (header !== HEADER || index === null || hashes.length > MOST_HASHES) return null;
  if (!hashes.every((hash) => hash?.length === 32)) return null;
  return { index, hashes: hashes.map((hash) => hash!.toString('hex') as Digest), checkpoint: text.slice(gap + 2) };
}
