/** From one whole read of a target to observed accounts and memberships. A read that breaks off changes nothing. */
import type { Authority } from '../authority/authority.ts';
import { entitlementNamed } from '../authority/target.ts';
import { canonical } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import type { Observed } from '../connector/contract.ts';
import type { Queryable } from '../store/database.ts';
import { storedJson } from '../store/text.ts';
import { copyLine } from './ingest.ts';
import { isProtected } from './login.ts';

export interface ObservedCounts {
  readonly accounts: number;
  readonly unmanaged: number;
  readonly protected: number;
}

/** @param read calls back with each chunk, and resolves only when the whole population was read */
export async function observe(
  tx: Queryable,
  authority: Authority,
  system: string,
  now: Instant,
  read: (onChunk: (observed: readonly Observed[]) => Promise<void>) => Promise<void>,
): Promise<ObservedCounts> {
  const { tenant } = authority;
  const target = authority.targets[system];
  if (!target) throw new Error(`assertion failed: target ${system}`);
  const entitlements = new Map<string, string | null>();
  await tx.query(
    `create temporary table seen (login text not null, id text not null, state text not null, attributes jsonb not null,
       protected boolean not null) on commit drop`,
  );
  await tx.query('create temporary table member (ref text not null, account text not null) on commit drop');
  await read(async (observed) => {
    let [accounts, members] = ['', ''];
    for (const item of observed) {
      switch (item.type) {
        case 'account':
          accounts += copyLine(
            item.login,
            item.id,
            item.state,
            storedJson(canonical(item.attributes)),
            String(isProtected(target, item.login)),
          );
          break;
        case 'entitlement':
          entitlements.set(item.ref, entitlementNamed(authority, system, item.name));
          break;
        case 'membership':
          members += copyLine(item.ref, item.account);
          break;
      }
    }
    if (accounts !== '') await tx.copyIn('copy seen from stdin', [accounts]);
    if (members !== '') await tx.copyIn('copy member from stdin', [members]);
  });

  await tx.query('delete from seen a using seen b where a.login = b.login and a.ctid > b.ctid');
  // Put out of reach by hand.
  await tx.query(
    'update seen s set protected = true from protection h where h.tenant = $1 and h.system = $2 and h.login = s.login',
    [tenant, system],
  );
  await tx.query('analyze seen, member');
  const at = isoTime(now);
  await storeAccounts(tx, tenant, system, at);
  await storeHeld(tx, tenant, system, at, entitlements);
  await tx.query('drop table seen, member, holds');
  return tx.one<ObservedCounts & { accounts: number }>(
    `select count(*)::int as accounts,
            count(*) filter (where management = 'unmanaged')::int as unmanaged,
            count(*) filter (where management = 'protected')::int as protected
       from account where tenant = $1 and system = $2`,
    [tenant, system],
  );
}

/** Writes what is another than before, and nothing else: of a million accounts as they were, nobody needs a new look. */
async function storeAccounts(tx: Queryable, tenant: string, system: string, at: string): Promise<void> {
  await tx.query(
    `update account a
        set id = n.id, state = n.state, attributes = n.attributes, management = n.management, disabled_at = n.disabled_at,
            observed_at = $3
       from (select s.login, s.id, s.state, s.attributes,
                    case when s.protected then 'protected'
                         when a.management = 'protected' then case when a.person is null then 'unmanaged' else 'managed' end
                         else a.management end as management,
                    case when s.state = 'disabled' then coalesce(a.disabled_at, $3::timestamptz) end as disabled_at
               from seen s join account a on a.tenant = $1 and a.system = $2 and a.login = s.login) n
      where a.tenant = $1 and a.system = $2 and a.login = n.login
        and (a.id <> n.id or a.state <> n.state or a.attributes <> n.attributes or a.management <> n.management
             or a.disabled_at is distinct from n.disabled_at)`,
    [tenant, system, at],
  );
  await tx.query(
    `insert into account (tenant, system, login, id, person, management, state, attributes, disabled_at, observed_at)
     select $1, $2, s.login, s.id, null, case when s.protected then 'protected' else 'unmanaged' end, s.state, s.attributes,
            case when s.state = 'disabled' then $3::timestamptz end, $3
       from seen s
      where not exists (select 1 from account a where a.tenant = $1 and a.system = $2 and a.login = s.login)
     on conflict do nothing`,
    [tenant, system, at],
  );
  // A managed account that is gone is forgotten as observed; the login stays its person's.
  await tx.query(
    'delete from account a where a.tenant = $1 and a.system = $2 and not exists (select 1 from seen s where s.login = a.login)',
    [tenant, system],
  );
}

async function storeHeld(
  tx: Queryable,
  tenant: string,
  system: string,
  at: string,
  entitlements: ReadonlyMap<string, string | null>,
): Promise<void> {
  const named = [...entitlements].flatMap(([ref, entitlement]) => (entitlement === null ? [] : [{ ref, entitlement }]));
  await tx.query(
    `create temporary table holds on commit drop as
     select distinct s.login, u.entitlement
       from unnest($1::text[], $2::text[]) as u(ref, entitlement)
       join member m on m.ref = u.ref
       join seen s on s.id = m.account`,
    [named.map(({ ref }) => ref), named.map(({ entitlement }) => entitlement)],
  );
  await tx.query('analyze holds');
  await tx.query(
    `delete from held h where h.tenant = $1 and h.system = $2
       and not exists (select 1 from holds x where x.login = h.login and x.entitlement = h.entitlement)`,
    [tenant, system],
  );
  await tx.query(
    `insert into held (tenant, system, login, entitlement, observed_at)
     select $1, $2, x.login, x.entitlement, $3::timestamptz from holds x
      where not exists (select 1 from held h where h.tenant = $1 and h.system = $2 and h.login = x.login
                           and h.entitlement = x.entitlement)
     on conflict do nothing`,
    [tenant, system, at],
  );
}
