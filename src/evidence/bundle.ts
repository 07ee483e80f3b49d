/**
 * The evidence file of one change: everything that an auditor needs to judge it on a machine without Writgate, and
 * nothing that he must believe. One canonical JSON text and a newline; `check.ts` reads it.
 *
 * Its parts prove each other: the writ and the snapshot statements are bodies of ledger entries, the entries lie under
 * one cosigned checkpoint, the change under its plan's digest, the source's record under the statement's root.
 */

import type { SignedRoster } from '../approval/roster.ts';
import { canonical } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { parseCheckpoint } from '../ledger/checkpoint.ts';
import { parseNote } from '../ledger/note.ts';
import { readHeader, readLeaf } from '../plan/change.ts';
import {
  anyText,
  digestText,
  exactly,
  flag,
  integer,
  listOf,
  name,
  oneOf,
  orNull,
  readDocument,
  text,
} from '../shape.ts';
import type { RecordProof } from '../source/open.ts';
import type { SignedAuthority } from '../trust/force.ts';
import type { WritBody } from '../writ/writ.ts';
import { base64, readBody } from './shape.ts';

export const FORMAT = 'writgate/evidence/v1';

export interface LoggedEntry {
  readonly index: number;
  /** The exact bytes, base64. */
  readonly entry: string;
  /** null: erased. The entry still proves that it was there, when, and about what. */
  readonly body: string | null;
  readonly salt: string | null;
  /** RFC 6962 inclusion proof under `checkpoint`, from the sibling upwards. */
  readonly proof: readonly string[];
}

export interface Evidence {
  readonly format: typeof FORMAT;
  readonly tenant: string;
  /** `P7.1`. */
  readonly change: string;
  /** Whether the trust root says that its people are generated. */
  readonly demo: boolean;
  /** Content of `trust-root.json`: what the auditor compares with his own copy. */
  readonly trustRoot: string;
  /** The chain, oldest first. The first has no signatures here: the trust root, which its people signed, pins it. */
  readonly rosters: readonly SignedRoster[];
  /** The authority that the plan was made under. */
  readonly authority: SignedAuthority;
  /** Canonical bytes of the plan's header, whose SHA-256 is the plan's digest. */
  readonly header: string;
  /** Canonical bytes of the change, and its proof under the header's root. */
  readonly leaf: string;
  readonly proof: readonly string[];
  /** Signed by the log and cosigned by the gateway. */
  readonly checkpoint: string;
  /** Of this change, by ascending index. */
  readonly entries: readonly LoggedEntry[];
  /** The subject's record in the snapshot on which the change rests; null: it has none in it. */
  readonly record: {
    readonly feed: string;
    readonly snapshot: string;
    readonly text: string;
    readonly index: number;
    readonly proof: readonly string[];
  } | null;
}

const proof = listOf(digestText, 64);

const evidenceShape = exactly<Evidence>({
  format: oneOf(FORMAT),
  tenant: name,
  change: text(/^P[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}$/, 'the name of a change'),
  demo: flag,
  trustRoot: anyText,
  rosters: listOf(exactly<SignedRoster>({ text: anyText, signatures: listOf(anyText) })),
  authority: exactly<SignedAuthority>({ term: anyText, document: anyText, signatures: listOf(anyText) }),
  header: anyText,
  leaf: anyText,
  proof,
  checkpoint: anyText,
  entries: listOf(
    exactly<LoggedEntry>({ index: integer(0), entry: base64, body: orNull(anyText), salt: orNull(base64), proof }),
    10_000,
  ),
  record: orNull(
    exactly<NonNullable<Evidence['record']>>({
      feed: anyText,
      snapshot: anyText,
      text: anyText,
      index: integer(0),
      proof,
    }),
  ),
});

export const evidenceText = (evidence: Evidence): string => `${canonical(evidence)}\n`;

/** Reads a file in its exact form; says nothing about what it proves. @throws Failure `approval-form` */
export const parseEvidence = (file: string): Evidence =>
  readDocument(file.replace(/\n$/, ''), evidenceShape, 'evidence');

/* ---- collecting ---- */

export interface StoredEntry {
  readonly index: number;
  readonly kind: string;
  readonly refs: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly salt: string | null;
}

/** Where the parts come from. Nothing of it is trusted afterwards: a wrong part makes a file that does not check. */
export interface EvidenceSources {
  /** The frozen change, with its proof under its plan; null when there is none of this name. */
  change(
    name: string,
  ): Promise<{ readonly header: string; readonly leaf: string; readonly proof: readonly string[] } | null>;
  /** Entries of these kinds that have at least these refs, by ascending index. */
  entries(kinds: readonly string[], refs: Readonly<Record<string, string>>): Promise<readonly StoredEntry[]>;
  /** The exact bytes of an entry. */
  bytes(index: number): Promise<Buffer>;
  /** A checkpoint of at least `size` entries that the gateway has cosigned. @throws Failure `ledger-away` */
  checkpoint(size: number): Promise<string>;
  inclusion(index: number, size: number): Promise<readonly string[]>;
  /** null: the snapshot has no such record, or is not kept any more. */
  record(feed: string, snapshot: string, key: string): Promise<RecordProof | null>;
  /**
   * The signed files, and whether the trust root says `demo`.
   * @param authority digest of the document that the change was planned under, in force or not
   * @throws Failure `not-found` when that authority is not kept
   */
  force(
    authority: string,
  ): Promise<{ trustRoot: string; rosters: readonly SignedRoster[]; authority: SignedAuthority; demo: boolean }>;
}

const OF_PLAN = [
  'plan.made',
  'plan.refused',
  'plan.decided',
  'request.made',
  'approval.given',
  'approval.refused',
  'writ.sealed',
];
const OF_CHANGE = ['gateway.intent', 'gateway.outcome', 'gateway.refused', 'verifier.looked'];

/**
 * Collects the evidence of one change, however far it has come.
 * @param change `P7.1` @returns the file's text
 * @throws Failure `not-found`, and `ledger-away` while the gateway has not cosigned its last entry
 */
export async function collectEvidence(sources: EvidenceSources, change: string): Promise<string> {
  const frozen = await sources.change(change);
  if (frozen === null) throw new Failure('not-found', `there is no change ${change}`);
  const header = readHeader(frozen.header);
  const { subject } = readLeaf(frozen.leaf);

  const own = await sources.entries(OF_CHANGE, { change });
  const ofPlan = await sources.entries(OF_PLAN, { plan: header.plan });
  const writs = writsOf(ofPlan, own, frozen.leaf);
  const kept = ofPlan.filter((entry) => {
    if (entry.kind === 'writ.sealed') return writs.includes(entry);
    return entry.kind !== 'plan.decided' || entry.body === null || decides(entry.body, change);
  });

  // What the change was planned on, and what it rested on when it was permitted.
  const rested = writs.flatMap(({ body }) => {
    const id = subject && body !== null ? writIn(body).snapshots[subject.feed] : undefined;
    return id ?? [];
  });
  const planned = subject === null ? undefined : header.base.snapshots[subject.feed];
  const ids = [...new Set([...(planned === undefined ? [] : [planned]), ...rested])];
  const snapshots = await Promise.all(ids.map((snapshot) => sources.entries(['gateway.snapshot'], { snapshot })));
  const witness = (await sources.entries(['gateway.witness'], {})).slice(-1);

  // Under which roster the gateway believed that authority, when it acted.
  const forces = await sources.entries(['gateway.force'], { authority: header.base.authority });
  const acted = own.findLast(({ kind }) => kind === 'gateway.intent')?.index ?? Number.POSITIVE_INFINITY;
  const force = forces.findLast(({ index }) => index < acted) ?? forces.at(-1);

  const chosen = [
    ...witness,
    ...(force ? [force] : []),
    ...snapshots.flatMap((found) => found.slice(0, 1)),
    ...kept,
    ...own,
  ];
  const byIndex = new Map(chosen.map((entry) => [entry.index, entry]));
  const sorted = [...byIndex.values()].sort((a, b) => a.index - b.index);
  const checkpoint = await sources.checkpoint((sorted.at(-1)?.index ?? 0) + 1);
  const size = parseCheckpoint(parseNote(checkpoint)?.text ?? '')?.size ?? 0;
  const entries = await Promise.all(
    sorted.map(async ({ index, body, salt }) => ({
      index,
      entry: (await sources.bytes(index)).toString('base64'),
      body,
      salt,
      proof: await sources.inclusion(index, size),
    })),
  );

  const snapshot = rested.at(-1) ?? planned;
  const found = subject && snapshot !== undefined ? await sources.record(subject.feed, snapshot, subject.key) : null;
  const record =
    found && subject && snapshot !== undefined
      ? { feed: subject.feed, snapshot, text: found.text, index: found.index, proof: found.proof }
      : null;
  const { demo, rosters, ...files } = await sources.force(header.base.authority);
  return evidenceText({
    format: FORMAT,
    tenant: header.tenant,
    change,
    demo,
    rosters: rosters.map((roster, version) => (version === 0 ? { ...roster, signatures: [] } : roster)),
    ...files,
    ...frozen,
    checkpoint,
    entries,
    record,
  });
}

/** The writs under which it was tried; before that, the newest that permits it. */
function writsOf(ofPlan: readonly StoredEntry[], own: readonly StoredEntry[], leaf: string): readonly StoredEntry[] {
  const sealed = ofPlan.filter(({ kind }) => kind === 'writ.sealed');
  const used = new Set(own.flatMap(({ refs }) => refs['writ'] ?? []));
  if (used.size > 0) return sealed.filter(({ refs }) => used.has(refs['writ'] ?? ''));
  const permits = ({ body }: StoredEntry) => body !== null && writIn(body).changes.some((item) => item.leaf === leaf);
  return sealed.filter(permits).slice(-1);
}

/** As it was sealed; whether it holds is the checker's business. */
const writIn = (body: string): WritBody => JSON.parse(readBody('writ.sealed', body).writ) as WritBody;

const decides = (body: string, change: string): boolean =>
  readBody('plan.decided', body).decisions.some((decision) => decision.change === change);
