/**
 * Rows of one query in batches, so that memory holds two of them whatever the query finds. Between two batches the
 * transaction may do something else: a `COPY` on the same connection, for example.
 */
import type { Queryable } from './database.ts';

/** Rows fetched at a time. Two batches are in memory: while one is worked on, the server makes the next. */
const BATCH = 8_000;
let opened = 0;

/** @param tx a transaction: a cursor lives no longer */
export async function* inBatches<T>(
  tx: Queryable,
  sql: string,
  params: readonly unknown[] = [],
): AsyncGenerator<readonly T[], void, void> {
  const name = `rows_${(opened += 1)}`;
  // All of the rows will be read: a plan that gives the first of them soon is the wrong one.
  await tx.query('set local cursor_tuple_fraction = 1');
  await tx.query(`declare ${name} no scroll cursor for ${sql}`, params);
  const more = () => tx.query<T>(`fetch ${BATCH} from ${name}`);
  let next = more();
  try {
    for (;;) {
      const rows = await next;
      if (rows.length === 0) return;
      next = more();
      // Whoever stops here hears of a broken connection from his own next statement.
      next.catch(() => undefined);
      yield rows;
    }
  } finally {
    await next.catch(() => undefined);
    // In a transaction that failed already the cursor is gone, and what failed is what the caller must hear.
    await tx.query(`close ${name}`).catch(() => undefined);
  }
}
