/** The newest ledger head that this gateway has cosigned, in its own database: control cannot show it an older one. */
import type { HeadStore } from '../ledger/head.ts';
import type { Database } from '../store/database.ts';

export const witnessHead = (database: Database, origin: string): HeadStore => ({
  load: () =>
    database.maybe<{ size: number; root: string }>('select size, root from witnessed where origin = $1', [origin]),
  async swap(previous, next) {
    const rows =
      previous === null
        ? await database.query(
            'insert into witnessed (origin, size, root) values ($1, $2, $3) on conflict do nothing returning 1',
            [origin, next.size, next.root],
          )
        : await database.query(
            'update witnessed set size = $2, root = $3 where origin = $1 and size = $4 and root = $5 returning 1',
            [origin, next.size, next.root, previous.size, previous.root],
          );
    return rows.length === 1;
  },
});
