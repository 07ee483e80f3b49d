/**
 * The automatic envelope: what the gateway opens for without people's signatures, and therefore all that a compromised
 * control plane wins. Every fact is recomputed here from what the roster signed and from the row that this gateway
 * attested itself; nothing is taken from the writ but the tuple.
 */
import type { Authority } from '../authority/authority.ts';
import { type Digest, digestOf } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { isSystemLogin } from '../identity/login.ts';
import type { Leaf } from '../plan/change.ts';
import { isMechanism, quorumOf } from '../plan/change.ts';
import { ADDING } from '../writ/tuple.ts';

/** What the newest attested snapshot says of a subject, as this gateway reads it under the signed rules. */
export interface Subject {
  /**
   * `fresh`: accepted and within the feed's maximum age at this moment. `quarantined`: the record is set aside, so it
   * says nothing either way. `none`: no snapshot, or one whose silence means nothing (a delta, `absent: ignore`).
   */
  readonly evidence: 'fresh' | 'stale' | 'quarantined' | 'none';
  /** null: the subject has no (usable) record in it. */
  readonly person: {
    readonly active: boolean;
    /** Entitlements that birthright rules give. */
    readonly birthright: ReadonlySet<string>;
    /** Whether the rules allow this login on the system in question. */
    mayBe(login: string): boolean;
    /** Digest over the neutral attributes an account of this person has. */
    readonly attributesDigest: Digest;
  } | null;
}

export interface EnvelopeFacts {
  readonly subject: Subject;
  /** The subject to whom this gateway has bound the account, or null. */
  readonly boundTo: { readonly feed: string; readonly key: string } | null;
  /** Another account that this gateway made or adopted for the subject on the same system, or null. */
  readonly otherAccount: string | null;
  /** People took from the subject ahead of the record, by their signatures, and have not given again. */
  readonly terminated: boolean;
  /** When this gateway itself disabled the account, or null. */
  readonly disabledAt: Instant | null;
}

export type EnvelopeVerdict = { readonly inside: true } | { readonly inside: false; readonly why: string };

const outside = (why: string): EnvelopeVerdict => ({ inside: false, why });

/** Evidence that every adding change needs, with or without people's signatures. */
export function checkEvidence(authority: Authority, leaf: Leaf, facts: EnvelopeFacts, now: Instant): EnvelopeVerdict {
  if (leaf.subject === null) return outside('it names no record of any feed');
  const who = `${leaf.subject.feed}:${leaf.subject.key}`;
  const { subject, boundTo } = facts;
  if (subject.evidence !== 'fresh')
    return outside(`the newest snapshot of ${leaf.subject.feed} is ${subject.evidence}, not fresh`);
  if (leaf.until !== null && Date.parse(leaf.until) <= now) return outside(`its own end, ${leaf.until}, has passed`);
  const longest = leaf.effect === 'grant' ? authority.entitlements[leaf.entitlement ?? '']?.maxFor : undefined;
  if (longest !== undefined && !(leaf.until !== null && Date.parse(leaf.until) - now <= longest)) {
    return outside(
      `${leaf.entitlement} may be held for ${longest / 3_600_000} h at most, and it ends ${leaf.until ?? 'never'}`,
    );
  }
  // Adopting binds and grants nothing: what somebody who left still has must be taken under management to be removed.
  if (leaf.effect === 'adopt') {
    return boundTo === null
      ? { inside: true }
      : outside(`${leaf.system} ${leaf.object} is bound to ${boundTo.feed}:${boundTo.key}`);
  }
  if (subject.person === null) return outside(`${who} has no usable record in the newest snapshot`);
  if (!subject.person.active) return outside(`${who} is not active`);
  if (boundTo === null) {
    if (leaf.effect !== 'create') return outside(`${leaf.system} ${leaf.object} is not bound to anybody`);
  } else if (boundTo.feed !== leaf.subject.feed || boundTo.key !== leaf.subject.key) {
    return outside(`${leaf.system} ${leaf.object} belongs to ${boundTo.feed}:${boundTo.key}, not to ${who}`);
  }
  if (leaf.effect === 'create' && !subject.person.mayBe(leaf.object)) {
    return outside(`${leaf.object} is not a login that the rules give ${who}`);
  }
  return { inside: true };
}

/** Taking away needs to know from whom: signatures over 105's leaving do not disable the account of somebody else. */
export function checkBound(leaf: Leaf, { boundTo }: EnvelopeFacts): EnvelopeVerdict {
  if (leaf.subject === null || boundTo === null)
    return outside(`${leaf.system} ${leaf.object} is not bound to anybody`);
  const same = boundTo.feed === leaf.subject.feed && boundTo.key === leaf.subject.key;
  return same ? { inside: true } : outside(`${leaf.system} ${leaf.object} belongs to ${boundTo.feed}:${boundTo.key}`);
}

/**
 * Stopping an account that nobody wrote down, with people's signatures: only where the signed authority says so, only
 * what this gateway has bound to nobody, and never for good. Whose account somebody is bound to, no cause makes unmanaged.
 */
export function checkRevert(authority: Authority, leaf: Leaf, { boundTo }: EnvelopeFacts): EnvelopeVerdict {
  const { system, object, effect, cause } = leaf;
  const declared = authority.targets[system]?.unmanaged;
  if (declared !== 'revert') {
    return outside(`it names no record of any feed, and targets.${system}.unmanaged is ${declared}, not revert`);
  }
  // What people signed must have said what it is.
  if (!cause.startsWith('revert ')) return outside(`it names no record of any feed, and its cause is ${cause}`);
  if (effect !== 'disable' && effect !== 'revoke') return outside(`${effect} is no way to revert`);
  if (isSystemLogin(object)) return outside(`${object} is a name of the system itself`);
  return boundTo === null
    ? { inside: true }
    : outside(`${system} ${object} is managed: it belongs to ${boundTo.feed}:${boundTo.key}`);
}

/** What the record still gives of that which is to be taken, or null. */
function stillGiven(authority: Authority, leaf: Leaf, person: Subject['person']): string | null {
  if (person === null || !person.active) return null;
  if (leaf.effect === 'revoke' && leaf.entitlement !== null && !isMechanism(leaf.entitlement)) {
    return person.birthright.has(leaf.entitlement) ? `a birthright rule still gives ${leaf.entitlement}` : null;
  }
  const stays = [...person.birthright].some((entitlement) => authority.entitlements[entitlement]?.on === leaf.system);
  return stays ? `the person is active and a birthright rule still wants an account on ${leaf.system}` : null;
}

/**
 * Whether people take away by their signatures what no fresh record asks for: a termination ahead of HR, by whatever name.
 * What they took so, only they give again.
 */
export const isAheadOfRecord = (authority: Authority, leaf: Leaf, { subject }: EnvelopeFacts): boolean =>
  !ADDING.has(leaf.effect) && (subject.evidence !== 'fresh' || stillGiven(authority, leaf, subject.person) !== null);

export function checkEnvelope(authority: Authority, leaf: Leaf, facts: EnvelopeFacts, now: Instant): EnvelopeVerdict {
  const { envelope } = authority;
  if (!envelope) return outside('the authority has no automatic envelope');
  if (now >= Date.parse(envelope.expires)) return outside(`the envelope expired on ${envelope.expires}`);
  const quorum = quorumOf(authority, leaf, false);
  if (quorum !== null) return outside(`it needs ${quorum.people} of ${quorum.role}`);

  if (ADDING.has(leaf.effect)) {
    const evidence = checkEvidence(authority, leaf, facts, now);
    if (!evidence.inside) return evidence;
    if (facts.terminated)
      return outside(
        'people took access from this person by their signatures, so that only signatures give it again: make a new plan',
      );
    if (leaf.effect === 'create' && facts.otherAccount !== null) {
      return outside(`the person has the account ${facts.otherAccount} on ${leaf.system} already`);
    }
    const person = facts.subject.person;
    if (person === null) return outside('no person');
    if (leaf.effect === 'grant') {
      return leaf.entitlement !== null && person.birthright.has(leaf.entitlement)
        ? { inside: true }
        : outside(`no birthright rule gives ${leaf.entitlement} to ${leaf.subject?.feed}:${leaf.subject?.key}`);
    }
    const wanted = [...person.birthright].some(
      (entitlement) => authority.entitlements[entitlement]?.on === leaf.system,
    );
    if (!wanted) return outside(`no birthright rule wants an account on ${leaf.system}`);
    if (leaf.effect === 'enable') return { inside: true };
    if (leaf.effect === 'create' || leaf.effect === 'update') {
      return leaf.valueDigest === person.attributesDigest
        ? { inside: true }
        : outside('its attributes are not those of the attested record');
    }
    return outside(`${leaf.effect} is never automatic`);
  }

  // Taking away. Absence is believed from a fresh, accepted, full snapshot only.
  const bound = checkBound(leaf, facts);
  if (!bound.inside) return bound;
  if (facts.subject.evidence !== 'fresh')
    return outside(`the newest snapshot of ${leaf.subject?.feed} is ${facts.subject.evidence}`);
  const given = stillGiven(authority, leaf, facts.subject.person);
  if (given !== null) return outside(given);
  if (leaf.effect === 'delete') {
    const retention = authority.targets[leaf.system]?.leaver.delete;
    if (retention === undefined) return outside(`${leaf.system} deletes nothing`);
    if (facts.disabledAt === null) return outside('this gateway has not disabled the account');
    if (now - facts.disabledAt < retention) return outside('the retention after disabling is not over');
  }
  return { inside: true };
}

export const attributesDigest = (attributes: { readonly [name: string]: string | undefined }): Digest =>
  digestOf(Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)));
