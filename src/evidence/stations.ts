/** The stations of the road, as an auditor judges each: from the snapshot over the decision to the signatures. */
import { eligibility } from '../approval/eligibility.ts';
import { checkApprovals, type SignedVerdict } from '../approval/quorum.ts';
import { beneficiariesOf, parseRequest } from '../approval/request.ts';
import { reasonOf } from '../approval/roster.ts';
import { claimOf, ownershipOf } from '../authority/ownership.ts';
import { canonical, digestOf, parseCanonical, sha256 } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { checkInclusion, leafHash } from '../ledger/tree.ts';
import { quorumOf, signedQuorumOf } from '../plan/change.ts';
import { checkStatement, type Statement } from '../source/statement.ts';
import { ADDING } from '../writ/tuple.ts';
import { openWrit, readWrit, type WritBody } from '../writ/writ.ts';
import { type Case, inOrder } from './case.ts';
import type { Logged } from './logged.ts';

/** Clocks of two honest machines differ by this at most; the gateway allows a writ the same. */
export const MAX_SKEW_MS = 5 * 60_000;

/* ---- plan and decision ---- */

export function judgePlan(c: Case): Logged<'plan.made'> | undefined {
  const { evidence, header, leaf, planDigest, find } = c;
  if (evidence.change !== `${header.plan}.${leaf.seq}`) {
    find('plan', `the file is about ${evidence.change}, and its change is ${header.plan}.${leaf.seq}`);
  }
  if (header.tenant !== evidence.tenant) find('plan', `the plan is of tenant ${header.tenant}`);
  const claim = { leafHash: leafHash(evidence.leaf), index: leaf.seq - 1, size: header.size, proof: evidence.proof };
  if (!checkInclusion({ ...claim, root: header.root })) find('plan', `the change is not in the plan ${header.plan}`);
  if (leaf.valueDigest !== (leaf.value === null ? null : digestOf(leaf.value))) {
    find('plan', 'the attributes of the change are not those of its digest');
  }
  if (header.base.authority !== c.authorityDigest) find('authority', 'the plan was made under another authority');
  const made = [...c.of('plan.made'), ...c.of('plan.refused')].filter(
    ({ body }) => body === null || body.digest === planDigest,
  );
  if (made.length === 0) find('entry-missing', `the ledger’s ${header.plan} is another plan than this one, or none`);
  const plan = c.of('plan.made').find((entry) => made.includes(entry));
  c.tell('cause', `${claimOf(leaf.cause)}${leaf.until === null ? '' : `, until ${leaf.until}`}`, plan?.at ?? null);
  if (plan?.body === null)
    c.tell(
      'cause',
      'the body of plan.made is erased; the header in this file has the digest that is proven below',
      plan.at,
    );
  return plan;
}

/** Says what policy decided. What was decided after the writ, the writ does not rest on. */
export function judgeDecision(
  c: Case,
  writ: Logged<'writ.sealed'> | undefined,
  signed: boolean,
): Logged<'plan.decided'> | undefined {
  const { evidence, planDigest, find } = c;
  const about = c.of('plan.decided').flatMap((entry) => {
    if (entry.body === null) return { entry, decision: null };
    const decision = entry.body.decisions.find(({ change }) => change === evidence.change);
    return decision && entry.body.plan === planDigest ? { entry, decision } : [];
  });
  const before = writ ? about.filter(({ entry }) => entry.index < writ.index) : about;
  const last = before.at(-1);
  if (!last) {
    if (about.length > 0)
      find('order', `writ.sealed (entry ${writ?.index}) stands before every decision on the change`);
    else if (writ) find('decision', 'no decision in the ledger names this change of this plan');
    return undefined;
  }
  const { entry, decision } = last;
  if (decision === null) {
    c.tell('decision', 'the body of plan.decided is erased', entry.at);
    return entry;
  }
  c.tell('decision', `${decision.verdict}  ${decision.reasons.join(', ')}`, entry.at);
  if (writ && decision.verdict === 'deny') find('decision', 'policy denied the change, and a writ was sealed for it');
  if (writ && decision.verdict === 'hold' && !signed)
    find('decision', 'policy held the change, and nobody signed for it');
  return entry;
}

/* ---- writ and signatures ---- */

export interface Permit {
  readonly entry: Logged<'writ.sealed'>;
  readonly body: WritBody;
  /** Persons whose signatures carry it; null: inside the envelope. */
  readonly people: readonly string[] | null;
  readonly executors: readonly string[] | null;
}

/** @param at when the gateway acted under it, as logged; null: it has not */
export function judgeWrit(c: Case, entry: Logged<'writ.sealed'>, at: Instant | null): Permit | null {
  const { evidence, find, trust } = c;
  if (entry.body === null) return null;
  let body: WritBody;
  try {
    // The form first: a time that is no number compares as false with everything, and would never expire.
    body = readWrit(entry.body.writ);
    const held = { tenant: trust.root.tenant, decisionKey: trust.keys.control, now: at ?? body.issuedAt };
    openWrit({ body: entry.body.writ, seal: entry.body.seal }, held);
  } catch (thrown) {
    find('writ', `the writ of entry ${entry.index} does not hold: ${reasonOf(thrown)}`);
    return null;
  }
  if (entry.refs['writ'] !== body.id)
    find('writ', `entry ${entry.index} is about the writ ${entry.refs['writ']}, and holds ${body.id}`);
  if (canonical(body.header) !== evidence.header) find('writ', `the writ ${body.id} is for another plan`);
  if (!body.changes.some(({ leaf }) => leaf === evidence.leaf))
    find('writ', `the writ ${body.id} does not permit exactly this change`);
  c.tell(
    'writ',
    `${body.id} permits ${c.tuple.effect} ${c.tuple.entitlement ?? 'account'} ${c.tuple.object} on ${c.tuple.system}`,
    entry.at,
  );
  if (body.request === null) {
    judgeEnvelope(c, body, at ?? body.issuedAt);
    return { entry, body, people: null, executors: null };
  }
  const { people, executors } = judgeSignatures(c, entry, body, body.request);
  return { entry, body, people, executors };
}

function judgeEnvelope({ authority, leaf, find, tell }: Case, body: WritBody, at: Instant): void {
  if (body.approvals.length > 0)
    find('approval', `the writ ${body.id} has signatures and no request that they are for`);
  const quorum = quorumOf(authority, leaf, false);
  if (quorum !== null) find('approval', `it needs ${quorum.people} of ${quorum.role}, and nobody signed`);
  // Without a record there is nothing that the gateway could have judged by itself.
  else if (leaf.subject === null) find('approval', 'it is about nobody of any feed, and nobody signed');
  const { envelope } = authority;
  if (!envelope) find('envelope', 'the authority has no automatic envelope, and nobody signed');
  else if (!(at < Date.parse(envelope.expires)))
    find('envelope', `the automatic envelope expired on ${envelope.expires}`);
  else tell('approval', 'none needed: the gateway judged it inside the envelope of the signed authority', null);
}

/** Runs the gateway's own count again: on the same request, signatures, roster and ownership, at the logged time. */
function judgeSignatures(c: Case, entry: Logged<'writ.sealed'>, body: WritBody, request: string) {
  const { header, leaf, authority, roster, trust, find } = c;
  const nobody = { people: [] as readonly string[], executors: [] as readonly string[] };
  let stakes: ReturnType<typeof parseRequest>;
  try {
    stakes = parseRequest(request);
  } catch (thrown) {
    find('approval', reasonOf(thrown));
    return nobody;
  }
  // What the signers read beside the digest must be so as well.
  for (const [what, said, is] of [
    ['plan', stakes.planId, header.plan],
    ['risk', stakes.risk, header.risk],
    ['over limit', String(stakes.overLimit), String(header.overLimit)],
    ['base', stakes.planBase, digestOf(header.base)],
  ] as const) {
    if (said !== is) find('approval', `the request says ${what} ${said}, and the plan ${is}`);
  }
  const digest = sha256(request);
  const made = c.of('request.made').find((other) => other.body?.request === request);
  if (!made) find('entry-missing', 'the request that was signed is not in the ledger');
  const signatures: SignedVerdict[] = [];
  for (const { person, armored } of body.approvals) {
    signatures.push({ verdict: 'approve', person, armored });
    const given = c
      .of('approval.given')
      .find(
        (other) => other.body?.request === digest && other.body.armored === armored && other.refs['person'] === person,
      );
    if (!given) find('entry-missing', `the signature of ${person} is not in the ledger`);
    inOrder(c, made, given);
    inOrder(c, given, entry);
  }
  inOrder(c, made, entry);
  for (const other of c.of('approval.refused')) {
    if (other.body?.request !== digest || other.index > entry.index) continue;
    signatures.push({ verdict: 'refuse', person: other.refs['person'] ?? '', armored: other.body.armored });
  }
  const beneficiaries = beneficiariesOf(body.beneficiaries);
  if (leaf.subject !== null && !beneficiaries.has(leaf.subject.key)) {
    find('approval', `the request does not name ${leaf.subject.key}, whose access the change is about`);
  }
  const { role, people } = signedQuorumOf(authority, leaf, header.overLimit);
  const verdict = checkApprovals({
    request,
    signatures,
    roster,
    eligibility: eligibility({ roster, request: stakes, beneficiaries, ownership: ownershipOf(authority) }),
    expected: {
      tenant: trust.root.tenant,
      logOrigin: trust.logKey.name,
      planDigest: c.planDigest,
      authorityDigest: c.authorityDigest,
      role,
      people,
    },
    // Whoever sealed the writ said this time; the gateway's own, at most fifteen minutes later, bounds it.
    now: body.issuedAt,
  });
  if (verdict.verdict === 'approved') {
    c.tell(
      'approval',
      `${people} of ${role} needed; signed by ${verdict.people.join(', ')}, each with his own key`,
      made?.at ?? null,
    );
    return { people: verdict.people, executors: stakes.executors };
  }
  find('approval', `the plan was not approved: ${verdict.verdict === 'invalid' ? verdict.reason : verdict.verdict}`);
  return nobody;
}

/* ---- the source ---- */

interface Attested {
  readonly entry: Logged<'gateway.snapshot'>;
  readonly statement: Statement;
}

/** The snapshots of the subject's feed that the gateway attested, by id. */
export function openStatements(c: Case): ReadonlyMap<string, Attested> {
  const { leaf, trust, find } = c;
  const found = new Map<string, Attested>();
  for (const entry of c.of('gateway.snapshot')) {
    if (entry.body === null) {
      c.tell('trigger', `the body of gateway.snapshot (entry ${entry.index}) is erased`, entry.at);
      continue;
    }
    const expected = { publicKey: trust.keys.gateway, tenant: trust.root.tenant, feed: leaf.subject?.feed ?? '' };
    const check = checkStatement(entry.body.statement, expected);
    if (!check.ok) find('snapshot', `the statement of entry ${entry.index} does not hold: ${check.reason}`);
    else if (entry.refs['snapshot'] !== check.statement.id)
      find('snapshot', `entry ${entry.index} is about another snapshot than its statement`);
    else found.set(check.statement.id, { entry, statement: check.statement });
  }
  return found;
}

/** What the change was planned on was there before it was planned. */
export function judgeTrigger(c: Case, statements: ReadonlyMap<string, Attested>, plan: Logged | undefined): void {
  const { evidence, header, leaf, find, tell } = c;
  if (leaf.subject === null) {
    tell('trigger', 'no record of any feed: the account belongs to nobody in them', null);
    return;
  }
  const { feed, key } = leaf.subject;
  const base = statements.get(header.base.snapshots[feed] ?? '');
  inOrder(c, base?.entry, plan);
  const { record } = evidence;
  const rested = record ? statements.get(record.snapshot) : base;
  const age = rested
    ? `as of ${rested.statement.asOf ?? 'unknown'}, raw sha256:${rested.statement.rawDigest}`
    : 'no snapshot in the file';
  if (record === null) {
    tell(
      'trigger',
      `${feed}:${key}  no record of it in the file; that it is absent is not proven here; ${age}`,
      rested?.entry.at ?? null,
    );
    return;
  }
  if (record.feed !== feed || !rested) {
    find('record', 'the record is of a snapshot that the file does not have');
    return;
  }
  const { statement } = rested;
  const claim = { leafHash: leafHash(record.text), index: record.index, size: statement.records, proof: record.proof };
  if (!checkInclusion({ ...claim, root: statement.recordsRoot }))
    find('record', 'the record is not in the attested snapshot');
  if (statement.key !== c.authority.feeds[feed]?.contract?.key || keyIn(record.text, statement.key) !== key) {
    find('record', `the record does not have the key ${key} under the feed’s contract`);
  }
  tell(
    'trigger',
    `${feed}:${key}  record ${record.index + 1} of ${statement.records}, ${age}, ${statement.asOfKind}, attested by the gateway`,
    rested.entry.at,
  );
}

function keyIn(record: string, column: string): unknown {
  try {
    const row = parseCanonical(record);
    return row !== null && typeof row === 'object' && Object.hasOwn(row, column)
      ? (row as Record<string, unknown>)[column]
      : undefined;
  } catch (thrown) {
    reasonOf(thrown);
    return undefined;
  }
}

/** What adds access rests on an accepted snapshot that was fresh when the gateway acted, with the subject's record in it. */
export function judgeFreshness(
  c: Case,
  statements: ReadonlyMap<string, Attested>,
  { entry, body }: Permit,
  intent: Logged | null,
): void {
  const { evidence, authority, leaf, tuple, find } = c;
  const { subject } = leaf;
  const rested = subject === null ? undefined : statements.get(body.snapshots[subject.feed] ?? '');
  inOrder(c, rested?.entry, entry);
  if (intent) inOrder(c, rested?.entry, intent);
  if (!ADDING.has(tuple.effect) || intent === null) return;
  if (subject === null || !rested) {
    find('snapshot', 'it adds access, and the file has no statement of the snapshot that its writ names');
    return;
  }
  const { statement } = rested;
  if (statement.verdict !== 'accepted')
    find('snapshot', `the snapshot ${statement.id} was ${statement.verdict}, not accepted`);
  const asOf = statement.asOf === null ? Number.NaN : Date.parse(statement.asOf);
  const maxAge = authority.feeds[subject.feed]?.contract?.maxAge ?? Number.NaN;
  // Written so that what is unknown (NaN) is not fresh.
  if (!(intent.at - asOf <= maxAge && intent.at - asOf >= -MAX_SKEW_MS)) {
    find('stale', `the snapshot ${statement.id} is as of ${statement.asOf}, and was not fresh when the gateway acted`);
  }
  // Adopting takes under management what somebody has, also one who left.
  if (tuple.effect === 'adopt') return;
  if (evidence.record === null) find('record', 'it adds access, and the file has no record of whoever gets it');
  else if (entry === c.of('writ.sealed').at(-1) && evidence.record.snapshot !== statement.id) {
    find('record', `the record is of snapshot ${evidence.record.snapshot}, and the writ rests on ${statement.id}`);
  }
}
