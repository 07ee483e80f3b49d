/** One change under examination: its parts as far as they hold, and what is found wrong with them. */

import type { Roster } from '../approval/roster.ts';
import type { Authority } from '../authority/authority.ts';
import { type Digest, sha256 } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import { type Leaf, type PlanHeader, tupleOf } from '../plan/change.ts';
import { ADDING, type Tuple } from '../writ/tuple.ts';
import type { Evidence } from './bundle.ts';
import type { Logged } from './logged.ts';
import type { Kind } from './shape.ts';
import type { Find, Trust } from './trust.ts';

export interface Told {
  readonly station: 'trigger' | 'cause' | 'decision' | 'approval' | 'writ' | 'call' | 'outcome' | 'verified' | 'status';
  readonly text: string;
  /** ISO time as logged, or null. */
  readonly at: string | null;
}

export interface Case {
  readonly evidence: Evidence;
  readonly header: PlanHeader;
  readonly leaf: Leaf;
  readonly tuple: Tuple;
  readonly planDigest: Digest;
  readonly trust: Trust;
  readonly authority: Authority;
  readonly authorityDigest: Digest;
  /** The roster in force: the one that the request names, or else the newest of the chain. */
  readonly roster: Roster;
  /** By ascending index. */
  of<K extends Kind>(kind: K): readonly Logged<K>[];
  readonly find: Find;
  readonly tell: (station: Told['station'], text: string, at: Instant | null) => void;
}

export function openCase(
  parts: Pick<Case, 'evidence' | 'header' | 'leaf' | 'trust' | 'authority' | 'roster' | 'find'> & {
    readonly entries: readonly Logged[];
    readonly story: Told[];
  },
): Case {
  const { entries, story, ...rest } = parts;
  return {
    ...rest,
    tuple: tupleOf(parts.leaf),
    planDigest: sha256(parts.evidence.header),
    authorityDigest: sha256(parts.evidence.authority.document),
    of: <K extends Kind>(kind: K) => entries.filter((entry): entry is Logged<K> => entry.kind === kind),
    tell: (station, text, at) => void story.push({ station, text, at: at === null ? null : isoTime(at) }),
  };
}

/**
 * Whether one entry was made before another: by its place in the log. What the gateway may journal while the log is
 * away (feeds, outcomes, and the intents of removals, because revoking waits for nobody) comes into the log later, and
 * then the time that it signed decides.
 */
export function precedes({ tuple }: Pick<Case, 'tuple'>, first: Logged, second: Logged): boolean {
  if (first.index < second.index) return true;
  const journalled =
    first.kind === 'gateway.snapshot' ||
    first.kind === 'gateway.outcome' ||
    (first.kind === 'gateway.intent' && !ADDING.has(tuple.effect));
  return journalled && first.at < second.at;
}

/** Says when something stands before what must come first. */
export function inOrder(c: Case, first: Logged | undefined, second: Logged | undefined): void {
  if (first && second && !precedes(c, first, second)) {
    c.find('order', `${second.kind} (entry ${second.index}) stands before ${first.kind} (entry ${first.index})`);
  }
}
