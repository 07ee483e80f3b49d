/**
 * A login for each account to make: the one that the person had there, else the first that the rules give him and that
 * nobody has or had. All persons are asked at once, in rounds: in each the next name of everybody who has none yet.
 */
import type { Authority } from '../authority/authority.ts';
import { copyLine } from '../identity/ingest.ts';
import type { PersonAttributes } from '../identity/lifecycle.ts';
import { isProtected } from '../identity/login.ts';
import type { Rules } from '../identity/rules.ts';
import { inBatches } from '../store/cursor.ts';
import type { Queryable } from '../store/database.ts';

/** A difference that became no change, and why. */
export interface LeftAlone {
  readonly system: string;
  readonly login: string | null;
  readonly person: string;
  readonly why: string;
}

/** Gives each row of `difference` its login, or takes it out and says why. */
export async function giveLogins(tx: Queryable, authority: Authority, rules: Rules): Promise<readonly LeftAlone[]> {
  const { tenant } = authority;
  await tx.query(
    `create temporary table nameless on commit drop as
     select d.system, d.person,
            -- A login once given stays his.
            coalesce((select min(l.login) from login l where l.tenant = $1 and l.person = d.person and l.system = d.system),
                     (select min(a.login) from account a where a.tenant = $1 and a.person = d.person and a.system = d.system)) as had
       from (select distinct system, person from difference where login is null) d`,
    [tenant],
  );
  await tx.query('analyze nameless');
  const leftAlone: LeftAlone[] = [];
  for (let round = 1; ; round += 1) {
    const asked = await wish(tx, tenant, rules, round);
    if (asked === 0) break;
    leftAlone.push(...(await answer(tx, tenant)));
  }
  const without = await tx.query<{ system: string; person: string }>(
    'select system, person from nameless order by system, person',
  );
  leftAlone.push(
    ...without.map(({ system, person }) => ({ system, login: null, person, why: 'no login is free for this person' })),
  );
  if (leftAlone.length > 0) {
    await tx.query(
      `delete from difference d where login is null
          and not exists (select 1 from named n where n.person = d.person and n.system = d.system)`,
    );
  }
  return [...leftAlone, ...(await leaveProtected(tx, authority))];
}

/** Puts everybody's next name into `wish`. Who has none left is not in it, and stays in `nameless`. */
async function wish(tx: Queryable, tenant: string, rules: Rules, round: number): Promise<number> {
  await tx.query(
    'create temporary table if not exists wish (system text not null, person text not null, login text not null, had boolean not null) on commit drop',
  );
  await tx.query('truncate wish');
  let asked = 0;
  const people = inBatches<{ system: string; person: string; had: string | null; attributes: PersonAttributes }>(
    tx,
    `select n.system, n.person, n.had, case when n.had is null then p.attributes else '{}' end as attributes
       from nameless n join person p on p.tenant = $1 and p.id = n.person`,
    [tenant],
  );
  for await (const batch of people) {
    let lines = '';
    for (const { system, person, had, attributes } of batch) {
      const login = had ?? nth(rules.candidates(system, attributes), round);
      if (login === null) continue;
      asked += 1;
      lines += copyLine(system, person, login, had === null ? 'f' : 't');
    }
    await tx.copyIn('copy wish from stdin', [lines]);
  }
  if (asked > 0) await tx.query('analyze wish');
  return asked;
}

function nth(items: Iterable<string>, number: number): string | null {
  let at = 0;
  for (const item of items) if ((at += 1) === number) return item;
  return null;
}

/** Moves whoever got a name, or found an account of that name that nobody manages, out of `nameless`. */
async function answer(tx: Queryable, tenant: string): Promise<readonly LeftAlone[]> {
  await tx.query(
    `create temporary table judged on commit drop as
     select w.system, w.person, w.login,
            case when w.management = 'unmanaged' and (w.had or not w.taken) then 'unmanaged'
                 when w.had then 'named'
                 when w.taken or w.management = 'protected' then 'next'
                 else 'named' end as verdict
       from (select w.*, a.management,
                    row_number() over (partition by w.system, w.login, w.had order by w.person) > 1
                      or l.login is not null or a.person is not null or n.login is not null as taken
               from wish w
               left join login l on l.tenant = $1 and l.system = w.system and l.login = w.login
               left join account a on a.tenant = $1 and a.system = w.system and a.login = w.login
               left join named n on n.system = w.system and n.login = w.login) w`,
    [tenant],
  );
  await tx.query('analyze judged');
  await tx.query(`insert into named select system, person, login from judged where verdict = 'named'`);
  await tx.query('analyze named');
  await tx.query(
    `delete from nameless n using judged j where j.verdict <> 'next' and j.person = n.person and j.system = n.system`,
  );
  const unmanaged = await tx.query<{ system: string; person: string; login: string }>(
    `select system, person, login from judged where verdict = 'unmanaged' order by system, person`,
  );
  await tx.query('drop table judged');
  return unmanaged.map((row) => ({ ...row, why: 'an account of this name exists: `writgate adopt` takes it' }));
}

/** Protected in the target's configuration, or by `writgate protect`: never touched. */
async function leaveProtected(tx: Queryable, authority: Authority): Promise<readonly LeftAlone[]> {
  const { tenant, targets } = authority;
  const patterned = Object.keys(targets).filter((system) => (targets[system]?.protected.length ?? 0) > 0);
  const found: { system: string; login: string }[] = [];
  const logins = inBatches<{ system: string; login: string; known: boolean }>(
    tx,
    `select system, login, bool_or(known) as known
       from (select d.system, d.login, false as known from difference d where d.login is not null and d.system = any($2)
             union all
             select n.system, n.login, coalesce(a.management = 'protected', false)
               from named n left join account a on a.tenant = $1 and a.system = n.system and a.login = n.login
              where n.system = any($2) or a.management = 'protected') x
      group by system, login`,
    [tenant, patterned],
  );
  for await (const batch of logins) {
    for (const { system, login, known } of batch) {
      const target = targets[system];
      if (known || target === undefined || isProtected(target, login)) found.push({ system, login });
    }
  }
  if (found.length === 0) return [];
  const left = await tx.query<{ system: string; login: string; person: string }>(
    `with gone as (
       delete from difference d
        using unnest($1::text[], $2::text[]) as u(system, login)
        where d.system = u.system
          and u.login = coalesce(d.login, (select n.login from named n where n.person = d.person and n.system = d.system))
       returning d.system, u.login, d.person)
     select * from gone order by system, person`,
    [found.map(({ system }) => system), found.map(({ login }) => login)],
  );
  return left.map((row) => ({ ...row, why: 'protected' }));
}
