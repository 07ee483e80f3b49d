import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { canonical } from '../canonical.ts';
import { beneficiariesOf, challenge, parseRequest, requestText } from './request.ts';
import { genesisDocument, NOW, requestOf, rosterOf } from './testing.ts';

const request = requestOf(rosterOf(genesisDocument()));

describe('an approval request', () => {
  test('reads back to itself', () => {
    expect(parseRequest(requestText(request))).toEqual(request);
    for (const requester of ['401', 'nhi:feed-hr', 'ann.b@acme']) {
      expect(parseRequest(requestText({ ...request, requester })).requester).toBe(requester);
    }
    expect(parseRequest(requestText({ ...request, role: 'owner:108' })).role).toBe('owner:108');
  });

  test.each([
    ['zero people', { people: 0 }],
    ['no people', { people: undefined }],
    ['people as text', { people: '2' }],
    ['a fraction of a person', { people: 1.5 }],
    ['a negative number of people', { people: -1 }],
    ['an empty role', { role: '' }],
    ['an owner role without an owner', { role: 'owner:' }],
    ['a role of another namespace', { role: 'other/security' }],
    ['a requester of an unknown kind', { requester: 'group:admins' }],
    ['a nameless machine as requester', { requester: 'nhi:' }],
    ['no executor', { executors: [] }],
    ['an executor twice', { executors: ['a', 'a'] }],
    ['executors out of order', { executors: ['b', 'a'] }],
    ['a denied plan', { decision: 'deny' }],
    ['an unknown risk', { risk: 'none' }],
    ['overLimit left out', { overLimit: undefined }],
    ['a short nonce', { nonce: '00' }],
    ['an upper-case digest', { planDigest: 'A'.repeat(64) }],
    ['no plan digest', { planDigest: null }],
    ['beneficiaries without a count', { beneficiaries: { digest: request.planDigest } }],
    ['an end before the beginning', { expiresAt: NOW - 120_000 }],
    ['no end', { expiresAt: undefined }],
    ['a member that does not belong', { note: 'please' }],
    ['a blank in its id', { id: 'R 1' }],
    ['another format version', { v: 2 }],
  ])('is refused with %s', (_, over) => {
    const changed = JSON.parse(JSON.stringify({ ...request, ...over }));
    const bytes =
      Number.isInteger(changed.people ?? 1) || typeof changed.people === 'string'
        ? canonical(changed)
        : JSON.stringify(changed);
    expect(() => parseRequest(bytes)).toThrow(expect.objectContaining({ code: 'approval-form' }));
  });

  test('is refused in any other spelling of the same content', () => {
    const bytes = requestText(request);
    const spaced = JSON.stringify(request, null, 1);
    const unsorted = JSON.stringify(Object.fromEntries(Object.entries(request).reverse()));
    for (const bad of [
      spaced,
      unsorted,
      `${bytes}\n`,
      bytes.replace('{', '{"people":1,'),
      bytes.replace('"P9"', '"P\\u0039"'),
    ]) {
      expect(() => parseRequest(bad)).toThrow(expect.objectContaining({ code: 'approval-form' }));
    }
  });

  test('is not made from what could not be read back', () => {
    expect(() => requestText({ ...request, people: 0 })).toThrow(/people/);
  });
});

describe('the challenge', () => {
  const bytes = requestText(request);

  test('is SHA-256 over domain, verdict and the hash of the request', () => {
    const inner = createHash('sha256').update(bytes).digest();
    const input = Buffer.concat([Buffer.from('writgate/approval/v1\0refuse'), inner]);
    expect(challenge('refuse', bytes)).toBe(createHash('sha256').update(input).digest('hex'));
  });

  test('differs by verdict and by every member of the request', () => {
    expect(challenge('approve', bytes)).not.toBe(challenge('refuse', bytes));
    const challenges = new Set([challenge('approve', bytes)]);
    const others = {
      tenant: 'b',
      logOrigin: 'b',
      id: 'b',
      nonce: '1'.repeat(32),
      planId: 'b',
      planDigest: request.planBase,
      planBase: request.planDigest,
      risk: 'low',
      overLimit: true,
      requester: 'b',
      executors: ['b'],
      beneficiaries: { ...request.beneficiaries, count: 9 },
      policyDigest: request.planBase,
      decision: 'permit',
      authorityDigest: request.planBase,
      rosterVersion: 9,
      rosterDigest: request.planBase,
      role: 'b',
      people: 9,
      createdAt: 1,
      expiresAt: NOW * 2,
    } as const;
    for (const [name, value] of Object.entries(others))
      challenges.add(challenge('approve', requestText({ ...request, [name]: value })));
    expect(challenges.size).toBe(Object.keys(request).length);
  });
});

describe('beneficiaries', () => {
  test('have one digest whatever the order and repetition', () => {
    expect(beneficiariesOf(['b', 'a', 'b'])).toMatchObject({ digest: beneficiariesOf(['a', 'b']).digest, count: 2 });
  });

  test('have another digest when one is added, or two are run together', () => {
    const digests = [['a', 'b'], ['a', 'b', 'c'], ['ab'], ['a,b'], []].map((list) => beneficiariesOf(list).digest);
    expect(new Set(digests).size).toBe(5);
  });
});
