/**
 * Brownfield: accounts that nobody wrote down. Shown with whom they seem to belong to; taken under management by a plan
 * that people sign, and by nothing else; or put out of reach.
 */

import { advance } from '../advance.ts';
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { isProtected } from '../identity/login.ts';
import { makePlans } from '../plan/make.ts';
import { readEvidence } from './decide.ts';
import { storePlans } from './planning.ts';
import { readChanges } from './rows.ts';
import type { Adoptable } from './shown.ts';
import { draftAdoptions, NO_SHARE, type Unmanaged, unmanagedOn } from './unmanaged.ts';
import type { World } from './world.ts';

async function unmanaged(world: World, system: string): Promise<readonly Unmanaged[]> {
  const { targets } = world.authority;
  if (!targets[system])
    throw new Failure('not-found', `no target ${system}; there are ${Object.keys(targets).join(', ')}`);
  return unmanagedOn(world.database, world, system);
}

export const adoptable = async (world: World, system: string): Promise<readonly Adoptable[]> =>
  (await unmanaged(world, system)).map(({ id: _id, ...shown }) => shown);

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
      drafts: await draftAdoptions(tx, authority, chosen),
      existing: NO_SHARE,
      // To adopt is to give nothing.
      terminated: new Set(),
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
  const at = isoTime(world.clock.now());
  return world.database.tx(async (tx) => {
    const rows = await tx.query<{ login: string }>(
      `update account set management = 'protected' where tenant = $1 and system = $2 and login = any($3) returning login`,
      [tenant, system, logins],
    );
    const missing = logins.find((login) => !rows.some((row) => row.login === login));
    if (missing !== undefined) throw new Failure('not-found', `${missing} is no account on ${system}`);
    await tx.query(
      `insert into protection (tenant, system, login, since) select $1, $2, unnest($3::text[]), $4 on conflict do nothing`,
      [tenant, system, logins, at],
    );
    await tx.query(
      `update change set stage = 'denied', note = 'protected', updated_at = $4
        where tenant = $1 and system = $2 and login = any($3) and stage in ('planned', 'decided', 'approved', 'held', 'waiting')`,
      [tenant, system, logins, at],
    );
    await world.record(tx, [{ kind: 'account.protected', refs: { system }, body: { logins } }]);
    return rows.length;
  });
}

/** Takes the word of `protect` back. What is done with the account then is a plan like any other. */
export async function unprotect(world: World, system: string, logins: readonly string[]): Promise<number> {
  const { tenant, targets } = world.authority;
  const target = targets[system];
  const declared = logins.find((login) => target !== undefined && isProtected(target, login));
  if (declared !== undefined) {
    throw new Failure(
      'wrong-use',
      `${declared} is protected by targets.${system}.protected in writgate.yaml, and that is signed; edit it there`,
    );
  }
  return world.database.tx(async (tx) => {
    const rows = await tx.query<{ login: string }>(
      'delete from protection where tenant = $1 and system = $2 and login = any($3) returning login',
      [tenant, system, logins],
    );
    const missing = logins.find((login) => !rows.some((row) => row.login === login));
    if (missing !== undefined) throw new Failure('not-found', `${missing} on ${system} was not protected by hand`);
    await tx.query(
      `update account set management = case when person is null then 'unmanaged' else 'managed' end
        where tenant = $1 and system = $2 and login = any($3)`,
      [tenant, system, logins],
    );
    await world.record(tx, [{ kind: 'account.unprotected', refs: { system }, body: { logins } }]);
    return rows.length;
  });
}
