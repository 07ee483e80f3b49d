/**
 * The gate: the one function that every call passes, whichever door it came in by.
 *
 *   who is it → which operation is this → is it in scope → is there a writ for exactly this → is it inside the envelope,
 *   or did enough people sign → spend it → seal the intent → inject the credential → call → seal the outcome
 *
 * What it believes: the signed authority and roster, its own database, what it read itself. What the caller says about
 * a call is not asked.
 */
import type { KeyObject } from 'node:crypto';
import { eligibility } from '../approval/eligibility.ts';
import { checkApprovals } from '../approval/quorum.ts';
import { beneficiariesOf, parseRequest } from '../approval/request.ts';
import type { Roster } from '../approval/roster.ts';
import { type Authority, protocolOf } from '../authority/authority.ts';
import { GATEWAY, ownershipOf, requesterOf } from '../authority/ownership.ts';
import { entitlementNamed, optionsOf } from '../authority/target.ts';
import { type Digest, digestOf } from '../canonical.ts';
import { type Clock, type Instant, isoTime, MAX_SKEW_MS, type Random } from '../clock.ts';
import type { Call, Reply } from '../connector/contract.ts';
import { type Code, Failure } from '../errors.ts';
import { isProtected } from '../identity/login.ts';
import type { Scribe } from '../ledger/scribe.ts';
import { type Leaf, riskOf, signedQuorumOf, tupleOf } from '../plan/change.ts';
import { ADDING, type Tuple, tupleKey } from '../writ/tuple.ts';
import { type OpenWrit, openWrit, type Writ } from '../writ/writ.ts';
import type { Bindings } from './binding.ts';
import type { Catalogue, Classified } from './catalogue/contract.ts';
import type { Credentials } from './credential.ts';
import type { Subject } from './envelope.ts';
import {
  checkBound,
  checkEnvelope,
  checkEvidence,
  checkRevert,
  type EnvelopeFacts,
  isAheadOfRecord,
} from './envelope.ts';
import type { FirstSecrets } from './first-secret.ts';
import { checkScope } from './scope.ts';
import type { Spender } from './spend.ts';
import type { Targets } from './target.ts';

export interface Force {
  readonly authority: Authority;
  readonly authorityDigest: Digest;
  readonly roster: Roster;
  readonly logOrigin: string;
  readonly decisionKey: KeyObject;
}

export interface GateWorld {
  readonly force: () => Force;
  readonly catalogues: Readonly<Record<string, Catalogue>>;
  readonly targets: Targets;
  readonly credentials: Credentials;
  readonly bindings: Bindings;
  readonly spender: Spender;
  readonly scribe: Scribe;
  readonly subjectOf: (leaf: Leaf, now: Instant) => Promise<Subject>;
  readonly firstSecrets: FirstSecrets;
  readonly clock: Clock;
  readonly random: Random;
}

interface Held {
  readonly open: OpenWrit;
  /** The authority and the roster under which it was admitted: under others it is worth nothing. */
  readonly under: string;
  /** When the request ends that carries it; null: it has none. */
  readonly requestUntil: Instant | null;
  /** Who may carry it out: those that the request names; null: whoever the register lists. */
  readonly executors: readonly string[] | null;
  readonly leaves: ReadonlyMap<string, Leaf>;
  /** Persons whose signatures carry it; null: inside the envelope, change by change. */
  readonly people: readonly string[] | null;
}

type Refused = Extract<Reply, { kind: 'refused' }>;
const refused = (code: Code, message: string): Refused => ({ kind: 'refused', code, message });

/** Sealed refusals of one connector in a minute. */
const MOST_REFUSALS = 100;

export interface Gate {
  /** Checks a writ and holds it until it expires. @throws Failure `writ-invalid` | `writ-expired` | `not-approved` */
  admit(writ: Writ): { readonly id: string; readonly expiresAt: Instant };
  /** One call of a connector. Refusals are replies, and are sealed. */
  pass(connector: string, writId: string | null, call: Call): Promise<Reply>;
  /** A change that concerns Writgate alone: `adopt` binds an existing account to a person. @throws Failure */
  passOwn(writId: string, seq: number): Promise<Reply>;
  /** At the start: seals an outcome for each attempt of which a gateway that died did not tell. */
  tellOfTheDead(): Promise<void>;
}

export function openGate(world: GateWorld): Gate {
  const held = new Map<string, Held>();

  function admit(writ: Writ) {
    const { authority, roster, logOrigin, authorityDigest, decisionKey } = world.force();
    const now = world.clock.now();
    for (const [id, entry] of held) if (entry.open.body.expiresAt <= now) held.delete(id);
    const open = openWrit(writ, { tenant: authority.tenant, decisionKey, now });
    const { body, leaves, planDigest } = open;
    const known = held.get(body.id);
    if (known && known.open.digest !== open.digest) {
      throw new Failure('writ-invalid', `another writ has the id ${body.id}`);
    }
    let people: readonly string[] | null = null;
    let executors: readonly string[] | null = null;
    let requestUntil: Instant | null = null;
    if (body.request !== null) {
      const quorum = leaves.map((leaf) => signedQuorumOf(authority, leaf, body.header.overLimit));
      const [first] = quorum;
      if (first === undefined || quorum.some((other) => other.role !== first.role)) {
        throw new Failure('not-approved', 'the changes need approval by different roles');
      }
      const beneficiaries = beneficiariesOf(body.beneficiaries);
      const stranger = leaves.find((leaf) => leaf.subject !== null && !beneficiaries.has(leaf.subject.key));
      if (stranger) {
        throw new Failure('not-approved', `change ${stranger.seq} concerns somebody whom the request does not name`);
      }
      const stakes = parseRequest(body.request);
      const { header } = body;
      if (stakes.planId !== header.plan || stakes.risk !== header.risk || stakes.overLimit !== header.overLimit) {
        throw new Failure(
          'not-approved',
          `the request is about ${stakes.planId}, ${stakes.risk}; the plan is ${header.plan}, ${header.risk}`,
        );
      }
      const other = leaves.find((leaf) => requesterOf(leaf) !== stakes.requester);
      if (other) {
        const asked = `change ${other.seq} was asked for by ${requesterOf(other)}`;
        throw new Failure('not-approved', `${asked}, the request says ${stakes.requester}`);
      }
      const risky = leaves.find((leaf) => riskOf(authority, leaf) !== header.risk);
      if (risky) {
        throw new Failure(
          'not-approved',
          `change ${risky.seq} is ${riskOf(authority, risky)}, and the request calls it ${header.risk}`,
        );
      }
      executors = stakes.executors;
      requestUntil = stakes.expiresAt;
      const verdict = checkApprovals({
        request: body.request,
        signatures: body.approvals.map((approval) => ({ verdict: 'approve', ...approval })),
        roster,
        eligibility: eligibility({ roster, request: stakes, beneficiaries, ownership: ownershipOf(authority) }),
        expected: {
          tenant: authority.tenant,
          logOrigin,
          planDigest,
          authorityDigest,
          role: first.role,
          people: Math.max(...quorum.map((other) => other.people)),
        },
        now,
      });
      if (verdict.verdict !== 'approved') {
        const why = verdict.verdict === 'invalid' ? verdict.reason : verdict.verdict;
        throw new Failure('not-approved', `writ ${body.id} for ${body.header.plan}: ${why}`);
      }
      people = verdict.people;
    }
    held.set(body.id, {
      open,
      leaves: new Map(leaves.map((leaf) => [tupleKey(tupleOf(leaf)), leaf])),
      people,
      executors,
      requestUntil,
      under: underNow(),
    });
    return { id: body.id, expiresAt: body.expiresAt };
  }

  const underNow = (): string => `${world.force().authorityDigest} ${world.force().roster.digest}`;

  const lookUp = (writId: string): Held | Reply => {
    const entry = held.get(writId);
    if (entry && entry.under !== underNow()) {
      return refused(
        'writ-expired',
        `writ ${writId} was admitted under an authority or roster that is no longer in force`,
      );
    }
    if (!entry) return refused('writ-expired', `writ ${writId} is not held here: bring it, or it expired`);
    const early = entry.open.body.issuedAt - world.clock.now();
    if (early > MAX_SKEW_MS)
      return refused(
        'writ-expired',
        `writ ${writId} is of ${Math.round(early / 1000)} s from now: the clock went back`,
      );
    // People said until when they mean it; that a writ lives longer does not stretch it.
    if (entry.requestUntil !== null && world.clock.now() >= entry.requestUntil) {
      return refused(
        'not-approved',
        `the request for ${entry.open.body.header.plan} ended at ${isoTime(entry.requestUntil)}, and its signatures with it; make a new plan`,
      );
    }
    const late = world.clock.now() - entry.open.body.expiresAt;
    return late >= 0 ? refused('writ-expired', `writ ${writId} expired ${Math.round(late / 1000)} s ago`) : entry;
  };

  /** The tuple of a write, derived from the call; a Reply when it cannot be. */
  async function deriveTuple(system: string, connector: string, classified: Classified): Promise<Tuple | Reply> {
    const { authority } = world.force();
    const { object, entitlement, attributes, effect } = classified;
    if (object === null || effect === 'read')
      return refused('not-classified', `${classified.operation} names no object`);
    const login = 'login' in object ? object.login : await world.bindings.loginOf(system, object.id, connector);
    if (login === null) return refused('not-classified', `nobody can say whose account ${JSON.stringify(object)} is`);
    let name: string | null = null;
    if (entitlement !== null) {
      const onSystem =
        'name' in entitlement
          ? entitlement.name
          : await world.bindings.entitlementOf(system, entitlement.ref, connector);
      name = onSystem === null ? null : entitlementNamed(authority, system, onSystem);
      if (name === null)
        return refused('out-of-scope', `${onSystem ?? 'that group'} on ${system} is no configured entitlement`);
      if ('ref' in entitlement && onSystem !== null) {
        const why = await world.bindings.strange(name, { system, name: onSystem, id: entitlement.ref }, connector);
        if (why !== null) return refused('out-of-scope', why);
      }
    }
    return {
      system,
      object: login,
      effect,
      entitlement: name,
      valueDigest: attributes === null ? null : digestOf(attributes),
    };
  }

  async function factsOf(leaf: Leaf, now: Instant): Promise<EnvelopeFacts> {
    const [subject, boundTo, disabledAt, otherAccount, terminated] = await Promise.all([
      world.subjectOf(leaf, now),
      world.bindings.subjectOf(leaf.system, leaf.object),
      leaf.effect === 'delete' ? world.spender.disabledAt(leaf.system, leaf.object) : null,
      leaf.effect === 'create' && leaf.subject !== null
        ? world.bindings.otherAccount(leaf.system, leaf.object, leaf.subject)
        : null,
      ADDING.has(leaf.effect) ? world.spender.wasTerminated(leaf) : false,
    ]);
    return { subject, boundTo, disabledAt, otherAccount, terminated };
  }

  /** Evidence and envelope at this moment: why not, or whether people take ahead of the record. */
  async function judge(entry: Held, leaf: Leaf): Promise<{ readonly no: string } | { readonly ahead: boolean }> {
    const now = world.clock.now();
    const target = world.force().authority.targets[leaf.system];
    if (target === undefined || isProtected(target, leaf.object)) {
      return { no: `${describe(leaf)}: the account is protected, and no signature lifts that` };
    }
    const facts = await factsOf(leaf, now);
    if (entry.people === null) {
      const verdict = checkEnvelope(world.force().authority, leaf, facts, now);
      return verdict.inside ? { ahead: false } : { no: `${describe(leaf)}: ${verdict.why}` };
    }
    // Signatures lift the envelope, never the evidence: nobody's approval makes stale data fresh.
    const { authority } = world.force();
    const verdict = ADDING.has(leaf.effect)
      ? checkEvidence(authority, leaf, facts, now)
      : leaf.subject === null
        ? checkRevert(authority, leaf, facts)
        : checkBound(leaf, facts);
    if (!verdict.inside) return { no: `${describe(leaf)}: ${verdict.why}` };
    // An account of nobody is taken from nobody, who could get it back.
    return { ahead: leaf.subject !== null && isAheadOfRecord(authority, leaf, facts) };
  }

  async function pass(connectorName: string, writId: string | null, call: Call): Promise<Reply> {
    const { authority } = world.force();
    const entry = authority.connectors[connectorName];
    if (!entry) return refused('out-of-scope', `${connectorName} is not in the register`);
    const connector = { name: connectorName, ...entry };
    const target = authority.targets[connector.on];
    if (!target) return refused('out-of-scope', `${connector.on} is no target`);
    if (world.clock.now() >= Date.parse(connector.expires)) {
      return refused('out-of-scope', `${connectorName} expired on ${connector.expires}`);
    }
    const options = optionsOf(target);
    const catalogue = world.catalogues[protocolOf(target)];
    if (!catalogue) return refused('not-classified', `no catalogue for ${protocolOf(target)}`);
    const classification = catalogue.classify(call, options);
    if (!classification.ok) return refuseSealed(connectorName, 'not-classified', classification.reason);
    const { classified } = classification;

    if (classified.effect === 'read') {
      const scope = checkScope(connector, classified.operation, 'read', null);
      if (!scope.ok) return refuseSealed(connectorName, 'out-of-scope', scope.why);
      return world.targets.perform(connector.on, classified.call, await world.credentials.of(connector));
    }

    const tuple = await deriveTuple(connector.on, connectorName, classified);
    if ('kind' in tuple)
      return refuseSealed(
        connectorName,
        tuple.kind === 'refused' ? (tuple.code as Code) : 'not-classified',
        messageOf(tuple),
      );
    const scope = checkScope(connector, classified.operation, classified.effect, tuple);
    if (!scope.ok) return refuseSealed(connectorName, 'out-of-scope', scope.why);
    if (writId === null) return refuseSealed(connectorName, 'writ-mismatch', `${classified.operation} needs a writ`);
    const writ = lookUp(writId);
    if ('kind' in writ) return writ;
    const leaf = writ.leaves.get(tupleKey(tuple));
    if (!leaf) {
      return refuseSealed(connectorName, 'writ-mismatch', `writ ${writId} does not permit ${describe(tuple)}`);
    }
    if (writ.executors !== null && !writ.executors.includes(connectorName)) {
      const why = `the request names ${writ.executors.join(', ')} to carry it out`;
      return refuseSealed(connectorName, 'not-approved', why, leaf, writ);
    }
    const judged = await judge(writ, leaf);
    if ('no' in judged) return refuseSealed(connectorName, 'outside-envelope', judged.no, leaf, writ);

    return perform(writ, leaf, {
      connector: connectorName,
      ahead: judged.ahead,
      callDigest: digestOf(classified.call),
      execute: async (wasLost, sending) => {
        const secret = await world.credentials.of(connector);
        const first = classified.wantsSecret ? await world.firstSecrets.make(leaf) : null;
        const forwarded = first === null ? classified.call : catalogue.withSecret(classified.call, first.secret);
        // From here on it may be made, also when we die before the answer: then it has this secret and no other.
        await first?.hold();
        if (leaf.effect === 'create') await world.spender.sent({ planDigest: writ.open.planDigest, seq: leaf.seq });
        sending();
        const answer = await world.targets.perform(connector.on, forwarded, secret);
        const reply = catalogue.concerning?.(forwarded, answer) ?? answer;
        const made = stateOf(reply) === 'done';
        const madeBefore = wasMadeBefore(wasLost, leaf, reply);
        if (made || (stateOf(reply) === 'lost' && !wasLost)) await first?.keep();
        // After an attempt that may have made it, what is held is the secret of that one.
        else if (!wasLost) await first?.forget();
        if (leaf.effect === 'create' && leaf.subject !== null && (made || madeBefore)) {
          await world.bindings.bind(leaf.system, leaf.object, catalogue.createdId(forwarded, reply), leaf.subject);
        }
        return reply;
      },
    });
  }

  async function passOwn(writId: string, seq: number): Promise<Reply> {
    const writ = lookUp(writId);
    if ('kind' in writ) return writ;
    const leaf = writ.open.leaves.find((other) => other.seq === seq);
    if (leaf?.effect !== 'adopt') return refused('writ-mismatch', `writ ${writId} permits no such change ${seq}`);
    if (writ.executors !== null && !writ.executors.includes(GATEWAY)) {
      return refuseSealed(GATEWAY, 'not-approved', 'the request does not name the gateway to carry it out', leaf, writ);
    }
    const judged = await judge(writ, leaf);
    if ('no' in judged) return refuseSealed('gateway', 'outside-envelope', judged.no, leaf, writ);
    return perform(writ, leaf, {
      connector: 'gateway',
      ahead: judged.ahead,
      callDigest: digestOf(tupleOf(leaf)),
      execute: async () => {
        if (leaf.subject !== null) await world.bindings.bind(leaf.system, leaf.object, null, leaf.subject);
        return { kind: 'sql', rows: [], count: 1, sqlstate: null, message: 'bound' };
      },
    });
  }

  /**
   * Spend → intent sealed → effect → outcome sealed. A crash between any two leaves an attempt that is untold, and the same
   * call may come again.
   */
  async function perform(
    writ: Held,
    leaf: Leaf,
    act: {
      connector: string;
      ahead: boolean;
      callDigest: Digest;
      execute: (wasLost: boolean, sending: () => void) => Promise<Reply>;
    },
  ): Promise<Reply> {
    const { planDigest, body } = writ.open;
    const refs = { change: `${body.header.plan}.${leaf.seq}`, writ: body.id, plan: planDigest };
    const spent = await world.spender.spend({
      planDigest,
      leaf,
      callDigest: act.callDigest,
      automatic: writ.people === null,
      ahead: act.ahead,
      refs,
    });
    if (spent.verdict === 'replay') return (await world.scribe.kept()) ? spent.reply : unkept('it is in memory only');
    if (spent.verdict === 'busy') return { kind: 'down', message: `change ${leaf.seq} is being made at this moment` };
    if (spent.verdict === 'refused') {
      const reply = await refuseSealed(act.connector, spent.code, spent.message, leaf, writ);
      return spent.retryAt === null ? reply : { ...reply, retryAt: spent.retryAt };
    }

    const intent = {
      leaf,
      connector: act.connector,
      call: act.callDigest,
      attempt: spent.attempt,
      people: writ.people ?? [],
    };
    const sealed = await world.scribe
      .write('gateway.intent', refs, intent, { mayWait: ADDING.has(leaf.effect) })
      .catch((thrown: unknown) => ({
        ok: false as const,
        why: `the intent could not be kept: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      }));
    if (!sealed.ok) {
      await world.spender.settle({
        planDigest,
        seq: leaf.seq,
        state: spent.wasLost ? 'lost' : 'down',
        reply: refused('ledger-away', sealed.why),
        gives: null,
      });
      // Nothing was said of it, so that nothing is to be told.
      world.spender.told({ planDigest, seq: leaf.seq });
      return { kind: 'down', message: sealed.why };
    }
    const before = world.clock.now();
    let reply: Reply;
    let isSent = false;
    const sending = () => {
      isSent = true;
    };
    try {
      reply = await act.execute(spent.wasLost, sending);
    } catch (thrown) {
      // Before it was sent nothing can have happened. After it, the target has answered, and we could not write down whom
      // it made: the same change comes again.
      const message = thrown instanceof Failure ? thrown.message : 'the gateway met a defect';
      reply = { kind: isSent ? 'lost' : 'down', message };
    }
    const tookMs = world.clock.now() - before;
    const ended = wasMadeBefore(spent.wasLost, leaf, reply) ? 'done' : stateOf(reply);
    // That this attempt did nothing says nothing of the one before, which may have made it.
    const state = spent.wasLost && ended === 'down' ? 'lost' : ended;
    const gives = writ.people === null ? null : leaf;
    await world.spender.settle({ planDigest, seq: leaf.seq, state, reply, gives });
    const outcome = { ...summary(reply), tookMs };
    const told = await world.scribe.write('gateway.outcome', refs, outcome, { mayWait: false, isMade: true });
    if (!told.ok) return unkept(told.why);
    world.spender.told({ planDigest, seq: leaf.seq });
    return reply;
  }

  async function tellOfTheDead(): Promise<void> {
    for (const { planDigest, seq, refs, reply, wasSent, tookMs } of await world.spender.untold()) {
      if (reply === null) {
        const state = wasSent ? 'lost' : 'down';
        await world.spender.settle({
          planDigest,
          seq,
          state,
          reply: { kind: 'lost', message: DIED.detail },
          gives: null,
        });
      }
      // Where not even the intent could be kept, the reply is our own refusal, and the ledger has nothing to match it with.
      const outcome = { ...(reply === null || reply.kind === 'refused' ? DIED : summary(reply)), tookMs };
      await world.scribe.write('gateway.outcome', refs, outcome, { mayWait: false });
      world.spender.told({ planDigest, seq });
    }
  }

  /** A connector that is refused a thousand times a second shall not fill the ledger: the first hundred a minute say enough. */
  const refusals = new Map<string, { since: Instant; count: number }>();
  function isWorthSaying(connector: string): boolean {
    const now = world.clock.now();
    const known = refusals.get(connector);
    if (!known || now - known.since > 60_000) {
      refusals.set(connector, { since: now, count: 1 });
      return true;
    }
    known.count++;
    return known.count <= MOST_REFUSALS;
  }

  async function refuseSealed(
    connector: string,
    code: Code,
    message: string,
    leaf?: Leaf,
    writ?: Held,
  ): Promise<Refused> {
    if (!isWorthSaying(connector)) return refused(code, message);
    const refs: Record<string, string> = { connector };
    if (leaf && writ)
      Object.assign(refs, { change: `${writ.open.body.header.plan}.${leaf.seq}`, writ: writ.open.body.id });
    await world.scribe.write(
      'gateway.refused',
      refs,
      { code, message, at: isoTime(world.clock.now()) },
      { mayWait: false },
    );
    return refused(code, message);
  }

  return { admit, pass, passOwn, tellOfTheDead };
}

/**
 * Nobody shall look at what was made before how it ended would outlive us: whoever starts after us would tell of it later
 * than the look. The same change comes again, and is given its reply then.
 */
const unkept = (why: string): Reply => ({ kind: 'down', message: `how the attempt ended could not be kept: ${why}` });

/** SQLSTATEs after which nobody knows, and those by which the server rolled back and may be asked again. */
const LOST_SQL = /^(08...|57P01|57P02)$/;
const DOWN_SQL = /^(40001|40P01|53...|55006|55P03|57014|57P03)$/;

/** The name of an account to make is taken: SCIM 409 (RFC 7644 section 3.3), entryAlreadyExists, duplicate_object. */
const isTaken = (reply: Reply): boolean =>
  (reply.kind === 'http' && reply.status === 409) ||
  (reply.kind === 'ldap' && reply.code === 68) ||
  (reply.kind === 'sql' && reply.sqlstate === '42710');

/**
 * Taken, and an earlier attempt of this very change got no answer: then that one made it. Taken otherwise, it is somebody
 * else's, and only people can say whose.
 */
const wasMadeBefore = (wasLost: boolean, leaf: Leaf, reply: Reply): boolean =>
  leaf.effect === 'create' && wasLost && isTaken(reply);

const messageOf = (reply: Reply): string => ('message' in reply ? reply.message : '');
const describe = (tuple: Tuple | Leaf): string =>
  `${tuple.effect} ${tuple.entitlement ?? 'account'} ${tuple.object} on ${tuple.system}`;

/** How a write ended as far as its reply tells. Whatever is not understood as refused may have happened. */
function stateOf(reply: Reply): 'done' | 'refused' | 'lost' | 'down' {
  switch (reply.kind) {
    case 'http':
      if (reply.status >= 200 && reply.status < 300) return 'done';
      return reply.status === 429 || reply.status === 503 ? 'down' : reply.status >= 500 ? 'lost' : 'refused';
    case 'ldap':
      return reply.code === 0 ? 'done' : reply.code === 51 || reply.code === 52 ? 'down' : 'refused';
    case 'sql':
      if (reply.sqlstate === null) return 'done';
      if (LOST_SQL.test(reply.sqlstate)) return 'lost';
      return DOWN_SQL.test(reply.sqlstate) ? 'down' : 'refused';
    case 'refused':
      return 'refused';
    case 'lost':
      return 'lost';
    case 'down':
      return 'down';
  }
}

/** Told by the next gateway. Whether this one had sealed its intent, nobody knows either. */
const DIED = { result: 'died', detail: 'the gateway died before it heard the answer' };

/** What of a reply goes into the ledger: enough to argue about, and never a body with somebody's data or secret. */
function summary(reply: Reply): { readonly result: string; readonly detail: string } {
  switch (reply.kind) {
    case 'http':
      return { result: `HTTP ${reply.status}`, detail: stateOf(reply) };
    case 'ldap':
      return { result: `LDAP ${reply.code}`, detail: reply.message };
    case 'sql':
      return { result: `SQL ${reply.sqlstate ?? reply.count}`, detail: reply.message };
    default:
      return { result: reply.kind, detail: reply.message };
  }
}
