/**
 * For tests: people with real keys, rosters, requests, and OpenSSH's own tools to compare with. Seeded, so that the same
 * test has the same bytes each time.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe } from 'vitest';
import { type Digest, sha256 } from '../canonical.ts';
import type { Random } from '../clock.ts';
import { generateSshKey, parsePrivateKey } from './private.ts';
import { type ApprovalRequest, beneficiariesOf } from './request.ts';
import {
  parseRoster,
  ROSTER_NAMESPACE,
  type Roster,
  type RosterDocument,
  type RosterPerson,
  rosterText,
  type SignedRoster,
} from './roster.ts';
import { type Signer, signSsh } from './sshsig.ts';

/** Randomness that repeats itself: never for a key that guards anything. */
export function seeded(seed: string): Random {
  let count = 0;
  return (bytes) => {
    count += 1;
    return createHash('shake256', { outputLength: bytes }).update(`${seed} ${count}`).digest();
  };
}

export const signerOf = (seed: string): Signer =>
  parsePrivateKey(generateSshKey({ random: seeded(seed), comment: seed }).privateText);

/** Three of security (101, 102, 103), who are root as well, and one of payroll (201). */
export const SIGNERS = {
  '101': signerOf('101'),
  '102': signerOf('102'),
  '103': signerOf('103'),
  '201': signerOf('201'),
};
export type PersonId = keyof typeof SIGNERS;

export const personOf = (id: PersonId, over: Partial<RosterPerson> = {}): RosterPerson => ({
  person: id,
  name: `Person ${id}`,
  roles: id === '201' ? ['payroll'] : ['security', 'root'],
  keys: [SIGNERS[id].publicKey.text],
  ...over,
});

export const NOW = Date.UTC(2027, 0, 4, 9);
export const DAY = 86_400_000;

export const genesisDocument = (over: Partial<RosterDocument> = {}): RosterDocument => ({
  v: 1,
  tenant: 'acme',
  version: 1,
  previous: null,
  people: [personOf('101'), personOf('102'), personOf('103'), personOf('201')],
  root: { role: 'root', people: 2 },
  expiresAt: NOW + 90 * DAY,
  ...over,
});

export const rosterOf = (document: RosterDocument): Roster => parseRoster(rosterText(document));

export const successorOf = (old: Roster, over: Partial<RosterDocument>): RosterDocument => ({
  v: 1,
  tenant: old.tenant,
  version: old.version + 1,
  previous: old.digest,
  people: old.people,
  root: old.root,
  expiresAt: old.expiresAt,
  ...over,
});

export async function signRoster(document: RosterDocument, signers: readonly Signer[]): Promise<SignedRoster> {
  const message = rosterText(document);
  const sign = (signer: Signer) => signSsh({ signer, namespace: ROSTER_NAMESPACE, message });
  return { text: message, signatures: await Promise.all(signers.map(sign)) };
}

export const digestNamed = (what: string): Digest => sha256(what);

export const BENEFICIARIES = ['301', '302'];

export function requestOf(roster: Roster, over: Partial<ApprovalRequest> = {}): ApprovalRequest {
  const { digest, count } = beneficiariesOf(BENEFICIARIES);
  return {
    v: 1,
    tenant: 'acme',
    logOrigin: 'ledger.acme.example/writgate',
    id: 'R1',
    nonce: '0'.repeat(32),
    planId: 'P9',
    planDigest: digestNamed('plan'),
    planBase: digestNamed('base'),
    risk: 'high',
    overLimit: false,
    requester: '401',
    executors: ['pay-grant'],
    beneficiaries: { digest, count },
    policyDigest: digestNamed('policy'),
    decision: 'hold',
    authorityDigest: digestNamed('authority'),
    rosterVersion: roster.version,
    rosterDigest: roster.digest,
    role: 'security',
    people: 2,
    createdAt: NOW - 60_000,
    expiresAt: NOW + DAY,
    ...over,
  };
}

const OPENSSH = ['ssh-keygen', 'ssh-agent', 'ssh-add'];
const missing = OPENSSH.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
if (missing.length > 0) {
  const message = `OpenSSH is the counterpart of these tests, and ${missing.join(', ')} is missing (Debian: openssh-client)`;
  if (process.env['REQUIRE_COUNTERPARTS'] === '1') throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}
/** Tests against OpenSSH's own tools; skipped loudly where they are missing, failed under REQUIRE_COUNTERPARTS=1. */
export const describeWithOpenSsh = missing.length > 0 ? describe.skip : describe;
