/** The head of the ledger in control's database: compare-and-swap decides which of two sequencers goes on. */
import type { Database } from '../store/database.ts';
import type { HeadStore } from './head.ts';

export const databaseHead = (database: Database, tenant: string): HeadStore => ({
  load: () =>
    database.maybe<{ size: number; root: string }>('select size, root from ledger_head where tenant = $1', [tenant]),
  async swap(previous, next) {
    const rows =
      previous === null
        ? await database.query(
            'insert into ledger_head (tenant, size, root) values ($1, $2, $3) on conflict do nothing returning 1',
            [tenant, next.size, next.root],
          )
        : await database.query(
            'update ledger_head set size = $2, root = $3 where tenant = $1 and size = $4 and root = $5 returning 1',
            [tenant, next.size, next.root, previous.size, previous.root],
          );
    return rows.length === 1;
  },
});
