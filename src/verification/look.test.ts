import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../canonical.ts';
import type { Sighting } from '../connector/contract.ts';
import type { Tuple } from '../writ/tuple.ts';
import { checkVerification, judge, judgePresented, pausesMs, signVerification, type VerificationBody } from './look.ts';

const tuple = (effect: Tuple['effect'], entitlement: string | null = null): Tuple => ({
  system: 'crm',
  object: 'sjacobs',
  effect,
  entitlement,
  valueDigest: null,
});
const sighting = (over: Partial<Sighting> = {}): Sighting => ({
  account: 'active',
  id: '7',
  attributes: {},
  holds: null,
  path: 'GET /Users',
  message: 'seen',
  ...over,
});
const verdict = (effect: Tuple['effect'], seen: Partial<Sighting>, entitlement: string | null = null, expected = {}) =>
  judge(tuple(effect, entitlement), expected, sighting(seen)).verdict;

describe('what a sighting says of a change', () => {
  test.each<[string, Tuple['effect'], string | null, Partial<Sighting>, string]>([
    ['a grant that is held', 'grant', 'staff', { holds: true }, 'confirmed'],
    ['a grant that is not held', 'grant', 'staff', { holds: false }, 'contradicted'],
    ['a grant that could not be seen', 'grant', 'staff', { holds: null }, 'inconclusive'],
    ['a grant on an account that could not be seen', 'grant', 'staff', { account: null, holds: true }, 'inconclusive'],
    ['a revocation that took', 'revoke', 'staff', { holds: false }, 'confirmed'],
    ['a revocation that did not', 'revoke', 'staff', { holds: true }, 'contradicted'],
    ['a revocation that could not be seen', 'revoke', 'staff', { holds: null }, 'inconclusive'],
    ['a revocation on an account that is gone', 'revoke', 'staff', { account: 'absent' }, 'confirmed'],
    ['connections that are still open', 'revoke', '@connections', { holds: true }, 'contradicted'],
    [
      'connections of a deleted account that cannot be told',
      'revoke',
      '@connections',
      { account: null, holds: null },
      'inconclusive',
    ],
    ['a disabled account', 'disable', null, { account: 'disabled' }, 'confirmed'],
    ['a disabled account that is active', 'disable', null, { account: 'active' }, 'contradicted'],
    ['a disabled account that could not be seen', 'disable', null, { account: null }, 'inconclusive'],
    ['a deleted account that is only disabled', 'delete', null, { account: 'disabled' }, 'contradicted'],
    ['a deleted account', 'delete', null, { account: 'absent' }, 'confirmed'],
    ['a created account', 'create', null, {}, 'confirmed'],
    ['a created account that is absent', 'create', null, { account: 'absent' }, 'contradicted'],
    ['a created account that is disabled', 'create', null, { account: 'disabled' }, 'contradicted'],
    ['a created account whose attributes cannot be seen', 'create', null, { attributes: null }, 'inconclusive'],
    ['a password that no look can tell', 'authenticate', null, {}, 'inconclusive'],
  ])('%s', (_fact, effect, entitlement, seen, expected) => {
    expect(verdict(effect, seen, entitlement)).toBe(expected);
  });

  test('an attribute that is otherwise contradicts, and is named', () => {
    const judged = judge(
      tuple('update'),
      { title: 'Manager', department: '50' },
      sighting({ attributes: { title: 'Clerk', department: '50' } }),
    );
    expect(judged).toMatchObject({ verdict: 'contradicted', saw: 'differs in title' });
  });
});

describe('what presenting the old secret says beside it', () => {
  const confirmed = { verdict: 'confirmed', mechanism: 'account', saw: 'the account is disabled' } as const;
  test.each<[Tuple['effect'], VerificationBody['presented'], string]>([
    ['disable', 'refused', 'confirmed'],
    ['disable', 'accepted', 'contradicted'],
    ['disable', 'unknown', 'inconclusive'],
    ['disable', null, 'confirmed'],
    ['delete', 'accepted', 'contradicted'],
    ['delete', 'unknown', 'confirmed'],
    ['create', 'accepted', 'confirmed'],
    ['create', 'refused', 'confirmed'],
  ])('%s, %s: %s', (effect, presented, expected) => {
    expect(judgePresented(tuple(effect), confirmed, presented).verdict).toBe(expected);
  });
  test('never makes anything better', () => {
    const contradicted = { verdict: 'contradicted', mechanism: 'account', saw: 'the account is active' } as const;
    expect(judgePresented(tuple('disable'), contradicted, 'refused')).toBe(contradicted);
  });
});

describe('the pauses between looks', () => {
  test.each([
    [0, []],
    [150, [150]],
    [1_000, [150, 300, 550]],
    [60_000, [150, 300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 21_750]],
  ])('a target that settles within %i ms is looked at again after %j', (settlesMs, pauses) => {
    expect(pausesMs(settlesMs)).toEqual(pauses);
  });

  test('a target of which nothing is said has 2.25 s', () => {
    expect(pausesMs(undefined)).toEqual([150, 300, 600, 1_200]);
  });
});

describe('a verification', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const body: VerificationBody = {
    v: 1,
    tenant: 'acme',
    plan: sha256('plan'),
    change: 'P7.1',
    tuple: tuple('disable'),
    verdict: 'confirmed',
    mechanism: 'account',
    path: 'GET /Users',
    saw: 'the account is disabled',
    presented: null,
    at: 1,
  };
  test('is the verifier’s by its signature', () => {
    expect(checkVerification(signVerification(body, privateKey), publicKey)).toEqual(body);
  });
  test('is nobody’s when a letter was changed', () => {
    const signed = signVerification({ ...body, verdict: 'contradicted' }, privateKey);
    expect(
      checkVerification({ ...signed, body: signed.body.replace('contradicted', 'confirmed') }, publicKey),
    ).toBeNull();
  });
  test('is nobody’s when another key signed', () => {
    expect(checkVerification(signVerification(body, generateKeyPairSync('ed25519').privateKey), publicKey)).toBeNull();
  });
});
