import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ScratchCluster, scratchCluster, servers } from '../../test/scratch.ts';
import { systemClock } from '../clock.ts';
import { type Database, openDatabase } from './database.ts';
import { openStatistics } from './statistics.ts';

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    let cluster: ScratchCluster;
    let database: Database;

    const known = async (table: string): Promise<number> =>
      (await database.one<{ rows: number }>('select reltuples::int as rows from pg_class where relname = $1', [table]))
        .rows;

    beforeAll(async () => {
      cluster = await scratchCluster({ binaries });
      database = openDatabase(cluster.superuser, { clock: systemClock });
      for (const table of ['few', 'many']) {
        await database.query(`create table ${table} (id integer) with (autovacuum_enabled = off)`);
      }
      await database.query('insert into many select generate_series(1, 500)');
      await database.query('analyze many');
      await database.query('insert into few select generate_series(1, 70)');
    });
    afterAll(async () => {
      await database?.close();
      await cluster?.stop();
    });

    test('a table that is known to be smaller than what was written is looked at, and no other', async () => {
      const grew = openStatistics(database, ['few', 'many']);
      await database.query('insert into many select generate_series(1, 10)');
      grew(63);
      expect(await known('few')).toBe(-1);
      grew(7);
      await expect.poll(() => known('few')).toBe(70);
      expect(await known('many')).toBe(500);
    });

    test('what cannot be looked at hinders nobody', async () => {
      const gone = openDatabase({ ...cluster.superuser, database: 'nowhere' }, { clock: systemClock });
      openStatistics(gone, ['few'])(1000);
      await gone.close();
    });
  });
}
