/** For tests: answers of control as they come over the API, with what each test cares about put over them. */
import type { ChangeSummary, Planned, PlanSummary } from '../../api/contract.ts';

export const NOW = Date.UTC(2027, 0, 4, 9);

export const changeOf = (over: Partial<ChangeSummary> = {}): ChangeSummary => ({
  change: 'P7.1',
  system: 'crm',
  login: 'sjacobs',
  effect: 'create',
  entitlement: null,
  person: 'p5',
  name: 'Sarah Jacobs',
  subject: 'hr:105',
  cause: 'birthright everyone',
  until: null,
  stage: 'decided',
  at: '2027-01-04T08:59:00.000Z',
  nextAt: null,
  note: null,
  decision: { verdict: 'permit', reasons: ['gain'] },
  receipt: null,
  verification: null,
  ...over,
});

export const planOf = (over: Partial<PlanSummary> = {}): PlanSummary => ({
  plan: 'P7',
  risk: 'low',
  state: 'open',
  size: 2,
  stages: { decided: 2 },
  needs: null,
  overLimit: false,
  refusal: [],
  critique: [],
  createdAt: '2027-01-04T08:59:00.000Z',
  changes: [changeOf(), changeOf({ change: 'P7.2', effect: 'grant', entitlement: 'staff' })],
  ...over,
});

/** Six plans of six kinds, as in the surface's example. */
export const PLANS: readonly PlanSummary[] = [
  planOf(),
  planOf({
    plan: 'P8',
    risk: 'removal',
    changes: [
      changeOf({
        change: 'P8.1',
        system: 'corp',
        login: 'lgarcia',
        effect: 'revoke',
        entitlement: 'finance',
        cause: 'mover 100→90',
        subject: 'hr:4',
        name: 'Luis Garcia',
      }),
      changeOf({
        change: 'P8.2',
        system: 'corp',
        login: 'lgarcia',
        effect: 'revoke',
        entitlement: '@connections',
        cause: 'mover 100→90',
        subject: 'hr:4',
        name: 'Luis Garcia',
      }),
    ],
  }),
  planOf({
    plan: 'P9',
    risk: 'high',
    size: 1,
    stages: { decided: 1 },
    needs: { role: 'security', people: 2 },
    critique: ['gives shiggins the privileged payroll-admin without an end'],
    changes: [
      changeOf({
        change: 'P9.1',
        system: 'pay',
        login: 'shiggins',
        effect: 'grant',
        entitlement: 'payroll-admin',
        cause: 'request R1 by 103',
        until: '2027-01-04T17:00:00.000Z',
        name: 'Shelley Higgins',
        subject: 'hr:205',
      }),
    ],
  }),
  planOf({
    plan: 'P10',
    risk: 'removal',
    state: 'refused',
    size: 45,
    stages: { planned: 45 },
    refusal: [
      { limit: 'share', message: 'removes 45 of 107 accounts and grants (42 %), limit 5 %' },
      { limit: 'subjects', message: 'concerns 45 people, limit 20' },
    ],
    changes: [
      changeOf({
        change: 'P10.1',
        effect: 'revoke',
        entitlement: 'staff',
        cause: 'rule everyone no longer true',
        stage: 'planned',
      }),
    ],
  }),
];

export const PLANNED: Planned = {
  report: {
    at: NOW,
    feeds: [
      {
        feed: 'hr',
        id: 's1',
        verdict: 'accepted',
        records: 107,
        asOf: NOW - 3 * 3_600_000,
        asOfKind: 'signed',
        maxAge: 26 * 3_600_000,
        findings: [],
        quarantined: [{ key: '178', line: 80, reason: 'department empty' }],
        joined: 1,
        left: 0,
      },
    ],
    targets: [
      { system: 'crm', counts: { accounts: 110, unmanaged: 4, protected: 1 }, why: null },
      { system: 'corp', counts: null, why: 'it does not answer' },
    ],
    people: { joined: ['Sarah Jacobs'], moved: ['Luis Garcia'], left: [] },
    made: [7, 8, 9, 10],
    kept: [],
    superseded: [],
    leftAlone: [
      {
        system: 'crm',
        login: 'bbrook',
        person: 'p2',
        why: 'an account of this name exists: `writgate adopt` takes it',
      },
    ],
    took: {},
  },
  plans: PLANS,
  limits: { grants: { used: 3, of: 50 }, removals: { used: 2, of: 20 } },
};
