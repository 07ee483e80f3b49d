/**
 * What control tells and takes, as JSON. The API serves these shapes, the command line and the console draw them.
 * Times are ISO strings; durations carry units; a change is named `P7.1`, a plan `P7`.
 */

import type { Leaf, PlanHeader, Stage } from '../plan/change.ts';
import type { PlanningReport } from './planning.ts';
import type { RunReport } from './run.ts';

export interface PlanSummary {
  readonly plan: string;
  readonly risk: PlanHeader['risk'];
  readonly state: 'open' | 'refused' | 'superseded' | 'done';
  readonly size: number;
  /** Changes by stage. */
  readonly stages: Readonly<Partial<Record<Stage, number>>>;
  /** Who must sign and how many; null inside the envelope. */
  readonly needs: { readonly role: string; readonly people: number } | null;
  readonly overLimit: boolean;
  readonly refusal: readonly { readonly limit: string; readonly message: string }[];
  readonly critique: readonly string[];
  readonly createdAt: string;
  /** The first changes, for a readable diff; `plan show` has all. */
  readonly changes: readonly ChangeSummary[];
}

export interface ChangeSummary {
  readonly change: string;
  readonly system: string;
  readonly login: string;
  readonly effect: Leaf['effect'];
  readonly entitlement: string | null;
  readonly person: string | null;
  /** Name of the person, for people. */
  readonly name: string | null;
  /** `hr:105`. */
  readonly subject: string | null;
  readonly cause: string;
  readonly until: string | null;
  readonly stage: Stage;
  /** When it came there. */
  readonly at: string;
  /** When it is tried again by itself; null where nobody waits for a time. */
  readonly nextAt: string | null;
  readonly note: string | null;
  readonly decision: { readonly verdict: string; readonly reasons: readonly string[] } | null;
  readonly receipt: { readonly outcome: string; readonly message: string } | null;
  readonly verification: {
    readonly verdict: string;
    readonly mechanism: string;
    readonly saw: string;
    readonly path: string;
    readonly presented: string | null;
  } | null;
}

export interface Planned {
  readonly report: PlanningReport;
  /** Open and refused plans, newest numbers last. */
  readonly plans: readonly PlanSummary[];
  readonly limits: { readonly grants: Used; readonly removals: Used };
}
export interface Used {
  readonly used: number;
  readonly of: number | null;
}

export interface PlanShown {
  readonly summary: PlanSummary;
  /** The exact bytes of the changes, in their order: whoever signs can work out the root in the header himself. */
  readonly leaves: readonly string[];
  readonly header: PlanHeader;
  readonly digest: string;
  readonly changes: readonly ChangeSummary[];
  /** Null when no signature is needed. */
  readonly request: {
    readonly bytes: string;
    readonly digest: string;
    readonly phrase: string;
    /** What an SSH key signs in namespace `approval@writgate`, for each verdict. */
    readonly challenge: { readonly approve: string; readonly refuse: string };
    readonly expiresAt: string;
    readonly verdict: 'approved' | 'refused' | 'waiting' | 'invalid';
    readonly reason: string | null;
    readonly signed: readonly {
      readonly person: string;
      readonly verdict: 'approve' | 'refuse';
      readonly reason: string | null;
    }[];
    readonly candidates: readonly {
      readonly person: string;
      readonly name: string;
      readonly keys: readonly string[];
    }[];
    readonly excluded: readonly { readonly person: string; readonly why: string }[];
    readonly need: number;
  } | null;
}

export interface Signature {
  readonly person: string;
  readonly verdict: 'approve' | 'refuse';
  readonly armored: string;
  readonly reason: string | null;
}

export interface Ran {
  /** Changes that were tried again because a person asked for it. */
  readonly retried: readonly string[];
  readonly report: RunReport;
  readonly plans: readonly PlanSummary[];
}

/** One plan by which something happened in targets within the last day. */
export interface Lately {
  readonly plan: string;
  readonly risk: PlanHeader['risk'];
  /** Why, where all its changes have one cause. */
  readonly cause: string | null;
  readonly people: number;
  readonly systems: readonly string[];
  readonly stages: Readonly<Partial<Record<Stage, number>>>;
  readonly from: string;
  readonly to: string;
  /** Why some of it did not happen: the first reason. */
  readonly note: string | null;
}

export interface Status {
  readonly tenant: string;
  readonly demo: boolean;
  readonly separation: string;
  readonly feeds: readonly {
    readonly feed: string;
    readonly verdict: string;
    readonly asOf: string | null;
    readonly asOfKind: string;
    readonly receivedAt: string;
    readonly records: number;
  }[];
  readonly systems: readonly {
    readonly system: string;
    readonly managed: number;
    readonly unmanaged: number;
    readonly protected: number;
  }[];
  readonly people: Readonly<Record<string, number>>;
  readonly stages: Readonly<Record<string, number>>;
  readonly open: readonly PlanSummary[];
  /** What happened in the last 24 hours, newest first. */
  readonly lately: readonly Lately[];
  /** Contradicted, failed and inconclusive changes that no later change made history; the first of them. */
  readonly alarms: readonly ChangeSummary[];
  readonly alarmed: number;
  readonly limits: { readonly grants: Used; readonly removals: Used };
  readonly ledger: { readonly entries: number; readonly checkpoint: string };
  readonly lastPlanning: string | null;
}

export interface TraceLine {
  readonly station: 'trigger' | 'cause' | 'decision' | 'approval' | 'writ' | 'call' | 'outcome' | 'verified' | 'status';
  readonly text: string;
  /** Index in the ledger, or null. */
  readonly entry: number | null;
  readonly at: string | null;
}
export interface Trace {
  readonly change: ChangeSummary;
  readonly lines: readonly TraceLine[];
}

export interface PersonShown {
  readonly person: string;
  readonly name: string;
  readonly state: string;
  readonly attributes: Readonly<Record<string, string | boolean | null>>;
  readonly affiliations: readonly {
    readonly feed: string;
    readonly key: string;
    readonly state: string;
    readonly quarantine: string | null;
  }[];
  readonly accounts: readonly {
    readonly system: string;
    readonly login: string;
    readonly state: string;
    readonly management: string;
    readonly holds: readonly {
      readonly entitlement: string;
      readonly since: string;
      readonly causes: readonly string[];
      readonly until: string | null;
      /** Change that granted it, and who signed; null when Writgate did not grant it. */
      readonly change: string | null;
      readonly approvedBy: readonly string[];
    }[];
  }[];
  readonly terminated: string | null;
  /** His newest changes, newest first. */
  readonly lately: readonly ChangeSummary[];
}

export interface Adoptable {
  readonly system: string;
  readonly login: string;
  readonly state: string;
  /** Whom it belongs to by the target's `match`; null: nobody, or more than one. */
  readonly person: string | null;
  readonly name: string | null;
  readonly why: string;
}
