/**
 * `writgate run --retry`: what rests at a timer, or was given up, is tried now, because a person says so. It only brings
 * changes to where `advance` takes them up: policy, signatures and the gateway are asked again as always.
 */
import { isoTime } from '../clock.ts';
import { changeId } from './rows.ts';
import type { World } from './world.ts';

/**
 * A later change of the same account or grant that has begun, or is done: then the earlier one `c` is history. Trying it
 * again would undo what was meant, and alarming about it would be noise.
 */
export const IS_HISTORY = `exists (
  select 1 from change l
   where l.tenant = c.tenant and l.system = c.system and l.login = c.login and l.plan > c.plan
     and l.stage in ('permitted', 'waiting', 'applied', 'inconclusive', 'contradicted', 'verified')
     and (l.entitlement is not distinct from c.entitlement
          or l.effect in ('create', 'enable', 'disable', 'delete') and l.stage = 'verified'))`;

/** @returns the changes that are tried again */
export async function retry(world: World): Promise<readonly string[]> {
  const { database, clock } = world;
  const { tenant } = world.authority;
  const at = isoTime(clock.now());
  return database.tx(async (tx) => {
    // What was given up has to find its signatures again: they may have expired meanwhile.
    const rows = await tx.query<{ plan: number; seq: number }>(
      `update change c
          set stage = case c.stage when 'failed' then 'decided' else c.stage end,
              attempt = case when c.stage in ('failed', 'contradicted') then 0 else c.attempt end,
              next_at = $2, updated_at = $2
        where c.tenant = $1 and c.stage in ('contradicted', 'failed', 'waiting', 'inconclusive') and not ${IS_HISTORY}
       returning c.plan, c.seq`,
      [tenant, at],
    );
    if (rows.length === 0) return [];
    await tx.query(`update plan set state = 'open' where tenant = $1 and state = 'done' and number = any($2)`, [
      tenant,
      [...new Set(rows.map(({ plan }) => plan))],
    ]);
    const changes = rows.sort((a, b) => a.plan - b.plan || a.seq - b.seq).map(changeId);
    await world.record(tx, [{ kind: 'changes.retried', refs: {}, body: { changes } }]);
    return changes;
  });
}
