import { describe, expect, test } from 'vitest';
import type { Stage } from '../../plan/change.ts';
import { drawNext, drawPlanned, drawPlans, needOf } from './plan.ts';
import { drawRan } from './run.ts';
import { changeOf, NOW, PLANNED, PLANS, planOf } from './testing.ts';
import { COLOURED, PLAIN, WIDTH } from './text.ts';

const lines = (text: string): string[] => text.split('\n');

test('a planning is a readable diff', () => {
  expect(drawPlanned(PLANNED, NOW, PLAIN)).toMatchInlineSnapshot(`
    "hr  107 rows, as of 06:00 (3 h old, limit 26 h, signed)   accepted; 1 quarantined: line 80,
        department empty
    corp takes no part: it does not answer
    joined  Sarah Jacobs
    moved   Luis Garcia
    P7   low       inside envelope, no signature           2 changes
      + P7.1   crm   account sjacobs              rule everyone               Sarah Jacobs, hr:105
      + P7.2   crm   staff → sjacobs              rule everyone               Sarah Jacobs, hr:105
    P8   removal   inside envelope, no signature           2 changes
      - P8.1   corp  finance → lgarcia            mover 100→90                Luis Garcia, hr:4
      - P8.2   corp  open connections of lgarcia  mover 100→90                Luis Garcia, hr:4
    P9   high      needs 2 of security                     1 change
        note: gives shiggins the privileged payroll-admin without an end
      + P9.1   pay   payroll-admin → shiggins     request R1 by 103 (claimed)  Shelley Higgins, hr:205,
              until 2027-01-04 17:00
    P10  REFUSED  removes 45 of 107 accounts and grants (42 %), limit 5 %
      - P10.1  crm   staff → sjacobs              rule everyone no longer true  Sarah Jacobs, hr:105
        … 44 more: writgate plan show P10
        also: concerns 45 people, limit 20
        way out: writgate plan show P10 · writgate approve P10 --over-limit
    Left alone: unmanaged accounts: 4 in crm (writgate adopt SYSTEM shows whose they seem to be)
    Left alone: crm, bbrook: an account of this name exists: \`writgate adopt\` takes it
    Nothing changed in any target. Limits used: grants 3/50, removals 2/20
    Next: writgate run (P7, P8) · writgate approve P9"
  `);
});

test('no line is wider than the page, whatever the names', () => {
  const long = 'x'.repeat(60);
  const wide = planOf({
    changes: [
      changeOf({
        login: `${long}@acme.example`,
        cause: `request ${long} ${long}`,
        name: 'Maximiliane Wolfeschlegelsteinhausenbergerdorff',
      }),
    ],
  });
  for (const line of lines(drawPlanned({ ...PLANNED, plans: [...PLANS, wide] }, NOW, PLAIN))) {
    // A single word that is longer than the page stays whole: it may be what people sign.
    if (!line.includes(long)) expect(line.length, line).toBeLessThanOrEqual(WIDTH);
  }
});

test('nothing of a change is cut: people sign it', () => {
  const login = `${'l'.repeat(70)}@acme.example`;
  const drawn = drawPlans(
    [
      planOf({
        size: 1,
        changes: [changeOf({ login, until: '2027-01-04T17:00:00.000Z', cause: 'request R77 by 103 for a reason' })],
      }),
    ],
    PLAIN,
  ).join('\n');
  for (const piece of [login, '2027-01-04 17:00', 'request R77 by 103 for a reason', 'hr:105']) {
    expect(drawn.replace(/\s+/g, ' ')).toContain(piece);
  }
});

test('a target that could not be read is never called as it should be', () => {
  const drawn = drawPlanned({ ...PLANNED, plans: [] }, NOW, PLAIN);
  expect(drawn).toContain('corp takes no part: it does not answer');
  expect(drawn).toContain('what could not be read is unknown');
  expect(drawn).not.toContain('as it should be');
});

test('a held feed is loud and says why', () => {
  const [feed] = PLANNED.report.feeds;
  const held = {
    ...feed!,
    verdict: 'held' as const,
    asOf: null,
    findings: [{ code: 'age', message: 'the feed is 40 h old, limit 26 h' }],
  };
  const drawn = drawPlanned(
    { ...PLANNED, report: { ...PLANNED.report, feeds: [held], targets: [] }, plans: [] },
    NOW,
    PLAIN,
  );
  expect(drawn).toMatch(/of no known age\s+HELD/);
  expect(drawn).toContain('the feed is 40 h old, limit 26 h');
  expect(drawn).not.toContain('as it should be');
});

test('a refused plan says all of its limits and the way out, and is not offered to run', () => {
  const drawn = drawPlans(PLANS, PLAIN).join('\n');
  expect(drawn).toContain('P10  REFUSED  removes 45 of 107');
  expect(drawn).toContain('also: concerns 45 people, limit 20');
  expect(drawn).toContain('writgate approve P10 --over-limit');
  expect(drawNext(PLANS)).toEqual(['Next: writgate run (P7, P8) · writgate approve P9']);
});

describe('what comes next', () => {
  const after = (stages: Partial<Record<Stage, number>>, needs = planOf().needs) =>
    drawNext([planOf({ stages, needs })]);
  const people = { role: 'security', people: 2 };
  test.each<[string, Partial<Record<Stage, number>>, typeof people | null, string[]]>([
    ['a permitted plan runs', { decided: 2 }, null, ['Next: writgate run (P7)']],
    ['a plan without signatures does not run', { decided: 2 }, people, ['Next: writgate approve P7']],
    ['a signed plan runs and asks nobody again', { approved: 2 }, people, ['Next: writgate run (P7)']],
    ['a held change asks people and does not run', { held: 2 }, null, ['Next: writgate approve P7']],
    ['a denied plan leads nowhere', { denied: 2 }, null, []],
    ['a verified plan leads nowhere', { verified: 2 }, people, []],
  ])('%s', (_, stages, needs, expected) => {
    expect(after(stages, needs)).toEqual(expected);
  });
});

test('who has to sign is said in words', () => {
  expect(needOf({ needs: null, overLimit: false })).toBe('inside envelope, no signature');
  expect(needOf({ needs: { role: 'security', people: 2 }, overLimit: true })).toBe(
    'needs 2 of security, over its limits',
  );
  expect(needOf({ needs: { role: 'owner:205', people: 1 }, overLimit: false })).toBe('needs the owner, 205');
});

test('a contradiction after a run stands under its change, and is not told as done', () => {
  const verification = {
    verdict: 'contradicted',
    mechanism: 'account',
    saw: 'the account is active',
    path: 'GET /Users',
    presented: null,
  };
  const plan = planOf({
    size: 1,
    stages: { contradicted: 1 },
    changes: [changeOf({ effect: 'disable', stage: 'contradicted', verification })],
  });
  const drawn = drawRan({ retried: [], report: { moved: 3, tookMs: 420 }, plans: [plan] }, PLAIN);
  expect(drawn).toContain('- P7.1  crm  disable account sjacobs');
  expect(drawn).toContain('CONTRADICTED: the account is active');
  expect(drawn).toContain('1 contradicted, in 420 ms.');
});

test('a run that had nothing to carry says so', () => {
  expect(drawRan({ retried: [], report: { moved: 0, tookMs: 3 }, plans: [] }, PLAIN)).toBe('Nothing to do.');
});

test('colours change no word', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what it removes
  expect(drawPlanned(PLANNED, NOW, COLOURED).replace(/\u001b\[\d+m/g, '')).toBe(drawPlanned(PLANNED, NOW, PLAIN));
});
