/**
 * Brownfield: accounts that nobody wrote down. Shown with whom they seem to belong to; taken under management by a plan
 * that people sign, and by nothing else; or put out of reach.
 */

import { advance } from '../advance.ts';
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { correlateAccounts } from '../identity/correlate.ts';
import type { PersonAttributes, State } from '../identity/lifecycle.ts';
import { makePlans } from '../plan/make.ts';
import { readEvidence } from './decide.ts';
import { storePlans } from './planning.ts';
import { readChanges } from './rows.ts';
import type { Adoptable } from './shown.ts';
import type { World } from './world.ts';

interface Found extends Adoptable {
  readonly id: string;
  readonly attributes: PersonAttributes;
}

async function unmanaged(world: World, system: string): Promise<readonly Found[]> {
  const { authority, database, rules } = world;
  const { tenant } = authority;
  const target = authority.targets[system];
  if (!target)
    throw new Failure('not-found', `no target ${system}; there are ${Object.keys(authority.targets).join(', ')}`);
  const accounts = await database.query<{
    login: string;
    id: string;
    state: string;
    attributes: Record<string, string>;
  }>(
    `select login, id, state, attributes from account where tenant = $1 and system = $2 and management = 'unmanaged' order by login`,
    [tenant, system],
  );
  const people = await database.query<{ id: string; state: State; attributes: PersonAttributes }>(
    'select id, state, attributes from person where tenant = $1',
    [tenant],
  );
  const correlated = correlateAccounts(accounts, people, target, rules.fields);
  const byId = new Map(people.map((person) => [person.id, person]));
  return accounts.map((account) => {
    const person = correlated.matched.get(account.login) ?? null;
    const doubt = correlated.quarantined.find(({ logins }) => logins.includes(account.login));
    const known = person === null ? undefined : byId.get(person);
    return {
      system,
      login: account.login,
      state: account.state,
      person,
      name: known ? String(known.attributes['name'] ?? person) : null,
      why: known ? target.match : (doubt?.why ?? `nobody fits ${target.match}`),
      id: account.id,
      attributes: account.attributes,
    };
  });
}

export const adoptable = async (world: World, system: string): Promise<readonly Adoptable[]> =>
  (await unmanaged(world, system)).map(({ id: _id, attributes: _attributes, ...shown }) => shown);

/** @param logins which; null: all that belong to exactly one person. @returns the plans that people sign */
export async function adopt(
  world: World,
  system: string,
  logins: readonly string[] | null,
): Promise<readonly number[]> {
  const { authority, clock, database } = world;
  const found = await unmanaged(world, system);
  const chosen = found.filter(({ login, person }) => (logins === null ? person !== null : logins.includes(login)));
  const nobody = chosen.find(({ person }) => person === null);
  if (nobody) throw new Failure('wrong-use', `${nobody.login} on ${system} cannot be adopted: ${nobody.why}`);
  const missing = logins?.find((login) => !found.some((account) => account.login === login));
  if (missing !== undefined) throw new Failure('not-found', `${missing} is no unmanaged account on ${system}`);
  if (chosen.length === 0) throw new Failure('not-found', `there is nothing to adopt on ${system}`);
  const numbers = await database.tx(async (tx) => {
    const keys = await tx.query<{ person: string; feed: string; key: string }>(
      `select distinct on (person) person, feed, key from affiliation where tenant = $1 and person = any($2) order by person, state = 'left'`,
      [authority.tenant, chosen.map(({ person }) => person)],
    );
    const subjects = new Map(keys.map(({ person, feed, key }) => [person, { feed, key }]));
    const evidence = await readEvidence(tx, world);
    const { next } = await tx.one<{ next: number }>(
      'select coalesce(max(number), 0)::int + 1 as next from plan where tenant = $1',
      [authority.tenant],
    );
    let number = next;
    const now = clock.now();
    const plans = makePlans({
      authority,
      roster: world.roster,
      base: {
        authorityDigest: world.authorityDigest,
        snapshots: Object.fromEntries([...evidence].map(([feed, { id }]) => [feed, id])),
        observedAt: now,
        policy: world.policyDigest,
      },
      drafts: chosen.map(({ login, id, person }) => ({
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
      })),
      // To adopt is to give nothing.
      terminated: new Set(),
      // Adopting changes nothing on the target, so no share of it is at stake; count and people still are.
      existing: { things: Number.MAX_SAFE_INTEGER },
      now,
      numberFor: () => number++,
    });
    return (await storePlans(tx, world, plans, now)).made;
  });
  for (const made of numbers) {
    for (const stage of ['planned', 'decided']) {
      await advance(
        world,
        (await readChanges(database, authority.tenant, made)).filter((change) => change.stage === stage),
      );
    }
  }
  return numbers;
}

/**
 * Puts accounts out of Writgate's reach, at once: taking authority away from it needs no approval. To make it last
 * beyond this database, the login goes into `protected` of the target too.
 */
export async function protect(world: World, system: string, logins: readonly string[]): Promise<number> {
  const { tenant } = world.authority;
  return world.database.tx(async (tx) => {
    const rows = await tx.query<{ login: string }>(
      `update account set management = 'protected' where tenant = $1 and system = $2 and login = any($3) returning login`,
      [tenant, system, logins],
    );
    const missing = logins.find((login) => !rows.some((row) => row.login === login));
    if (missing !== undefined) throw new Failure('not-found', `${missing} is no account on ${system}`);
    await tx.query(
      `update change set stage = 'denied', note = 'protected', updated_at = $4
        where tenant = $1 and system = $2 and login = any($3) and stage in ('planned', 'decided', 'approved', 'held', 'waiting')`,
      [tenant, system, logins, isoTime(world.clock.now())],
    );
    await world.record(tx, [{ kind: 'account.protected', refs: { system }, body: { logins } }]);
    return rows.length;
  });
}
