/**
 * Control's way into the ledger: a domain transaction writes its entries into the outbox, in the same transaction; the
 * intake drains it. So nothing happens that the ledger does not hear of, and nothing is heard that was rolled back.
 */
import type { Clock, Random } from '../clock.ts';
import type { Queryable } from '../store/database.ts';
import { openEntry, sealEntry } from './entry.ts';

export interface Note {
  readonly kind: string;
  readonly refs: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export type Recorder = (tx: Queryable, notes: readonly Note[]) => Promise<void>;

export function openOutbox(tenant: string, clock: Clock, random: Random): Recorder {
  return async (tx, notes) => {
    const entries = notes.map(({ kind, refs, body }) =>
      sealEntry({ kind, at: clock.now(), by: 'control', tenant, refs, body, random }),
    );
    await tx.query(
      'insert into outbox (entry, body, salt) select * from unnest($1::bytea[], $2::text[], $3::text[]) as u(e, b, s)',
      [entries.map(({ entry }) => entry), entries.map(({ body }) => body), entries.map(({ salt }) => salt)],
    );
  };
}

/** Keeps bodies where they can be found by what they are about, and erased. */
export async function keepBodies(
  tx: Queryable,
  tenant: string,
  items: readonly { readonly index: number; readonly entry: Buffer; readonly body: string; readonly salt: string }[],
): Promise<void> {
  const opened = items.map((item) => {
    const entry = openEntry(item.entry);
    if (!entry.ok) throw new Error(`assertion failed: a sealed entry does not open: ${entry.reason}`);
    return { ...item, kind: entry.entry.kind, refs: JSON.stringify(entry.entry.refs) };
  });
  await tx.query(
    `insert into ledger_entry (tenant, index, kind, refs, body, salt)
     select $1, i, k, r, b, s from unnest($2::bigint[], $3::text[], $4::jsonb[], $5::text[], $6::text[]) as u(i, k, r, b, s)
     on conflict do nothing`,
    [
      tenant,
      opened.map(({ index }) => index),
      opened.map(({ kind }) => kind),
      opened.map(({ refs }) => refs),
      opened.map(({ body }) => body),
      opened.map(({ salt }) => salt),
    ],
  );
}
