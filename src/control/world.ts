/**
 * Everything that control acts through, passed in from one place: time, randomness, storage and its three neighbours.
 * So the same code runs in a process, in a test, and in a seeded simulation.
 */
import type { KeyObject } from 'node:crypto';
import type { Roster } from '../approval/roster.ts';
import type { Authority } from '../authority/authority.ts';
import type { Digest } from '../canonical.ts';
import type { Clock, Instant, Random } from '../clock.ts';
import type { Observed, Receipt, Task } from '../connector/contract.ts';
import type { Decide } from '../decision/decide.ts';
import type { Rules } from '../identity/rules.ts';
import type { Recorder } from '../ledger/outbox.ts';
import type { Database } from '../store/database.ts';
import type { Looked, LookOrder } from '../verification/look.ts';
import type { Writ } from '../writ/writ.ts';

/** A snapshot as the gateway attested it. */
export interface Fetched {
  readonly feed: string;
  readonly id: string;
  readonly verdict: 'accepted' | 'stale' | 'held';
  readonly asOf: Instant | null;
  readonly asOfKind: string;
  readonly receivedAt: Instant;
  readonly records: number;
  readonly rawDigest: string;
  readonly findings: readonly { readonly code: string; readonly message: string }[];
  /** The signed statement, as JSON. */
  readonly statement: string;
}

/** The rows of an attested snapshot, read from where the gateway keeps them. */
export interface Rows {
  readonly quarantined: readonly { readonly key: string | null; readonly line: number; readonly reason: string }[];
  records(): AsyncIterable<readonly { readonly line: number; readonly text: string }[]>;
  close(): void;
}

export interface GatewayPeer {
  fetch(feed: string): Promise<Fetched>;
  rows(feed: string, id: string): Rows;
  admit(writ: Writ): Promise<void>;
  /** Performs a change that concerns Writgate alone. */
  own(
    writId: string,
    seq: number,
  ): Promise<{ readonly ok: boolean; readonly message: string; readonly refusal: string | null }>;
  /** To whom it gives only under people's signatures, since signatures took from them: `feed:key`. */
  terminated(): Promise<readonly string[]>;
}

export interface WorkerPeer {
  /** `refusal`: the code with which the gateway refused a call of this task, or null. */
  apply(
    connector: string,
    writId: string,
    task: Task,
  ): Promise<{ readonly receipt: Receipt; readonly refusal: string | null }>;
  observe(connector: string, onChunk: (observed: readonly Observed[]) => Promise<void>): Promise<void>;
}

export interface VerifierPeer {
  look(order: LookOrder): Promise<Looked>;
}

export interface World {
  readonly database: Database;
  readonly authority: Authority;
  readonly authorityDigest: Digest;
  readonly roster: Roster;
  readonly logOrigin: string;
  readonly rules: Rules;
  readonly decide: Decide;
  readonly policyDigest: Digest;
  readonly decisionKey: KeyObject;
  readonly verifierKey: KeyObject;
  readonly gateway: GatewayPeer;
  readonly worker: WorkerPeer;
  readonly verifier: VerifierPeer;
  readonly record: Recorder;
  /** Resolves when the ledger has everything that was recorded until now. */
  readonly settle: () => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
}
