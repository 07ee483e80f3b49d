/**
 * Statistics for the planner while tables grow fast. Autovacuum looks once a minute; a first load is over by then, and
 * without statistics the planner takes the tenant, which comes first in every key, for selective: it then reads the
 * whole table for each row that is asked for by its full key.
 */
import type { Database } from './database.ts';

const FIRST = 64;
const GROWTH = 4;

/** @returns told of rows that were written; analyses those of the tables that are known to be smaller than that */
export function openStatistics(database: Database, tables: readonly string[]): (written: number) => void {
  let sum = 0;
  let next = FIRST;

  async function analyse(rows: number): Promise<void> {
    const behind = await database.query<{ name: string }>(
      `select relname as name from pg_class
        where relname = any($1) and relnamespace = current_schema()::regnamespace and reltuples < $2`,
      [tables, rows],
    );
    if (behind.length > 0) await database.query(`analyze ${behind.map(({ name }) => name).join(', ')}`);
  }

  return (written) => {
    sum += written;
    if (sum < next) return;
    next = sum * GROWTH;
    // Without them it is slow, and right all the same.
    void analyse(sum).catch(() => undefined);
  };
}
