/**
 * The offline checker of one change's evidence: no database, no network, nothing but `node:crypto` and our own pure
 * code. It believes the trust root that the auditor pinned, and nothing else in the file that it is given.
 *
 * Two questions, two answers. `ok`: is the evidence sound: does every part hold, in order, by the right hand? `verdict`:
 * what did the verifier see: a change may be well evidenced and contradicted.
 *
 * What no such file can tell, and a check of the whole ledger, of the target or of the policies can: that an entry was
 * left out which the road does not demand (a later look, a signed refusal); that the policies really decide so; that
 * birthright rules give what an automatic change gives, within its budget (the gateway judges it, expressions are not
 * evaluated here); that a request's roster was the newest of its time (the gateway refuses an older one).
 */

import { parseRequest } from '../approval/request.ts';
import type { Roster } from '../approval/roster.ts';
import { canonical } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { dutyOf } from '../gateway/scope.ts';
import { readHeader, readLeaf } from '../plan/change.ts';
import { checkVerification, type Verdict } from '../verification/look.ts';
import { tupleKey } from '../writ/tuple.ts';
import { readWrit } from '../writ/writ.ts';
import { evidenceText, parseEvidence } from './bundle.ts';
import { type Case, inOrder, openCase, precedes, type Told } from './case.ts';
import { type Logged, openEntries } from './logged.ts';
import {
  judgeDecision,
  judgeFreshness,
  judgePlan,
  judgeTrigger,
  judgeWrit,
  MAX_SKEW_MS,
  openStatements,
  type Permit,
} from './stations.ts';
import { type Find, openAuthority, openRosters, openTrust, type Trusted } from './trust.ts';

export interface EvidenceReport {
  /** The evidence is sound: there is no finding. */
  readonly ok: boolean;
  readonly findings: readonly { readonly code: string; readonly message: string }[];
  /**
   * The last word of the verifier after the last attempt; `open`: not there yet, or inconclusive, or erased. null when
   * the evidence is not sound: then it tells nothing.
   */
  readonly verdict: 'verified' | 'open' | 'contradicted' | null;
  /** From the source's record to the read-back. To be believed only when `ok`. */
  readonly story: readonly Told[];
  /** The pinned trust root is one of generated people: it proves how it works, and nothing about anybody. */
  readonly demo: boolean;
}

/** A file of one change has some tens of kilobytes; a plan's writ of 500 changes makes it one or two megabytes. */
const LARGEST = 64 << 20;

/** The order in which the story is told. */
const STATIONS = ['trigger', 'cause', 'decision', 'approval', 'writ', 'call', 'outcome', 'verified', 'status'] as const;

/** Never throws on bad input. @param text content of the file, as `collectEvidence` made it */
export function checkEvidence(text: string, trusted: Trusted): EvidenceReport {
  const findings: { code: string; message: string }[] = [];
  const find: Find = (code, message) => void findings.push({ code, message });
  const story: Told[] = [];
  let verdict: EvidenceReport['verdict'] = null;
  let demo = false;
  const judged = read(text, find);
  const trust = judged && openTrust(judged.evidence, trusted, find);
  if (trust) {
    demo = trust.root.demo;
    verdict = judge(judged, trust, story, find);
  }
  const ok = findings.length === 0 && verdict !== null;
  const told = STATIONS.flatMap((station) => story.filter((line) => line.station === station));
  return { ok, findings, verdict: ok ? verdict : null, story: told, demo };
}

function read(text: string, find: Find) {
  try {
    if (text.length > LARGEST) throw new Failure('approval-form', `the file is over ${LARGEST} characters`);
    const evidence = parseEvidence(text);
    if (evidenceText(evidence) !== text) throw new Failure('approval-form', 'the file does not end in one newline');
    return { evidence, header: readHeader(evidence.header), leaf: readLeaf(evidence.leaf) };
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    find('evidence-form', thrown.message);
    return null;
  }
}

function judge(
  { evidence, header, leaf }: NonNullable<ReturnType<typeof read>>,
  trust: NonNullable<ReturnType<typeof openTrust>>,
  story: Told[],
  find: Find,
): EvidenceReport['verdict'] {
  const entries = openEntries(evidence, trust, find);
  const last = entries.findLast(({ kind }) => kind === 'gateway.intent') ?? entries.at(-1);
  if (!last) {
    find('entry-missing', 'no entry of the ledger holds');
    return null;
  }
  const rosters = openRosters(evidence, trust.genesis, last.at, find);
  if (!rosters) return null;
  const named = rosterNamed(entries);
  const roster = named === null ? rosters.at(-1) : rosters.find(({ digest }) => digest === named);
  if (!roster) {
    find('roster', 'the request was made under a roster that is not in the chain');
    return null;
  }
  const signedUnder = rosterOfAuthority(entries, header.base.authority, rosters, roster);
  if (!signedUnder) {
    find('roster', 'the gateway believed the authority under a roster that is not in the chain');
    return null;
  }
  const authority = openAuthority(evidence, signedUnder, find);
  if (!authority) return null;
  const c = openCase({ evidence, header, leaf, trust: { ...trust, rosters }, authority, roster, find, entries, story });
  strangers(c, entries);
  return judgeRoad(c);
}

/** Digest of the roster under which the newest writ's request was made; null when nobody signed. */
function rosterNamed(entries: readonly Logged[]): string | null {
  const writ = entries.findLast((entry): entry is Logged<'writ.sealed'> => entry.kind === 'writ.sealed');
  if (!writ?.body) return null;
  try {
    const { request } = readWrit(writ.body.writ);
    return request === null ? null : parseRequest(request).rosterDigest;
  } catch (thrown) {
    // `judgeWrit` says what is wrong with it.
    if (thrown instanceof Failure) return null;
    throw thrown;
  }
}

/**
 * The roster under which the gateway believed this authority: its signers may have left the roster since, and whoever
 * left it before must not sign one afterwards. `otherwise`, where the gateway says nothing.
 */
function rosterOfAuthority(
  entries: readonly Logged[],
  authority: string,
  rosters: readonly Roster[],
  otherwise: Roster,
): Roster | undefined {
  const said = entries
    .filter((entry): entry is Logged<'gateway.force'> => entry.kind === 'gateway.force')
    .findLast(({ body }) => body?.authority === authority);
  return said?.body ? rosters.find(({ digest }) => digest === said.body?.roster) : otherwise;
}

/** Genuine entries of another change, plan or feed would tell another story. */
function strangers({ evidence, header, leaf, find }: Case, entries: readonly Logged[]): void {
  for (const { kind, index, refs } of entries) {
    const about =
      kind === 'gateway.witness'
        ? true
        : kind === 'gateway.force'
          ? refs['authority'] === header.base.authority
          : kind === 'gateway.snapshot'
            ? refs['feed'] === leaf.subject?.feed
            : kind.startsWith('gateway.') || kind === 'verifier.looked'
              ? refs['change'] === evidence.change
              : refs['plan'] === header.plan;
    if (!about) find('entry-foreign', `entry ${index} (${kind}) is about something else`);
  }
}

function judgeRoad(c: Case): 'verified' | 'open' | 'contradicted' {
  const statements = openStatements(c);
  const plan = judgePlan(c);
  judgeTrigger(c, statements, plan);

  const intents = c.of('gateway.intent');
  const writs = c.of('writ.sealed');
  const permits = new Map<string, Permit>();
  for (const writ of writs) {
    // A writ that nobody acted under yet is judged at the time at which it was sealed.
    const under = intents.filter(({ refs }) => refs['writ'] === writ.refs['writ']);
    const permit = judgeWrit(c, writ, under.length > 0 ? Math.max(...under.map(({ at }) => at)) : null);
    if (permit) permits.set(permit.body.id, permit);
  }
  if (writs.length > 0 && !plan)
    c.find('entry-missing', 'a writ was sealed for a plan that the ledger has not as made');
  const [first] = writs;
  const decided = judgeDecision(c, first, first ? permits.get(first.refs['writ'] ?? '')?.people !== null : false);
  inOrder(c, plan, decided);
  inOrder(c, decided, first);

  for (const permit of permits.values()) {
    if (!intents.some(({ refs }) => refs['writ'] === permit.body.id)) judgeFreshness(c, statements, permit, null);
  }
  for (const intent of intents) {
    const permit = permits.get(intent.refs['writ'] ?? '');
    if (permit) judgeIntent(c, intent, permit, statements);
    else
      c.find(
        'writ',
        `the gateway acted (entry ${intent.index}) under the writ ${intent.refs['writ']}, which the file does not have`,
      );
  }
  for (const { body, at } of c.of('gateway.refused'))
    if (body) c.tell('call', `REFUSED ${body.code}: ${body.message}`, at);
  return judgeEnd(c);
}

/** The gateway's intent: for exactly this change, under this writ, by a connector that the authority has for it. */
function judgeIntent(
  c: Case,
  intent: Logged<'gateway.intent'>,
  permit: Permit,
  statements: ReturnType<typeof openStatements>,
): void {
  const { authority, evidence, leaf, planDigest, tuple, find, tell } = c;
  inOrder(c, permit.entry, intent);
  if (intent.at < permit.body.issuedAt - MAX_SKEW_MS)
    find('writ', `the gateway acted before the writ ${permit.body.id} was issued`);
  judgeFreshness(c, statements, permit, intent);
  if (intent.refs['plan'] !== planDigest) find('tuple', `the intent of entry ${intent.index} is for another plan`);
  if (intent.body === null) {
    tell('call', 'the body of gateway.intent is erased; what it is about stands in the entry', intent.at);
    return;
  }
  const { connector, attempt, people } = intent.body;
  if (canonical(intent.body.leaf) !== evidence.leaf)
    find('tuple', `the intent of entry ${intent.index} is for another change than the writ permits`);
  const entry = Object.hasOwn(authority.connectors, connector) ? authority.connectors[connector] : undefined;
  if (
    tuple.effect === 'adopt'
      ? connector !== 'gateway'
      : entry?.on !== leaf.system || !entry.duties?.includes(dutyOf(tuple.effect))
  ) {
    find('tuple', `${connector} has no duty for ${tuple.effect} on ${tuple.system} in the signed authority`);
  }
  if (entry && !(intent.at < Date.parse(entry.expires))) find('tuple', `${connector} expired on ${entry.expires}`);
  if (permit.executors !== null && !permit.executors.includes(connector)) {
    find(
      'approval',
      `${connector} carried it out, and the request that was signed names ${permit.executors.join(', ')}`,
    );
  }
  if ([...people].sort().join() !== [...(permit.people ?? [])].sort().join()) {
    find(
      'approval',
      `the gateway acted on signatures of ${people.join(', ') || 'nobody'}, the file has those of ${permit.people?.join(', ') || 'nobody'}`,
    );
  }
  tell('call', `${connector}  attempt ${attempt}`, intent.at);
}

const CLOSES: Readonly<Record<Verdict, 'verified' | 'open' | 'contradicted'>> = {
  confirmed: 'verified',
  contradicted: 'contradicted',
  inconclusive: 'open',
};

/** Outcome and looks. Only a look after the last attempt says how it is. */
function judgeEnd(c: Case): 'verified' | 'open' | 'contradicted' {
  const { planDigest, find, tell } = c;
  const intents = c.of('gateway.intent');
  const outcomes = c.of('gateway.outcome');
  for (const outcome of outcomes) {
    const { refs, index, body, at } = outcome;
    const own = intents.filter((intent) => intent.refs['writ'] === refs['writ']);
    if (refs['plan'] !== planDigest || own.length === 0)
      find('tuple', `the outcome of entry ${index} belongs to no intent`);
    else if (!own.some((intent) => precedes(c, intent, outcome))) inOrder(c, own[0], outcome);
    tell(
      'outcome',
      body ? `${body.result}  ${body.detail} (a receipt only)` : 'the body of gateway.outcome is erased',
      at,
    );
  }

  let verdict: ReturnType<typeof judgeEnd> = 'open';
  for (const look of c.of('verifier.looked')) {
    const tried = intents.findLast((intent) => precedes(c, intent, look));
    const ended = outcomes.some((outcome) => tried && precedes(c, tried, outcome) && precedes(c, outcome, look));
    if (!tried) find('order', `verifier.looked (entry ${look.index}) stands before every gateway.intent`);
    else if (!ended)
      find('order', `verifier.looked (entry ${look.index}) stands before the gateway.outcome, or that is missing`);
    const saw = judgeLook(c, look);
    verdict = saw !== null && tried === intents.at(-1) ? CLOSES[saw] : 'open';
  }
  tell('status', verdict, null);
  return verdict;
}

function judgeLook(c: Case, { refs, index, body, at }: Logged<'verifier.looked'>): Verdict | null {
  const { evidence, planDigest, tuple, trust, find, tell } = c;
  if (refs['plan'] !== planDigest) find('verification', `the look of entry ${index} is at another plan`);
  if (body === null) {
    tell('verified', 'the body of verifier.looked is erased', at);
    return null;
  }
  const seen = checkVerification(body.verification, trust.keys.verifier);
  if (seen === null) {
    find('verification', `the verification of entry ${index} is not signed by the pinned verifier`);
    return null;
  }
  const same = seen.tenant === trust.root.tenant && seen.plan === planDigest && seen.change === evidence.change;
  if (!same || tupleKey(seen.tuple) !== tupleKey(tuple))
    find('verification', `the verification of entry ${index} is of another change`);
  const old = seen.presented === null ? '' : `, old access ${seen.presented}`;
  tell('verified', `${seen.verdict}  ${seen.mechanism}: ${seen.saw}${old}`, at);
  return seen.verdict;
}
