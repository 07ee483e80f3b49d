import { describe, expect, it } from 'vitest';
import { fieldsOf } from '../authority/fields.ts';
import { compileBirthright } from './birthright.ts';
import { STATES, type State } from './lifecycle.ts';

const fields = fieldsOf({
  hr: { map: { department: 'row.d', title: 'row.t', remote: 'row.w == "home"' } },
  contractors: { map: { department: 'row.dept', agency: 'row.agency' } },
});
const RULES = {
  everyone: { when: 'person.active', grant: ['staff'] },
  finance: { when: 'person.department == "100"', grant: ['finance', 'staff'] },
  remote: { when: 'person.remote && person.department != "100"', grant: ['vpn'] },
};

function rulesOf(rules: Record<string, { when: string; grant: string[] }> = RULES) {
  const compiled = compileBirthright(rules, fields);
  if (!compiled.ok) throw new Error(compiled.errors.map(({ message }) => message).join('; '));
  return compiled.rules;
}

describe('rules that are refused', () => {
  it.each([
    ['text in place of a condition', 'person.department', 'a rule needs a condition, this gives text'],
    ['an attribute that no feed maps', 'person.salary == "1"', 'person has no attribute salary'],
    ['a row, which rules do not see', 'row.d == "1"', 'row is not known here'],
    ['a macro', '["1"].exists(x, x == person.department)', 'there is no function .exists()'],
  ])('%s', (_, when, message) => {
    const compiled = compileBirthright({ bad: { when, grant: ['x'] }, good: RULES.everyone }, fields);
    expect(compiled.ok ? null : compiled.errors.map((error) => [error.rule, error.message])).toEqual([
      ['bad', message],
    ]);
  });
});

describe('nobody who does not work gets anything', () => {
  const always = rulesOf({ always: { when: 'true', grant: ['staff'] } });
  it.each(STATES.map((state): [State, number] => [state, state === 'active' || state === 'notice' ? 1 : 0]))(
    '%s gets %i',
    (state, count) => {
      const result = always.desiredFor(state, {});
      expect(result.ok && result.desired.length).toBe(count);
    },
  );

  it('even when a feed maps active and state itself', () => {
    const result = rulesOf().desiredFor('left', { active: true, state: 'active', department: '100' });
    expect(result).toEqual({ ok: true, desired: [] });
  });
});

it('a rule without an answer freezes the person instead of taking access away', () => {
  const rules = rulesOf({ ...RULES, number: { when: 'int(person.title) > 3', grant: ['x'] } });
  expect(rules.desiredFor('active', { title: 'Clerk' })).toMatchObject({ ok: false, rule: 'number' });
});

describe('what the rules give', () => {
  it.each([
    ['everyone', { department: '90' }, ['everyone staff']],
    [
      'an entitlement twice, once per cause',
      { department: '100' },
      ['everyone staff', 'finance finance', 'finance staff'],
    ],
    ['by a flag', { department: '90', remote: true }, ['everyone staff', 'remote vpn']],
    ['nothing for attributes that the person’s feed does not map', {}, ['everyone staff']],
  ])('%s', (_, attributes, expected) => {
    const result = rulesOf().desiredFor('active', attributes);
    expect(result.ok && result.desired.map(({ rule, entitlement }) => `${rule} ${entitlement}`)).toEqual(expected);
  });
});

describe('the attributes of a person', () => {
  it('are those of all feeds, and what the lifecycle works out', () => {
    expect([...fields]).toEqual([
      ['department', 'string'],
      ['title', 'string'],
      ['remote', 'bool'],
      ['agency', 'string'],
      ['active', 'bool'],
      ['state', 'string'],
    ]);
  });

  it('are text where two feeds disagree', () => {
    expect(fieldsOf({ a: { map: { x: 'row.a == "1"' } }, b: { map: { x: 'row.a' } } }).get('x')).toBe('string');
  });
});
