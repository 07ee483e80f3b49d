import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rosterText } from '../approval/roster.ts';
import { genesisDocument, SIGNERS, signRoster, successorOf } from '../approval/testing.ts';
import { canonical, digestOf, sha256 } from '../canonical.ts';
import { isoTime } from '../clock.ts';
import { formatCheckpoint } from '../ledger/checkpoint.ts';
import { COSIGNATURE, createSigner, formatVerifier, parseNote, signatureLine, signNote } from '../ledger/note.ts';
import { leafHash } from '../ledger/tree.ts';
import { type Statement, signStatement } from '../source/statement.ts';
import { collectEvidence, type Evidence, evidenceText, parseEvidence } from './bundle.ts';
import { checkEvidence, type EvidenceReport } from './check.ts';
import {
  authority,
  CHANGE,
  DAY,
  type Draft,
  genesis,
  KEYS,
  type Lies,
  logSigner,
  makeEvidence,
  makeWorld,
  NOW,
  ORIGIN,
  signAuthority,
  TRUSTED,
  trustRootOf,
  witnessSigner,
} from './testing.ts';

const codes = ({ findings }: EvidenceReport): string[] => findings.map(({ code }) => code);
const refused = (report: EvidenceReport, code: string): void => {
  expect(codes(report)).toContain(code);
  expect(report).toMatchObject({ ok: false, verdict: null });
};

const of = (kind: string, edit: (draft: Draft) => Draft) => (drafts: readonly Draft[]) =>
  drafts.map((draft) => (draft.kind === kind ? edit(draft) : draft));
const body = (over: object) => (draft: Draft) => ({ ...draft, body: { ...(draft.body as object), ...over } });
const refs = (over: Record<string, string>) => (draft: Draft) => ({ ...draft, refs: { ...draft.refs, ...over } });
const without = (kind: string) => (drafts: readonly Draft[]) => drafts.filter((draft) => draft.kind !== kind);
/** Puts the entries of a kind right behind the first of another. */
const behind = (kind: string, other: string) => (drafts: readonly Draft[]) => {
  const moved = drafts.filter((draft) => draft.kind === kind).map((draft) => ({ ...draft, at: NOW + 5_000 }));
  return drafts
    .filter((draft) => draft.kind !== kind)
    .flatMap((draft) => (draft.kind === other ? [draft, ...moved] : [draft]));
};
/** By another key than the pinned one of its role. */
const forgedBy = (kind: string) => of(kind, (draft) => ({ ...draft, signWith: KEYS.stranger }));

describe('a dishonest control, log or neighbour, who seals everything behind his lie again', () => {
  const cases: readonly (readonly [string, Lies, string])[] = [
    // plan
    ['a plan whose header says another root', { header: (header) => ({ ...header, root: sha256('other') }) }, 'plan'],
    ['a plan of another tenant', { header: (header) => ({ ...header, tenant: 'other' }) }, 'trust-root'],
    [
      'a plan under an authority that is not in force',
      { header: (header) => ({ ...header, base: { ...header.base, authority: sha256('old') } }) },
      'authority',
    ],
    [
      'a plan that the ledger has with another digest',
      { drafts: of('plan.made', body({ digest: sha256('other') })) },
      'entry-missing',
    ],
    ['a plan that the ledger never had', { drafts: without('plan.made') }, 'entry-missing'],
    [
      'attributes that are not those of their digest',
      { leaf: (leaf) => ({ ...leaf, value: { name: 'Grace' }, valueDigest: digestOf({ name: 'Eve' }) }) },
      'plan',
    ],
    // decision
    ['a writ for what policy denied', { decision: 'deny' }, 'decision'],
    ['an automatic writ for what policy held', { change: 'automatic', decision: 'hold' }, 'decision'],
    ['a writ without any decision', { drafts: without('plan.decided') }, 'decision'],
    ['a decision on another plan', { drafts: of('plan.decided', body({ plan: sha256('other') })) }, 'decision'],
    [
      'a decision that names other changes only',
      { drafts: of('plan.decided', body({ decisions: [{ change: 'P7.1', verdict: 'permit', reasons: [] }] })) },
      'decision',
    ],
    // approvals
    ['one signature where two are needed', { signers: ['101'] }, 'approval'],
    ['the same person twice', { signers: ['101', '101'] }, 'approval'],
    ['signatures of people without the role', { signers: ['101', '201'] }, 'approval'],
    [
      'a signature of whoever asked for it',
      { signers: ['101', '102'], request: (request) => ({ ...request, requester: '102' }) },
      'approval',
    ],
    [
      'an approval of another plan',
      { request: (request) => ({ ...request, planDigest: sha256('another plan') }) },
      'approval',
    ],
    [
      'an approval under another authority',
      { request: (request) => ({ ...request, authorityDigest: sha256('other') }) },
      'approval',
    ],
    ['an approval for another tenant', { request: (request) => ({ ...request, tenant: 'other' }) }, 'approval'],
    [
      'an approval that another ledger logged',
      { request: (request) => ({ ...request, logOrigin: 'elsewhere.example' }) },
      'approval',
    ],
    [
      'a request that asks for one person',
      { signers: ['101'], request: (request) => ({ ...request, people: 1 }) },
      'approval',
    ],
    [
      'a request to a weaker role',
      { signers: ['201'], request: (request) => ({ ...request, role: 'payroll', people: 1 }) },
      'approval',
    ],
    ['an expired request', { request: (request) => ({ ...request, expiresAt: NOW - 60_000 }) }, 'approval'],
    [
      'a request that shows the signers another risk',
      { request: (request) => ({ ...request, risk: 'low' }) },
      'approval',
    ],
    [
      'a request that hides that it goes over the limits',
      {
        header: (header) => ({ ...header, overLimit: true }),
        request: (request) => ({ ...request, overLimit: false }),
      },
      'approval',
    ],
    [
      'a request that names another connector than the one that did it',
      { request: (request) => ({ ...request, executors: ['crm-revoke'] }) },
      'approval',
    ],
    [
      'a request that does not name the beneficiary',
      { writ: (writ) => ({ ...writ, beneficiaries: ['302'] }) },
      'approval',
    ],
    [
      'a beneficiary whom the request names and the writ leaves out',
      { leaf: (leaf) => ({ ...leaf, subject: { feed: 'hr', key: '303' } }) },
      'approval',
    ],
    ['a signed refusal that control passed over', { refusers: ['103'] }, 'approval'],
    [
      'a request under a roster that is not in the chain',
      { request: (request) => ({ ...request, rosterVersion: 2, rosterDigest: sha256('roster') }) },
      'roster',
    ],
    ['a request that was never logged', { drafts: without('request.made') }, 'entry-missing'],
    ['signatures that were never logged', { drafts: without('approval.given') }, 'entry-missing'],
    [
      'a high grant without signatures',
      { writ: (writ) => ({ ...writ, request: null, approvals: [], beneficiaries: [] }) },
      'approval',
    ],
    [
      'signatures without the request that they are for',
      { change: 'automatic', writ: (writ) => ({ ...writ, approvals: [{ person: '101', armored: 'x' }] }) },
      'approval',
    ],
    [
      'an intent on the signatures of others than the file has',
      { drafts: of('gateway.intent', body({ people: ['101', '103'] })) },
      'approval',
    ],
    // envelope
    [
      'an automatic change under an authority without an envelope',
      { change: 'automatic', authority: ({ envelope: _, ...rest }) => rest },
      'envelope',
    ],
    [
      'an automatic change after the envelope expired',
      {
        change: 'automatic',
        authority: (force) => ({ ...force, envelope: { ...force.envelope!, expires: '2027-01-01' } }),
      },
      'envelope',
    ],
    // writ
    ['a writ that control’s key did not seal', { decisionKey: KEYS.stranger }, 'writ'],
    [
      'a writ that was edited after it was sealed',
      { seal: (writ) => ({ ...writ, body: writ.body.replace('W7-abcdef', 'W7-abcdee') }) },
      'writ',
    ],
    [
      'a writ for another change of the plan',
      { writ: (writ) => ({ ...writ, changes: writ.changes.slice(0, 1) }) },
      'writ',
    ],
    [
      'a writ for another tuple',
      {
        writ: (writ) => ({
          ...writ,
          changes: [{ leaf: writ.changes[1]!.leaf.replace('payroll', 'owners'), proof: writ.changes[1]!.proof }],
        }),
      },
      'writ',
    ],
    [
      'a writ for another plan',
      { writ: (writ) => ({ ...writ, header: { ...writ.header, policy: sha256('other') } }) },
      'writ',
    ],
    [
      'a writ that had expired when the gateway acted',
      { writ: (writ) => ({ ...writ, issuedAt: NOW - 700_000, expiresAt: NOW - 1 }) },
      'writ',
    ],
    [
      'a writ from the future',
      { writ: (writ) => ({ ...writ, issuedAt: NOW + DAY, expiresAt: NOW + DAY + 1000 }) },
      'writ',
    ],
    ['a writ that lives for a day', { writ: (writ) => ({ ...writ, expiresAt: NOW + DAY }) }, 'writ'],
    [
      'a writ that never expires, because its end is no number',
      { writ: (writ) => ({ ...writ, expiresAt: 'never' as never }) },
      'writ',
    ],
    ['an entry about another writ than it holds', { drafts: of('writ.sealed', refs({ writ: 'W7-other' })) }, 'writ'],
    [
      'an intent under a writ that is not in the file',
      { drafts: of('gateway.intent', refs({ writ: 'W7-other' })) },
      'writ',
    ],
    // gateway
    ['an intent for another plan', { drafts: of('gateway.intent', refs({ plan: sha256('other') })) }, 'tuple'],
    [
      'an intent for another object than the writ permits',
      {
        drafts: of('gateway.intent', (draft) =>
          body({ leaf: { ...(draft.body as { leaf: object }).leaf, object: 'eve' } })(draft),
        ),
      },
      'tuple',
    ],
    [
      'an intent of a connector without the duty',
      { drafts: of('gateway.intent', body({ connector: 'crm-revoke' })) },
      'tuple',
    ],
    [
      'an intent of a connector that nobody listed',
      { drafts: of('gateway.intent', body({ connector: 'constructor' })) },
      'tuple',
    ],
    [
      'an intent of a connector that had expired',
      {
        authority: (force) => ({
          ...force,
          connectors: {
            ...force.connectors,
            'crm-grant': { ...force.connectors['crm-grant']!, expires: '2027-01-01' },
          },
        }),
      },
      'tuple',
    ],
    ['an intent that the gateway did not sign', { drafts: forgedBy('gateway.intent') }, 'entry-signature'],
    [
      'an intent that control wrote in its own name',
      { drafts: of('gateway.intent', (draft) => ({ ...draft, by: 'control' })) },
      'entry-signature',
    ],
    [
      'an intent that the verifier wrote',
      { drafts: of('gateway.intent', (draft) => ({ ...draft, by: 'verifier' })) },
      'entry-signature',
    ],
    ['an outcome that the gateway did not sign', { drafts: forgedBy('gateway.outcome') }, 'entry-signature'],
    ['an outcome of another plan', { drafts: of('gateway.outcome', refs({ plan: sha256('other') })) }, 'tuple'],
    ['a look without an outcome', { drafts: without('gateway.outcome') }, 'order'],
    ['a look without an intent', { drafts: without('gateway.intent') }, 'order'],
    // verification
    ['a verification by another key', { verifierKey: KEYS.stranger }, 'verification'],
    ['a verification by the gateway’s key', { verifierKey: KEYS.gateway }, 'verification'],
    ['a verification of another change', { verification: (seen) => ({ ...seen, change: 'P7.1' }) }, 'verification'],
    [
      'a verification of another plan',
      { verification: (seen) => ({ ...seen, plan: sha256('other') }) },
      'verification',
    ],
    ['a verification of another tenant', { verification: (seen) => ({ ...seen, tenant: 'other' }) }, 'verification'],
    [
      'a verification of another tuple',
      { verification: (seen) => ({ ...seen, tuple: { ...seen.tuple, object: 'other1' } }) },
      'verification',
    ],
    ['a look about another plan', { drafts: of('verifier.looked', refs({ plan: sha256('other') })) }, 'verification'],
    ['a look that the verifier did not log', { drafts: forgedBy('verifier.looked') }, 'entry-signature'],
    // source
    ['a statement that the gateway did not sign', { statementKey: KEYS.control }, 'snapshot'],
    ['a statement of another feed', { statement: (statement) => ({ ...statement, feed: 'contractors' }) }, 'snapshot'],
    ['a statement of another tenant', { statement: (statement) => ({ ...statement, tenant: 'other' }) }, 'snapshot'],
    [
      'a grant on a snapshot that was held',
      { statement: (statement) => ({ ...statement, verdict: 'held' }) },
      'snapshot',
    ],
    [
      'a grant on a snapshot that was stale when it came',
      { statement: (statement) => ({ ...statement, verdict: 'stale' }) },
      'snapshot',
    ],
    [
      'a grant on a snapshot that had grown old',
      { statement: (statement) => ({ ...statement, asOf: isoTime(NOW - 27 * 3_600_000) }) },
      'stale',
    ],
    ['a grant on a snapshot of unknown age', { statement: (statement) => ({ ...statement, asOf: null }) }, 'stale'],
    [
      'a grant on a snapshot from the future',
      { statement: (statement) => ({ ...statement, asOf: isoTime(NOW + DAY) }) },
      'stale',
    ],
    ['a grant whose writ names no snapshot', { writ: (writ) => ({ ...writ, snapshots: {} }) }, 'snapshot'],
    ['a grant for nobody', { leaf: (leaf) => ({ ...leaf, subject: null }) }, 'snapshot'],
    ['a record of somebody else', { record: (record) => ({ ...record, number: '666' }) }, 'record'],
    [
      'a record with the key in another column than the contract’s',
      { statement: (statement) => ({ ...statement, key: 'name' }) },
      'record',
    ],
    [
      'a record that is not in the snapshot',
      { statement: (statement) => ({ ...statement, recordsRoot: sha256('other') }) },
      'record',
    ],
    // order
    ['a snapshot that came after the plan', { drafts: behind('gateway.snapshot', 'plan.made') }, 'order'],
    ['a snapshot that came after the intent', { drafts: behind('gateway.snapshot', 'gateway.intent') }, 'order'],
    ['a plan that came after its decision', { drafts: behind('plan.made', 'plan.decided') }, 'order'],
    ['a decision that came after the writ', { drafts: behind('plan.decided', 'writ.sealed') }, 'order'],
    ['a request that came after its signatures', { drafts: behind('request.made', 'approval.given') }, 'order'],
    ['signatures that came after the writ', { drafts: behind('approval.given', 'writ.sealed') }, 'order'],
    ['a writ that came after the intent', { drafts: behind('writ.sealed', 'gateway.intent') }, 'order'],
    [
      'an intent of a grant that came after its outcome',
      { drafts: behind('gateway.intent', 'gateway.outcome') },
      'order',
    ],
    ['an outcome that came after the look', { drafts: behind('gateway.outcome', 'verifier.looked') }, 'order'],
    ['a look that came before the intent', { drafts: behind('verifier.looked', 'writ.sealed') }, 'order'],
    // the log
    ['no witness that the gateway vouches for', { drafts: without('gateway.witness') }, 'cosignature'],
    [
      'a witness that control vouches for',
      { drafts: of('gateway.witness', (draft) => ({ ...draft, by: 'control' })) },
      'cosignature',
    ],
    [
      'a checkpoint without cosignature',
      { checkpoint: (note) => note.split('\n').slice(0, -2).join('\n').concat('\n') },
      'cosignature',
    ],
    [
      'a checkpoint that a stranger cosigned',
      {
        checkpoint: (note) => {
          const { text } = parseNote(note)!;
          const stranger = createSigner(witnessSigner.verifier.name, KEYS.stranger, COSIGNATURE);
          return signNote(text, logSigner) + signatureLine(text, stranger, 1);
        },
      },
      'cosignature',
    ],
    [
      'a checkpoint that the log cosigned itself',
      {
        drafts: of(
          'gateway.witness',
          body({ witness: formatVerifier(createSigner('self', KEYS.log, COSIGNATURE).verifier) }),
        ),
        checkpoint: (note) => {
          const { text } = parseNote(note)!;
          return signNote(text, logSigner) + signatureLine(text, createSigner('self', KEYS.log, COSIGNATURE), 1);
        },
      },
      'cosignature',
    ],
    [
      'a checkpoint that another log signed',
      {
        checkpoint: (note) => {
          const { text } = parseNote(note)!;
          return signNote(text, createSigner(ORIGIN, KEYS.stranger)) + signatureLine(text, witnessSigner, 1);
        },
      },
      'checkpoint',
    ],
    [
      'a checkpoint of another tree',
      {
        checkpoint: () => {
          const text = formatCheckpoint({ origin: ORIGIN, size: 30, root: leafHash('other') });
          return signNote(text, logSigner) + signatureLine(text, witnessSigner, 1);
        },
      },
      'not-included',
    ],
    // what is in force
    [
      'an authority that was edited after it was signed',
      { signedAuthority: (signed) => ({ ...signed, document: signed.document.replace('"people":2', '"people":1') }) },
      'authority',
    ],
    ['an authority that nobody signed', { signedAuthority: (signed) => ({ ...signed, signatures: [] }) }, 'authority'],
    [
      'an authority that one of two signed',
      { signedAuthority: (signed) => ({ ...signed, signatures: signed.signatures.slice(0, 1) }) },
      'authority',
    ],
    [
      'an authority that one person signed twice',
      { signedAuthority: (signed) => ({ ...signed, signatures: [signed.signatures[0]!, signed.signatures[0]!] }) },
      'authority',
    ],
    [
      'a trust root that is not the pinned one',
      { trustRoot: TRUSTED.trustRoot.replace('"witnessQuorum":1', '"witnessQuorum":0') },
      'trust-root',
    ],
    ['a demo that does not say so', { demo: true }, 'demo-hidden'],
    ['no roster chain', { rosters: () => [] }, 'roster'],
  ];
  test.each(cases)('refuses %s', async (_, lies, code) =>
    refused(checkEvidence(await makeEvidence(lies), TRUSTED), code),
  );

  test('refuses a demo whose file hides it', async () => {
    const trustRoot = await trustRootOf({ demo: true });
    const report = checkEvidence(await makeEvidence({ trustRoot, demo: false }), { ...TRUSTED, trustRoot });
    refused(report, 'demo-hidden');
    expect(report.demo).toBe(true);
  });

  test('refuses an authority that people without the root role signed', async () => {
    const signed = await signAuthority(authority, ['101', '201']);
    refused(checkEvidence(await makeEvidence({ signedAuthority: () => signed }), TRUSTED), 'authority');
  });

  test('refuses another roster of the same people with other keys', async () => {
    const swapped = genesisDocument({
      people: genesis.people.map((member) => ({ ...member, roles: ['security', 'root'] })),
    });
    const forged = await signRoster(swapped, [SIGNERS['101'], SIGNERS['102']]);
    refused(checkEvidence(await makeEvidence({ rosters: () => [forged] }), TRUSTED), 'roster');
    refused(checkEvidence(await makeEvidence(), { ...TRUSTED, genesisRoster: rosterText(swapped) }), 'trust-root');
  });

  test('refuses a successor of the roster that one person signed alone', async () => {
    const next = successorOf(genesis, {
      people: genesis.people.map((member) => ({ ...member, roles: ['security', 'root'] })),
    });
    const forged = await signRoster(next, [SIGNERS['201']]);
    refused(checkEvidence(await makeEvidence({ rosters: (chain) => [...chain, forged] }), TRUSTED), 'roster');
  });

  test('refuses the record of an older snapshot than the one that the writ rests on', async () => {
    const newer = { id: 'ffffffffffff' };
    const statement = JSON.parse(honestStatement()) as Statement;
    const signed = signStatement({ ...statement, ...newer, recordsRoot: sha256('without her') }, KEYS.gateway);
    const draft: Draft = {
      kind: 'gateway.snapshot',
      by: 'gateway',
      at: NOW - 60_000,
      refs: { feed: 'hr', snapshot: newer.id },
      body: { statement: signed },
    };
    const file = await makeEvidence({
      writ: (writ) => ({ ...writ, snapshots: { hr: newer.id } }),
      drafts: (drafts) => drafts.flatMap((item) => (item.kind === 'writ.sealed' ? [draft, item] : [item])),
    });
    refused(checkEvidence(file, TRUSTED), 'record');
    const evidence = parseEvidence(file);
    const older = { ...evidence, record: { ...evidence.record!, snapshot: statement.id } };
    const report = checkEvidence(evidenceText(older), TRUSTED);
    expect(report.findings).toEqual([
      { code: 'record', message: `the record is of snapshot ${statement.id}, and the writ rests on ${newer.id}` },
    ]);
  });

  test('refuses the evidence of one company under the trust root of another', async () => {
    const trustRoot = await trustRootOf({ gatewayKey: Buffer.alloc(32, 7).toString('base64') });
    refused(checkEvidence(await makeEvidence(), { ...TRUSTED, trustRoot }), 'trust-root');
  });
});

const honest = await makeEvidence();
const read = parseEvidence(honest);
const honestStatement = (): string => JSON.parse(read.entries[entry('gateway.snapshot')]!.body!).statement.body;
const edited = (edit: (evidence: Evidence) => object): EvidenceReport =>
  checkEvidence(evidenceText(edit(read) as Evidence), TRUSTED);
const entry = (kind: string): number =>
  read.entries.findIndex(({ entry: bytes }) => Buffer.from(bytes, 'base64').includes(`"kind":"${kind}"`));
const swap = <T>(list: readonly T[], at: number, item: T): T[] =>
  list.map((other, index) => (index === at ? item : other));

describe('a file that somebody edits afterwards', () => {
  test.each([
    'gateway.snapshot',
    'plan.made',
    'plan.decided',
    'request.made',
    'approval.given',
    'writ.sealed',
    'gateway.intent',
    'gateway.outcome',
    'gateway.witness',
  ])('refuses one from which the entry %s is taken', (kind) => {
    const report = edited((evidence) => ({
      ...evidence,
      entries: evidence.entries.filter((_, index) => index !== entry(kind)),
    }));
    expect(report).toMatchObject({ ok: false, verdict: null });
  });

  test('refuses two entries that were swapped', () => {
    const [first, second] = [read.entries[3]!, read.entries[4]!];
    refused(
      edited((evidence) => ({ ...evidence, entries: swap(swap(evidence.entries, 3, second), 4, first) })),
      'entry-order',
    );
  });

  test('refuses two entries that changed their places in the log', () => {
    const [first, second] = [read.entries[3]!, read.entries[4]!];
    const entries = swap(swap(read.entries, 3, { ...second, index: first.index }), 4, {
      ...first,
      index: second.index,
    });
    refused(
      edited((evidence) => ({ ...evidence, entries })),
      'not-included',
    );
  });

  test('refuses an entry that stands there twice', () => {
    refused(
      edited((evidence) => ({ ...evidence, entries: [...evidence.entries, evidence.entries.at(-1)!] })),
      'entry-order',
    );
  });

  test('refuses the body of another entry', () => {
    const { body, salt } = read.entries[entry('gateway.outcome')]!;
    const at = entry('gateway.intent');
    refused(
      edited((evidence) => ({
        ...evidence,
        entries: swap(evidence.entries, at, { ...evidence.entries[at]!, body, salt }),
      })),
      'body-differs',
    );
  });

  test('refuses a body without its salt', () => {
    const at = entry('gateway.intent');
    refused(
      edited((evidence) => ({
        ...evidence,
        entries: swap(evidence.entries, at, { ...evidence.entries[at]!, salt: null }),
      })),
      'body-differs',
    );
  });

  test('refuses a refusal whose body is hidden', async () => {
    const file = parseEvidence(await makeEvidence({ refusers: ['103'] }));
    const entries = file.entries.map((item) =>
      Buffer.from(item.entry, 'base64').includes('approval.refused') ? { ...item, body: null, salt: null } : item,
    );
    refused(checkEvidence(evidenceText({ ...file, entries }), TRUSTED), 'body-erased');
  });

  test('refuses the file of another change under this one’s name', () => {
    refused(
      edited((evidence) => ({ ...evidence, change: 'P7.1' })),
      'plan',
    );
  });

  test('refuses a grant whose record was taken out', () => {
    refused(
      edited((evidence) => ({ ...evidence, record: null })),
      'record',
    );
  });

  test('refuses a genuine entry of another change', async () => {
    const other: Draft = {
      kind: 'gateway.refused',
      by: 'gateway',
      at: NOW,
      refs: { change: 'P8.1' },
      body: { code: 'x', message: 'y' },
    };
    const sources = await makeWorld({ drafts: (drafts) => [...drafts, other] });
    const entries: typeof sources.entries = async (kinds, wanted) => [
      ...(await sources.entries(kinds, wanted)),
      ...(kinds.includes('gateway.refused') ? await sources.entries(['gateway.refused'], { change: 'P8.1' }) : []),
    ];
    refused(checkEvidence(await collectEvidence({ ...sources, entries }, CHANGE), TRUSTED), 'entry-foreign');
  });

  test.each([
    ['a member that does not belong', (evidence: Evidence) => ({ ...evidence, note: 'trust me' })],
    ['another format', (evidence: Evidence) => ({ ...evidence, format: 'writgate/evidence/v2' })],
    ['a missing member', ({ record: _, ...rest }: Evidence) => rest],
    [
      'an index that is none',
      (evidence: Evidence) => ({
        ...evidence,
        entries: swap(evidence.entries, 0, { ...evidence.entries[0]!, index: -1 }),
      }),
    ],
  ])('refuses %s', (_, edit) => refused(edited(edit), 'evidence-form'));

  test.each([
    ['nothing', ''],
    ['a list', '[]\n'],
    ['no newline at its end', honest.slice(0, -1)],
    ['two newlines at its end', `${honest}\n`],
    ['blanks that change nothing', honest.replace('"change":', '"change": ')],
    ['a member twice', honest.replace('{', '{"change":"P7.2",')],
  ])('refuses a file of %s', (_, text) => refused(checkEvidence(text, TRUSTED), 'evidence-form'));

  test('no byte of the file can be another without a finding', () => {
    const flip = (at: number, bit: number): EvidenceReport => {
      const bytes = Buffer.from(honest);
      bytes[at] = bytes[at]! ^ (1 << bit);
      return checkEvidence(bytes.toString(), TRUSTED);
    };
    const size = Buffer.byteLength(honest);
    fc.assert(
      fc.property(fc.nat(size - 1), fc.nat(7), (at, bit) => {
        expect(flip(at, bit)).toMatchObject({ ok: false, verdict: null });
      }),
      { numRuns: 1500 },
    );
  });

  test('no character of any string in it can be another without a finding', () => {
    const places: string[][] = [];
    const walk = (value: unknown, path: string[]): void => {
      if (typeof value === 'string') places.push(path);
      else if (value !== null && typeof value === 'object')
        for (const [name, item] of Object.entries(value)) walk(item, [...path, name]);
    };
    walk(read, []);
    for (const path of places) {
      for (const where of [0, 0.5, 1]) {
        const copy = JSON.parse(honest);
        const last = path.at(-1)!;
        const parent = path.slice(0, -1).reduce((value, name) => value[name], copy);
        const text = parent[last] as string;
        const at = Math.round(where * (text.length - 1));
        parent[last] = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
        const report = checkEvidence(`${canonical(copy)}\n`, TRUSTED);
        expect(report.ok, path.join('.')).toBe(false);
      }
    }
  });
});
