/**
 * The whole product on one page.
 *
 * A change is a small frozen value on one road, and each station is kept by somebody else:
 *
 *   planned ─► decided ─► approved ─► permitted ─► applied ─► verified
 *   (plan)     (Cedar)    (people)    (writ)       (gateway)  (verifier)
 *
 * `advance` takes each change that it is given exactly one stage further, and is safe to call again: a tick, an
 * arriving signature and a restart after a crash all call it, and there is no other way forward and no other recovery.
 * What each station established is written into the ledger in the same transaction as the stage.
 */

import { apply } from './control/apply.ts';
import { approve } from './control/approve.ts';
import { decide } from './control/decide.ts';
import { permit } from './control/permit.ts';
import type { ChangeRow } from './control/rows.ts';
import { verify } from './control/verify.ts';
import type { World } from './control/world.ts';
import type { Stage } from './plan/change.ts';

/**
 * Each stage: what it means, and which way out of it `advance` takes. `null`: it rests here until somebody else acts,
 * and `by` says who.
 */
export const ROAD = {
  planned: { meaning: 'frozen in a plan', next: decide },
  decided: { meaning: 'policy permits it', next: approve },
  approved: { meaning: 'enough people signed, or it is inside the envelope', next: permit },
  permitted: { meaning: 'a writ names exactly this', next: apply },
  waiting: { meaning: 'the target is away, or the budget is used up for now', next: apply },
  applied: { meaning: 'the target claims that it is done', next: verify },
  inconclusive: { meaning: 'a look could not tell', next: verify },
  contradicted: { meaning: 'the target claimed it, and it is not so; alarmed', next: permit },
  verified: { meaning: 'the verifier saw it', by: 'nobody: this is the end of the road' },
  denied: { meaning: 'policy says no', by: 'a new plan' },
  held: { meaning: 'policy wants a person to look', by: 'an approver' },
  refused: { meaning: 'its limits, the gateway, the target or an approver said no', by: 'a new plan' },
  failed: { meaning: 'tried as often as it may be', by: 'a person' },
  expired: { meaning: 'nobody signed in time', by: 'a new plan' },
  superseded: { meaning: 'a newer plan takes its place', by: 'the newer plan' },
} as const satisfies Record<Stage, { meaning: string; next: Station } | { meaning: string; by: string }>;

type Station = (world: World, changes: readonly ChangeRow[]) => Promise<void>;

/** The stages from which `advance` leads on. */
export const MOVING: readonly Stage[] = (Object.keys(ROAD) as Stage[]).filter((stage) => 'next' in ROAD[stage]);

/** @param changes of one tenant, in any stage; those that rest are left where they are */
export async function advance(world: World, changes: readonly ChangeRow[]): Promise<void> {
  for (const stage of MOVING) {
    const step = ROAD[stage];
    const group = changes.filter((change) => change.stage === stage);
    if ('next' in step && group.length > 0) await step.next(world, group);
  }
}
