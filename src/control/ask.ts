/** Causes that people bring: a request for access with an end, and a termination ahead of HR. Both only become plans. */
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import type { Queryable } from '../store/database.ts';
import type { World } from './world.ts';

/** A person by our id, by the key of any feed, by login, e-mail or name. @throws Failure `not-found`, also when it is not one */
export async function findPerson(
  world: World,
  text: string,
): Promise<{ readonly id: string; readonly key: string; readonly name: string }> {
  const rows = await world.database.query<{ id: string; key: string; name: string }>(
    `select distinct on (p.id) p.id, coalesce(a.key, p.id) as key, coalesce(p.attributes ->> 'name', p.id) as name
       from person p left join affiliation a on a.tenant = p.tenant and a.person = p.id
      where p.tenant = $1 and (p.id = $2 or a.key = $2 or lower(p.attributes ->> 'login') = lower($2)
         or lower(p.attributes ->> 'email') = lower($2) or lower(p.attributes ->> 'name') = lower($2)
         or exists (select 1 from account x where x.tenant = p.tenant and x.person = p.id and x.login = lower($2)))
      order by p.id, a.feed limit 3`,
    [world.authority.tenant, text],
  );
  const [found, second] = rows;
  if (!found) throw new Failure('not-found', `nobody is ${text}, by id, HR key, login, e-mail or name`);
  if (second)
    throw new Failure(
      'not-found',
      `${text} is more than one person: ${rows.map(({ key, name }) => `${key} ${name}`).join(', ')}; use the key`,
    );
  return found;
}

/** @param by who asks: the HR key of a person. @returns the request's id */
export async function ask(
  world: World,
  input: {
    readonly person: string;
    readonly entitlement: string;
    readonly forMs: number | null;
    readonly reason: string;
    readonly by: string;
  },
): Promise<string> {
  const { authority, clock, database } = world;
  const entitlement = authority.entitlements[input.entitlement];
  if (!entitlement) {
    throw new Failure(
      'not-found',
      `no entitlement ${input.entitlement}; there are ${Object.keys(authority.entitlements).join(', ')}`,
    );
  }
  const longest = entitlement.maxFor ?? null;
  if (longest !== null && (input.forMs === null || input.forMs > longest)) {
    throw new Failure(
      'wrong-use',
      `${input.entitlement} may be held for ${longest / 3_600_000} h at most; ask with --for`,
    );
  }
  const person = await findPerson(world, input.person);
  const asker = await findPerson(world, input.by);
  const now = clock.now();
  const ref = `R${world.random(4).toString('hex')} by ${asker.key}`;
  await database.tx(async (tx) => {
    await tx.query(
      `insert into cause (tenant, person, entitlement, kind, ref, reason, by, starts_at, ends_at) values ($1, $2, $3, 'request', $4, $5, $6, $7, $8)`,
      [
        authority.tenant,
        person.id,
        input.entitlement,
        ref,
        input.reason,
        asker.key,
        isoTime(now),
        input.forMs === null ? null : isoTime(now + input.forMs),
      ],
    );
    await world.record(tx, [
      { kind: 'access.asked', refs: { person: person.id }, body: { ...input, person: person.key, by: asker.key, ref } },
    ]);
  });
  return ref;
}

/** Everything must go now, ahead of HR. It is an exception, so its plan needs signatures. */
export async function terminate(
  world: World,
  input: { readonly person: string; readonly reason: string; readonly by: string },
): Promise<string> {
  const person = await findPerson(world, input.person);
  const asker = await findPerson(world, input.by);
  await world.database.tx(async (tx) => {
    await tx.query(
      `insert into termination (tenant, person, reason, by, since) values ($1, $2, $3, $4, $5) on conflict (tenant, person) do nothing`,
      [
        world.authority.tenant,
        person.id,
        `T${world.random(4).toString('hex')} by ${asker.key}`,
        asker.key,
        isoTime(world.clock.now()),
      ],
    );
    await world.record(tx, [
      {
        kind: 'person.terminated',
        refs: { person: person.id },
        body: { person: person.key, by: asker.key, reason: input.reason },
      },
    ]);
  });
  return person.key;
}

/**
 * HR has caught up with a termination: from here its records speak again, and should they take the person back, then what
 * signatures took needs signatures to be given (the gateway remembers).
 */
export async function endTerminations(tx: Queryable, tenant: string): Promise<void> {
  await tx.query(
    `delete from termination t using person p where t.tenant = $1 and p.tenant = t.tenant and p.id = t.person and p.state = 'left'`,
    [tenant],
  );
}
