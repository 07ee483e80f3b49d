import { describe, expect, test } from 'vitest';
import { Authority } from '../authority/authority.ts';
import type { Leaf } from './change.ts';
import { quorumOf, signedQuorumOf } from './change.ts';
import { tallyLimits } from './limits.ts';

const authority = Authority.parse({
  version: 1,
  tenant: 'acme',
  owner: '100',
  feeds: { hr: { csv: 'hr.csv', contract: { key: 'id', maxAge: '26h', count: {} }, map: { employeeId: 'row.id' } } },
  targets: { crm: { scim: 'http://127.0.0.1:1/scim' } },
  entitlements: {
    staff: { on: 'crm', group: 'Staff', privilege: 'low' },
    finance: { on: 'crm', group: 'Finance', privilege: 'normal', owner: '108' },
    admin: { on: 'crm', group: 'Admins', privilege: 'high', owner: '108' },
  },
  limits: { grants: { count: 12, subjects: 11, weight: 20 }, removals: { count: 12, share: '10%' } },
  approvals: { low: 0, normal: { people: 1, role: 'owner' }, high: { people: 2, role: 'security' } },
});

const leaf = (seq: number, effect: Leaf['effect'] = 'grant', entitlement: string | null = 'staff'): Leaf => ({
  seq,
  system: 'crm',
  object: `u${seq}`,
  effect,
  entitlement,
  valueDigest: null,
  value: null,
  subject: { feed: 'hr', key: String(seq) },
  person: `p${seq}`,
  id: null,
  cause: 'birthright everyone',
  until: null,
  after: [],
  waitsFor: [],
});
const many = (count: number, effect?: Leaf['effect'], entitlement?: string) =>
  Array.from({ length: count }, (_, index) => leaf(index + 1, effect, entitlement));
const found = (leaves: readonly Leaf[], things: number) => {
  const tally = tallyLimits(authority);
  for (const one of leaves) tally.add(one);
  return tally.findings(async () => ({ things }));
};
const broken = async (leaves: readonly Leaf[], things = 10_000) =>
  (await found(leaves, things)).map(({ limit }) => limit);

describe('a plan refuses itself', () => {
  test.each<[string, readonly Leaf[], number, readonly string[]]>([
    ['by the count of grants', many(13).map((item) => ({ ...item, person: 'p1' })), 10_000, ['count']],
    ['by the number of people', many(12), 10_000, ['subjects']],
    [
      'by the weight of a few privileged grants',
      [leaf(1, 'grant', 'admin'), leaf(2, 'grant', 'admin'), leaf(3)],
      10_000,
      ['weight'],
    ],
    [
      'by an entitlement that nobody configured, which weighs as high',
      [leaf(1, 'grant', 'x'), leaf(2, 'grant', 'y'), leaf(3)],
      10_000,
      ['weight'],
    ],
    ['by the count of removals', many(13, 'revoke'), 10_000, ['count']],
    ['by the share of what exists', many(11, 'revoke'), 100, ['share']],
    ['by the share of nothing', many(11, 'revoke'), 0, ['share']],
  ])('%s', async (_fact, leaves, things, expected) => {
    expect(await broken(leaves, things)).toEqual(expected);
  });

  test('and says the numbers', async () => {
    expect((await found(many(11, 'revoke'), 100))[0]?.message).toBe(
      'removes 11 of 100 accounts and grants (11 %), limit 10 %',
    );
  });

  test('but not inside its limits', async () => {
    expect(await broken([...many(10), ...many(10, 'revoke')])).toEqual([]);
  });
});

describe('who must approve', () => {
  test('low flows without a person', () => expect(quorumOf(authority, leaf(1), false)).toBeNull());
  test('a removal flows without a person', () =>
    expect(quorumOf(authority, leaf(1, 'disable', null), false)).toBeNull());
  test('normal wants the owner of the entitlement', () => {
    expect(quorumOf(authority, leaf(1, 'grant', 'finance'), false)).toMatchObject({ role: 'owner:108', people: 1 });
  });
  test('the owner’s own grant wants others', () => {
    expect(quorumOf(authority, leaf(108, 'grant', 'finance'), false)).toMatchObject({ role: 'security' });
  });
  test('an unknown entitlement counts as high', () => {
    expect(quorumOf(authority, leaf(1, 'grant', 'x'), false)).toMatchObject({ role: 'security', people: 2 });
  });
  test('whatever is signed although it could flow wants the quorum for high', () => {
    expect(signedQuorumOf(authority, leaf(1), false)).toMatchObject({ role: 'security', people: 2 });
  });
  test('over the limits an owner alone is not enough', () => {
    expect(quorumOf(authority, leaf(1, 'grant', 'finance'), true)).toMatchObject({ role: 'security', people: 2 });
  });
  test('adopting always wants people', () => expect(quorumOf(authority, leaf(1, 'adopt', null), false)).not.toBeNull());
});
