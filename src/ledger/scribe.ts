/**
 * How gateway and verifier write into the ledger: each entry signed with their own key, handed to the sequencer, and
 * held to be sealed only when the checkpoint and the inclusion proof that come back are right.
 */
import type { KeyObject } from 'node:crypto';
import type { Clock, Random } from '../clock.ts';
import { groupCommit } from '../store/batch.ts';
import { openCheckpoint } from './checkpoint.ts';
import { type Role, sealEntry } from './entry.ts';
import type { Verifier } from './note.ts';
import { checkInclusion, leafHash } from './tree.ts';

/** What goes to the sequencer; JSON over the pipe. */
export interface Submission {
  /** Base64. */
  readonly entry: string;
  readonly body: string;
  readonly salt: string;
}

/** What comes back for each: where it is, and the proof that the checkpoint covers it. */
export interface Placed {
  readonly index: number;
  readonly proof: readonly string[];
}
export type Submit = (
  submissions: readonly Submission[],
) => Promise<{ readonly checkpoint: string; readonly placed: readonly Placed[] }>;

export type Sealed =
  | { readonly ok: true; readonly index: number | null }
  | { readonly ok: false; readonly why: string };

export interface Scribe {
  /**
   * @param mayWait true: without a seal it did not happen (`ok: false`). false: revoking never waits for the log's
   * health; what cannot be sealed now is journalled and submitted later.
   */
  write(
    kind: string,
    refs: Readonly<Record<string, string>>,
    body: unknown,
    options: { readonly mayWait: boolean },
  ): Promise<Sealed>;
  /** Submits what was journalled. */
  catchUp(): Promise<number>;
}

export interface Journal {
  add(submission: Submission): Promise<void>;
  take(): Promise<readonly (Submission & { readonly id: number })[]>;
  remove(ids: readonly number[]): Promise<void>;
}

/** Each batch is flushed, signed, proved and cosigned by itself, whatever is in it. */
const GATHER_MS = 10;

export function openScribe(world: {
  readonly role: Role;
  readonly tenant: string;
  readonly key: KeyObject;
  readonly logKey: Verifier;
  readonly submit: Submit;
  readonly journal: Journal | null;
  /** Told of each checkpoint that was checked; the gateway holds it consistent and cosigns it. What it throws, nothing is sealed. */
  readonly seen: (checkpoint: string) => Promise<void> | void;
  readonly clock: Clock;
  readonly random: Random;
}): Scribe {
  const { role, tenant, key, logKey, journal, clock, random } = world;

  async function seal(submissions: readonly Submission[]): Promise<readonly number[]> {
    const { checkpoint, placed } = await world.submit(submissions);
    const opened = openCheckpoint(checkpoint, logKey);
    if (!opened.ok) throw new Error(`the checkpoint does not hold: ${opened.reason}`);
    placed.forEach(({ index, proof }, position) => {
      const submission = submissions[position];
      const covered =
        submission !== undefined &&
        checkInclusion({
          leafHash: leafHash(Buffer.from(submission.entry, 'base64')),
          index,
          size: opened.checkpoint.size,
          proof,
          root: opened.checkpoint.root,
        });
      if (!covered) throw new Error(`entry ${index} is not under the checkpoint of ${opened.checkpoint.size}`);
    });
    if (placed.length !== submissions.length)
      throw new Error(`${placed.length} of ${submissions.length} entries were placed`);
    await world.seen(checkpoint);
    return placed.map(({ index }) => index);
  }

  const submitOne = groupCommit<Submission, number>(seal, { maxBatch: 256, gatherMs: GATHER_MS });

  return {
    async write(kind, refs, body, { mayWait }) {
      const { entry, ...rest } = sealEntry({
        kind,
        at: clock.now(),
        by: role,
        tenant,
        refs,
        body,
        random,
        signWith: key,
      });
      const submission = { entry: entry.toString('base64'), ...rest };
      try {
        return { ok: true, index: await submitOne(submission) };
      } catch (thrown) {
        const why = `the ledger cannot seal now: ${(thrown as Error).message}`;
        if (mayWait || journal === null) return { ok: false, why };
        await journal.add(submission);
        return { ok: true, index: null };
      }
    },
    async catchUp() {
      if (journal === null) return 0;
      const waiting = await journal.take();
      if (waiting.length === 0) return 0;
      await seal(waiting.map(({ entry, body, salt }) => ({ entry, body, salt })));
      await journal.remove(waiting.map(({ id }) => id));
      return waiting.length;
    },
  };
}
