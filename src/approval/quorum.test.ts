import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Edge } from './eligibility.ts';
import { eligibility } from './eligibility.ts';
import { generateSshKey } from './private.ts';
import { checkApprovals, type Expected, type SignedVerdict } from './quorum.ts';
import {
  APPROVAL_NAMESPACE,
  type ApprovalRequest,
  beneficiariesOf,
  challenge,
  requestText,
  signVerdict,
  type Verdict,
} from './request.ts';
import type { Roster, RosterDocument } from './roster.ts';
import { type Signer, signSsh } from './sshsig.ts';
import {
  BENEFICIARIES,
  DAY,
  describeWithOpenSsh,
  digestNamed,
  genesisDocument,
  NOW,
  type PersonId,
  personOf,
  requestOf,
  rosterOf,
  SIGNERS,
  seeded,
  signerOf,
} from './testing.ts';

const { '101': ann, '102': bob, '103': cleo, '201': dora } = SIGNERS;
const OWNERSHIP: readonly Edge[] = [{ owner: '201', owned: 'nhi:pay-grant' }];

/** One situation; each test changes what it is about. */
function situation(
  over: { request?: Partial<ApprovalRequest>; roster?: Partial<RosterDocument>; gains?: string[] } = {},
) {
  const roster: Roster = rosterOf(genesisDocument(over.roster));
  const beneficiaries = beneficiariesOf(over.gains ?? BENEFICIARIES);
  const { digest, count } = beneficiaries;
  const request = requestOf(roster, { beneficiaries: { digest, count }, ...over.request });
  const bytes = requestText(request);
  const who = eligibility({ roster, request, beneficiaries, ownership: OWNERSHIP });
  const expected: Expected = {
    tenant: 'acme',
    logOrigin: request.logOrigin,
    planDigest: digestNamed('plan'),
    authorityDigest: digestNamed('authority'),
    role: request.role,
    people: 2,
  };
  return { request: bytes, roster, eligibility: who, expected, now: NOW, signatures: [] as SignedVerdict[] };
}
type Situation = ReturnType<typeof situation>;

const sign = async (bytes: string, signer: Signer, verdict: Verdict = 'approve'): Promise<SignedVerdict> => ({
  verdict,
  armored: await signVerdict(signer, verdict, bytes),
});
async function counted(given: Situation, ...votes: [Signer, Verdict?][]) {
  const signatures = await Promise.all(votes.map(([signer, verdict]) => sign(given.request, signer, verdict)));
  return checkApprovals({ ...given, signatures });
}
const invalid = (reason: RegExp) => ({ verdict: 'invalid', reason: expect.stringMatching(reason) });

describe('counting approvals', () => {
  test('approves when two distinct persons signed', async () => {
    expect(await counted(situation(), [ann], [bob])).toMatchObject({
      verdict: 'approved',
      people: ['101', '102'],
      setAside: [],
    });
  });

  test('waits with none and with one, and says who could still sign', async () => {
    expect(await counted(situation())).toMatchObject({
      verdict: 'waiting',
      have: [],
      need: 2,
      candidates: ['101', '102', '103'],
    });
    expect(await counted(situation(), [bob])).toMatchObject({
      verdict: 'waiting',
      have: ['102'],
      need: 2,
      candidates: ['101', '103'],
    });
  });

  test('one person signing twice counts once, in the same bytes and in fresh ones', async () => {
    const given = situation();
    const one = await sign(given.request, ann);
    const signatures = [one, one, { ...one }, { ...one, armored: one.armored.replace(/\n$/, '') }];
    expect(checkApprovals({ ...given, signatures })).toMatchObject({ verdict: 'waiting', have: ['101'] });
  });

  test('one person with two keys counts once', async () => {
    const second = signerOf('101 second');
    const people = [
      personOf('101', { keys: [ann.publicKey.text, second.publicKey.text] }),
      personOf('102'),
      personOf('103'),
    ];
    expect(await counted(situation({ roster: { people } }), [ann], [second])).toMatchObject({
      verdict: 'waiting',
      have: ['101'],
    });
  });

  test('one key cannot stand for two persons, because no roster gives it to two', () => {
    const people = [personOf('101'), personOf('102', { keys: [ann.publicKey.text] }), personOf('103')];
    expect(() => situation({ roster: { people } })).toThrow(/one key to two persons/);
  });

  test('the person is the key’s holder, whatever the submitter claims', async () => {
    const given = situation();
    const [first, second] = [await sign(given.request, ann), await sign(given.request, ann)];
    const signatures = [
      { ...first, person: '101' },
      { ...second, person: '102' },
    ];
    expect(checkApprovals({ ...given, signatures })).toMatchObject(invalid(/approve of 102.*its key is that of 101/));
  });

  test('a signature of somebody who may not approve is set aside with the reason', async () => {
    expect(await counted(situation({ request: { requester: '101' } }), [ann], [bob])).toMatchObject({
      verdict: 'waiting',
      have: ['102'],
      setAside: [{ person: '101', why: 'asked for it' }],
    });
    expect(await counted(situation({ gains: ['101'] }), [ann], [bob])).toMatchObject({
      verdict: 'waiting',
      setAside: [{ person: '101', why: 'benefits from it' }],
    });
    expect(await counted(situation(), [dora], [bob])).toMatchObject({
      verdict: 'waiting',
      setAside: [{ person: '201', why: 'is not of role security' }],
    });
  });

  test('a suspended person does not count', async () => {
    const people = [personOf('101', { suspended: true }), personOf('102'), personOf('103')];
    expect(await counted(situation({ roster: { people } }), [ann], [bob])).toMatchObject({
      verdict: 'waiting',
      have: ['102'],
      setAside: [{ person: '101', why: 'is suspended' }],
    });
  });

  test('a role of the same name counts only in its own tenant', async () => {
    const foreign = situation({ roster: { tenant: 'umbrella' } });
    expect(await counted(foreign, [ann], [bob])).toMatchObject(invalid(/roster is of tenant umbrella/));
    const elsewhere = situation({ request: { tenant: 'umbrella' }, roster: { tenant: 'umbrella' } });
    expect(await counted(elsewhere, [ann], [bob])).toMatchObject(invalid(/for tenant umbrella, not acme/));
  });

  test('never approves nobody: zero people and absent people fail closed', async () => {
    const given = situation();
    for (const people of ['"people":0', '"people":null', '"people":-1']) {
      const request = given.request.replace('"people":2', people);
      expect(checkApprovals({ ...given, request })).toMatchObject(invalid(/people/));
    }
    expect(checkApprovals({ ...given, request: given.request.replace('"people":2,', '') })).toMatchObject(
      invalid(/lacks "people"/),
    );
    for (const people of [0, -1, Number.NaN, undefined as unknown as number]) {
      const expected = { ...given.expected, people };
      expect(await counted({ ...given, expected }, [ann], [bob])).toMatchObject(invalid(/policy for/));
    }
  });

  test('never approves without candidates', async () => {
    expect(await counted(situation({ gains: ['101', '102', '103'] }), [ann], [bob])).toMatchObject(
      invalid(/nobody of role security/),
    );
    expect(await counted(situation({ request: { role: 'ghosts' } }), [ann], [bob])).toMatchObject(
      invalid(/nobody of role ghosts/),
    );
  });

  test('says at once that fewer may approve than must', async () => {
    expect(await counted(situation({ gains: ['101', '102'] }), [cleo])).toMatchObject(
      invalid(/needs 2 of security, and 1 may/),
    );
  });

  test('an unknown owner makes the request unapprovable', async () => {
    expect(await counted(situation({ request: { executors: ['mystery'] } }), [ann], [bob])).toMatchObject(
      invalid(/who owns nhi:mystery/),
    );
  });
});

describe('refusals', () => {
  test('one refusal by an eligible person refuses the whole, however many approved', async () => {
    expect(await counted(situation(), [ann], [bob], [cleo, 'refuse'])).toMatchObject({
      verdict: 'refused',
      by: ['103'],
    });
  });

  test('who signs both verdicts has refused', async () => {
    expect(await counted(situation(), [ann], [bob], [bob, 'refuse'])).toMatchObject({
      verdict: 'refused',
      by: ['102'],
    });
  });

  test('by somebody who may not approve refuse nothing', async () => {
    expect(await counted(situation(), [ann], [bob], [dora, 'refuse'])).toMatchObject({
      verdict: 'approved',
      setAside: [{ person: '201' }],
    });
  });

  test('cannot be passed off as approvals, nor the other way round', async () => {
    const given = situation();
    for (const [made, said] of [
      ['refuse', 'approve'],
      ['approve', 'refuse'],
    ] as const) {
      const { armored } = await sign(given.request, ann, made);
      expect(checkApprovals({ ...given, signatures: [{ verdict: said, armored }] })).toMatchObject(
        invalid(/does not verify/),
      );
    }
  });
});

describe('what a signature is bound to', () => {
  test.each([
    ['another plan', { planDigest: digestNamed('other plan') }],
    ['another base', { planBase: digestNamed('other base') }],
    ['another nonce', { nonce: 'f'.repeat(32) }],
    ['fewer people', { people: 1 }],
    ['another executor', { executors: ['pay-revoke'] }],
    ['going over the limit', { overLimit: true }],
    ['a longer life', { expiresAt: NOW + 2 * DAY }],
  ])('rejects an approval over %s', async (_, over) => {
    const other = requestText(requestOf(situation().roster, over));
    const given = situation();
    expect(checkApprovals({ ...given, signatures: [await sign(other, ann)] })).toMatchObject(
      invalid(/does not verify/),
    );
  });

  test.each([
    ['another namespace', 'file', (bytes: string) => challenge('approve', bytes)],
    ['the roster’s namespace', 'roster@writgate', (bytes: string) => challenge('approve', bytes)],
    ['the request itself in place of its challenge', APPROVAL_NAMESPACE, (bytes: string) => bytes],
    ['the challenge with a newline', APPROVAL_NAMESPACE, (bytes: string) => `${challenge('approve', bytes)}\n`],
  ])('rejects a signature over %s', async (_, namespace, messageOf) => {
    const given = situation();
    const armored = await signSsh({ signer: ann, namespace, message: messageOf(given.request) });
    expect(checkApprovals({ ...given, signatures: [{ verdict: 'approve', armored }] })).toMatchObject({
      verdict: 'invalid',
    });
  });

  test('one forged signature among two good ones makes the whole invalid', async () => {
    expect(await counted(situation(), [ann], [bob], [signerOf('mallory')])).toMatchObject(
      invalid(/nobody's in roster version 1/),
    );
    const given = situation();
    const good = [await sign(given.request, ann), await sign(given.request, bob)];
    const signatures = [...good, { verdict: 'approve' as const, armored: '' }];
    expect(checkApprovals({ ...given, signatures })).toMatchObject(invalid(/not one armored SSH signature/));
  });
});

describe('what a request is bound to', () => {
  test.each(['planDigest', 'authorityDigest', 'logOrigin', 'role', 'tenant'] as const)(
    'rejects a request for another %s than the caller acts on',
    async (name) => {
      const given = situation();
      const expected = { ...given.expected, [name]: digestNamed('other') };
      expect(await counted({ ...given, expected }, [ann], [bob])).toMatchObject(invalid(new RegExp(name)));
    },
  );

  test('rejects a request that asks for fewer persons than policy', async () => {
    const given = situation({ request: { people: 1 } });
    expect(await counted(given, [ann])).toMatchObject(invalid(/asks for 1 persons, and policy for 2/));
  });

  test('takes a request that asks for more, and waits for them', async () => {
    expect(await counted(situation({ request: { people: 3 } }), [ann], [bob])).toMatchObject({
      verdict: 'waiting',
      need: 3,
    });
  });

  test('rejects an expired request at its very millisecond', async () => {
    const given = situation({ request: { expiresAt: NOW + 1 } });
    expect(await counted(given, [ann], [bob])).toMatchObject({ verdict: 'approved' });
    expect(await counted({ ...given, now: NOW + 1 }, [ann], [bob])).toMatchObject(invalid(/expired/));
  });

  test('rejects everything under an expired roster', async () => {
    expect(await counted(situation({ roster: { expiresAt: NOW } }), [ann], [bob])).toMatchObject(
      invalid(/roster version 1 has expired/),
    );
  });

  test('rejects another roster of the same version, and a newer one', async () => {
    const given = situation();
    const people = [personOf('101'), personOf('102'), personOf('103')];
    expect(await counted({ ...given, roster: rosterOf(genesisDocument({ people })) }, [ann], [bob])).toMatchObject(
      invalid(/roster version/),
    );
    const newer = rosterOf(genesisDocument({ version: 2, previous: given.roster.digest }));
    expect(await counted({ ...given, roster: newer }, [ann], [bob])).toMatchObject(
      invalid(/under roster version 1, and version 2 is in force/),
    );
  });

  test('rejects eligibility that was worked out for another request', async () => {
    const given = situation({ request: { requester: '101' } });
    expect(await counted({ ...given, eligibility: situation().eligibility }, [ann], [bob])).toMatchObject(
      invalid(/for another request/),
    );
  });

  test('rejects bytes that are no request', async () => {
    const given = situation();
    for (const request of ['', '{}', 'null', `${given.request} `]) {
      expect(checkApprovals({ ...given, request })).toMatchObject(invalid(/request/));
    }
  });
});

describeWithOpenSsh('an approval from a terminal with nothing but OpenSSH', () => {
  test('counts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'approve-'));
    try {
      const given = situation();
      const armored = (id: PersonId) => {
        writeFileSync(join(folder, id), generateSshKey({ random: seeded(id), comment: id }).privateText, {
          mode: 0o600,
        });
        const args = ['-Y', 'sign', '-q', '-f', join(folder, id), '-n', APPROVAL_NAMESPACE];
        return execFileSync('ssh-keygen', args, {
          input: challenge('approve', given.request),
          encoding: 'utf8',
          stdio: 'pipe',
        });
      };
      const signatures = (['101', '102'] as const).map((id) => ({
        verdict: 'approve' as const,
        person: id,
        armored: armored(id),
      }));
      expect(checkApprovals({ ...given, signatures })).toMatchObject({ verdict: 'approved', people: ['101', '102'] });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
