/**
 * applied → verified | contradicted | inconclusive: somebody else looks, and only his signature counts.
 * What was seen becomes the observed state, so that the next plan starts from what is so and not from what was claimed.
 */

import type { Digest } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import type { Attributes } from '../connector/contract.ts';
import { tupleOf } from '../plan/change.ts';
import { groupCommit } from '../store/batch.ts';
import type { Queryable } from '../store/database.ts';
import { storedJson } from '../store/text.ts';
import { checkVerification, type Looked, type VerificationBody } from '../verification/look.ts';
import { ADDING, type Tuple, tupleKey } from '../writ/tuple.ts';
import { type ChangeRow, changeId, move, type Step } from './rows.ts';
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

/** What was seen is written down in company, whatever group it was taken in. */
const savers = new WeakMap<World, (seen: Seen) => Promise<void>>();

function saverOf(world: World): (seen: Seen) => Promise<void> {
  const known = savers.get(world);
  if (known) return known;
  const save = groupCommit<Seen, void>(
    async (seen) => {
      const { tenant } = world.authority;
      const steps = seen.map(({ step }) => step);
      await world.database.tx(async (tx) => {
        await move(tx, tenant, ['applied', 'inconclusive'], steps, world.clock);
        for (const part of partsOf(seen)) await settleObserved(tx, tenant, part, world.clock.now());
      });
      return seen.map(() => undefined);
    },
    { gather: { ms: 10, clock: world.clock } },
  );
  savers.set(world, save);
  return save;
}

export async function verify(world: World, changes: readonly ChangeRow[]): Promise<void> {
  const save = saverOf(world);
  await Promise.all(
    changes.map(async (change) => {
      const { leaf } = change;
      const looked = await world.verifier
        .look({
          tenant: world.authority.tenant,
          plan: change.planDigest as Digest,
          change: changeId(change),
          tuple: tupleOf(leaf),
          id: leaf.id ?? change.accountId,
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

/** In the order in which it was seen: what was taken away and given again within one batch is there at the end. */
function partsOf(seen: readonly Seen[]): readonly (readonly Seen[])[] {
  const parts: Seen[][] = [];
  let adding: boolean | null = null;
  for (const item of seen) {
    const adds = ADDING.has(item.change.leaf.effect);
    if (adds !== adding) parts.push([]);
    adding = adds;
    parts.at(-1)?.push(item);
  }
  return parts;
}

/** Writes down what the verifier saw of accounts and memberships, one statement for each kind of effect. */
async function settleObserved(tx: Queryable, tenant: string, seen: readonly Seen[], now: Instant): Promise<void> {
  const at = isoTime(now);
  const confirmed = seen.filter(({ looked, body }) => looked !== null && body?.verdict === 'confirmed');
  const of = (...effects: readonly Tuple['effect'][]) => {
    const own = confirmed.filter(({ change }) => effects.includes(change.leaf.effect));
    const column = <T>(pick: (item: Seen) => T) => own.map(pick);
    const [systems, logins] = [column(({ change }) => change.leaf.system), column(({ change }) => change.leaf.object)];
    return { own, column, systems, logins };
  };

  const present = of('create', 'enable', 'update', 'adopt');
  if (present.own.length > 0) {
    const { column, systems, logins } = present;
    const people = column(({ change }) => change.leaf.person);
    await tx.query(
      `insert into account (tenant, system, login, id, person, management, state, attributes, observed_at)
       select distinct on (u.system, u.login) $1, u.system, u.login, u.id, u.person, 'managed', u.state, u.attributes, $8::timestamptz
         from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[]) as u(system, login, id, person, state, attributes)
       on conflict (tenant, system, login) do update
         set id = excluded.id, person = excluded.person, management = 'managed', state = excluded.state,
             attributes = excluded.attributes, disabled_at = null, observed_at = excluded.observed_at`,
      [
        tenant,
        systems,
        logins,
        column(({ looked, change }) => looked?.id ?? change.leaf.object),
        people,
        column(({ looked }) => (looked?.account === 'disabled' ? 'disabled' : 'active')),
        column(({ looked, change }) => storedJson(JSON.stringify(looked?.attributes ?? change.leaf.value ?? {}))),
        at,
      ],
    );
    await tx.query(
      `insert into login (tenant, system, login, person)
       select $1, u.system, u.login, u.person from unnest($2::text[], $3::text[], $4::text[]) as u(system, login, person)
        where u.person is not null on conflict do nothing`,
      [tenant, systems, logins, people],
    );
  }
  const disabled = of('disable');
  if (disabled.own.length > 0) {
    await tx.query(
      `update account a set state = 'disabled', disabled_at = coalesce(disabled_at, $4), observed_at = $4
         from unnest($2::text[], $3::text[]) as u(system, login)
        where a.tenant = $1 and a.system = u.system and a.login = u.login`,
      [tenant, disabled.systems, disabled.logins, at],
    );
  }
  const deleted = of('delete');
  for (const table of ['held', 'account']) {
    if (deleted.own.length === 0) break;
    await tx.query(
      `delete from ${table} a using unnest($2::text[], $3::text[]) as u(system, login)
        where a.tenant = $1 and a.system = u.system and a.login = u.login`,
      [tenant, deleted.systems, deleted.logins],
    );
  }
  const granted = of('grant');
  if (granted.own.length > 0) {
    await tx.query(
      `insert into held (tenant, system, login, entitlement, observed_at)
       select $1, u.system, u.login, u.entitlement, $5::timestamptz
         from unnest($2::text[], $3::text[], $4::text[]) as u(system, login, entitlement) on conflict do nothing`,
      [tenant, granted.systems, granted.logins, granted.column(({ change }) => change.leaf.entitlement), at],
    );
  }
  const revoked = of('revoke');
  if (revoked.own.length > 0) {
    await tx.query(
      `delete from held h using unnest($2::text[], $3::text[], $4::text[]) as u(system, login, entitlement)
        where h.tenant = $1 and h.system = u.system and h.login = u.login and h.entitlement = u.entitlement`,
      [tenant, revoked.systems, revoked.logins, revoked.column(({ change }) => change.leaf.entitlement)],
    );
  }
}
