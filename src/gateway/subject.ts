/**
 * What the gateway itself knows of a subject: the row that it attested, read under the signed rules, at this moment.
 */
import type { Authority } from '../authority/authority.ts';
import type { Digest } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { dateOf, isWorking, type PersonAttributes } from '../identity/lifecycle.ts';
import type { Row } from '../identity/mapping.ts';
import { accountAttributes, accountDigest, compileRules, type Rules } from '../identity/rules.ts';
import { isFresh } from '../source/contract.ts';
import type { Subject } from './envelope.ts';

/** The newest attested snapshot of a feed. */
export interface Attested {
  readonly id: string;
  readonly verdict: 'accepted' | 'stale' | 'held';
  readonly asOf: Instant | null;
  /** The newest snapshot that was accepted, when the newest of all was not. */
  readonly find: (key: string) => Promise<{ readonly row: Row } | 'quarantined' | null>;
}

/** Of one record, under one authority; null: quarantined. */
type Said = {
  readonly active: boolean;
  readonly birthright: ReadonlySet<string>;
  readonly attributes: PersonAttributes;
  readonly attributesDigest: Digest;
} | null;

/** A person has a handful of changes, one after the other. */
const MOST_JUDGED = 4096;

export function openSubjects(
  authority: Authority,
  newestAccepted: (feed: string) => Promise<Attested | null>,
): (leaf: { system: string; subject: { feed: string; key: string } | null }, now: Instant) => Promise<Subject> {
  const rules: Rules = compileRules(authority);
  /** What a record says on a day; the record was held against the signed root when it was read. */
  const judged = new Map<string, Said>();

  function judge(feed: string, row: Row, today: string): Said {
    const assessed = rules.assess(feed, row, today);
    if (!assessed.ok) return null;
    const desired = rules.birthright(assessed.state, assessed.attributes);
    if (!desired.ok) return null;
    return {
      active: isWorking(assessed.state),
      birthright: new Set(desired.desired.map((grant) => grant.entitlement)),
      attributes: assessed.attributes,
      attributesDigest: accountDigest(accountAttributes(assessed.attributes)),
    };
  }

  return async ({ system, subject }, now) => {
    const nothing = { evidence: 'none', person: null } as const;
    if (subject === null) return nothing;
    const feed = authority.feeds[subject.feed];
    const snapshot = feed ? await newestAccepted(subject.feed) : null;
    if (!feed || !snapshot) return nothing;
    // Age is judged at this moment, not when the snapshot came: a writ does not keep a feed fresh.
    const fresh = isFresh(snapshot.asOf, feed.contract.maxAge, now);
    const today = dateOf(now);
    const key = JSON.stringify([subject.feed, snapshot.id, today, subject.key]);
    let said = judged.get(key);
    if (said === undefined) {
      const found = await snapshot.find(subject.key);
      if (found === null) {
        // Silence of a delta, or of a feed whose absence means nothing, is no evidence that somebody left.
        const speaks = feed.contract.mode === 'full' && feed.absent === 'leaver';
        return { evidence: !speaks ? 'none' : fresh ? 'fresh' : 'stale', person: null };
      }
      said = found === 'quarantined' ? null : judge(subject.feed, found.row, today);
      if (judged.size >= MOST_JUDGED) judged.clear();
      judged.set(key, said);
    }
    if (said === null) return { evidence: 'quarantined', person: null };
    const { active, birthright, attributes, attributesDigest } = said;
    return {
      evidence: fresh ? 'fresh' : 'stale',
      person: {
        active,
        birthright,
        mayBe: (login) => rules.logins(system, attributes).includes(login),
        attributesDigest,
      },
    };
  };
}
