/**
 * The lifecycle as tables: from dated affiliations to one state, and from two states to what happened.
 *
 * Dates are calendar days without a time zone; a day is counted in UTC (it begins at 00:00 UTC everywhere). `endsOn` is
 * the last day that somebody works: access ends when that day is over. An affiliation without a start has begun.
 * Pure: the same record on the same day gives the same answer, in control and in the gateway.
 */
import type { Instant } from '../clock.ts';
import type { Value } from '../expression.ts';

/** What a feed may say itself, beyond dates. Anything else quarantines the record. */
export const STATUSES = ['active', 'leave', 'notice', 'left'] as const;
export type Status = (typeof STATUSES)[number];

/**
 * `notice`: works, and the end is known. There is no state `rehired`: that is the transition by which somebody who had
 * left becomes active again, and from then on nothing distinguishes him.
 */
export const STATES = ['prehire', 'active', 'leave', 'notice', 'left'] as const;
export type State = (typeof STATES)[number];
export type Transition = 'joiner' | 'mover' | 'leaver' | 'rehire' | 'none';

/** From this many days before the end on, somebody is on notice. */
export const NOTICE_DAYS = 30;

/** Birthright rules speak for these states only; in every other, nobody should have anything. */
export const isWorking = (state: State): boolean => state === 'active' || state === 'notice';

export interface Affiliation {
  /** `YYYY-MM-DD`, first and last day; null is open. */
  readonly startsOn: string | null;
  readonly endsOn: string | null;
  readonly status: Status | null;
  /**
   * `present`: in the newest accepted snapshot. `absent`: missing from an accepted full snapshot of a feed that says
   * absence means leaving. `unchanged`: the feed says nothing new (held, stale, delta): the last accepted record counts,
   * and its dates go on passing. `quarantined`: its newest record is set aside.
   */
  readonly presence: 'present' | 'absent' | 'unchanged' | 'quarantined';
}

/* ---- one affiliation ------------------------------------------------------------------------------------------- */

interface Facts extends Affiliation {
  readonly today: string;
}

/** The first row that fits gives the state. Dates compare as text, because they are all `YYYY-MM-DD`. */
const ROWS: readonly { readonly state: State; readonly when: (facts: Facts) => boolean }[] = [
  { state: 'left', when: ({ presence }) => presence === 'absent' },
  { state: 'left', when: ({ status }) => status === 'left' },
  { state: 'left', when: ({ endsOn, today }) => endsOn !== null && endsOn < today },
  { state: 'prehire', when: ({ startsOn, today }) => startsOn !== null && startsOn > today },
  { state: 'leave', when: ({ status }) => status === 'leave' },
  { state: 'notice', when: ({ status }) => status === 'notice' },
  { state: 'notice', when: ({ endsOn, today }) => endsOn !== null && endsOn <= addDays(today, NOTICE_DAYS) },
  { state: 'active', when: () => true },
];

export function stateOf(affiliation: Affiliation, today: string): State {
  const facts = { ...affiliation, today };
  return ROWS.find((row) => row.when(facts))?.state ?? 'left';
}

/** The next day on which `stateOf` answers differently although nobody changed the record; null: never. */
export function changesOn(affiliation: Affiliation, today: string): string | null {
  const { startsOn, endsOn } = affiliation;
  // Nearly everybody has begun and has no end.
  if (endsOn === null && (startsOn === null || startsOn <= today)) return null;
  const days = endsOn === null ? [startsOn] : [startsOn, addDays(endsOn, -NOTICE_DAYS), addDays(endsOn, 1)];
  const now = stateOf(affiliation, today);
  const later = days.filter((day) => day !== null && day > today).sort();
  return later.find((day) => day !== null && stateOf(affiliation, day) !== now) ?? null;
}

/* ---- the person ------------------------------------------------------------------------------------------------ */

/** Several affiliations at once: the strongest counts, so that who leaves one of two contracts keeps working. */
const STRONGEST: readonly State[] = ['active', 'notice', 'leave', 'prehire', 'left'];

/** A change of one of these, while working, makes a mover. */
export const MOVING = ['department', 'title', 'manager'] as const;

/** What it means to come from one state (row; `new` has none yet) to another (column). `move`: mover if an attribute changed. */
const TRANSITIONS: Readonly<Record<State | 'new', Readonly<Record<State, Transition | 'move'>>>> = {
  new: { prehire: 'none', active: 'joiner', notice: 'joiner', leave: 'joiner', left: 'none' },
  prehire: { prehire: 'none', active: 'joiner', notice: 'joiner', leave: 'joiner', left: 'leaver' },
  active: { prehire: 'leaver', active: 'move', notice: 'move', leave: 'move', left: 'leaver' },
  notice: { prehire: 'leaver', active: 'move', notice: 'move', leave: 'move', left: 'leaver' },
  leave: { prehire: 'leaver', active: 'move', notice: 'move', leave: 'move', left: 'leaver' },
  left: { prehire: 'none', active: 'rehire', notice: 'rehire', leave: 'rehire', left: 'none' },
};

export type PersonAttributes = Readonly<Record<string, Value>>;

export interface Known {
  readonly state: State;
  readonly attributes: PersonAttributes;
}

export type Assessment =
  /** A record of this person is in quarantine: no grant, no removal, until it is mended. */
  | { readonly frozen: true }
  | {
      readonly frozen: false;
      readonly state: State;
      readonly transition: Transition;
      /** Which of `MOVING` changed. */
      readonly changed: readonly string[];
      /** The next day to look again, even if no feed says anything; null: never. */
      readonly changesOn: string | null;
    };

/**
 * @param previous what was last established, or null for somebody new
 * @param today    `YYYY-MM-DD`, see `dateOf`
 */
export function assess(
  previous: Known | null,
  affiliations: readonly Affiliation[],
  attributes: PersonAttributes,
  today: string,
): Assessment {
  if (affiliations.some(({ presence }) => presence === 'quarantined')) return { frozen: true };
  const states = affiliations.map((affiliation) => stateOf(affiliation, today));
  const strongest = STRONGEST.find((state) => states.includes(state)) ?? 'left';
  // An announced return stays `left` until its first day: nobody gains by an announcement, and the day is then a rehire.
  const state = previous?.state === 'left' && strongest === 'prehire' ? 'left' : strongest;
  const changed =
    previous === null ? [] : MOVING.filter((name) => differs(previous.attributes[name], attributes[name]));
  const meaning = TRANSITIONS[previous?.state ?? 'new'][state];
  const days = affiliations.map((affiliation) => changesOn(affiliation, today)).filter((day) => day !== null);
  return {
    frozen: false,
    state,
    transition: meaning === 'move' ? (changed.length > 0 ? 'mover' : 'none') : meaning,
    changed,
    changesOn: days.sort()[0] ?? null,
  };
}

const differs = (before: Value | undefined, now: Value | undefined): boolean => (before ?? null) !== (now ?? null);

/* ---- days ------------------------------------------------------------------------------------------------------ */

/** The calendar day in UTC. */
export const dateOf = (at: Instant): string => new Date(at).toISOString().slice(0, 10);

/** @param date `YYYY-MM-DD`; years outside 0000–9999 stay at the edge, because HR systems write 9999-12-31 for "open". */
export function addDays(date: string, days: number): string {
  const moved = new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString();
  if (moved.startsWith('+')) return '9999-12-31';
  if (moved.startsWith('-')) return '0000-01-01';
  return moved.slice(0, 10);
}
