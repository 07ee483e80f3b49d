/**
 * For tests: a small company with real keys, whose log is built entry by entry, so that a test can put any lie at any
 * station and seal everything behind it again: what a dishonest control, log or verifier would do.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type ApprovalRequest, signVerdict } from '../approval/request.ts';
import { rosterText, type SignedRoster } from '../approval/roster.ts';
import { signSsh } from '../approval/sshsig.ts';
import {
  BENEFICIARIES,
  DAY,
  genesisDocument,
  NOW,
  type PersonId,
  requestOf,
  rosterOf,
  SIGNERS,
  seeded,
  signRoster,
} from '../approval/testing.ts';
import { TRUST_ROOT_NAMESPACE, type TrustRoot, trustRootFile, trustRootText } from '../approval/trust-root.ts';
import { Authority } from '../authority/authority.ts';
import { canonical, digestOf, sha256 } from '../canonical.ts';
import { isoTime } from '../clock.ts';
import { formatCheckpoint } from '../ledger/checkpoint.ts';
import { openEntry, type Role, sealEntry } from '../ledger/entry.ts';
import { COSIGNATURE, createSigner, formatVerifier, signatureLine, signNote } from '../ledger/note.ts';
import { buildTree, leafHash } from '../ledger/tree.ts';
import { type Leaf, leafBytes, type PlanHeader, planDigest, tupleOf } from '../plan/change.ts';
import { type Statement, signStatement } from '../source/statement.ts';
import { AUTHORITY_NAMESPACE, type SignedAuthority, termText } from '../trust/force.ts';
import { signVerification, type VerificationBody } from '../verification/look.ts';
import { rawPublicKey, sealWrit, type Writ, type WritBody } from '../writ/writ.ts';
import { collectEvidence, type EvidenceSources, type StoredEntry } from './bundle.ts';

export { DAY, NOW };
export const ORIGIN = 'ledger.acme.example/writgate';
const key = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
export const KEYS = { log: key(), gateway: key(), witness: key(), verifier: key(), control: key(), stranger: key() };
export const logSigner = createSigner(ORIGIN, KEYS.log);
export const witnessSigner = createSigner(`${ORIGIN}/witness`, KEYS.witness, COSIGNATURE);

/* ---- what is in force ---- */

export const genesis = rosterOf(genesisDocument());
export const authority: Authority = Authority.parse({
  version: 1,
  tenant: 'acme',
  owner: '901',
  feeds: {
    hr: {
      csv: 'hr.csv',
      contract: { mode: 'full', key: 'number', maxAge: '26h', count: {} },
      map: { name: 'row.name' },
    },
  },
  targets: { crm: { scim: 'http://127.0.0.1:9/scim' } },
  entitlements: {
    staff: { on: 'crm', group: 'staff', privilege: 'low' },
    payroll: { on: 'crm', group: 'payroll', privilege: 'high' },
  },
  connectors: {
    'crm-grant': {
      on: 'crm',
      duties: ['grant'],
      owner: '902',
      credential: 'crm',
      scope: ['grant *', 'create User'],
      expires: '2028-01-01',
    },
    'crm-revoke': {
      on: 'crm',
      duties: ['revoke'],
      owner: '902',
      credential: 'crm',
      scope: ['revoke *'],
      expires: '2028-01-01',
    },
  },
  limits: { grants: { count: 100 }, removals: { count: 100 } },
  approvals: { low: 0, normal: { people: 1, role: 'security' }, high: { people: 2, role: 'security' } },
  envelope: { window: '24h', grants: { count: 50 }, removals: { count: 50 }, expires: '2027-06-01' },
});

export async function signAuthority(
  document: Authority,
  people: readonly PersonId[] = ['101', '102'],
): Promise<SignedAuthority> {
  const bytes = canonical(document);
  const term = termText({ v: 1, tenant: 'acme', serial: 1, previous: null, authority: sha256(bytes) });
  const sign = (id: PersonId) => signSsh({ signer: SIGNERS[id], namespace: AUTHORITY_NAMESPACE, message: term });
  return { term, document: bytes, signatures: await Promise.all(people.map(sign)) };
}

export async function trustRootOf(over: Partial<TrustRoot> = {}): Promise<string> {
  const trustRoot: TrustRoot = {
    v: 1,
    tenant: 'acme',
    roster: genesis.digest,
    demo: false,
    logKey: formatVerifier(logSigner.verifier),
    gatewayKey: rawPublicKey(KEYS.gateway),
    verifierKey: rawPublicKey(KEYS.verifier),
    controlKey: rawPublicKey(KEYS.control),
    witnessQuorum: 1,
    ...over,
  };
  const message = trustRootText(trustRoot);
  const sign = (id: PersonId) => signSsh({ signer: SIGNERS[id], namespace: TRUST_ROOT_NAMESPACE, message });
  return trustRootFile({ trustRoot, signatures: await Promise.all((['101', '102', '103', '201'] as const).map(sign)) });
}
export const trustRoot = await trustRootOf();
export const genesisSigned: SignedRoster = await signRoster(genesisDocument(), [SIGNERS['101'], SIGNERS['102']]);
export const TRUSTED = { trustRoot, genesisRoster: rosterText(genesisDocument()) };
const signedAuthority = await signAuthority(authority);

/* ---- the road, with a place for every lie ---- */

/** Changes a station's material before it is signed or sealed; what comes after is made from what it returns. */
type Lie<T> = (honest: T) => T;

export interface Draft {
  readonly kind: string;
  readonly by: Role;
  readonly at: number;
  readonly refs: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly signWith?: KeyObject | null;
}

export interface Lies {
  /** `grant`: payroll, signed by two; `automatic`: staff, inside the envelope; `removal`: automatic too. */
  readonly change?: 'grant' | 'automatic' | 'removal';
  readonly leaf?: Lie<Leaf>;
  readonly header?: Lie<PlanHeader>;
  readonly authority?: Lie<Authority>;
  readonly signedAuthority?: Lie<SignedAuthority>;
  readonly record?: Lie<Record<string, string | null>>;
  readonly statement?: Lie<Statement>;
  readonly statementKey?: KeyObject;
  readonly decision?: 'permit' | 'deny' | 'hold';
  readonly request?: Lie<ApprovalRequest>;
  readonly signers?: readonly PersonId[];
  readonly refusers?: readonly PersonId[];
  readonly writ?: Lie<WritBody>;
  readonly seal?: Lie<Writ>;
  readonly decisionKey?: KeyObject;
  readonly verification?: Lie<VerificationBody>;
  readonly verifierKey?: KeyObject;
  /** Changes, moves, removes or adds entries before they are sealed into the log. */
  readonly drafts?: Lie<readonly Draft[]>;
  readonly rosters?: Lie<readonly SignedRoster[]>;
  readonly trustRoot?: string;
  readonly checkpoint?: Lie<string>;
  readonly demo?: boolean;
}

export const CHANGE = 'P7.2';
const SECOND = 1000;

const leafOf = (change: NonNullable<Lies['change']>): Leaf => ({
  seq: 2,
  system: 'crm',
  object: 'grace',
  effect: change === 'removal' ? 'revoke' : 'grant',
  entitlement: change === 'grant' ? 'payroll' : 'staff',
  valueDigest: null,
  value: null,
  subject: { feed: 'hr', key: '301' },
  person: 'p1',
  id: null,
  cause: change === 'grant' ? 'request R1 by 401' : change === 'removal' ? 'left' : 'birthright everyone',
  until: null,
  after: [],
  waitsFor: [],
});

/** Everything of one change: the plan, the signed files, the snapshot's records, and the log's entries in order. */
export async function makeParts(lies: Lies = {}) {
  const { change = 'grant' } = lies;
  const tell = <T>(lie: Lie<T> | undefined, honest: T): T => (lie ? lie(honest) : honest);
  const force = tell(lies.authority, authority);
  const signedForce = tell(lies.signedAuthority, lies.authority ? await signAuthority(force) : signedAuthority);
  const authorityDigest = sha256(signedForce.document);

  const records = ['300', '301', '302'].map(
    (number) => ({ name: `Person ${number}`, number }) as Record<string, string | null>,
  );
  records[1] = tell(lies.record, records[1] as Record<string, string | null>);
  const lines = records.map((record) => canonical(record));
  const recordTree = buildTree(lines.map(leafHash));
  const statement = tell<Statement>(lies.statement, {
    v: 1,
    tenant: 'acme',
    feed: 'hr',
    id: 'a1b2c3d4e5f6',
    origin: 'hr.csv',
    tlsPeer: null,
    rawDigest: sha256('raw'),
    recordsRoot: recordTree.root,
    records: 3,
    quarantined: { total: 0, unkeyed: 0 } as unknown as Statement['quarantined'],
    receivedAt: isoTime(NOW - 3_600_000),
    asOf: isoTime(NOW - 2 * 3_600_000),
    asOfKind: 'claimed',
    verdict: 'accepted',
    findings: [],
    mode: 'full',
    key: 'number',
    framing: sha256('framing'),
    watermark: null,
    previous: null,
  });

  const leaf = tell(lies.leaf, leafOf(change));
  const others = [1, 3].map((seq) =>
    leafBytes({ ...leafOf(change), seq, object: `other${seq}`, subject: { feed: 'hr', key: '302' } }),
  );
  const leaves = [others[0] as string, leafBytes(leaf), others[1] as string];
  const planTree = buildTree(leaves.map((bytes) => leafHash(bytes)));
  const header = tell<PlanHeader>(lies.header, {
    v: 1,
    tenant: 'acme',
    plan: 'P7',
    risk: change === 'grant' ? 'high' : change === 'removal' ? 'removal' : 'low',
    role: change === 'grant' ? 'security' : null,
    root: planTree.root,
    size: 3,
    base: { authority: authorityDigest, snapshots: { hr: statement.id }, observedAt: isoTime(NOW - 3_000_000) },
    policy: sha256('policy'),
    overLimit: false,
    createdAt: isoTime(NOW - 3_000_000),
  });
  const plan = planDigest(header);

  const honestRequest: ApprovalRequest = {
    ...requestOf(genesis),
    id: 'P7-1',
    planId: 'P7',
    planDigest: plan,
    planBase: digestOf(header.base),
    risk: header.risk,
    requester: '401',
    executors: ['crm-grant'],
    authorityDigest,
    decision: 'permit',
    createdAt: NOW - 2_900_000,
    expiresAt: NOW + DAY,
  };
  const request = change === 'grant' ? canonical(tell(lies.request, honestRequest)) : null;
  const sign = async (verdict: 'approve' | 'refuse', person: PersonId) => ({
    verdict,
    person,
    armored: request === null ? '' : await signVerdict(SIGNERS[person], verdict, request),
  });
  const signed =
    request === null
      ? []
      : await Promise.all([
          ...(lies.signers ?? ['101', '102']).map((person) => sign('approve', person)),
          ...(lies.refusers ?? []).map((person) => sign('refuse', person)),
        ]);

  const body = tell<WritBody>(lies.writ, {
    v: 1,
    tenant: 'acme',
    id: 'W7-abcdef',
    header,
    decisions: sha256('decisions'),
    request,
    approvals: signed
      .filter(({ verdict }) => verdict === 'approve')
      .map(({ person, armored }) => ({ person, armored })),
    beneficiaries: request === null ? [] : [...BENEFICIARIES],
    changes: leaves.slice(0, 2).map((bytes, index) => ({ leaf: bytes, proof: planTree.prove(index) })),
    snapshots: { hr: statement.id },
    issuedAt: NOW - 10 * SECOND,
    expiresAt: NOW + 10 * 60 * SECOND,
  });
  const writ = tell(lies.seal, sealWrit(body, lies.decisionKey ?? KEYS.control));

  const ofPlan = { plan: 'P7' };
  const ofWrit = { change: CHANGE, plan, writ: body.id };
  const verification = tell<VerificationBody>(lies.verification, {
    v: 1,
    tenant: 'acme',
    plan,
    change: CHANGE,
    tuple: tupleOf(leaf),
    verdict: 'confirmed',
    mechanism: 'membership',
    path: 'GET /Groups',
    saw: `holds ${leaf.entitlement}`,
    presented: null,
    at: NOW + 2 * SECOND,
  });
  const draft = (kind: string, at: number, refs: Draft['refs'], content: unknown): Draft => ({
    kind,
    by: kind.startsWith('gateway.') ? 'gateway' : kind.startsWith('verifier.') ? 'verifier' : 'control',
    at,
    refs,
    body: content,
  });
  const drafts = tell<readonly Draft[]>(lies.drafts, [
    draft('gateway.witness', NOW - DAY, {}, { witness: formatVerifier(witnessSigner.verifier) }),
    draft(
      'gateway.force',
      NOW - DAY,
      { authority: authorityDigest, roster: genesis.digest },
      {
        authority: authorityDigest,
        roster: genesis.digest,
        serial: 1,
      },
    ),
    draft(
      'gateway.snapshot',
      NOW - 3_600_000,
      { feed: 'hr', snapshot: statement.id },
      { statement: signStatement(statement, lies.statementKey ?? KEYS.gateway) },
    ),
    draft('plan.made', NOW - 3_000_000, ofPlan, { header, digest: plan, findings: [], critique: [] }),
    draft('plan.decided', NOW - 2_950_000, ofPlan, {
      plan,
      policy: header.policy,
      decisions: [
        { change: 'P7.1', verdict: 'permit', reasons: ['birthright'], input: {} },
        { change: CHANGE, verdict: lies.decision ?? 'permit', reasons: ['asked'], input: {} },
      ],
    }),
    ...(request === null ? [] : [draft('request.made', NOW - 2_900_000, { plan: 'P7', request: 'P7-1' }, { request })]),
    ...signed.map(({ verdict, person, armored }, index) =>
      draft(
        verdict === 'approve' ? 'approval.given' : 'approval.refused',
        NOW - 2_000_000 + index * SECOND,
        { plan: 'P7', request: 'P7-1', person },
        { request: sha256(request ?? ''), verdict, armored, reason: null },
      ),
    ),
    draft('writ.sealed', NOW - 10 * SECOND, { plan: 'P7', writ: body.id }, { writ: writ.body, seal: writ.seal }),
    draft('gateway.intent', NOW, ofWrit, {
      leaf,
      connector: leaf.effect === 'revoke' ? 'crm-revoke' : 'crm-grant',
      call: sha256('call'),
      attempt: 1,
      people: body.approvals.map(({ person }) => person),
    }),
    draft('gateway.outcome', NOW + SECOND, ofWrit, { result: 'HTTP 204', detail: 'done', tookMs: 12 }),
    draft(
      'verifier.looked',
      NOW + 2 * SECOND,
      { change: CHANGE, plan },
      { verification: signVerification(verification, lies.verifierKey ?? KEYS.verifier) },
    ),
  ]);

  const random = seeded('salt');
  const keyOf = { gateway: KEYS.gateway, verifier: KEYS.verifier, control: undefined };
  const filler: Draft = { kind: 'test', by: 'control', at: NOW, refs: { plan: 'P1' }, body: {} };
  // Entries of other changes stand between those of this one.
  const sealed = drafts
    .flatMap((item) => [filler, item])
    .map(({ kind, by, at, refs, body, signWith }) => {
      const signer = signWith === null ? undefined : (signWith ?? keyOf[by]);
      return sealEntry({ kind, by, at, refs, body, tenant: 'acme', random, ...(signer ? { signWith: signer } : {}) });
    });
  return { sealed, header: canonical(header), leaves, lines, recordTree, signedForce, lies };
}

/** The same as sources to collect from, with a log that is a tree in memory. */
export async function makeWorld(lies: Lies = {}): Promise<EvidenceSources> {
  const { sealed, header, leaves, lines, recordTree, signedForce } = await makeParts(lies);
  const log = buildTree(sealed.map(({ entry }) => leafHash(entry)));
  const stored: StoredEntry[] = sealed.map(({ entry, body, salt }, index) => {
    const opened = openEntry(entry);
    if (!opened.ok) throw new Error(opened.reason);
    return { index, kind: opened.entry.kind, refs: opened.entry.refs, body, salt };
  });
  const text = formatCheckpoint({ origin: ORIGIN, size: log.size, root: log.root });
  const note = signNote(text, logSigner) + signatureLine(text, witnessSigner, Math.floor(NOW / 1000));
  return {
    change: async (name) =>
      name === CHANGE
        ? { header, leaf: leaves[1] as string, proof: buildTree(leaves.map((bytes) => leafHash(bytes))).prove(1) }
        : null,
    entries: async (kinds, refs) =>
      stored.filter(
        (entry) =>
          kinds.includes(entry.kind) && Object.entries(refs).every(([name, value]) => entry.refs[name] === value),
      ),
    bytes: async (index) => sealed[index]?.entry ?? Buffer.alloc(0),
    checkpoint: async () => (lies.checkpoint ? lies.checkpoint(note) : note),
    inclusion: async (index) => log.prove(index),
    record: async () => ({
      text: lines[1] as string,
      leaf: leafHash(lines[1] as string),
      index: 1,
      size: lines.length,
      proof: recordTree.prove(1),
    }),
    force: async () => ({
      trustRoot: lies.trustRoot ?? trustRoot,
      rosters: lies.rosters ? lies.rosters([genesisSigned]) : [genesisSigned],
      authority: signedForce,
      demo: lies.demo ?? false,
    }),
  };
}

export const makeEvidence = async (lies: Lies = {}): Promise<string> => collectEvidence(await makeWorld(lies), CHANGE);
