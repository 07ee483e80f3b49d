import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { canonical, type Digest, sha256 } from '../canonical.ts';
import { buildTree, leafHash } from '../ledger/tree.ts';
import { type Leaf, leafBytes, type PlanHeader } from '../plan/change.ts';
import { ed25519PublicKey, openWrit, rawPublicKey, sealWrit, WRIT_LIFETIME_MS, type WritBody } from './writ.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519').privateKey;
const now = Date.parse('2027-01-04T09:00:00Z');
const digest = (name: string): Digest => sha256(name);

const leaf = (seq: number): Leaf => ({
  seq,
  system: 'crm',
  object: `user${seq}`,
  effect: 'grant',
  entitlement: 'staff',
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
const leaves = [leaf(1), leaf(2), leaf(3)].map(leafBytes);
const tree = buildTree(leaves.map((bytes) => leafHash(bytes)));
const header: PlanHeader = {
  v: 1,
  tenant: 'acme',
  plan: 'P7',
  risk: 'low',
  role: null,
  root: tree.root,
  size: 3,
  base: { authority: digest('authority'), snapshots: {}, observedAt: '2027-01-04T08:59:00.000Z' },
  policy: digest('policy'),
  overLimit: false,
  createdAt: '2027-01-04T08:59:00.000Z',
};
const body = (over: object = {}): WritBody => ({
  v: 1,
  tenant: 'acme',
  id: 'W1',
  header,
  decisions: digest('decisions'),
  request: null,
  approvals: [],
  beneficiaries: [],
  changes: [0, 2].map((index) => ({ leaf: leaves[index] as string, proof: tree.prove(index) })),
  snapshots: { hr: 'abc' },
  issuedAt: now - 1000,
  expiresAt: now - 1000 + WRIT_LIFETIME_MS,
  ...over,
});
const held = { tenant: 'acme', decisionKey: publicKey, now };
const open = (value: unknown, key = privateKey) => openWrit(sealWrit(value as WritBody, key), held);
const change = (index: number) => ({ leaf: leaves[index] as string, proof: tree.prove(index) });

test('a sealed writ opens, and gives the changes whose place in the plan it proves', () => {
  expect(open(body()).leaves.map(({ seq }) => seq)).toEqual([1, 3]);
});

test('a raw public key reads back to itself', () => {
  expect(rawPublicKey(ed25519PublicKey(rawPublicKey(publicKey)))).toBe(rawPublicKey(publicKey));
});

describe('a writ is refused', () => {
  test.each<[string, () => unknown]>([
    ['when another key sealed it', () => open(body(), stranger)],
    [
      'when its bytes were edited',
      () => {
        const writ = sealWrit(body(), privateKey);
        return openWrit({ ...writ, body: writ.body.replace('staff', 'admin') }, held);
      },
    ],
    ['for another tenant', () => open(body({ tenant: 'other' }))],
    ['with a plan of another tenant', () => open(body({ header: { ...header, tenant: 'other' } }))],
    ['when it would live longer than fifteen minutes', () => open(body({ expiresAt: now + WRIT_LIFETIME_MS + 1 }))],
    ['from the future', () => open(body({ issuedAt: now + 6 * 60_000, expiresAt: now + 7 * 60_000 }))],
    ['when it permits nothing', () => open(body({ changes: [] }))],
    ['with a change listed twice', () => open(body({ changes: [change(0), change(0)] }))],
    [
      'with a change of another plan',
      () => open(body({ changes: [{ leaf: leafBytes(leaf(9)), proof: tree.prove(0) }] })),
    ],
    ['with the proof of another change', () => open(body({ changes: [{ leaf: leaves[0], proof: tree.prove(1) }] }))],
    ['with a shorter proof', () => open(body({ changes: [{ leaf: leaves[0], proof: tree.prove(0).slice(1) }] }))],
    ['under another root', () => open(body({ header: { ...header, root: digest('root') } }))],
    ['in a larger plan', () => open(body({ header: { ...header, size: 4 } }))],
    // NaN compares false with everything: a writ that never expires.
    ['with an expiry that is no number', () => open(body({ expiresAt: 'never' }))],
    ['with an unknown member', () => open(body({ also: true }))],
    ['of another version', () => open(body({ v: 2 }))],
    [
      'with a leaf that has another value than its digest',
      () => {
        const forged = canonical({ ...leaf(1), value: { title: 'boss' }, valueDigest: digest('clerk') });
        const own = buildTree([leafHash(forged)]);
        return open(body({ header: { ...header, root: own.root, size: 1 }, changes: [{ leaf: forged, proof: [] }] }));
      },
    ],
    [
      'with a leaf whose number is text',
      () => {
        const forged = canonical({ ...leaf(1), seq: '1' });
        return open(body({ changes: [{ leaf: forged, proof: tree.prove(0) }] }));
      },
    ],
  ])('%s', (_fact, attempt) => {
    expect(attempt).toThrow();
  });

  test('when it has expired, by its own code', () => {
    expect(() => openWrit(sealWrit(body(), privateKey), { ...held, now: now + WRIT_LIFETIME_MS })).toThrow(
      expect.objectContaining({ code: 'writ-expired' }),
    );
  });
});
