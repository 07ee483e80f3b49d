/**
 * Desired against observed, as set-based SQL, for those persons about whom anything changed since a planning last found
 * them in order (`touched`). Of everybody else it is known already that there is no difference.
 *
 * Desired is what valid causes give to people who work and whose records are not set aside. Observed is what the last
 * complete read of each target saw. A target that could not be read takes no part: absence is believed from a whole
 * read only.
 */
import type { Authority } from '../authority/authority.ts';
import { mechanismsOf } from '../authority/target.ts';
import { type Instant, isoTime } from '../clock.ts';
import { ATTRIBUTES } from '../connector/contract.ts';
import { NAMED } from '../identity/account.ts';
import type { Queryable } from '../store/database.ts';
import type { Leaf } from './change.ts';

/** Whether an account lacks an attribute that its person has, by the same names as `accountAttributes`. */
const OUTDATED = ATTRIBUTES.map((attribute) => {
  const wanted = `p.attributes ->> '${NAMED[attribute] ?? attribute}'`;
  return `(${wanted} <> '' and a.attributes ->> '${attribute}' is distinct from ${wanted})`;
}).join(' or ');

/** Orders keys of feeds: numbers by their value, then everything else as text. */
const BY_KEY = `case when feed_key ~ '^[0-9]{1,15}$' then feed_key::bigint end nulls last, feed_key collate "C", person`;

/**
 * Empty tables of this transaction. `difference`: what is to do; without `login` it is chosen afterwards. `subject`: the
 * persons it may concern, with the record that each rests on, `place`, their order in a plan, `special`, the keys of those
 * whose own changes are judged differently, and `taken`, whether people's signatures took from him. `named`: the logins chosen.
 */
export async function openDifferences(tx: Queryable): Promise<void> {
  await tx.query(
    `create temporary table subject (person text not null, nobody boolean not null default false, works boolean not null, terminated text, birthright integer,
       feed text, feed_key text, place integer not null, special text not null default '', taken boolean not null default false) on commit drop`,
  );
  await tx.query(
    `create temporary table difference (effect text not null, system text not null, login text, id text,
       entitlement text, person text not null, cause text not null, until timestamptz) on commit drop`,
  );
  await tx.query(
    'create temporary table named (system text not null, person text not null, login text not null) on commit drop',
  );
}

/** A change before it has its place in a plan. */
export type Draft = Omit<Leaf, 'seq' | 'after' | 'waitsFor'>;

/** Puts what is no difference between desired and observed, but is asked for, into the place of the differences. */
export async function addAsked(tx: Queryable, asked: readonly Draft[]): Promise<void> {
  await tx.query('drop table if exists subject, difference, named');
  await openDifferences(tx);
  // An account of nobody stands for itself.
  const whose = ({ person, system, object }: Draft) => person ?? ` ${system} ${object}`;
  await tx.query(
    `insert into subject (person, nobody, works, feed, feed_key, place)
     select person, nobody, false, feed, feed_key, row_number() over (order by ${BY_KEY})
       from (select distinct on (person) *
               from unnest($1::text[], $2::boolean[], $3::text[], $4::text[]) as u(person, nobody, feed, feed_key)) x`,
    [
      asked.map(whose),
      asked.map(({ person }) => person === null),
      asked.map(({ subject }) => subject?.feed ?? null),
      asked.map(({ subject, object }) => subject?.key ?? object),
    ],
  );
  await tx.query(
    `insert into difference (system, login, effect, entitlement, id, cause, person)
     select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])`,
    [
      asked.map(({ system }) => system),
      asked.map(({ object }) => object),
      asked.map(({ effect }) => effect),
      asked.map(({ entitlement }) => entitlement),
      asked.map(({ id }) => id),
      asked.map(({ cause }) => cause),
      asked.map(whose),
    ],
  );
}

export interface Found {
  readonly differences: number;
  /** Persons who were looked at. */
  readonly looked: number;
}

/**
 * Fills `difference`. Whoever has none is looked at again when something touches him, or when a date of his passes; but
 * while a target took no part, nobody is known to be in order.
 * @param systems those whose whole population was read
 */
export async function diff(
  tx: Queryable,
  authority: Authority,
  systems: readonly string[],
  now: Instant,
): Promise<Found> {
  const { tenant } = authority;
  const at = isoTime(now);
  await openDifferences(tx);
  await tx.query('create temporary table looked (person text not null) on commit drop');
  // Read and taken away as one: what is noted from now on is for the next planning.
  await tx.query(
    `with taken as (delete from touched where tenant = $1 and due <= $2 returning person)
     insert into looked select distinct person from taken`,
    [tenant, at],
  );
  await tx.query('analyze looked');
  await readRules(tx, authority, systems);
  await readSubjects(tx, authority);
  await compare(tx, tenant, systems, at);
  await tx.query('analyze difference');
  const whole = Object.keys(authority.targets).every((system) => systems.includes(system));
  await noteNext(tx, tenant, whole, at);
  return tx.one<Found>(
    'select (select count(*) from difference)::int as differences, (select count(*) from looked)::int as looked',
  );
}

/** `known`, `kept`: what the authority says. `given`: what each answer of the birthright rules gives on these systems. */
async function readRules(tx: Queryable, authority: Authority, systems: readonly string[]): Promise<void> {
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
  await tx.query(
    `create temporary table given on commit drop as
     select b.number, k.system, b.entitlement, min('birthright ' || b.rule) as cause
       from birthright b join known k using (entitlement) where b.tenant = $1 group by b.number, k.system, b.entitlement`,
    [authority.tenant],
  );
  await tx.query('analyze known, kept, given');
}

/** People whose every record is usable; the others are frozen. */
async function readSubjects(tx: Queryable, authority: Authority): Promise<void> {
  await tx.query(
    `insert into subject (person, works, terminated, birthright, feed, feed_key, place)
     with record as (
       select distinct on (person) person, feed, key, frozen
         from (select a.person, a.feed, a.key, a.state, bool_or(a.quarantine is not null) over (partition by a.person) as frozen
                 from looked l join affiliation a on a.tenant = $1 and a.person = l.person) a
        order by person, state = 'left', array_position($2::text[], feed), key)
     select person, works, terminated, birthright, feed, feed_key, row_number() over (order by ${BY_KEY})
       from (select p.id as person, p.state in ('active', 'notice') and t.person is null as works, t.reason as terminated,
                    p.birthright, r.feed, coalesce(r.key, p.id) as feed_key
               from looked l
               join person p on p.tenant = $1 and p.id = l.person
               left join termination t on t.tenant = $1 and t.person = p.id
               left join record r on r.person = p.id
              where r.frozen is not true) s`,
    [authority.tenant, Object.keys(authority.feeds)],
  );
  await tx.query('create unique index on subject (person)');
  await tx.query('analyze subject');
}

/** Why somebody who should have nothing on a system loses it. */
const WHY = (working: string) =>
  `case when s.terminated is not null then 'exception ' || s.terminated when s.works then ${working} else 'left' end`;

async function compare(tx: Queryable, tenant: string, systems: readonly string[], at: string): Promise<void> {
  // What people asked for. Where a rule gives the same, the rule is the cause, and it has no end.
  await tx.query(
    `create temporary table requested on commit drop as
     select c.person, c.entitlement, k.system, min(c.kind || ' ' || c.ref) as cause,
            case when bool_or(c.ends_at is null) then null else max(c.ends_at) end as until
       from subject s
       join cause c on c.tenant = $1 and c.person = s.person
       join known k on k.entitlement = c.entitlement
      where s.works and (c.ends_at is null or c.ends_at > $2)
        and not exists (select 1 from given g where g.number = s.birthright and g.entitlement = c.entitlement)
      group by c.person, c.entitlement, k.system`,
    [tenant, at],
  );
  await tx.query(
    `create temporary table mine on commit drop as
     select a.person, a.system, a.login, a.id, a.state, a.disabled_at
       from subject s join account a on a.tenant = $1 and a.person = s.person
      where a.management = 'managed' and a.system = any($2)`,
    [tenant, systems],
  );
  await tx.query('analyze requested, mine');
  const desired = `desired as (
       select s.person, g.system, g.entitlement, g.cause, null::timestamptz as until
         from subject s join given g on g.number = s.birthright where s.works
       union all
       select person, system, entitlement, cause, until from requested)`;
  await tx.query(
    `create temporary table wants on commit drop as
     select person, system, min(cause) as cause
       from (select s.person, g.system, g.cause
               from subject s join (select number, system, min(cause) as cause from given group by number, system) g
                 on g.number = s.birthright where s.works
             union all select person, system, cause from requested) w
      group by person, system`,
  );
  await tx.query('analyze wants');
  // Accounts to make.
  await tx.query(
    `insert into difference (effect, system, person, cause)
     select 'create', w.system, w.person, w.cause from wants w
      where not exists (select 1 from mine m where m.person = w.person and m.system = w.system)`,
  );
  // Accounts to let in again, and to bring up to date.
  await tx.query(
    `insert into difference (effect, system, login, id, person, cause)
     select case when m.state = 'disabled' then 'enable' else 'update' end, m.system, m.login, m.id, m.person, w.cause
       from mine m
       join wants w on w.person = m.person and w.system = m.system
       join account a on a.tenant = $1 and a.system = m.system and a.login = m.login
       join person p on p.tenant = $1 and p.id = m.person
      where m.state = 'disabled' or ${OUTDATED}`,
    [tenant],
  );
  // Accounts to stop, with the open connections of whoever is stopped; and those whose retention is over.
  await tx.query(
    `insert into difference (effect, system, login, id, entitlement, person, cause)
     select e.effect, m.system, m.login, m.id, e.entitlement, m.person, e.cause
       from mine m
       join subject s on s.person = m.person
       join kept k on k.system = m.system
       cross join lateral (
         select 'disable' as effect, null as entitlement, ${WHY(`'no entitlement left'`)} as cause where m.state = 'active'
         union all
         select 'revoke', '@connections', ${WHY(`'no entitlement left'`)} where m.state = 'active' and k.connections
         union all
         select 'delete', null, 'retention over'
          where m.state = 'disabled' and m.disabled_at + k.retention_ms * interval '1 millisecond' <= $1) e
      where not exists (select 1 from wants w where w.person = m.person and w.system = m.system)`,
    [at],
  );
  // Grants to make.
  await tx.query(
    `insert into difference (effect, system, login, id, entitlement, person, cause, until)
     with ${desired}
     select 'grant', d.system, m.login, m.id, d.entitlement, d.person, d.cause, d.until
       from desired d left join mine m on m.person = d.person and m.system = d.system
      where not exists (select 1 from held h where h.tenant = $1 and h.system = d.system and h.login = m.login
                           and h.entitlement = d.entitlement)`,
    [tenant],
  );
  // Grants to end.
  await tx.query(
    `insert into difference (effect, system, login, id, entitlement, person, cause)
     select 'revoke', h.system, h.login, m.id, h.entitlement, s.person, ${WHY(`'no cause holds ' || h.entitlement`)}
       from mine m
       join held h on h.tenant = $1 and h.system = m.system and h.login = m.login
       join subject s on s.person = m.person
       join known k on k.entitlement = h.entitlement
      where not (s.works and exists (select 1 from given g where g.number = s.birthright and g.entitlement = h.entitlement))
        and not exists (select 1 from requested r where r.person = m.person and r.entitlement = h.entitlement)`,
    [tenant],
  );
}

/**
 * Whoever differs is looked at by the next planning too; whoever is in order, on the next day or hour on which something
 * of his begins or ends by itself.
 */
async function noteNext(tx: Queryable, tenant: string, whole: boolean, at: string): Promise<void> {
  await tx.query(
    `create temporary table settled on commit drop as
     select person from looked l where $1 and not exists (select 1 from difference d where d.person = l.person)`,
    [whole],
  );
  await tx.query('analyze settled');
  await tx.query(
    `insert into touched (tenant, person)
     select $1, person from looked l where not exists (select 1 from settled s where s.person = l.person)`,
    [tenant],
  );
  await tx.query(
    `insert into touched (tenant, person, due)
     select $1, person, min(due)
       from (select s.person, a.state_until::timestamp at time zone 'UTC' as due
               from settled s join affiliation a on a.tenant = $1 and a.person = s.person
              where a.state_until is not null and a.state <> 'left'
             union all
             select s.person, c.ends_at
               from settled s join cause c on c.tenant = $1 and c.person = s.person where c.ends_at > $2
             union all
             select s.person, a.disabled_at + k.retention_ms * interval '1 millisecond'
               from settled s join account a on a.tenant = $1 and a.person = s.person join kept k on k.system = a.system
              where a.management = 'managed' and a.state = 'disabled' and k.retention_ms is not null) e
      group by person`,
    [tenant, at],
  );
}

/** So many rows taken away are in the way of the next reader, until the database clears them up. */
const MANY = 10_000;

/** To be called after the planning's transaction. */
export async function clearUp(database: Queryable, { looked }: Found): Promise<void> {
  if (looked >= MANY) await database.query('vacuum touched');
}
