/**
 * What the gateway itself knows of a subject: the row that it attested, read under the signed rules, at this moment.
 */
import type { Authority } from '../authority/authority.ts';
import type { Instant } from '../clock.ts';
import { dateOf, isWorking } from '../identity/lifecycle.ts';
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

export function openSubjects(
  authority: Authority,
  newestAccepted: (feed: string) => Promise<Attested | null>,
): (leaf: { system: string; subject: { feed: string; key: string } | null }, now: Instant) => Promise<Subject> {
  const rules: Rules = compileRules(authority);

  return async ({ system, subject }, now) => {
    const nothing = { evidence: 'none', person: null } as const;
    if (subject === null) return nothing;
    const feed = authority.feeds[subject.feed];
    const snapshot = feed ? await newestAccepted(subject.feed) : null;
    if (!feed || !snapshot) return nothing;
    // Age is judged at this moment, not when the snapshot came: a writ does not keep a feed fresh.
    const fresh = isFresh(snapshot.asOf, feed.contract.maxAge, now);
    const found = await snapshot.find(subject.key);
    if (found === 'quarantined') return { evidence: 'quarantined', person: null };
    if (found === null) {
      // Silence of a delta, or of a feed whose absence means nothing, is no evidence that somebody left.
      const speaks = feed.contract.mode === 'full' && feed.absent === 'leaver';
      return { evidence: !speaks ? 'none' : fresh ? 'fresh' : 'stale', person: null };
    }
    const assessed = rules.assess(subject.feed, found.row, dateOf(now));
    if (!assessed.ok) return { evidence: 'quarantined', person: null };
    const desired = rules.birthright(assessed.state, assessed.attributes);
    if (!desired.ok) return { evidence: 'quarantined', person: null };
    return {
      evidence: fresh ? 'fresh' : 'stale',
      person: {
        active: isWorking(assessed.state),
        birthright: new Set(desired.desired.map((grant) => grant.entitlement)),
        mayBe: (login) => rules.logins(system, assessed.attributes).includes(login),
        attributesDigest: accountDigest(accountAttributes(assessed.attributes)),
      },
    };
  };
}
