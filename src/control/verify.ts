/**
 * applied → verified | contradicted | inconclusive: somebody else looks, and only his signature counts.
 * What was seen becomes the observed state, so that the next plan starts from what is so and not from what was claimed.
 */

import { type Instant, isoTime } from '../clock.ts';
import type { Attributes } from '../connector/contract.ts';
import { tupleOf } from '../plan/change.ts';
import { groupCommit } from '../store/batch.ts';
import type { Queryable } from '../store/database.ts';
import { checkVerification, type Looked, type VerificationBody } from '../verification/look.ts';
import { tupleKey } from '../writ/tuple.ts';
import { type ChangeRow, changeId, move, readPlans, type Step } from './rows.ts';
import type { World } from './world.ts';

/** After a contradiction the change is tried again, at growing distance; an inconclusive look is repeated sooner. */
const RETRY_MS = [60_000, 300_000, 1_800_000, 7_200_000];
const LOOK_AGAIN_MS = [5_000, 30_000, 60_000, 300_000];
const delay = (table: readonly number[], attempt: number): number =>
  table[Math.min(attempt, table.length - 1)] ?? 60_000;

interface Seen {
  readonly change: ChangeRow;
  readonly looked: Looked | null;
  readonly body: VerificationBody | null;
  readonly step: Step;
}

export async function verify(world: World, changes: readonly ChangeRow[]): Promise<void> {
  const { tenant } = world.authority;
  const plans = new Map(
    (await readPlans(world.database, tenant, [...new Set(changes.map(({ plan }) => plan))])).map((plan) => [
      plan.number,
      plan,
    ]),
  );
  const ids = await accountIds(world.database, tenant, changes);
  const save = groupCommit<Seen, void>(async (seen) => {
    await world.database.tx(async (tx) => {
      await move(
        tx,
        tenant,
        ['applied', 'inconclusive'],
        seen.map(({ step }) => step),
        world.clock,
      );
      await settleObserved(tx, tenant, seen, world.clock.now());
    });
    return seen.map(() => undefined);
  });
  await Promise.all(
    changes.map(async (change) => {
      const { leaf } = change;
      const looked = await world.verifier
        .look({
          tenant,
          plan: (plans.get(change.plan)?.digest ?? '') as never,
          change: changeId(change),
          tuple: tupleOf(leaf),
          id: leaf.id ?? ids.get(`${leaf.system} ${leaf.object}`) ?? null,
          attributes: leaf.value as Attributes | null,
        })
        .catch(() => null);
      // A word that the verifier did not sign is no word.
      const body = looked && checkVerification(looked, world.verifierKey);
      await save({ change, looked, body, step: stepOf(world, change, body) });
    }),
  );
}

function stepOf(world: World, change: ChangeRow, body: VerificationBody | null): Step {
  const { plan, seq, attempt } = change;
  const now = world.clock.now();
  const about = body && tupleKey(body.tuple) === tupleKey(tupleOf(change.leaf)) ? body : null;
  if (about === null) {
    return {
      plan,
      seq,
      stage: 'inconclusive',
      nextAt: now + delay(LOOK_AGAIN_MS, attempt),
      note: 'the verifier gave no answer',
    };
  }
  const { verdict, mechanism, saw, path, presented, at } = about;
  const verification = { verdict, mechanism, saw, path, presented, at };
  switch (verdict) {
    case 'confirmed':
      return { plan, seq, stage: 'verified', verification, note: null };
    case 'contradicted':
      return { plan, seq, stage: 'contradicted', verification, nextAt: now + delay(RETRY_MS, attempt - 1), note: saw };
    case 'inconclusive':
      return { plan, seq, stage: 'inconclusive', verification, nextAt: now + delay(LOOK_AGAIN_MS, attempt), note: saw };
  }
}

async function accountIds(db: Queryable, tenant: string, changes: readonly ChangeRow[]): Promise<Map<string, string>> {
  const rows = await db.query<{ system: string; login: string; id: string }>(
    `select a.system, a.login, a.id from account a join unnest($2::text[], $3::text[]) as u(system, login) using (system, login)
      where a.tenant = $1`,
    [tenant, changes.map(({ leaf }) => leaf.system), changes.map(({ leaf }) => leaf.object)],
  );
  return new Map(rows.map(({ system, login, id }) => [`${system} ${login}`, id]));
}

/** Writes down what the verifier saw of accounts and memberships. */
async function settleObserved(tx: Queryable, tenant: string, seen: readonly Seen[], now: Instant): Promise<void> {
  const at = isoTime(now);
  for (const { change, looked, body } of seen) {
    if (!looked || body?.verdict !== 'confirmed') continue;
    const { leaf } = change;
    const where = [tenant, leaf.system, leaf.object];
    switch (leaf.effect) {
      case 'create':
      case 'enable':
      case 'update':
      case 'adopt':
        await tx.query(
          `insert into account (tenant, system, login, id, person, management, state, attributes, observed_at)
           values ($1, $2, $3, $4, $5, 'managed', $6, $7, $8)
           on conflict (tenant, system, login) do update
             set id = excluded.id, person = excluded.person, management = 'managed', state = excluded.state,
                 attributes = excluded.attributes, disabled_at = null, observed_at = excluded.observed_at`,
          [
            ...where,
            looked.id ?? leaf.object,
            leaf.person,
            looked.account === 'disabled' ? 'disabled' : 'active',
            JSON.stringify(looked.attributes ?? leaf.value ?? {}),
            at,
          ],
        );
        if (leaf.person !== null) {
          await tx.query(
            'insert into login (tenant, system, login, person) values ($1, $2, $3, $4) on conflict do nothing',
            [...where, leaf.person],
          );
        }
        break;
      case 'disable':
        await tx.query(
          `update account set state = 'disabled', disabled_at = coalesce(disabled_at, $4), observed_at = $4
            where tenant = $1 and system = $2 and login = $3`,
          [...where, at],
        );
        break;
      case 'delete':
        await tx.query('delete from account where tenant = $1 and system = $2 and login = $3', where);
        await tx.query('delete from held where tenant = $1 and system = $2 and login = $3', where);
        break;
      case 'grant':
        await tx.query(
          `insert into held (tenant, system, login, entitlement, observed_at) values ($1, $2, $3, $4, $5) on conflict do nothing`,
          [...where, leaf.entitlement, at],
        );
        break;
      case 'revoke':
        await tx.query('delete from held where tenant = $1 and system = $2 and login = $3 and entitlement = $4', [
          ...where,
          leaf.entitlement,
        ]);
        break;
      default:
        break;
    }
  }
}
