/** What is under way already is no new difference. */
import { digestOf } from '../canonical.ts';
import { accountAttributes } from '../identity/account.ts';
import type { PersonAttributes } from '../identity/lifecycle.ts';
import type { Queryable } from '../store/database.ts';

/** Takes out of `difference` what is on its way, or was claimed and not proven: its own plan carries it on. */
export async function passOver(tx: Queryable, tenant: string): Promise<void> {
  await tx.query(
    `create temporary table moving on commit drop as
     select system, login, effect, entitlement, leaf::jsonb ->> 'valueDigest' as value from change
      where tenant = $1 and stage in ('permitted', 'applied', 'inconclusive', 'contradicted')`,
    [tenant],
  );
  await tx.query('analyze moving');
  const same = `m.system = d.system and m.effect = d.effect and m.entitlement is not distinct from d.entitlement
      and m.login = coalesce(d.login, (select n.login from named n where n.person = d.person and n.system = d.system))`;
  await tx.query(`delete from difference d using moving m where m.value is null and ${same}`);
  // The same account with other attributes is something else.
  const valued = await tx.query<{ person: string; system: string; value: string; attributes: PersonAttributes }>(
    `select d.person, d.system, m.value, p.attributes
       from moving m join difference d on ${same} join person p on p.tenant = $1 and p.id = d.person
      where m.value is not null`,
    [tenant],
  );
  const equal = valued.filter(({ value, attributes }) => digestOf(accountAttributes(attributes)) === value);
  await tx.query(
    `delete from difference d using unnest($1::text[], $2::text[]) as u(person, system)
      where d.person = u.person and d.system = u.system and d.effect in ('create', 'update')`,
    [equal.map(({ person }) => person), equal.map(({ system }) => system)],
  );
  await tx.query('drop table moving');
}
