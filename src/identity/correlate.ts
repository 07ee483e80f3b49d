/**
 * Correlation: which person is this record, which person's is this account (M12). Exact values only, declared keys in
 * order; what is not certain is quarantined with the candidates side by side, and never merged by guess.
 *
 * This is the reference for small sets and for the set-based SQL, which must give the same answers.
 */
import { assert } from '../assert.ts';
import { parseMatch, type Target } from '../authority/authority.ts';
import { compileExpression, type Fields, type Value } from '../expression.ts';
import type { PersonAttributes, State } from './lifecycle.ts';
import { loginKey } from './login.ts';

/* ---- records and persons --------------------------------------------------------------------------------------- */

export interface KnownPerson {
  readonly id: string;
  readonly state: State;
  readonly attributes: PersonAttributes;
}

export interface FeedRecord {
  /** Value of the feed's key. */
  readonly key: string;
  readonly attributes: PersonAttributes;
}

export type Correlation =
  | { readonly verdict: 'matched'; readonly person: string; readonly by: string }
  | { readonly verdict: 'new' }
  /** `candidates`: ids of the persons, or keys of the records, that it cannot be told from. */
  | { readonly verdict: 'quarantined'; readonly why: string; readonly candidates: readonly string[] };

const present = (value: Value | undefined): value is string => typeof value === 'string' && value !== '';

function groupBy<T>(items: readonly T[], keyOf: (item: T) => Value | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    if (!present(key)) continue;
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/**
 * All records of one snapshot against all persons.
 * @param keys attribute names, strongest first
 * @returns the verdict of each record, by its key
 */
export function correlateRecords(
  records: readonly FeedRecord[],
  persons: readonly KnownPerson[],
  keys: readonly string[],
): Map<string, Correlation> {
  const indexes = keys.map((key) => groupBy(persons, ({ attributes }) => attributes[key]));
  const verdicts = new Map(records.map((record) => [record.key, correlateRecord(record, indexes, keys)]));

  // Two records of one snapshot may not be one person, and two may not share what should be unique.
  const claims = groupBy(records, ({ key }) => {
    const verdict = verdicts.get(key);
    return verdict?.verdict === 'matched' ? verdict.person : undefined;
  });
  for (const [person, rivals] of claims) quarantineAll(verdicts, rivals, `record of ${person}`);
  const strongest = keys[0];
  if (strongest !== undefined) {
    const same = groupBy(records, ({ attributes }) => attributes[strongest]);
    for (const [value, rivals] of same) quarantineAll(verdicts, rivals, `${strongest} ${value}`);
  }
  return verdicts;
}

function quarantineAll(verdicts: Map<string, Correlation>, rivals: readonly FeedRecord[], what: string): void {
  if (rivals.length < 2) return;
  const candidates = rivals.map(({ key }) => key);
  const why = `${rivals.length} records of the snapshot claim to be the ${what}`;
  for (const key of candidates) verdicts.set(key, { verdict: 'quarantined', why, candidates });
}

function correlateRecord(
  record: FeedRecord,
  indexes: readonly Map<string, readonly KnownPerson[]>[],
  keys: readonly string[],
): Correlation {
  for (const [position, by] of keys.entries()) {
    const value = record.attributes[by];
    if (!present(value)) continue;
    const found = indexes[position]?.get(value) ?? [];
    if (found.length === 0) continue;
    const candidates = found.map(({ id }) => id);
    const [person] = found;
    if (person === undefined || found.length > 1) {
      return { verdict: 'quarantined', why: `${found.length} persons have ${by} ${value}`, candidates };
    }
    const stronger = keys.slice(0, position).find((key) => contradicts(record.attributes[key], person.attributes[key]));
    if (stronger !== undefined) {
      const why = `${by} ${value} is that of ${person.id}, whose ${stronger} is another`;
      return { verdict: 'quarantined', why, candidates };
    }
    if (position > 0 && person.state === 'left') {
      // A login passed on to a newcomer would hand him the leaver's identity: a return is believed by the first key only.
      const why = `${by} ${value} is that of ${person.id}, who has left; a rehire is recognised by ${keys[0]} only`;
      return { verdict: 'quarantined', why, candidates };
    }
    return { verdict: 'matched', person: person.id, by };
  }
  return { verdict: 'new' };
}

const contradicts = (a: Value | undefined, b: Value | undefined): boolean => present(a) && present(b) && a !== b;

/* ---- accounts and persons -------------------------------------------------------------------------------------- */

export interface ObservedAccount {
  readonly login: string;
  readonly attributes: { readonly employeeId?: string; readonly email?: string };
}

export interface AccountCorrelation {
  /** Login → person. */
  readonly matched: ReadonlyMap<string, string>;
  /** Nobody's: service accounts, leftovers, or people whom no feed knows. */
  readonly unmatched: readonly string[];
  readonly quarantined: readonly {
    readonly logins: readonly string[];
    readonly persons: readonly string[];
    readonly why: string;
  }[];
}

/** Accounts of one target against all persons, by its `match`. The target's configuration must have passed its check. */
export function correlateAccounts(
  accounts: readonly ObservedAccount[],
  persons: readonly KnownPerson[],
  target: Target,
  fields: Fields,
): AccountCorrelation {
  const match = parseMatch(target);
  const compiled = match && compileExpression(match.expression, { of: 'person', fields });
  assert(match && compiled?.ok, 'the match of a target was checked with its configuration');
  const { attribute } = match;
  const spelling = (value: string): string => (attribute === 'login' ? loginKey(target, value) : value);

  const expected = groupBy(persons, (person) => {
    try {
      const value = compiled.expression.evaluate(person.attributes);
      return present(value) ? spelling(value) : null;
    } catch {
      return null;
    }
  });
  const observed = groupBy(accounts, (account) => {
    const value = attribute === 'login' ? account.login : account.attributes[attribute];
    return present(value) ? spelling(value) : null;
  });

  const matched = new Map<string, string>();
  const quarantined: AccountCorrelation['quarantined'][number][] = [];
  const paired = new Set<string>();
  for (const [value, group] of observed) {
    const candidates = expected.get(value) ?? [];
    const [account] = group;
    const [person] = candidates;
    if (account === undefined || person === undefined) continue;
    for (const { login } of group) paired.add(login);
    if (group.length === 1 && candidates.length === 1) {
      matched.set(account.login, person.id);
    } else {
      quarantined.push({
        logins: group.map(({ login }) => login),
        persons: candidates.map(({ id }) => id),
        why: `${group.length} accounts and ${candidates.length} persons have ${attribute} ${value}`,
      });
    }
  }
  return { matched, unmatched: accounts.map(({ login }) => login).filter((login) => !paired.has(login)), quarantined };
}
