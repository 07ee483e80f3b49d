import { describe, expect, test } from 'vitest';
import type { PlanShown } from '../api/contract.ts';
import { phrase } from '../approval/phrase.ts';
import { requestText } from '../approval/request.ts';
import { digestNamed, genesisDocument, requestOf, rosterOf } from '../approval/testing.ts';
import { sha256 } from '../canonical.ts';
import { leafHash, treeRoot } from '../ledger/tree.ts';
import { leafBytes, type PlanHeader, planDigest } from '../plan/change.ts';
import { changeOf, planOf } from './draw/testing.ts';
import { checkShown } from './verdict.ts';

const LEAF = leafBytes({
  seq: 1,
  system: 'crm',
  object: 'sjacobs',
  effect: 'create',
  entitlement: null,
  valueDigest: null,
  value: null,
  subject: { feed: 'hr', key: '105' },
  person: 'p5',
  id: null,
  cause: 'birthright everyone',
  until: null,
  after: [],
  waitsFor: [],
});

const header: PlanHeader = {
  v: 1,
  tenant: 'acme',
  plan: 'P9',
  risk: 'high',
  role: 'security',
  root: treeRoot([leafHash(LEAF)]),
  size: 1,
  base: { authority: digestNamed('authority'), snapshots: {}, observedAt: '2027-01-04T08:00:00.000Z' },
  policy: digestNamed('policy'),
  overLimit: false,
  createdAt: '2027-01-04T08:00:00.000Z',
};

function shownOf(over: Partial<PlanShown> = {}, request: Parameters<typeof requestOf>[1] = {}): PlanShown {
  const digest = planDigest(header);
  const bytes = requestText(requestOf(rosterOf(genesisDocument()), { planDigest: digest, ...request }));
  return {
    summary: planOf({ plan: 'P9', risk: 'high', size: 1 }),
    header,
    digest,
    changes: [changeOf()],
    leaves: [LEAF],
    request: {
      bytes,
      digest: sha256(bytes),
      phrase: phrase(sha256(bytes)),
      challenge: { approve: '', refuse: '' },
      expiresAt: '2027-01-05T09:00:00.000Z',
      verdict: 'waiting',
      reason: null,
      signed: [],
      candidates: [],
      excluded: [],
      need: 2,
    },
    ...over,
  };
}
const withRequest = (over: Partial<NonNullable<PlanShown['request']>>): PlanShown => {
  const shown = shownOf();
  return { ...shown, request: { ...shown.request!, ...over } };
};

test('what holds together is given to sign', () => {
  expect(checkShown(shownOf()).need).toBe(2);
});

describe('nothing is signed when control shows', () => {
  const other = requestText(requestOf(rosterOf(genesisDocument()), { planDigest: digestNamed('another plan') }));
  test.each<[string, PlanShown]>([
    ['a request for another plan', shownOf({}, { planDigest: digestNamed('another plan') })],
    ['a request for a plan of another name', shownOf({}, { planId: 'P10' })],
    ['a plan that was altered under its digest', shownOf({ header: { ...header, overLimit: true } })],
    ['a request that goes over the limits without saying so', shownOf({}, { overLimit: true })],
    ['a request that calls the risk lower', shownOf({}, { risk: 'low' })],
    ['fewer changes than the plan has', shownOf({ changes: [] })],
    ['more changes than the plan has', shownOf({ changes: [changeOf(), changeOf()] })],
    ['changes that are not under the root', shownOf({ leaves: [LEAF.replace('sjacobs', 'mallory')] })],
    ['another account than the bytes name', shownOf({ changes: [changeOf({ login: 'mallory' })] })],
    ['another effect than the bytes name', shownOf({ changes: [changeOf({ effect: 'delete' })] })],
    ['another subject than the bytes name', shownOf({ changes: [changeOf({ subject: 'hr:999' })] })],
    ['bytes of another request under this digest', withRequest({ bytes: other })],
    ['a phrase of another request', withRequest({ phrase: phrase(digestNamed('x')) })],
    ['a digest of something else', withRequest({ digest: digestNamed('x') })],
  ])('%s', (_, shown) => {
    expect(() => checkShown(shown)).toThrow('does not hold together');
  });

  test.each<[string, string]>([
    ['bytes that are no request', '{}'],
    ['bytes that are not canonical', ' {}'],
  ])('%s', (_, bytes) => {
    expect(() => checkShown(withRequest({ bytes }))).toThrow();
  });

  test('no request at all', () => {
    expect(() => checkShown(shownOf({ request: null }))).toThrow('needs no signature');
  });
});
