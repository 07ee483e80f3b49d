/** permitted → applied: a worker drives the connector, the gateway makes the change. What comes back is a claim. */

import { nameOnSystem } from '../authority/target.ts';
import type { Instant } from '../clock.ts';
import type { Attributes, Receipt, Task } from '../connector/contract.ts';
import { connectorFor, dutyOf } from '../gateway/scope.ts';
import { isMechanism } from '../plan/change.ts';
import { groupCommit } from '../store/batch.ts';
import { type ChangeRow, move, type Step } from './rows.ts';
import type { World } from './world.ts';

/** First pause after "not now"; doubled each time, and never longer than an hour. */
const PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 3_600_000;
/** No target is left alone for longer, whatever it asks for. */
const MOST_PATIENCE_MS = 86_400_000;
export const pauseMs = (attempt: number): number => Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** Math.min(attempt, 12));

/** So often a create that got no answer is asked for again before somebody looks. */
const ANSWERLESS_CREATES = 2;

/** A change that the target keeps asking patience for is given up after this many attempts. */
const MOST_ATTEMPTS = 20;

function taskOf(world: World, { leaf, accountId }: ChangeRow): Task {
  const target = world.authority.targets[leaf.system];
  const entitlement = leaf.entitlement === null ? undefined : world.authority.entitlements[leaf.entitlement];
  const name =
    leaf.entitlement === null
      ? undefined
      : isMechanism(leaf.entitlement) || !target || !entitlement
        ? leaf.entitlement
        : nameOnSystem(target, entitlement);
  return {
    effect: leaf.effect as Task['effect'],
    account: { login: leaf.object, id: leaf.id ?? accountId },
    ...(leaf.value === null ? {} : { attributes: leaf.value as Attributes }),
    ...(name === undefined ? {} : { entitlement: name }),
  };
}

async function applyOne(world: World, change: ChangeRow): Promise<Step> {
  const { plan, seq, leaf, writ, attempt } = change;
  const step = { plan, seq, attempt: attempt + 1 };
  if (writ === null) return { plan, seq, stage: 'approved' };
  if (leaf.effect === 'adopt') {
    const { ok, message, refusal: why } = await world.gateway.own(writ, seq);
    if (why === 'writ-expired') return { plan, seq, stage: 'approved' };
    return {
      ...step,
      stage: ok ? 'applied' : 'refused',
      receipt: { outcome: ok ? 'done' : 'refused', message },
      note: ok ? null : message,
    };
  }
  const connector = connectorFor(world.authority, leaf.system, dutyOf(leaf.effect));
  if (!connector) return { ...step, stage: 'refused', note: `no connector may ${leaf.effect} on ${leaf.system}` };

  let receipt: Receipt;
  let refusal: string | null = null;
  let retryAt: Instant | null | undefined = null;
  try {
    ({ receipt, refusal, retryAt } = await world.worker.apply(connector.name, writ, taskOf(world, change)));
  } catch (thrown) {
    // Worker or connector died in the middle: it may have happened. The same change comes again, and the gateway knows.
    receipt = {
      outcome: 'later',
      retryAfterMs: null,
      message: thrown instanceof Error ? thrown.message : String(thrown),
    };
  }
  // The writ ran out, or the gateway was restarted and does not hold it: another one, after another look at policy.
  if (refusal === 'writ-expired') return { plan, seq, stage: 'approved' };
  // Nothing was tried: it goes on by itself when the envelope's window has rolled.
  if (refusal === 'budget-empty' && retryAt)
    return { plan, seq, stage: 'waiting', receipt, nextAt: retryAt, note: receipt.message };
  if (refusal !== null) return { ...step, stage: 'refused', receipt, note: receipt.message };
  if (receipt.outcome === 'unknown' && leaf.effect === 'create' && attempt < ANSWERLESS_CREATES) {
    // A look could tell that there is an account, and not that it is ours: the gateway learns that from the next answer.
    receipt = { outcome: 'later', retryAfterMs: null, message: receipt.message };
  }
  switch (receipt.outcome) {
    case 'done':
    case 'already':
    // It may have happened, and only looking will tell.
    case 'unknown':
      return { ...step, stage: 'applied', receipt };
    case 'refused':
      return { ...step, stage: 'refused', receipt, note: receipt.message };
    case 'later':
      if (attempt + 1 >= MOST_ATTEMPTS) return { ...step, stage: 'failed', receipt, note: receipt.message };
      return {
        ...step,
        stage: 'waiting',
        receipt,
        nextAt: world.clock.now() + Math.min(receipt.retryAfterMs ?? pauseMs(attempt), MOST_PATIENCE_MS),
        note: receipt.message,
      };
  }
}

/** What ended is written down in company, whatever group it was taken in. */
const savers = new WeakMap<World, (step: Step) => Promise<void>>();

function saverOf(world: World): (step: Step) => Promise<void> {
  const known = savers.get(world);
  if (known) return known;
  const save = groupCommit<Step, void>(
    async (steps) => {
      const { tenant } = world.authority;
      await move(world.database, tenant, ['permitted', 'waiting'], steps, world.clock);
      return steps.map(() => undefined);
    },
    { gather: { ms: 10, clock: world.clock } },
  );
  savers.set(world, save);
  return save;
}

export async function apply(world: World, changes: readonly ChangeRow[]): Promise<void> {
  const save = saverOf(world);
  await Promise.all(changes.map(async (change) => save(await applyOne(world, change))));
}
