/**
 * A witness (c2sp.org/tlog-witness): cosigns that one log only ever grew. It keeps the newest head that it cosigned, and
 * the store decides between two requests at once, so that it can never cosign two trees that do not extend each other.
 */

import { assert } from '../assert.ts';
import type { Clock } from '../clock.ts';
import { openCheckpoint, parseCheckpoint } from './checkpoint.ts';
import type { HeadStore } from './head.ts';
import { COSIGNATURE, parseNote, type Signer, signatureLine, type Verifier } from './note.ts';
import { checkConsistency, EMPTY_ROOT } from './tree.ts';

/** A refusal with the HTTP status that c2sp.org/tlog-witness gives it; at 409 `size` is what the witness has cosigned. */
export type Cosigned =
  | { readonly ok: true /** A note signature line with its newline. */; readonly line: string }
  | {
      readonly ok: false;
      readonly status: 400 | 403 | 404 | 409 | 422;
      readonly reason: string;
      readonly size: number;
    };

export interface Witness {
  /** Size of the newest checkpoint it has cosigned, 0 for none: where the next consistency proof must start. */
  size(): Promise<number>;
  /**
   * Cosigns a checkpoint, given the consistency proof from `from`.
   * @throws whatever the store throws; then nothing was cosigned.
   */
  cosign(checkpoint: string, proof: { readonly from: number; readonly hashes: readonly string[] }): Promise<Cosigned>;
}

/**
 * @param options.key a signer of type `COSIGNATURE`, whose key signs nothing else.
 * @param options.logKey the one log that is witnessed.
 * @param options.store keeps the head; it belongs to the witness, never to the log's operator.
 */
export function createWitness(options: {
  readonly key: Signer;
  readonly logKey: Verifier;
  readonly store: HeadStore;
  readonly clock: Clock;
}): Witness {
  const { key, logKey, store, clock } = options;
  assert(key.verifier.type === COSIGNATURE, 'a witness signs cosignatures');
  assert(key.verifier.identity !== logKey.identity, 'a log does not witness itself');

  return {
    size: async () => (await store.load())?.size ?? 0,
    cosign: async (note, { from, hashes }) => {
      const latest = await store.load();
      const known = latest?.size ?? 0;
      const refuse = (status: (Cosigned & { ok: false })['status'], reason: string): Cosigned => ({
        ok: false,
        status,
        reason,
        size: known,
      });

      const claimed = parseCheckpoint(parseNote(note)?.text ?? '');
      if (!claimed) return refuse(400, 'not a checkpoint');
      if (claimed.origin !== logKey.name) return refuse(404, `the log ${claimed.origin} is not witnessed here`);
      const opened = openCheckpoint(note, logKey);
      if (!opened.ok) return refuse(403, opened.reason);
      const { size, root } = opened.checkpoint;
      if (from > size) return refuse(400, `the proof starts at ${from}, beyond the checkpoint’s ${size}`);
      if (from !== known) return refuse(409, `the newest cosigned size is ${known}, the proof starts at ${from}`);
      if (latest === null || known === 0) {
        // Every tree extends the empty one: there is nothing to prove, and nothing may be sent as if there were.
        if (hashes.length > 0) return refuse(422, 'a proof from size 0 is empty');
        if (size === 0 && root !== EMPTY_ROOT) return refuse(409, 'a tree of size 0 has but one root');
      } else if (size === known && root !== latest.root) {
        return refuse(409, `another root was cosigned at size ${size}: the log has forked`);
      } else if (!checkConsistency({ from, fromRoot: latest.root, to: size, toRoot: root, proof: hashes })) {
        return refuse(422, `the tree of ${size} is not proven to extend the one of ${known}`);
      }
      // Durable before the signature leaves, and refused when another request came first.
      if (!(await store.swap(latest, { size, root }))) return refuse(409, 'another checkpoint was cosigned meanwhile');
      return { ok: true, line: signatureLine(opened.text, key, Math.floor(clock.now() / 1000)) };
    },
  };
}
