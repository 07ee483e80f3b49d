/**
 * How gateway and verifier write into the ledger: entries signed with their own key, a batch at once, handed to the
 * sequencer, and held to be sealed only when the checkpoint and the inclusion proofs that come back are right.
 */
import type { KeyObject } from 'node:crypto';
import type { Clock, Random } from '../clock.ts';
import { groupCommit } from '../store/batch.ts';
import { openCheckpoint } from './checkpoint.ts';
import { type Draft, draftEntry, type Role, sealDrafts } from './entry.ts';
import { LARGEST_JOINT } from './joint.ts';
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
/** @param again they may be sealed already: the answer to an earlier try was lost */
export type Submit = (
  submissions: readonly Submission[],
  again: boolean,
) => Promise<{ readonly checkpoint: string; readonly placed: readonly Placed[] }>;

export type Sealed =
  | { readonly ok: true; readonly index: number | null }
  | { readonly ok: false; readonly why: string };

export interface Scribe {
  /**
   * @param mayWait true: without a seal it did not happen (`ok: false`). false: revoking never waits for the log's
   * health; what cannot be sealed now is journalled and submitted later.
   * @param isMade it is about something that has happened already: when not even the journal takes it, it is kept in
   * memory until that does, and `ok` is false until then. @throws otherwise what the journal throws
   */
  write(
    kind: string,
    refs: Readonly<Record<string, string>>,
    body: unknown,
    options: { readonly mayWait: boolean; readonly isMade?: boolean },
  ): Promise<Sealed>;
  /** Submits what was journalled. */
  catchUp(): Promise<number>;
  /** Whether all that was made and told here would outlive this process: what was in memory only is journalled now. */
  kept(): Promise<boolean>;
}

type Tried = { readonly submission: Submission } & ({ readonly index: number } | { readonly why: string });

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

  async function seal(submissions: readonly Submission[], again: boolean): Promise<readonly number[]> {
    const { checkpoint, placed } = await world.submit(submissions, again);
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

  /** A batch is signed once, and then either sealed or not: who may not wait journals these very bytes. */
  async function signAndSeal(drafts: readonly Draft[]): Promise<readonly Tried[]> {
    const submissions = sealDrafts(drafts, key).map(({ entry, ...rest }) => ({
      entry: entry.toString('base64'),
      ...rest,
    }));
    try {
      const indexes = await seal(submissions, false);
      return submissions.map((submission, position) => ({ submission, index: indexes[position] as number }));
    } catch (thrown) {
      return submissions.map((submission) => ({ submission, why: (thrown as Error).message }));
    }
  }
  /** What has happened and stands nowhere yet. */
  const unkept: Submission[] = [];
  let keeping: Promise<void> | null = null;
  async function keepAll(): Promise<void> {
    for (let first = unkept[0]; first; first = unkept[0]) {
      await journal?.add(first);
      unkept.shift();
    }
  }
  /** @throws what the journal throws */
  const keep = (): Promise<void> => {
    keeping ??= keepAll().finally(() => {
      keeping = null;
    });
    return keeping;
  };
  async function catchUp(): Promise<number> {
    await keep();
    const waiting = (await journal?.take()) ?? [];
    if (waiting.length === 0) return 0;
    await seal(
      waiting.map(({ entry, body, salt }) => ({ entry, body, salt })),
      true,
    );
    await journal?.remove(waiting.map(({ id }) => id));
    return waiting.length;
  }
  let catching: Promise<number> | null = null;
  const tryOne = groupCommit<Draft, Tried>(signAndSeal, {
    maxBatch: LARGEST_JOINT,
    gather: { ms: GATHER_MS, clock },
  });

  return {
    async write(kind, refs, body, { mayWait, isMade = false }) {
      const tried = await tryOne(draftEntry({ kind, at: clock.now(), by: role, tenant, refs, body, random }));
      if ('index' in tried) return { ok: true, index: tried.index };
      if (mayWait || journal === null) return { ok: false, why: `the ledger cannot seal now: ${tried.why}` };
      try {
        await journal.add(tried.submission);
        return { ok: true, index: null };
      } catch (thrown) {
        if (!isMade) throw thrown;
        unkept.push(tried.submission);
        return { ok: false, why: thrown instanceof Error ? thrown.message : String(thrown) };
      }
    },
    async kept() {
      if (unkept.length === 0) return true;
      return keep().then(
        () => true,
        () => false,
      );
    },
    catchUp: () => {
      catching ??= catchUp().finally(() => {
        catching = null;
      });
      return catching;
    },
  };
}
