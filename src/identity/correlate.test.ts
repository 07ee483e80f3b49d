import { describe, expect, it } from 'vitest';
import { Target } from '../authority/authority.ts';
import type { Fields } from '../expression.ts';
import { correlateAccounts, correlateRecords, type FeedRecord, type KnownPerson } from './correlate.ts';
import type { State } from './lifecycle.ts';

const KEYS = ['employeeId', 'login'];
const person = (id: string, employeeId: string | null, login: string | null, state: State = 'active'): KnownPerson => ({
  id,
  state,
  attributes: { employeeId, login },
});
const record = (key: string, employeeId: string | null, login: string | null): FeedRecord => ({
  key,
  attributes: { employeeId, login },
});
const one = (of: FeedRecord, persons: readonly KnownPerson[]) => correlateRecords([of], persons, KEYS).get(of.key);

describe('records that are never merged by guess', () => {
  it('two persons with the same key, both shown', () => {
    expect(one(record('r', '7', null), [person('p1', '7', 'a'), person('p2', '7', 'b')])).toEqual({
      verdict: 'quarantined',
      why: '2 persons have employeeId 7',
      candidates: ['p1', 'p2'],
    });
  });

  it('a weaker key does not break the tie of a stronger one', () => {
    const verdict = one(record('r', '7', 'a'), [person('p1', '7', 'a'), person('p2', '7', 'b')]);
    expect(verdict?.verdict).toBe('quarantined');
  });

  it('a login that belongs to somebody with another number', () => {
    expect(one(record('r', '8', 'a'), [person('p1', '7', 'a')])).toEqual({
      verdict: 'quarantined',
      why: 'login a is that of p1, whose employeeId is another',
      candidates: ['p1'],
    });
  });

  it('a leaver’s login given to a newcomer does not give him the leaver’s identity', () => {
    const verdict = one(record('r', null, 'a'), [person('p1', '7', 'a', 'left')]);
    expect(verdict).toMatchObject({
      verdict: 'quarantined',
      why: expect.stringContaining('who has left'),
      candidates: ['p1'],
    });
  });

  it('two records of one snapshot that would be one person, both of them', () => {
    const records = [record('r1', '7', null), record('r2', null, 'a'), record('r3', '9', null)];
    const verdicts = correlateRecords(records, [person('p1', '7', 'a')], KEYS);
    expect(verdicts.get('r1')).toEqual({
      verdict: 'quarantined',
      why: '2 records of the snapshot claim to be the record of p1',
      candidates: ['r1', 'r2'],
    });
    expect(verdicts.get('r2')?.verdict).toBe('quarantined');
    expect(verdicts.get('r3')).toEqual({ verdict: 'new' });
  });

  it('two new records with the same first key', () => {
    const verdicts = correlateRecords([record('r1', '7', 'a'), record('r2', '7', 'b')], [], KEYS);
    expect([...verdicts.values()].map(({ verdict }) => verdict)).toEqual(['quarantined', 'quarantined']);
  });

  it('values that are alike but not equal', () => {
    for (const employeeId of ['07', '7 ', '７', 'O7']) {
      expect(one(record('r', employeeId, null), [person('p1', '7', 'a')])).toEqual({ verdict: 'new' });
    }
  });

  it('nothing matches nothing', () => {
    expect(one(record('r', null, null), [person('p1', null, null), person('p2', '', '')])).toEqual({ verdict: 'new' });
    expect(one(record('r', '', ''), [person('p1', '', '')])).toEqual({ verdict: 'new' });
  });
});

describe('records that are recognised', () => {
  const persons = [
    person('p1', '7', 'a'),
    person('p2', '8', 'b'),
    person('p3', null, 'c'),
    person('p4', '9', 'd', 'left'),
  ];
  it.each([
    ['by the first key', record('r', '7', 'x'), 'p1', 'employeeId'],
    ['by the first key, though the second is another person’s', record('r', '7', 'b'), 'p1', 'employeeId'],
    ['by the second, where the record has no first', record('r', null, 'b'), 'p2', 'login'],
    ['by the second, where the person has no first', record('r', '10', 'c'), 'p3', 'login'],
    ['as a rehire, by the first key', record('r', '9', 'd'), 'p4', 'employeeId'],
  ])('%s', (_, of, expected, by) => {
    expect(one(of, persons)).toEqual({ verdict: 'matched', person: expected, by });
  });

  it('two newcomers may wish for one login: that is what numbers are for', () => {
    const verdicts = correlateRecords([record('r1', '1', 'jane'), record('r2', '2', 'jane')], [], KEYS);
    expect([...verdicts.values()]).toEqual([{ verdict: 'new' }, { verdict: 'new' }]);
  });
});

describe('accounts', () => {
  const fields: Fields = new Map([
    ['employeeId', 'string'],
    ['login', 'string'],
  ]);
  const crm = Target.parse({ scim: 'https://crm.example', match: 'userName == person.login' });
  const pay = Target.parse({ postgres: 'postgres://db.example/pay', match: 'rolname == person.login' });
  const byNumber = Target.parse({ scim: 'https://crm.example', match: 'employeeId == person.employeeId' });
  const account = (login: string, employeeId?: string) => ({
    login,
    attributes: employeeId === undefined ? {} : { employeeId },
  });

  it('one that two persons could own is nobody’s, and both are shown', () => {
    const found = correlateAccounts(
      [account('jane')],
      [person('p1', '1', 'jane'), person('p2', '2', 'Jane')],
      crm,
      fields,
    );
    expect(found.matched.size).toBe(0);
    expect(found.unmatched).toEqual([]);
    expect(found.quarantined).toEqual([
      { logins: ['jane'], persons: ['p1', 'p2'], why: '1 accounts and 2 persons have login jane' },
    ]);
  });

  it('two accounts of one person are told, not chosen between', () => {
    const found = correlateAccounts([account('a', '7'), account('b', '7')], [person('p1', '7', 'x')], byNumber, fields);
    expect(found.quarantined[0]).toMatchObject({ logins: ['a', 'b'], persons: ['p1'] });
    expect(found.matched.size).toBe(0);
  });

  it('accounts without the attribute, and persons without it, do not find each other', () => {
    const found = correlateAccounts([account('svc'), account('x', '')], [person('p1', null, 'x')], byNumber, fields);
    expect(found).toEqual({ matched: new Map(), unmatched: ['svc', 'x'], quarantined: [] });
  });

  it('case counts in PostgreSQL and nowhere else', () => {
    const persons = [person('p1', '1', 'jane')];
    expect([...correlateAccounts([account('Jane')], persons, crm, fields).matched]).toEqual([['Jane', 'p1']]);
    expect(correlateAccounts([account('Jane')], persons, pay, fields).unmatched).toEqual(['Jane']);
  });

  it('each finds its person, and what is left is nobody’s', () => {
    const found = correlateAccounts(
      [account('a', '7'), account('svc-backup')],
      [person('p1', '7', 'z'), person('p2', '8', 'svc')],
      byNumber,
      fields,
    );
    expect([...found.matched]).toEqual([['a', 'p1']]);
    expect(found.unmatched).toEqual(['svc-backup']);
  });
});
