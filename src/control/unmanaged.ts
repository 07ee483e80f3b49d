/**
 * What planning proposes by itself for accounts that nobody wrote down, where the signed authority says so
 * (`targets.*.unmanaged`): to adopt those that belong to exactly one person, or to stop them. Proposals only: people sign
 * each, and the gateway looks for itself whether the account is anybody's.
 */
import type { Authority } from '../authority/authority.ts';
import { mechanismsOf } from '../authority/target.ts';
import { correlateAccounts } from '../identity/correlate.ts';
import type { PersonAttributes, State } from '../identity/lifecycle.ts';
import { isProtected, isSystemLogin } from '../identity/login.ts';
import type { Rules } from '../identity/rules.ts';
import type { Existing } from '../plan/limits.ts';
import type { Draft, LeftAlone } from '../plan/make.ts';
import type { Queryable } from '../store/database.ts';
import type { Adoptable } from './shown.ts';

export interface Unmanaged extends Adoptable {
  readonly id: string;
}

/** The accounts on a target that nobody wrote down, each with whom it seems to belong to. */
export async function unmanagedOn(
  db: Queryable,
  { authority, rules }: { readonly authority: Authority; readonly rules: Rules },
  system: string,
): Promise<readonly Unmanaged[]> {
  const { tenant } = authority;
  const target = authority.targets[system];
  if (!target) return [];
  const accounts = await db.query<{ login: string; id: string; state: string; attributes: Record<string, string> }>(
    `select login, id, state, attributes from account where tenant = $1 and system = $2 and management = 'unmanaged' order by login`,
    [tenant, system],
  );
  if (accounts.length === 0) return [];
  const people = await db.query<{ id: string; state: State; attributes: PersonAttributes }>(
    'select id, state, attributes from person where tenant = $1',
    [tenant],
  );
  const { matched, quarantined } = correlateAccounts(accounts, people, target, rules.fields);
  const byId = new Map(people.map((person) => [person.id, person]));
  return accounts.map(({ login, id, state }) => {
    const person = matched.get(login) ?? null;
    const known = person === null ? undefined : byId.get(person);
    const doubt = quarantined.find(({ logins }) => logins.includes(login));
    return {
      system,
      login,
      id,
      state,
      person,
      name: known ? String(known.attributes['name'] ?? person) : null,
      why: known ? target.match : (doubt?.why ?? `nobody fits ${target.match}`),
    };
  });
}

/** Adoptions of accounts whose person is known, with the record of each that the gateway binds. */
export async function draftAdoptions(
  tx: Queryable,
  authority: Authority,
  chosen: readonly Unmanaged[],
): Promise<readonly Draft[]> {
  const keys = await tx.query<{ person: string; feed: string; key: string }>(
    `select distinct on (person) person, feed, key from affiliation where tenant = $1 and person = any($2) order by person, state = 'left'`,
    [authority.tenant, chosen.map(({ person }) => person)],
  );
  const subjects = new Map(keys.map(({ person, feed, key }) => [person, { feed, key }]));
  return chosen.map(({ system, login, id, person }) => ({
    system,
    object: login,
    effect: 'adopt',
    entitlement: null,
    valueDigest: null,
    value: null,
    subject: subjects.get(person ?? '') ?? null,
    person,
    id,
    cause: `adoption by ${authority.targets[system]?.match}`,
    until: null,
  }));
}

/** Adopting changes nothing on a target, so no share of it is at stake; count and people still are. */
export const NO_SHARE: Existing = { things: Number.MAX_SAFE_INTEGER };

export interface Proposals {
  readonly adoptions: readonly Draft[];
  readonly reverts: readonly Draft[];
  /** What the share of the reverts is of: all accounts, managed or not, and what they hold. */
  readonly existing: Existing;
  readonly leftAlone: readonly LeftAlone[];
}

/** @param systems those whose whole population was read */
export async function propose(
  tx: Queryable,
  world: { readonly authority: Authority; readonly rules: Rules },
  systems: readonly string[],
): Promise<Proposals> {
  const { authority } = world;
  const declared = (what: 'adopt' | 'revert') =>
    systems.filter((system) => authority.targets[system]?.unmanaged === what);
  const [adopting, reverting] = [declared('adopt'), declared('revert')];
  const adoptions: Draft[] = [];
  const reverts: Draft[] = [];
  const leftAlone: LeftAlone[] = [];
  if (adopting.length + reverting.length === 0) return { adoptions, reverts, existing: NO_SHARE, leftAlone };
  const asked = await adoptionsAsked(tx, authority.tenant);
  for (const system of adopting) {
    const found = await unmanagedOn(tx, world, system);
    const theirs = found.filter(({ login, person }) => person !== null && !asked.has(`${system} ${login}`));
    adoptions.push(...(await draftAdoptions(tx, authority, theirs)));
  }
  for (const system of reverting) {
    const held = await heldOn(tx, authority, system);
    for (const account of await unmanagedOn(tx, world, system)) {
      if (asked.get(`${system} ${account.login}`) === 'open') continue;
      const drafts = draftRevert(authority, account, held.get(account.login) ?? []);
      if (drafts.length === 0 || !isOutOfReach(authority, account)) reverts.push(...drafts);
      else
        leftAlone.push({ system, login: account.login, person: account.login, why: 'an account of the system itself' });
    }
  }
  return { adoptions, reverts, existing: await everything(tx, authority.tenant), leftAlone };
}

const isOutOfReach = (authority: Authority, { system, login }: Unmanaged): boolean => {
  const target = authority.targets[system];
  return target === undefined || isProtected(target, login) || isSystemLogin(login);
};

/** Stopped and emptied, not deleted: what was somebody's after all is enabled again. */
function draftRevert(
  authority: Authority,
  { system, login, id, state, person }: Unmanaged,
  holds: readonly string[],
): readonly Draft[] {
  const target = authority.targets[system];
  // Removals for different reasons are different plans: those that fit a person are looked at by themselves.
  const cause =
    person === null ? 'revert nobody’s account' : 'revert an account that fits a person and was not adopted';
  const change = (effect: 'disable' | 'revoke', entitlement: string | null): Draft => ({
    system,
    object: login,
    effect,
    entitlement,
    valueDigest: null,
    value: null,
    subject: null,
    person: null,
    id,
    cause,
    until: null,
  });
  const isActive = state === 'active';
  const connections = isActive && target !== undefined && mechanismsOf(target).includes('@connections');
  return [
    ...(isActive ? [change('disable', null)] : []),
    ...(connections ? [change('revoke', '@connections')] : []),
    ...holds.map((entitlement) => change('revoke', entitlement)),
  ];
}

/** Login → configured entitlements that unmanaged accounts hold. */
async function heldOn(tx: Queryable, { tenant, entitlements }: Authority, system: string) {
  const rows = await tx.query<{ login: string; entitlement: string }>(
    `select h.login, h.entitlement from held h join account a using (tenant, system, login)
      where h.tenant = $1 and h.system = $2 and a.management = 'unmanaged' order by h.login, h.entitlement`,
    [tenant, system],
  );
  const held = new Map<string, string[]>();
  for (const { login, entitlement } of rows) {
    if (entitlements[entitlement]?.on === system) held.set(login, [...(held.get(login) ?? []), entitlement]);
  }
  return held;
}

/**
 * Accounts about whose adoption people are being asked, or said no to. Planning does not ask twice (`writgate adopt` with
 * the login does), and does not stop what somebody is about to adopt.
 */
async function adoptionsAsked(tx: Queryable, tenant: string): Promise<ReadonlyMap<string, 'open' | 'refused'>> {
  const rows = await tx.query<{ system: string; login: string; open: boolean }>(
    `select c.system, c.login, bool_or(c.open) as open
       from (select c.system, c.login,
                    p.state in ('open', 'refused')
                      and c.stage not in ('denied', 'refused', 'failed', 'expired', 'superseded') as open,
                    exists (select 1 from approval a
                             where a.tenant = c.tenant and a.plan = c.plan and a.verdict = 'refuse') as said_no
               from change c join plan p on p.tenant = c.tenant and p.number = c.plan
              where c.tenant = $1 and c.effect = 'adopt') c
      where c.open or c.said_no group by c.system, c.login`,
    [tenant],
  );
  return new Map(rows.map(({ system, login, open }) => [`${system} ${login}`, open ? 'open' : 'refused']));
}

const everything = (tx: Queryable, tenant: string): Promise<Existing> =>
  tx.one<{ things: number }>(
    `select ((select count(*) from account where tenant = $1 and state = 'active')
           + (select count(*) from held where tenant = $1))::int as things`,
    [tenant],
  );
