/** planned → decided | denied | held: policy, on a small closed record of facts, with its reasons. */

import { isoTime, MAX_SKEW_MS } from '../clock.ts';
import type { Decision, DecisionInput } from '../decision/decide.ts';
import { isProtected } from '../identity/login.ts';
import { type Leaf, privilegeOf, tupleOf } from '../plan/change.ts';
import { isFresh } from '../source/contract.ts';
import type { Queryable } from '../store/database.ts';
import { type ChangeRow, changeId, move, readPlans } from './rows.ts';
import type { World } from './world.ts';

/** What the newest accepted snapshot of each feed is worth at this moment. */
export type Evidence = ReadonlyMap<
  string,
  { readonly id: string; readonly verdict: 'fresh' | 'stale' | 'held' | 'none'; readonly asOf: DecisionInput['asOf'] }
>;

export async function readEvidence(db: Queryable, world: World): Promise<Evidence> {
  const { tenant, feeds } = world.authority;
  const now = world.clock.now();
  const rows = await db.query<{ feed: string; id: string; as_of: Date | null; as_of_kind: DecisionInput['asOf'] }>(
    `select distinct on (feed) feed, id, as_of, as_of_kind from snapshot
      where tenant = $1 and verdict = 'accepted' and as_of <= $2 order by feed, as_of desc, received_at desc`,
    [tenant, isoTime(now + MAX_SKEW_MS)],
  );
  return new Map(
    Object.entries(feeds).map(
      ([feed, { contract, exporter }]): [string, Evidence extends ReadonlyMap<string, infer V> ? V : never] => {
        const row = rows.find((other) => other.feed === feed);
        if (!row) return [feed, { id: '', verdict: 'none', asOf: 'none' }];
        // Where an exporter is named, an age that he did not sign is none; the gateway judges the same.
        const believed = exporter === undefined || row.as_of_kind === 'signed';
        const fresh = believed && isFresh(row.as_of?.getTime() ?? null, contract.maxAge, now);
        return [feed, { id: row.id, verdict: fresh ? 'fresh' : 'stale', asOf: row.as_of_kind }];
      },
    ),
  );
}

const CAUSES: readonly [RegExp, DecisionInput['cause']][] = [
  [/^birthright /, 'birthright'],
  [/^request /, 'request'],
  [/^exception /, 'exception'],
  [/^adoption/, 'adoption'],
  [/^revert /, 'revert'],
  [/^left$/, 'absence'],
];

export function decisionInput(
  world: World,
  leaf: Leaf,
  personState: DecisionInput['personState'],
  evidence: Evidence,
  overLimit: boolean,
): DecisionInput {
  const target = world.authority.targets[leaf.system];
  const source = leaf.subject === null ? undefined : evidence.get(leaf.subject.feed);
  const cause = CAUSES.find(([form]) => form.test(leaf.cause))?.[1] ?? 'lifecycle';
  return {
    effect: leaf.effect,
    system: leaf.system,
    privilege: privilegeOf(world.authority, tupleOf(leaf)),
    cause,
    sourceVerdict: source?.verdict ?? 'none',
    asOf: source?.asOf ?? 'none',
    personState,
    protected: target === undefined || isProtected(target, leaf.object),
    // What is not managed does not become a change but to be adopted, or to be stopped.
    managed: leaf.effect !== 'adopt' && cause !== 'revert',
    overLimit,
    automated: false,
  };
}

const NEXT = { permit: 'decided', deny: 'denied', hold: 'held' } as const;

export async function decide(world: World, changes: readonly ChangeRow[]): Promise<void> {
  const { tenant } = world.authority;
  const { database, clock } = world;
  await database.tx(async (tx) => {
    const evidence = await readEvidence(tx, world);
    const plans = new Map(
      (await readPlans(tx, tenant, [...new Set(changes.map(({ plan }) => plan))])).map((plan) => [plan.number, plan]),
    );
    const people = await tx.query<{ id: string; state: DecisionInput['personState'] }>(
      'select id, state from person where tenant = $1 and id = any($2)',
      [tenant, [...new Set(changes.flatMap(({ leaf }) => (leaf.person === null ? [] : [leaf.person])))]],
    );
    const states = new Map(people.map(({ id, state }) => [id, state]));
    const decisions: { change: ChangeRow; input: DecisionInput; decision: Decision }[] = changes.map((change) => {
      const plan = plans.get(change.plan);
      const state = (change.leaf.person !== null ? states.get(change.leaf.person) : undefined) ?? 'none';
      const input = decisionInput(world, change.leaf, state, evidence, plan?.header.overLimit ?? false);
      return { change, input, decision: world.decide(input) };
    });
    await move(
      tx,
      tenant,
      ['planned'],
      decisions.map(({ change, decision }) => {
        // What policy holds waits for a person; in a plan that people sign anyway, their signatures are that look.
        const attended = decision.verdict === 'hold' && (plans.get(change.plan)?.people ?? 0) > 0;
        return {
          plan: change.plan,
          seq: change.seq,
          stage: attended ? ('decided' as const) : NEXT[decision.verdict],
          decision: { verdict: decision.verdict, reasons: decision.reasons, policy: decision.policyDigest },
          note: decision.alarm,
        };
      }),
      clock,
    );
    for (const [number, plan] of plans) {
      const own = decisions.filter(({ change }) => change.plan === number);
      await world.record(tx, [
        {
          kind: 'plan.decided',
          refs: { plan: `P${number}` },
          body: {
            plan: plan.digest,
            policy: world.policyDigest,
            decisions: own.map(({ change, input, decision }) => ({
              change: changeId(change),
              verdict: decision.verdict,
              reasons: decision.reasons,
              input,
            })),
          },
        },
      ]);
    }
  });
}
