/**
 * The signed rules, compiled: from a row to the person, his state, his birthrights, his logins, his account.
 * Control plans with them and the gateway judges with them: the same code, over the same signed text.
 */

import { assert } from '../assert.ts';
import type { Authority, Feed } from '../authority/authority.ts';
import { fieldsOf } from '../authority/fields.ts';
import type { Digest } from '../canonical.ts';
import { digestOf } from '../canonical.ts';
import type { Attributes } from '../connector/contract.ts';
import type { Fields } from '../expression.ts';
import { accountAttributes } from './account.ts';
import { type BirthrightRules, compileBirthright } from './birthright.ts';
import { type Affiliation, changesOn, type PersonAttributes, STATUSES, type State, stateOf } from './lifecycle.ts';
import { candidateLogins, eachCandidate } from './login.ts';
import { compileMapping, type Mapping, type Row } from './mapping.ts';

export interface Assessed {
  readonly attributes: PersonAttributes;
  readonly state: State;
  /** The next day on which the state changes by itself, or null. */
  readonly stateUntil: string | null;
}

export interface Rules {
  readonly fields: Fields;
  /** One record of a feed on a day. `why`: the record is quarantined. */
  assess(
    feed: string,
    row: Row,
    today: string,
  ): ({ readonly ok: true } & Assessed) | { readonly ok: false; readonly why: string };
  /** The state of known attributes on a day. */
  stateToday(
    attributes: PersonAttributes,
    today: string,
  ): { readonly state: State; readonly stateUntil: string | null };
  /** Entitlement and the rule that gives it. */
  birthright(state: State, attributes: PersonAttributes): ReturnType<BirthrightRules['desiredFor']>;
  logins(system: string, attributes: PersonAttributes): readonly string[];
  /** The same one by one. */
  candidates(system: string, attributes: PersonAttributes): Iterable<string>;
}

/** A text attribute, or null. */
const textOf = (attributes: PersonAttributes, name: string): string | null => {
  const value = attributes[name];
  return typeof value === 'string' && value !== '' ? value : null;
};

export const affiliationOf = (attributes: PersonAttributes, presence: Affiliation['presence']): Affiliation => ({
  startsOn: textOf(attributes, 'startsOn'),
  endsOn: textOf(attributes, 'endsOn'),
  status: STATUSES.find((status) => status === attributes['status']) ?? null,
  presence,
});

function stateToday(attributes: PersonAttributes, today: string) {
  const affiliation = affiliationOf(attributes, 'present');
  return { state: stateOf(affiliation, today), stateUntil: changesOn(affiliation, today) };
}

/** The authority passed its check before it was signed, so what does not compile here is a defect. */
export function compileRules(authority: Authority): Rules {
  const mappings = new Map<string, Mapping>();
  const fields = fieldsOf(authority.feeds);
  for (const [feed, { map }] of Object.entries(authority.feeds) as [string, Feed][]) {
    const compiled = compileMapping(map);
    assert(compiled.ok, `the mapping of feed ${feed} compiles`);
    mappings.set(feed, compiled.mapping);
  }
  const birthright = compileBirthright(authority.birthright, fields);
  assert(birthright.ok, 'the birthright rules compile');
  return {
    fields,
    assess(feed, row, today) {
      const mapping = mappings.get(feed);
      assert(mapping, `feed ${feed} is in the authority`);
      const mapped = mapping.apply(row);
      if (!mapped.ok) return { ok: false, why: `${mapped.attribute}: ${mapped.message}` };
      return { ok: true, attributes: mapped.person, ...stateToday(mapped.person, today) };
    },
    stateToday,
    birthright: (state, attributes) => birthright.rules.desiredFor(state, attributes),
    logins(system, attributes) {
      const target = authority.targets[system];
      return target === undefined ? [] : candidateLogins(attributes, target, fields);
    },
    candidates(system, attributes) {
      const target = authority.targets[system];
      return target === undefined ? [] : eachCandidate(attributes, target, fields);
    },
  };
}

export const accountDigest = (attributes: Attributes): Digest => digestOf(attributes);
export { accountAttributes };
