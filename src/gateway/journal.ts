/** Entries of removals that were made while the sequencer was away, signed already, in the gateway's own database. */
import type { Journal } from '../ledger/scribe.ts';
import type { Database } from '../store/database.ts';

export const openJournal = (database: Database): Journal => ({
  async add({ entry, body, salt }) {
    await database.query('insert into journal (entry, body, salt) values ($1, $2, $3)', [
      Buffer.from(entry, 'base64'),
      body,
      salt,
    ]);
  },
  async take() {
    const rows = await database.query<{ id: number; entry: Buffer; body: string; salt: string }>(
      'select id, entry, body, salt from journal order by id limit 256',
    );
    return rows.map((row) => ({ ...row, entry: row.entry.toString('base64') }));
  },
  async remove(ids) {
    await database.query('delete from journal where id = any($1)', [ids]);
  },
});
