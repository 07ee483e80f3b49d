import { describe, expect, test } from 'vitest';
import { MOVING, ROAD } from '../advance.ts';
import { Authority } from '../authority/authority.ts';
import { decider } from '../decision/decide.ts';
import { loadPolicies, readDefaultPolicies } from '../decision/policy.ts';
import type { Leaf } from '../plan/change.ts';
import { ASIDES, STAGES } from '../plan/change.ts';
import { decisionInput, type Evidence } from './decide.ts';
import type { World } from './world.ts';

const authority = Authority.parse({
  version: 1,
  tenant: 'acme',
  owner: '100',
  feeds: { hr: { csv: 'hr.csv', contract: { key: 'id', maxAge: '26h', count: {} }, map: { employeeId: 'row.id' } } },
  targets: { crm: { scim: 'http://127.0.0.1:1/scim', protected: ['svc-*'] } },
  entitlements: {
    staff: { on: 'crm', group: 'Staff', privilege: 'low' },
    admin: { on: 'crm', group: 'Admins', privilege: 'high', owner: '108' },
  },
  limits: { grants: { count: 1 }, removals: { count: 1 } },
  approvals: { low: 0, normal: { people: 1, role: 'owner' }, high: { people: 2, role: 'security' } },
});
// All that `decisionInput` reads of the world.
const world = { authority } as World;
const decide = decider(loadPolicies(readDefaultPolicies()));
const leaf = (over: Partial<Leaf>): Leaf => ({
  seq: 1,
  system: 'crm',
  object: 'sjacobs',
  effect: 'grant',
  entitlement: 'staff',
  valueDigest: null,
  value: null,
  subject: { feed: 'hr', key: '105' },
  person: 'p5',
  id: null,
  cause: 'birthright everyone',
  until: null,
  after: [],
  waitsFor: [],
  ...over,
});
const evidence = (verdict: 'fresh' | 'stale' | 'none', asOf: 'signed' | 'claimed' | 'none' = 'signed'): Evidence =>
  new Map([['hr', { id: 'abc', verdict, asOf }]]);
const verdict = (over: Partial<Leaf>, from = evidence('fresh'), state: 'active' | 'left' | 'prehire' = 'active') =>
  decide(decisionInput(world, leaf(over), state, from, false)).verdict;

describe('policy on a change', () => {
  test.each<[string, string, () => string]>([
    ['permits a birthright on fresh data', 'permit', () => verdict({})],
    ['denies a grant on stale data', 'deny', () => verdict({}, evidence('stale'))],
    ['denies a grant that no feed speaks for', 'deny', () => verdict({ subject: null })],
    ['denies a grant on a feed of unknown age', 'deny', () => verdict({}, evidence('fresh', 'none'))],
    ['denies a grant to somebody who left', 'deny', () => verdict({}, evidence('fresh'), 'left')],
    ['denies a grant before the first day', 'deny', () => verdict({}, evidence('fresh'), 'prehire')],
    [
      'holds a privileged grant on a claimed age',
      'hold',
      () => verdict({ entitlement: 'admin' }, evidence('fresh', 'claimed')),
    ],
    [
      'denies whatever touches a protected account',
      'deny',
      () => verdict({ object: 'svc-backup', effect: 'disable', entitlement: null }),
    ],
    ['denies a change on a system that is none', 'deny', () => verdict({ system: 'elsewhere' })],
    [
      'holds a removal on stale data',
      'hold',
      () => verdict({ effect: 'revoke', cause: 'left' }, evidence('stale'), 'left'),
    ],
    [
      'permits a removal on fresh data',
      'permit',
      () => verdict({ effect: 'revoke', cause: 'left' }, evidence('fresh'), 'left'),
    ],
    [
      'permits a termination whatever the feed says',
      'permit',
      () => verdict({ effect: 'revoke', cause: 'exception T1 by 103' }, evidence('stale')),
    ],
  ])('%s', (_fact, expected, ask) => {
    expect(ask()).toBe(expected);
  });
});

describe('the road', () => {
  test('knows every stage', () => {
    expect(Object.keys(ROAD).sort()).toEqual([...STAGES, ...ASIDES].sort());
  });
  test('ends in verified and in nothing that claims to be it', () => {
    expect(MOVING).not.toContain('verified');
    expect(MOVING).toContain('contradicted');
  });
});
