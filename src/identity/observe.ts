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
  const accounts: string[] = [];
  const memberships: { ref: string; account: string }[] = [];
  const entitlements = new Map<string, string | null>();
  const logins = new Map<string, string>();

  await read(async (observed) => {
    for (const item of observed) {
      switch (item.type) {
        case 'account':
          logins.set(item.id, item.login);
          accounts.push(
            copyLine(
              item.login,
              item.id,
              item.state,
              storedJson(canonical(item.attributes)),
              String(isProtected(target, item.login)),
            ),
          );
          break;
        case 'entitlement':
          entitlements.set(item.ref, entitlementNamed(authority, system, item.name));
          break;
        case 'membership':
          memberships.push({ ref: item.ref, account: item.account });
          break;
      }
    }
  });

  await tx.query(
    'create temporary table seen (login text, id text, state text, attributes jsonb, protected boolean) on commit drop',
  );
  await tx.copyIn('copy seen from stdin', accounts);
  await tx.query('delete from seen a using seen b where a.login = b.login and a.ctid > b.ctid');
  const at = isoTime(now);
  await tx.query(
    `insert into account (tenant, system, login, id, person, management, state, attributes, disabled_at, observed_at)
     select $1, $2, s.login, s.id, null, case when s.protected or h.login is not null then 'protected' else 'unmanaged' end,
            s.state, s.attributes, case when s.state = 'disabled' then $3::timestamptz end, $3
       from seen s left join protection h on h.tenant = $1 and h.system = $2 and h.login = s.login
     on conflict (tenant, system, login) do update
       set id = excluded.id, state = excluded.state, attributes = excluded.attributes, observed_at = excluded.observed_at,
           management = case when excluded.management = 'protected' then 'protected'
                             when account.management = 'protected' then case when account.person is null then 'unmanaged' else 'managed' end
                             else account.management end,
           disabled_at = case when excluded.state = 'disabled' then coalesce(account.disabled_at, excluded.disabled_at) end`,
    [tenant, system, at],
  );
  // A managed account that is gone is forgotten as observed; the login stays its person's.
  await tx.query(
    'delete from account a where a.tenant = $1 and a.system = $2 and not exists (select 1 from seen s where s.login = a.login)',
    [tenant, system],
  );
  await tx.query('create temporary table holds (login text, entitlement text) on commit drop');
  await tx.copyIn(
    'copy holds from stdin',
    memberships.flatMap(({ ref, account }) => {
      const entitlement = entitlements.get(ref) ?? null;
      const login = logins.get(account);
      return entitlement === null || login === undefined ? [] : [copyLine(login, entitlement)];
    }),
  );
  await tx.query(
    `delete from held h where h.tenant = $1 and h.system = $2
       and not exists (select 1 from holds x where x.login = h.login and x.entitlement = h.entitlement)`,
    [tenant, system],
  );
  await tx.query(
    `insert into held (tenant, system, login, entitlement, observed_at)
     select distinct $1, $2, login, entitlement, $3::timestamptz from holds on conflict do nothing`,
    [tenant, system, at],
  );
  await tx.query('drop table seen, holds');
  return tx.one<ObservedCounts & { accounts: number }>(
    `select count(*)::int as accounts,
            count(*) filter (where management = 'unmanaged')::int as unmanaged,
            count(*) filter (where management = 'protected')::int as protected
       from account where tenant = $1 and system = $2`,
    [tenant, system],
  );
}
