import { expect, test } from 'vitest';
import type { PersonShown, Status, Trace } from '../../api/contract.ts';
import { requestText } from '../../approval/request.ts';
import { genesisDocument, requestOf, rosterOf } from '../../approval/testing.ts';
import { differences } from '../../trust/propose.ts';
import { drawAdoptable } from './adopt.ts';
import { differsLine, drawDifferences } from './authority.ts';
import { drawReport } from './evidence.ts';
import { drawPerson } from './person.ts';
import { drawShown } from './show.ts';
import { drawStatus } from './status.ts';
import { changeOf, NOW, PLANS, planOf } from './testing.ts';
import { PLAIN, WIDTH } from './text.ts';
import { drawTrace } from './trace.ts';

const fits = (text: string): void => {
  for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(WIDTH);
};

const TRACE: Trace = {
  change: changeOf({
    change: 'P8.1',
    system: 'corp',
    login: 'lgarcia',
    effect: 'revoke',
    entitlement: 'finance',
    stage: 'inconclusive',
    name: 'Luis Garcia',
    subject: 'hr:4',
  }),
  lines: [
    {
      station: 'trigger',
      text: 'hr:4  line 5  raw sha256:9f3a0c1d…  as of 06:00, fresh, attested by the gateway',
      entry: 471,
      at: null,
    },
    {
      station: 'cause',
      text: `rule finance no longer true; ${'no other cause holds it '.repeat(5)}`.trim(),
      entry: 473,
      at: null,
    },
    { station: 'approval', text: 'none needed: envelope v3, roster v1', entry: null, at: null },
    { station: 'status', text: 'OPEN: 1 of 2 mechanisms unproven, next look in 1 min', entry: null, at: null },
  ],
};

test('a trace has one station a line, with its entry at the right edge', () => {
  const drawn = drawTrace(TRACE, PLAIN);
  fits(drawn);
  expect(drawn).toMatchInlineSnapshot(`
    "P8.1  corp  finance → lgarcia  (Luis Garcia, hr:4)
    trigger   hr:4  line 5  raw sha256:9f3a0c1d…  as of 06:00, fresh, attested by the gateway       #471
    cause     rule finance no longer true; no other cause holds it no other cause holds it no other
              cause holds it no other cause holds it no other cause holds it                        #473
    approval  none needed: envelope v3, roster v1
    status    OPEN: 1 of 2 mechanisms unproven, next look in 1 min"
  `);
});

const STATUS: Status = {
  tenant: 'acme',
  demo: true,
  separation: 'none',
  feeds: [
    {
      feed: 'hr',
      verdict: 'accepted',
      asOf: '2027-01-04T06:00:00.000Z',
      asOfKind: 'signed',
      receivedAt: '2027-01-04T08:59:00.000Z',
      records: 107,
    },
  ],
  systems: [{ system: 'crm', managed: 103, unmanaged: 4, protected: 1 }],
  people: { active: 103, left: 4 },
  stages: { verified: 210, contradicted: 1 },
  open: PLANS.slice(2),
  lately: [
    {
      plan: 'P12',
      risk: 'removal',
      cause: 'left',
      people: 400,
      systems: ['corp', 'crm'],
      stages: { verified: 1199, refused: 1 },
      from: '2027-01-04T03:02:00.000Z',
      to: '2027-01-04T03:05:00.000Z',
      note: 'the automatic envelope allows 1199 removals per window; approve the plan to go beyond it, or wait',
    },
  ],
  alarmed: 51,
  alarms: [
    changeOf({
      change: 'P6.3',
      effect: 'disable',
      stage: 'contradicted',
      nextAt: '2027-01-04T09:05:00.000Z',
      verification: {
        verdict: 'contradicted',
        mechanism: 'account',
        saw: 'the account is active',
        path: 'GET',
        presented: null,
      },
    }),
  ],
  limits: { grants: { used: 3, of: 50 }, removals: { used: 2, of: null } },
  ledger: { entries: 1, checkpoint: '' },
  lastPlanning: '2027-01-04T08:59:00.000Z',
};

test('status begins with what is wrong', () => {
  const drawn = drawStatus(STATUS, NOW, PLAIN);
  fits(drawn);
  expect(drawn).toMatchInlineSnapshot(`
    "acme  DEMO: generated approvers, this machine only; separation: none
    ! P6.3  crm  disable account sjacobs  CONTRADICTED: the account is active, tried again 09:05
    ! 50 more; writgate plan show P6 has those of its plan
    Lately, in targets
      P12  removal, left  400 people on corp, crm: 1199 verified, 1 refused  03:02–03:05
          the automatic envelope allows 1199 removals per window; approve the plan to go beyond it, or
          wait
    Feeds
      hr  accepted  107 records  as of 06:00, signed  read 08:59
    Systems
      crm  103 managed  4 unmanaged  1 protected
    People
      103 active, 4 left
    Changes
      210 verified, 1 contradicted
    Plans
      P9   high      needs 2 of security                     1 change
      P10  REFUSED  removes 45 of 107 accounts and grants (42 %), limit 5 %
    Limits used: grants 3/50, removals 2. Ledger: 1 entry. Last planning: 08:59
    Next: writgate approve P9
    To look: writgate trace P6.3 · to try at once: writgate run --retry"
  `);
});

test('status of a folder in which nothing was planned says what to do', () => {
  const empty = {
    ...STATUS,
    feeds: [],
    systems: [],
    people: {},
    stages: {},
    open: [],
    lately: [],
    alarms: [],
    alarmed: 0,
    lastPlanning: null,
  };
  expect(drawStatus(empty, NOW, PLAIN)).toContain('Next: writgate plan');
});

const PERSON: PersonShown = {
  person: 'p5',
  name: 'Sarah Jacobs',
  state: 'active',
  attributes: { name: 'Sarah Jacobs', department: '50', endsOn: null, active: true },
  affiliations: [{ feed: 'hr', key: '105', state: 'active', quarantine: 'two persons match it' }],
  accounts: [
    {
      system: 'pay',
      login: 'sjacobs',
      state: 'active',
      management: 'managed',
      holds: [
        {
          entitlement: 'payroll-admin',
          since: '2027-01-04T08:00:00.000Z',
          causes: ['request R1 by 103'],
          until: '2027-01-04T17:00:00.000Z',
          change: 'P9.1',
          approvedBy: ['101', '102'],
        },
        {
          entitlement: 'old-group',
          since: '2027-01-04T08:00:00.000Z',
          causes: [],
          until: null,
          change: null,
          approvedBy: [],
        },
      ],
    },
  ],
  terminated: null,
  lately: [
    changeOf({ change: 'P12.3', effect: 'revoke', entitlement: 'finance', cause: 'left', stage: 'verified' }),
    changeOf({ change: 'P12.4', effect: 'disable', cause: 'left', stage: 'refused', note: 'budget-empty' }),
  ],
};

test('a person’s page says why each thing is held, and that nobody knows why', () => {
  const drawn = drawPerson(PERSON, PLAIN);
  fits(drawn);
  expect(drawn).toMatchInlineSnapshot(`
    "Sarah Jacobs  p5  active
      department 50 · active true
      hr:105  active  QUARANTINED: two persons match it
    pay  sjacobs  active
      payroll-admin  since 2027-01-04  request R1 by 103 (claimed)  P9.1, until 2027-01-04 17:00, signed
          by 101, 102
      old-group      since 2027-01-04  NO CAUSE                     not granted by Writgate
    Lately
      P12.3  2027-01-04 08:59  - crm  finance → sjacobs  left  verified
      P12.4  2027-01-04 08:59  - crm  disable account sjacobs  left  refused: budget-empty"
  `);
});

test('whose an account is, is only said where it is known', () => {
  const drawn = drawAdoptable(
    'crm',
    [
      {
        system: 'crm',
        login: 'bbrook',
        state: 'active',
        person: 'p2',
        name: 'Ben Brook',
        why: 'userName == person.login',
      },
      {
        system: 'crm',
        login: 'svc-old',
        state: 'active',
        person: null,
        name: null,
        why: 'nobody fits userName == person.login',
      },
    ],
    PLAIN,
  );
  expect(drawn).toContain('2 unmanaged accounts on crm, 1 of which');
  expect(drawn).toMatch(/svc-old {2}active {2}nobody {2,}nobody fits/);
  expect(drawAdoptable('crm', [], PLAIN)).toBe('No unmanaged accounts on crm.');
});

test('an edit of the file is shown place by place, and nothing of it is cut', () => {
  const before = { limits: { grants: { count: 50 } }, targets: { crm: { scim: 'https://a' } } };
  const after = {
    limits: { grants: { count: 5000 } },
    targets: { crm: { scim: `https://${'evil'.repeat(40)}` } },
    envelope: { expires: '2099-01-01' },
  };
  const found = differences(before, after);
  const drawn = drawDifferences(found, PLAIN);
  expect(drawn).toContain('+ envelope: {"expires":"2099-01-01"}');
  expect(drawn).toContain('~ limits.grants.count: 50 → 5000');
  expect(drawn).toContain('evil'.repeat(40));
  expect(drawDifferences(differences(after, before), PLAIN)).toContain('- envelope:');
  expect(differsLine(found)).toContain('(envelope and 2 more)');
});

test('evidence that does not hold tells no story', () => {
  const story = [{ station: 'verified', text: 'all is well', at: NOW, entry: 1 }] as never;
  const drawn = drawReport(
    { ok: false, findings: [{ code: 'tuple', message: 'another account' }], verdict: null, story, demo: true },
    PLAIN,
  );
  expect(drawn).toContain('tuple: another account');
  expect(drawn).toContain('DOES NOT HOLD');
  expect(drawn).not.toContain('all is well');
});

test('sound evidence of a contradiction is not called verified', () => {
  const drawn = drawReport({ ok: true, findings: [], verdict: 'contradicted', story: [], demo: true }, PLAIN);
  expect(drawn).toContain('CONTRADICTED');
  expect(drawn).toContain('demo');
  expect(drawn).not.toContain('is verified');
});

test.each([
  ['109', true],
  ['nhi:writgate', false],
])('what people sign says whether who asked is only claimed: %s', (requester, isClaim) => {
  const bytes = requestText(requestOf(rosterOf(genesisDocument()), { requester }));
  const request = {
    bytes,
    digest: 'd',
    phrase: 'eight words',
    challenge: { approve: 'a', refuse: 'r' },
    expiresAt: '2027-01-05T09:00:00.000Z',
    verdict: 'waiting',
    reason: null,
    signed: [],
    candidates: [],
    excluded: [],
    need: 2,
  } as const;
  const header = { createdAt: '', base: { snapshots: {}, observedAt: '', authority: '' }, policy: '' };
  const shown = { summary: planOf(), header, digest: 'd', changes: [], leaves: [], request } as never;
  const drawn = drawShown(shown, PLAIN);
  expect(drawn.includes('asked for by 109, who is claimed and not proven')).toBe(isClaim);
});
