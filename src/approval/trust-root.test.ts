import { hash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { canonical, type Digest } from '../canonical.ts';
import { type RosterDocument, rosterText } from './roster.ts';
import { type Signer, signSsh } from './sshsig.ts';
import { digestNamed, genesisDocument, personOf, rosterOf, SIGNERS, signerOf } from './testing.ts';
import {
  checkTrustRoot,
  parseTrustRoot,
  TRUST_ROOT_NAMESPACE,
  type TrustRoot,
  trustRootFile,
  trustRootText,
} from './trust-root.ts';

const ALL = Object.values(SIGNERS);
const rawKey = (seed: string) => signerOf(seed).publicKey.blob.subarray(-32);
const base64 = (seed: string) => rawKey(seed).toString('base64');

function verifierKey(name: string, raw: Buffer): string {
  const typed = Buffer.concat([Buffer.of(1), raw]);
  const id = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), typed])).slice(0, 8);
  return `${name}+${id}+${typed.toString('base64')}`;
}

const trustRootOf = (roster: RosterDocument, over: object = {}): TrustRoot => ({
  v: 1,
  tenant: 'acme',
  roster: rosterOf(roster).digest,
  demo: false,
  logKey: verifierKey('ledger.acme.example/writgate', rawKey('log')),
  gatewayKey: base64('gateway'),
  verifierKey: base64('verifier'),
  controlKey: base64('control'),
  witnessQuorum: 1,
  ...over,
});

async function fileOf(
  trustRoot: TrustRoot,
  signers: readonly Signer[] = ALL,
  namespace = TRUST_ROOT_NAMESPACE,
): Promise<string> {
  const message = trustRootText(trustRoot);
  const signatures = await Promise.all(signers.map((signer) => signSsh({ signer, namespace, message })));
  return trustRootFile({ trustRoot, signatures });
}

describe('the trust root', () => {
  const genesis = genesisDocument();
  const text = rosterText(genesis);
  let file: string;
  beforeAll(async () => {
    file = await fileOf(trustRootOf(genesis));
  });
  const check = async (over: object, roster = genesis, signers = ALL) =>
    checkTrustRoot(await fileOf(trustRootOf(roster, over), signers), rosterText(roster));

  test('holds when every person of the genesis roster signed it', () => {
    expect(checkTrustRoot(file, text)).toMatchObject({
      ok: true,
      trustRoot: { tenant: 'acme' },
      genesis: { version: 1 },
    });
  });

  test.each(ALL.map((signer, index) => [genesis.people[index]?.person as string, signer] as const))(
    'is rejected without the signature of %s',
    async (person, missing) => {
      const others = ALL.filter((signer) => signer !== missing);
      expect(await check({}, genesis, others)).toMatchObject({
        ok: false,
        reason: expect.stringContaining(`(${person})`),
      });
    },
  );

  test('is rejected with a stranger’s signature in place of a person’s', async () => {
    const signers = [...ALL.slice(1), signerOf('stranger')];
    expect(await check({}, genesis, signers)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/did not sign/),
    });
  });

  test('is rejected when one signature is over other bytes or for another purpose', async () => {
    const altered = file.replace('"witnessQuorum":1', '"witnessQuorum":0');
    expect(checkTrustRoot(altered, text)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/does not verify/),
    });
    const demo = file.replace('"demo":false', '"demo":true');
    expect(checkTrustRoot(demo, text)).toMatchObject({ ok: false });
    const rosterSigned = await fileOf(trustRootOf(genesis), ALL, 'roster@writgate');
    expect(checkTrustRoot(rosterSigned, text)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/roster@writgate/),
    });
  });

  test('is rejected with another roster, tenant or version than it pins', async () => {
    expect(await check({ roster: digestNamed('other') as Digest })).toMatchObject({
      reason: expect.stringMatching(/pins another genesis/),
    });
    expect(await check({ tenant: 'umbrella' })).toMatchObject({
      reason: expect.stringMatching(/tenant acme, not umbrella/),
    });
    const second = { ...genesis, version: 2, previous: digestNamed('x') };
    expect(await check({}, second)).toMatchObject({ reason: expect.stringMatching(/version 2, not the genesis/) });
  });

  test('is rejected with fewer than three people', async () => {
    const two = genesisDocument({ people: [personOf('101'), personOf('102')] });
    expect(await check({}, two, [SIGNERS['101'], SIGNERS['102']])).toMatchObject({
      reason: expect.stringMatching(/2 people; at least 3/),
    });
  });

  test('is rejected when one key serves two roles, or a role and a person', async () => {
    expect(await check({ verifierKey: base64('gateway') })).toMatchObject({
      reason: expect.stringMatching(/verifierKey .* of gatewayKey/),
    });
    expect(await check({ controlKey: base64('log') })).toMatchObject({
      reason: expect.stringMatching(/logKey .* of controlKey/),
    });
    expect(await check({ controlKey: base64('101') })).toMatchObject({
      reason: expect.stringMatching(/controlKey .* of 101 of the roster/),
    });
  });

  test.each([
    ['a member that does not belong', { extra: true }],
    ['demo as text', { demo: 'false' }],
    ['demo left out', { demo: undefined }],
    ['a short key', { gatewayKey: Buffer.alloc(31).toString('base64') }],
    ['a key with stray bits', { gatewayKey: base64('gateway').replace(/.=$/, 'B=') }],
    ['a log key whose hash is not its own', { logKey: `x+00000000+${base64('log')}` }],
    ['no log key', { logKey: '' }],
    ['a negative witness quorum', { witnessQuorum: -1 }],
    ['another format version', { v: 2 }],
  ])('refuses %s', (_, over) => {
    const { trustRoot, signatures } = parseTrustRoot(file);
    const changed = JSON.parse(JSON.stringify({ trustRoot: { ...trustRoot, ...over }, signatures }));
    expect(checkTrustRoot(`${canonical(changed)}\n`, text)).toMatchObject({ ok: false });
  });

  test('refuses a file that is not in its one spelling', () => {
    for (const bad of ['', '{}', ` ${file}`, `${file}\n`, JSON.stringify(JSON.parse(file), null, 2)]) {
      expect(checkTrustRoot(bad, text)).toMatchObject({ ok: false });
    }
    expect(checkTrustRoot(file, `${text} `)).toMatchObject({ ok: false });
  });

  test('refuses an empty list of signatures', () => {
    const { trustRoot } = parseTrustRoot(file);
    expect(checkTrustRoot(trustRootFile({ trustRoot, signatures: [] }), text)).toMatchObject({ ok: false });
  });
});
