/** decided → approved: at once inside the envelope; otherwise when enough eligible people have signed. */

import { eligibility } from '../approval/eligibility.ts';
import { phrase } from '../approval/phrase.ts';
import { type Approvals, checkApprovals } from '../approval/quorum.ts';
import { type ApprovalRequest, beneficiariesOf, challenge, type Verdict } from '../approval/request.ts';
import { GATEWAY, ownershipOf, requesterOf } from '../authority/ownership.ts';
import { canonical, type Digest, digestOf, sha256 } from '../canonical.ts';
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { connectorFor, dutyOf } from '../gateway/scope.ts';
import { type Leaf, signedQuorumOf } from '../plan/change.ts';
import type { Queryable } from '../store/database.ts';
import { type ChangeRow, frozenPlan, move, type PlanRow, readPlans } from './rows.ts';
import type { World } from './world.ts';

export interface StoredRequest {
  readonly bytes: string;
  readonly digest: Digest;
  readonly request: ApprovalRequest;
  /** Everybody whose access the plan changes: keys of feeds, sorted. */
  readonly beneficiaries: readonly string[];
}

const beneficiariesIn = (leaves: readonly Leaf[]): readonly string[] =>
  [...new Set(leaves.flatMap(({ subject }) => (subject === null ? [] : [subject.key])))].sort();

/** Makes the exact bytes that people sign for a plan, once; the same request is found again, also when its time is over. */
export async function requestFor(
  tx: Queryable,
  world: World,
  plan: PlanRow,
  leaves: readonly Leaf[],
): Promise<StoredRequest> {
  const { tenant } = world.authority;
  const beneficiaries = beneficiariesIn(leaves);
  const now = world.clock.now();
  const known = await tx.maybe<{ bytes: string }>(
    'select bytes from request where tenant = $1 and plan = $2 order by created_at desc limit 1',
    [tenant, plan.number],
  );
  if (known) {
    return { bytes: known.bytes, digest: sha256(known.bytes), request: JSON.parse(known.bytes), beneficiaries };
  }
  const [leaf] = leaves;
  if (!leaf || plan.header.role === null) throw new Failure('wrong-use', `P${plan.number} needs no signature`);
  const quorum = signedQuorumOf(world.authority, leaf, plan.header.overLimit);
  const { digest, count } = beneficiariesOf(beneficiaries);
  const executors = leaves.flatMap((item) =>
    item.effect === 'adopt' ? GATEWAY : (connectorFor(world.authority, item.system, dutyOf(item.effect))?.name ?? []),
  );
  const request: ApprovalRequest = {
    v: 1,
    tenant,
    logOrigin: world.logOrigin,
    id: `${plan.header.plan}-${world.random(4).toString('hex')}`,
    nonce: world.random(16).toString('hex'),
    planId: plan.header.plan,
    planDigest: plan.digest as Digest,
    planBase: digestOf(plan.header.base),
    risk: plan.header.risk,
    overLimit: plan.header.overLimit,
    requester: requesterOf(leaf),
    executors: [...new Set(executors)].sort(),
    beneficiaries: { digest, count },
    policyDigest: world.policyDigest,
    decision: 'permit',
    authorityDigest: world.authorityDigest,
    rosterVersion: world.roster.version,
    rosterDigest: world.roster.digest,
    role: plan.header.role,
    people: plan.people,
    createdAt: now,
    expiresAt: now + quorum.withinMs,
  };
  const bytes = canonical(request);
  await tx.query(
    'insert into request (tenant, plan, digest, bytes, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)',
    [tenant, plan.number, sha256(bytes), bytes, isoTime(now), isoTime(request.expiresAt)],
  );
  // Logged first: a signature is over bytes that the ledger already knows.
  await world.record(tx, [
    { kind: 'request.made', refs: { plan: plan.header.plan, request: request.id }, body: { request: bytes } },
  ]);
  return { bytes, digest: sha256(bytes), request, beneficiaries };
}

export interface Standing {
  readonly stored: StoredRequest;
  readonly approvals: Approvals;
  readonly signed: readonly {
    readonly person: string;
    readonly verdict: Verdict;
    readonly armored: string;
    readonly reason: string | null;
  }[];
  readonly excluded: readonly { readonly person: string; readonly why: string }[];
}

/** Where the approval of a plan stands, worked out anew from the signatures. */
export async function standingOf(
  tx: Queryable,
  world: World,
  plan: PlanRow,
  leaves: readonly Leaf[],
): Promise<Standing> {
  const stored = await requestFor(tx, world, plan, leaves);
  const signed = await tx.query<{ person: string; verdict: Verdict; armored: string; reason: string | null }>(
    'select person, verdict, armored, reason from approval where tenant = $1 and plan = $2 and request = $3 order by at',
    [world.authority.tenant, plan.number, stored.digest],
  );
  const eligible = eligibility({
    roster: world.roster,
    request: stored.request,
    beneficiaries: beneficiariesOf(stored.beneficiaries),
    ownership: ownershipOf(world.authority),
  });
  const approvals = checkApprovals({
    request: stored.bytes,
    signatures: signed,
    roster: world.roster,
    eligibility: eligible,
    expected: {
      tenant: world.authority.tenant,
      logOrigin: world.logOrigin,
      planDigest: plan.digest as Digest,
      authorityDigest: world.authorityDigest,
      role: plan.header.role ?? '',
      people: plan.people,
    },
    now: world.clock.now(),
  });
  return { stored, approvals, signed, excluded: eligible.excluded ?? [] };
}

export const phraseOf = (stored: StoredRequest): string => phrase(stored.digest);
export const challengeOf = (stored: StoredRequest, verdict: Verdict): string => challenge(verdict, stored.bytes);

export async function approve(world: World, changes: readonly ChangeRow[]): Promise<void> {
  const { tenant } = world.authority;
  await world.database.tx(async (tx) => {
    for (const plan of await readPlans(tx, tenant, [...new Set(changes.map((change) => change.plan))])) {
      const own = changes.filter((change) => change.plan === plan.number);
      const step = (stage: 'approved' | 'refused' | 'expired', note: string | null) =>
        move(
          tx,
          tenant,
          ['decided'],
          own.map(({ plan: number, seq }) => ({ plan: number, seq, stage, note })),
          world.clock,
        );
      if (plan.people === 0) {
        await step('approved', null);
        continue;
      }
      const { leaves } = await frozenPlan(tx, tenant, plan);
      const { stored, approvals, signed } = await standingOf(tx, world, plan, leaves);
      const { expiresAt } = stored.request;
      if (approvals.verdict === 'approved') await step('approved', null);
      else if (approvals.verdict === 'refused') await step('refused', `refused by ${approvals.by.join(', ')}`);
      else if (expiresAt <= world.clock.now()) {
        const had = `${signed.length} of ${plan.people} signatures`;
        await step(
          'expired',
          `${had} had come when the request ended at ${isoTime(expiresAt)}; plan again to ask anew`,
        );
      } else {
        // Nothing to do until somebody signs, which wakes it, or its time is over.
        await tx.query(
          `update change set next_at = $5, note = $4 where tenant = $1 and plan = $2 and seq = any($3) and stage = 'decided'`,
          [
            tenant,
            plan.number,
            own.map(({ seq }) => seq),
            approvals.verdict === 'invalid' ? approvals.reason : 'waits for signatures',
            isoTime(expiresAt),
          ],
        );
      }
    }
  });
}
