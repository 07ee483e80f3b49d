/** approved → permitted: policy is asked once more, at this moment, and a writ names exactly these changes. */
import { digestOf } from '../canonical.ts';
import { isoTime } from '../clock.ts';
import type { DecisionInput } from '../decision/decide.ts';
import { hasCode } from '../errors.ts';
import { sealWrit, WRIT_LIFETIME_MS, type WritBody } from '../writ/writ.ts';
import { standingOf } from './approve.ts';
import { decisionInput, readEvidence } from './decide.ts';
import { type ChangeRow, frozenPlan, move, readPlans } from './rows.ts';
import type { World } from './world.ts';

/** A contradicted change is tried again at most this often; then a person has to look. */
export const MAX_ATTEMPTS = 5;

export async function permit(world: World, changes: readonly ChangeRow[]): Promise<void> {
  const { tenant } = world.authority;
  const { clock, database } = world;
  for (const number of new Set(changes.map((change) => change.plan))) {
    const own = changes.filter((change) => change.plan === number);
    const sealed = await database.tx(async (tx) => {
      const [plan] = await readPlans(tx, tenant, [number]);
      if (!plan) return null;
      const evidence = await readEvidence(tx, world);
      const people = await tx.query<{ id: string; state: DecisionInput['personState'] }>(
        'select id, state from person where tenant = $1 and id = any($2)',
        [tenant, own.flatMap(({ leaf }) => leaf.person ?? [])],
      );
      const states = new Map(people.map(({ id, state }) => [id, state]));
      // Hours may lie between the decision and this moment: a feed can have grown old, a person can have left.
      const judged = own.map((change) => {
        const state = (change.leaf.person !== null ? states.get(change.leaf.person) : undefined) ?? 'none';
        const decision = world.decide(decisionInput(world, change.leaf, state, evidence, plan.header.overLimit));
        const goes = decision.verdict === 'permit' || (decision.verdict === 'hold' && plan.people > 0);
        // A target that asked for patience is no contradiction: how long that may go on is the judgement of `apply`.
        const isOver = change.stage === 'contradicted' && change.attempt >= MAX_ATTEMPTS;
        return { change, decision, isOver, goes: goes && !isOver };
      });
      const stopped = judged.filter(({ goes }) => !goes);
      await move(
        tx,
        tenant,
        ['approved', 'contradicted'],
        stopped.map(({ change, decision, isOver }) => ({
          plan: change.plan,
          seq: change.seq,
          ...(isOver
            ? { stage: 'failed' as const, note: `tried ${change.attempt} times` }
            : {
                stage: decision.verdict === 'deny' ? ('denied' as const) : ('held' as const),
                decision: { verdict: decision.verdict, reasons: decision.reasons, policy: decision.policyDigest },
              }),
        })),
        clock,
      );
      const going = judged.filter(({ goes }) => goes);
      if (going.length === 0) return null;

      // Proofs need the whole plan's leaves; the writ carries only those of its own changes.
      const { leaves, tree } = await frozenPlan(tx, tenant, plan);
      const standing = plan.people === 0 ? null : await standingOf(tx, world, plan, leaves);
      const now = clock.now();
      const body: WritBody = {
        v: 1,
        tenant,
        id: `W${number}-${world.random(6).toString('hex')}`,
        header: plan.header,
        decisions: digestOf(going.map(({ change, decision }) => [change.seq, decision.verdict, decision.reasons])),
        request: standing?.stored.bytes ?? null,
        approvals: (standing?.signed ?? [])
          .filter(({ verdict }) => verdict === 'approve')
          .map(({ person, armored }) => ({ person, armored })),
        beneficiaries: standing?.stored.beneficiaries ?? [],
        changes: going.map(({ change }) => ({ leaf: change.leafText, proof: tree.prove(change.seq - 1) })),
        snapshots: Object.fromEntries(
          [...evidence].filter(([, { id }]) => id !== '').map(([feed, { id }]) => [feed, id]),
        ),
        issuedAt: now,
        expiresAt: now + WRIT_LIFETIME_MS,
      };
      const writ = sealWrit(body, world.decisionKey);
      await tx.query('insert into writ (tenant, id, plan, bytes, expires_at) values ($1, $2, $3, $4, $5)', [
        tenant,
        body.id,
        number,
        JSON.stringify(writ),
        isoTime(body.expiresAt),
      ]);
      await world.record(tx, [
        {
          kind: 'writ.sealed',
          refs: { plan: `P${number}`, writ: body.id },
          body: { writ: writ.body, seal: writ.seal },
        },
      ]);
      return { writ, id: body.id, going: going.map(({ change }) => change) };
    });
    if (sealed === null) continue;
    // The ledger has the writ before the gateway opens for it.
    await world.settle();
    let note: string | null = null;
    try {
      await world.gateway.admit(sealed.writ);
    } catch (thrown) {
      // Away: the same stage, and another writ later. Otherwise the gateway's own judgement came out otherwise than ours.
      if (hasCode(thrown, 'peer-lost')) throw thrown;
      note = thrown instanceof Error ? thrown.message : String(thrown);
    }
    const refused = note !== null;
    await database.tx((tx) =>
      move(
        tx,
        tenant,
        ['approved', 'contradicted'],
        sealed.going.map(({ plan, seq }) => ({
          plan,
          seq,
          stage: refused ? ('refused' as const) : ('permitted' as const),
          writ: sealed.id,
          note,
        })),
        clock,
      ),
    );
  }
}
