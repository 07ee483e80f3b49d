/** A signature arrives: checked before it is kept, logged, and the changes that waited for it are woken. */

import { advance } from '../advance.ts';
import { checkVerdict } from '../approval/quorum.ts';
import type { Verdict } from '../approval/request.ts';
import { canonical } from '../canonical.ts';
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { overLimit } from '../plan/make.ts';
import { standingOf } from './approve.ts';
import { readChanges, readPlans } from './rows.ts';
import type { World } from './world.ts';

export async function sign(
  world: World,
  number: number,
  given: {
    readonly person: string;
    readonly verdict: Verdict;
    readonly armored: string;
    readonly reason: string | null;
  },
): Promise<void> {
  const { tenant } = world.authority;
  await world.database.tx(async (tx) => {
    const [plan] = await readPlans(tx, tenant, [number]);
    if (!plan) throw new Failure('not-found', `there is no plan P${number}`);
    if (plan.state === 'refused') {
      throw new Failure(
        'plan-refused',
        `P${number} refused itself by its limits; ask for approval with \`writgate approve P${number} --over-limit\``,
      );
    }
    if (plan.state !== 'open') throw new Failure('wrong-use', `P${number} is ${plan.state}; see \`writgate status\``);
    if (plan.people === 0) throw new Failure('wrong-use', `P${number} needs no signature: it is inside the envelope`);
    const changes = await readChanges(tx, tenant, number);
    const leaves = changes.map(({ leaf }) => leaf);
    const { stored, excluded, approvals } = await standingOf(tx, world, plan, leaves);
    const check = checkVerdict(stored.bytes, given, world.roster);
    if (!check.ok) throw new Failure('not-approved', check.reason);
    const exclusion = excluded.find(({ person }) => person === check.person);
    if (exclusion) throw new Failure('not-approved', `${check.person} may not approve P${number}: he ${exclusion.why}`);
    if (approvals.verdict === 'invalid') {
      throw new Failure('not-approved', `P${number} cannot be signed any more: ${approvals.reason}`);
    }
    if (approvals.verdict === 'approved') throw new Failure('wrong-use', `P${number} has its signatures already`);
    const candidates = approvals.verdict === 'waiting' ? [...approvals.candidates, ...approvals.have] : null;
    if (candidates !== null && !candidates.includes(check.person)) {
      throw new Failure(
        'not-approved',
        `${check.person} is not of role ${plan.header.role}; it may be signed by ${candidates.join(', ')}`,
      );
    }
    await tx.query(
      `insert into approval (tenant, plan, request, person, verdict, reason, armored, at) values ($1, $2, $3, $4, $5, $6, $7, $8)
       on conflict (tenant, plan, request, person) do update set verdict = excluded.verdict, reason = excluded.reason,
         armored = excluded.armored, at = excluded.at where approval.verdict = 'approve'`,
      [
        tenant,
        number,
        stored.digest,
        check.person,
        given.verdict,
        given.reason,
        given.armored,
        isoTime(world.clock.now()),
      ],
    );
    await world.record(tx, [
      {
        kind: given.verdict === 'approve' ? 'approval.given' : 'approval.refused',
        refs: { plan: `P${number}`, request: stored.request.id, person: check.person },
        body: { request: stored.digest, verdict: given.verdict, armored: given.armored, reason: given.reason },
      },
    ]);
    await tx.query(`update change set next_at = $3 where tenant = $1 and plan = $2 and stage = 'decided'`, [
      tenant,
      number,
      isoTime(world.clock.now()),
    ]);
    // What policy held waits for people to look; signatures are that look.
    await tx.query(
      `update change set stage = 'decided', next_at = $3 where tenant = $1 and plan = $2 and stage = 'held'`,
      [tenant, number, isoTime(world.clock.now())],
    );
  });
  await advance(
    world,
    (await readChanges(world.database, tenant, number)).filter(({ stage }) => stage === 'decided'),
  );
}

/** Turns a plan that refused itself into one that asks to go over its limits. @returns the new plan's number */
export async function askOverLimit(world: World, number: number): Promise<number> {
  const { tenant } = world.authority;
  const made = await world.database.tx(async (tx) => {
    const [plan] = await readPlans(tx, tenant, [number]);
    if (!plan) throw new Failure('not-found', `there is no plan P${number}`);
    if (plan.state !== 'refused') throw new Failure('wrong-use', `P${number} is ${plan.state} and keeps its limits`);
    const leaves = (await readChanges(tx, tenant, number)).map(({ leaf }) => leaf);
    const { next } = await tx.one<{ next: number }>('select max(number)::int + 1 as next from plan where tenant = $1', [
      tenant,
    ]);
    const now = world.clock.now();
    const lifted = overLimit(world.authority, plan.header, leaves, next, now);
    await tx.query(
      `insert into plan (tenant, number, risk, digest, content, header, size, state, role, people, critique, created_at)
       select tenant, $3, risk, $4, content, $5, size, 'open', $6, $7, critique, $8 from plan where tenant = $1 and number = $2`,
      [tenant, number, next, lifted.digest, canonical(lifted.header), lifted.header.role, lifted.people, isoTime(now)],
    );
    await tx.query(
      `insert into change (tenant, plan, seq, leaf, system, login, effect, entitlement, person, cause, stage, after, waits, next_at, updated_at)
       select tenant, $3, seq, leaf, system, login, effect, entitlement, person, cause, 'planned', after, waits, $4, $4
         from change where tenant = $1 and plan = $2`,
      [tenant, number, next, isoTime(now)],
    );
    // Whoever waited for the refused plan waits for the one that takes its place.
    await tx.query('update change set waits = array_replace(waits, $2, $3) where tenant = $1 and $2 = any(waits)', [
      tenant,
      number,
      next,
    ]);
    await tx.query(`update change set stage = 'superseded', updated_at = $3 where tenant = $1 and plan = $2`, [
      tenant,
      number,
      isoTime(now),
    ]);
    await tx.query(`update plan set state = 'superseded' where tenant = $1 and number = $2`, [tenant, number]);
    await world.record(tx, [
      {
        kind: 'plan.made',
        refs: { plan: `P${next}` },
        body: { header: lifted.header, digest: lifted.digest, findings: [], critique: [], over: `P${number}` },
      },
    ]);
    return next;
  });
  for (const stage of ['planned', 'decided']) {
    await advance(
      world,
      (await readChanges(world.database, tenant, made)).filter((change) => change.stage === stage),
    );
  }
  return made;
}
