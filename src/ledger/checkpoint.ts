/** Checkpoints (c2sp.org/tlog-checkpoint): a signed note that says how large a log is and what its root is. */
import { assert } from '../assert.ts';
import type { Digest } from '../canonical.ts';
import { fromBase64, openNote, type Signed, type Verifier } from './note.ts';

export interface Checkpoint {
  /** Which log, for example `writgate.acme.example/ledger`. */
  readonly origin: string;
  /** Number of entries. */
  readonly size: number;
  readonly root: Digest;
  /** Opaque further lines; our logs write none. */
  readonly extensions: readonly string[];
}

/** The text to sign. */
export function formatCheckpoint({
  origin,
  size,
  root,
  extensions = [],
}: Omit<Checkpoint, 'extensions'> & { readonly extensions?: readonly string[] }): string {
  assert(Number.isSafeInteger(size) && size >= 0, 'a tree has a whole number of leaves');
  const lines = [origin, String(size), Buffer.from(root, 'hex').toString('base64'), ...extensions];
  assert(
    lines.every((line) => line !== '' && !line.includes('\n')),
    'no line of a checkpoint is empty',
  );
  return `${lines.join('\n')}\n`;
}

/** A decimal without sign or leading zeroes, exact in a number; else null. */
export function parseSize(text: string): number | null {
  const size = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(size) ? size : null;
}

/** Reads a checkpoint's text, signatures aside; null when it is none. */
export function parseCheckpoint(text: string): Checkpoint | null {
  if (!text.endsWith('\n')) return null;
  const [origin, sizeLine, rootLine, ...extensions] = text.slice(0, -1).split('\n');
  const size = parseSize(sizeLine ?? '');
  const root = fromBase64(rootLine ?? '');
  if (!origin || size === null || root?.length !== 32 || extensions.includes('')) return null;
  return { origin, size, root: root.toString('hex') as Digest, extensions };
}

export type OpenedCheckpoint =
  | { readonly ok: true; readonly text: string; readonly checkpoint: Checkpoint; readonly cosigned: readonly Signed[] }
  | { readonly ok: false; readonly reason: string };

/**
 * Verifies a checkpoint: the log must have signed it, and its origin must be the log's key name. `cosigned` are the
 * witnesses, of those given, whose cosignatures it carries, each once.
 */
export function openCheckpoint(note: string, logKey: Verifier, witnesses: readonly Verifier[] = []): OpenedCheckpoint {
  const opened = openNote(note, [logKey, ...witnesses]);
  if (!opened.ok) return opened;
  const isLog = ({ verifier }: Signed) => verifier.identity === logKey.identity;
  if (!opened.signed.some((item) => isLog(item) && item.verifier.type === logKey.type)) {
    return { ok: false, reason: `${logKey.name} has not signed it` };
  }
  const checkpoint = parseCheckpoint(opened.text);
  if (!checkpoint) return { ok: false, reason: 'the signed text is no checkpoint' };
  if (checkpoint.origin !== logKey.name) {
    return { ok: false, reason: `it is of the log ${checkpoint.origin}, not of ${logKey.name}` };
  }
  // A log does not witness itself, under whatever name.
  return { ok: true, text: opened.text, checkpoint, cosigned: opened.signed.filter((item) => !isLog(item)) };
}
