/**
 * The way of every entry into the log, exactly once: those that control's own transactions left in the outbox, and those
 * that gateway and verifier hand over. The log orders them, the database keeps their bodies, and a crash may come between:
 *
 *     1 in the outbox, or in the gateway's journal     not sealed: it is submitted
 *     2 sealed, and the log was not told to whom       } the log has an entry for which the database has no row:
 *     3 sealed, its body not kept                      } opening finds it, and who submits its bytes again gets its place
 *     4 body kept and outbox row gone, the answer lost: whoever says that he submits again is answered from the row
 *
 * Bytes are enough to know an entry again: each has a commitment of its own, salted.
 */
import type { Database, Queryable } from '../store/database.ts';
import { openEntry } from './entry.ts';
import type { Log } from './log.ts';
import { keepBodies } from './outbox.ts';
import { leafHash } from './tree.ts';

/** An entry with what it commits to. */
export interface Item {
  readonly entry: Buffer;
  readonly body: string;
  readonly salt: string;
}

export interface Intake {
  /** Seals what the outbox holds. @returns how many; called again until it is 0 */
  drain(): Promise<number>;
  /**
   * @param again the same bytes may have been submitted before, with an answer that was lost
   * @returns the place of each, in their order
   * @throws Failure as `Log.submit`, and what the database throws; then each may or may not be sealed
   */
  submit(items: readonly Item[], again: boolean): Promise<readonly number[]>;
}

/** @param log the only one that writes into this ledger */
export async function openIntake(world: {
  readonly log: Pick<Log, 'size' | 'read' | 'submit'>;
  readonly database: Database;
  readonly tenant: string;
}): Promise<Intake> {
  const { log, database, tenant } = world;
  /** Where entries are, or will be, whose bodies are not kept yet; by leaf hash. */
  const unkept = new Map<string, Promise<number>>();
  for (const index of await gaps(database, tenant, log.size))
    unkept.set(leafHash(await log.read(index)), Promise.resolve(index));

  function seal(entry: Buffer): Promise<number> {
    const leaf = leafHash(entry);
    const known = unkept.get(leaf);
    if (known) return known;
    const sealing = log.submit(entry).then(({ index }) => index);
    unkept.set(leaf, sealing);
    // The log has stopped: whoever opens it next finds what was sealed.
    sealing.catch(() => unkept.delete(leaf));
    return sealing;
  }

  /** The place of an entry whose body is kept; undefined where there is none. */
  async function kept({ entry, salt }: Item): Promise<number | undefined> {
    const known = unkept.get(leafHash(entry));
    if (known) return known;
    const opened = openEntry(entry);
    if (!opened.ok) return undefined;
    const { kind, refs } = opened.entry;
    const rows = await database.query<{ index: number }>(
      'select index from ledger_entry where tenant = $1 and kind = $2 and refs @> $3::jsonb and salt = $4',
      [tenant, kind, JSON.stringify(refs), salt],
    );
    for (const { index } of rows) if ((await log.read(index)).equals(entry)) return index;
    return undefined;
  }

  async function keep(tx: Queryable, items: readonly Item[], indexes: readonly number[]): Promise<void> {
    await keepBodies(
      tx,
      tenant,
      items.map((item, position) => ({ ...item, index: indexes[position]! })),
    );
  }
  const forget = (items: readonly Item[]): void => {
    for (const { entry } of items) unkept.delete(leafHash(entry));
  };

  return {
    async drain() {
      const rows = await database.query<Item & { readonly id: number }>(
        'select id, entry, body, salt from outbox order by id limit 1000',
      );
      if (rows.length === 0) return 0;
      const indexes = await Promise.all(rows.map(({ entry }) => seal(entry)));
      await database.tx(async (tx) => {
        await keep(tx, rows, indexes);
        await tx.query('delete from outbox where id = any($1)', [rows.map(({ id }) => id)]);
      });
      forget(rows);
      return rows.length;
    },
    async submit(items, again) {
      const before = again ? await Promise.all(items.map(kept)) : [];
      const indexes = await Promise.all(items.map((item, position) => before[position] ?? seal(item.entry)));
      await keep(database, items, indexes);
      forget(items);
      return indexes;
    },
  };
}

/** Entries of the log for which the database has no row. */
async function gaps(database: Database, tenant: string, size: number): Promise<readonly number[]> {
  const row = await database.maybe<{ count: number }>(
    'select count(*) as count from ledger_entry where tenant = $1 and index < $2',
    [tenant, size],
  );
  if (row?.count === size) return [];
  const rows = await database.query<{ index: number }>(
    `select i as index from generate_series(0, $2::bigint - 1) i
      where not exists (select 1 from ledger_entry e where e.tenant = $1 and e.index = i) order by i`,
    [tenant, size],
  );
  return rows.map(({ index }) => index);
}
