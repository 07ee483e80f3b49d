/**
 * Desired against observed, as set-based SQL: only differences reach JavaScript.
 *
 * Desired is what valid causes give to people who work and whose records are not set aside. Observed is what the last
 * complete read of each target saw. A target that could not be read takes no part: absence is believed from a whole
 * read only.
 */
import type { Authority } from '../authority/authority.ts';
import { mechanismsOf } from '../authority/target.ts';
import { type Instant, isoTime } from '../clock.ts';
import { ATTRIBUTES, type Attributes } from '../connector/contract.ts';
import { accountAttributes, NAMED } from '../identity/account.ts';
import type { PersonAttributes } from '../identity/lifecycle.ts';
import type { Queryable } from '../store/database.ts';
import type { Tuple } from '../writ/tuple.ts';

export interface Difference {
  readonly effect: Tuple['effect'];
  readonly system: string;
  /** Null for a create: the login is chosen afterwards. */
  readonly login: string | null;
  readonly id: string | null;
  readonly entitlement: string | null;
  readonly person: string;
  readonly state: string;
  readonly subject: { readonly feed: string; readonly key: string } | null;
  readonly attributes: Attributes | null;
  readonly personAttributes: PersonAttributes;
  readonly cause: string;
  readonly until: string | null;
}

interface Row {
  effect: Tuple['effect'];
  system: string;
  login: string | null;
  id: string | null;
  entitlement: string | null;
  person: string;
  state: string;
  feed: string | null;
  key: string | null;
  attributes: PersonAttributes;
  cause: string;
  until: Date | null;
}

/** The account attributes of a person as jsonb, by the same names as `accountAttributes`. */
const WANTED = `(select coalesce(jsonb_object_agg(w.name, w.value), '{}') from (values ${ATTRIBUTES.map(
  (attribute) => `('${attribute}', p.attributes ->> '${NAMED[attribute] ?? attribute}')`,
).join(', ')}) as w(name, value) where w.value <> '')`;

/** @param systems those whose whole population was read */
export async function diff(
  tx: Queryable,
  authority: Authority,
  systems: readonly string[],
  now: Instant,
): Promise<Difference[]> {
  const { tenant } = authority;
  const entitlements = Object.entries(authority.entitlements).filter(([, entry]) => systems.includes(entry.on));
  await tx.query('create temporary table known (entitlement text primary key, system text not null) on commit drop');
  await tx.query('insert into known select * from unnest($1::text[], $2::text[])', [
    entitlements.map(([name]) => name),
    entitlements.map(([, entry]) => entry.on),
  ]);
  await tx.query(
    'create temporary table kept (system text primary key, retention_ms bigint, connections boolean not null) on commit drop',
  );
  await tx.query('insert into kept select * from unnest($1::text[], $2::bigint[], $3::boolean[])', [
    systems,
    systems.map((system) => authority.targets[system]?.leaver.delete ?? null),
    systems.map((system) => {
      const target = authority.targets[system];
      return target !== undefined && mechanismsOf(target).includes('@connections');
    }),
  ]);
  // People whose every record is usable; the others are frozen.
  await tx.query(
    `create temporary table subject on commit drop as
     select p.id as person, p.state, p.attributes, x.feed, x.key,
            p.state in ('active', 'notice') and t.person is null as works, t.reason as terminated
       from person p
       left join termination t on t.tenant = p.tenant and t.person = p.id
       left join lateral (select a.feed, a.key from affiliation a
                           where a.tenant = p.tenant and a.person = p.id
                           order by a.state = 'left', array_position($2::text[], a.feed), a.key limit 1) x on true
      where p.tenant = $1
        and not exists (select 1 from affiliation a
                         where a.tenant = p.tenant and a.person = p.id and a.quarantine is not null)`,
    [tenant, Object.keys(authority.feeds)],
  );
  await tx.query('create unique index on subject (person)');
  await tx.query(
    `create temporary table desired on commit drop as
     select c.person, c.entitlement, k.system, min(c.kind || ' ' || c.ref) as cause,
            case when bool_or(c.ends_at is null) then null else max(c.ends_at) end as until
       from cause c
       join known k on k.entitlement = c.entitlement
       join subject s on s.person = c.person and s.works
      where c.tenant = $1 and (c.ends_at is null or c.ends_at > $2)
      group by c.person, c.entitlement, k.system`,
    [tenant, isoTime(now)],
  );
  await tx.query('create index on desired (person, system)');
  await tx.query('analyze subject, desired');

  const rows = await tx.query<Row>(
    `with wants as (select person, system, min(cause) as cause from desired group by person, system),
     mine as (select * from account where tenant = $1 and management = 'managed' and system = any($2))
     -- accounts to make
     select 'create' as effect, w.system, null as login, null as id, null as entitlement, s.person, s.state, s.feed, s.key,
            s.attributes, w.cause, null::timestamptz as until
       from wants w join subject s using (person)
      where not exists (select 1 from mine m where m.person = w.person and m.system = w.system)
     union all
     -- accounts to let in again, and to bring up to date
     select case when m.state = 'disabled' then 'enable' else 'update' end, m.system, m.login, m.id, null, p.person, p.state,
            p.feed, p.key, p.attributes, w.cause, null
       from mine m join subject p on p.person = m.person join wants w on w.person = m.person and w.system = m.system
      where m.state = 'disabled' or not m.attributes @> ${WANTED}
     union all
     -- accounts to stop
     select 'disable', m.system, m.login, m.id, null, s.person, s.state, s.feed, s.key, s.attributes,
            case when s.terminated is not null then 'exception ' || s.terminated
                 when s.works then 'no entitlement left' else 'left' end, null
       from mine m join subject s on s.person = m.person
      where m.state = 'active' and not exists (select 1 from wants w where w.person = m.person and w.system = m.system)
     union all
     -- open connections of whoever is stopped
     select 'revoke', m.system, m.login, m.id, '@connections', s.person, s.state, s.feed, s.key, s.attributes,
            case when s.terminated is not null then 'exception ' || s.terminated
                 when s.works then 'no entitlement left' else 'left' end, null
       from mine m join subject s on s.person = m.person join kept k on k.system = m.system and k.connections
      where m.state = 'active' and not exists (select 1 from wants w where w.person = m.person and w.system = m.system)
     union all
     -- accounts whose retention is over
     select 'delete', m.system, m.login, m.id, null, s.person, s.state, s.feed, s.key, s.attributes, 'retention over', null
       from mine m join subject s on s.person = m.person join kept k on k.system = m.system
      where m.state = 'disabled' and k.retention_ms is not null
        and m.disabled_at + k.retention_ms * interval '1 millisecond' <= $3
        and not exists (select 1 from wants w where w.person = m.person and w.system = m.system)
     union all
     -- grants to make
     select 'grant', d.system, m.login, m.id, d.entitlement, s.person, s.state, s.feed, s.key, s.attributes, d.cause, d.until
       from desired d join subject s using (person)
       left join mine m on m.person = d.person and m.system = d.system
      where not exists (select 1 from held h where h.tenant = $1 and h.system = d.system and h.login = m.login
                           and h.entitlement = d.entitlement)
     union all
     -- grants to end
     select 'revoke', h.system, h.login, m.id, h.entitlement, s.person, s.state, s.feed, s.key, s.attributes,
            case when s.terminated is not null then 'exception ' || s.terminated
                 when s.works then 'no cause holds ' || h.entitlement else 'left' end, null
       from held h
       join mine m on m.system = h.system and m.login = h.login
       join subject s on s.person = m.person
       join known k on k.entitlement = h.entitlement
      where h.tenant = $1
        and not exists (select 1 from desired d where d.person = m.person and d.entitlement = h.entitlement)
     order by 2, 6, 1`,
    [tenant, systems, isoTime(now)],
  );
  return rows.map((row) => ({
    effect: row.effect,
    system: row.system,
    login: row.login,
    id: row.id,
    entitlement: row.entitlement,
    person: row.person,
    state: row.state,
    subject: row.feed === null || row.key === null ? null : { feed: row.feed, key: row.key },
    attributes: row.effect === 'create' || row.effect === 'update' ? accountAttributes(row.attributes) : null,
    personAttributes: row.attributes,
    cause: row.cause,
    until: row.until === null ? null : isoTime(row.until.getTime()),
  }));
}
