import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ScratchCluster, scratchCluster, scratchFolder, servers } from '../../test/scratch.ts';
import { systemClock } from '../clock.ts';
import { type Database, openDatabase } from './database.ts';
import { migrate, readMigrations } from './migrate.ts';

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    let cluster: ScratchCluster;
    let database: Database;
    let folder: string;
    let runs = 0;

    const put = async (files: Record<string, string>): Promise<void> => {
      for (const [file, sql] of Object.entries(files)) await writeFile(join(folder, file), sql);
    };
    const tables = async (): Promise<string[]> =>
      (
        await database.query<{ name: string }>(
          "select tablename as name from pg_tables where schemaname = 'public' order by 1",
        )
      ).map((row) => row.name);

    beforeAll(async () => {
      cluster = await scratchCluster({ binaries });
      folder = await scratchFolder();
    });
    beforeEach(async () => {
      await database?.close();
      await rm(folder, { recursive: true });
      await mkdir(folder);
      const admin = openDatabase(cluster.superuser, { clock: systemClock });
      await admin.query(`create database fresh${++runs}`);
      await admin.close();
      database = openDatabase({ ...cluster.superuser, database: `fresh${runs}` }, { clock: systemClock });
    });
    afterAll(async () => {
      await database?.close();
      await rm(folder, { recursive: true, force: true });
      await cluster?.remove();
    });

    test('a file that fails leaves those before it and nothing of itself', async () => {
      await put({ '0001-a.sql': 'create table a (n int)', '0002-b.sql': 'create table b (n int); select 1 / 0;' });
      await expect(migrate(database, folder, 'control')).rejects.toMatchObject({ code: 'store-failed' });
      expect(await tables()).toEqual(['a', 'migration']);
      await put({ '0002-b.sql': 'create table b (n int);' });
      expect(await migrate(database, folder, 'control')).toBe(1);
      expect(await tables()).toEqual(['a', 'b', 'migration']);
    });

    test('refuses an applied file with other contents, and applies nothing after it', async () => {
      await put({ '0001-a.sql': 'create table a (n int)' });
      await migrate(database, folder, 'control');
      await put({ '0001-a.sql': 'create table a (n bigint)', '0002-b.sql': 'create table b (n int)' });
      await expect(migrate(database, folder, 'control')).rejects.toMatchObject({
        code: 'migration-changed',
        message: expect.stringContaining('0001-a.sql'),
      });
      expect(await tables()).toEqual(['a', 'migration']);
    });

    test.each([
      [{ '0002-b.sql': '' }],
      [{ '0001-a.sql': '', '0003-c.sql': '' }],
      [{ '0001-a.sql': '', '0001-b.sql': '' }],
      [{ '1-a.sql': '' }],
      [{ 'a.sql': '' }],
    ] as Record<string, string>[][])('refuses numbers that are not 1, 2, 3: %j', async (files) => {
      await put(files);
      await expect(migrate(database, folder, 'control')).rejects.toMatchObject({ code: 'migration-gap' });
      expect(await tables()).toEqual([]);
    });

    test('refuses a database with a hole in what was applied', async () => {
      await put({ '0001-a.sql': 'select 1', '0002-b.sql': 'select 2' });
      await migrate(database, folder, 'control');
      await database.query('delete from migration where number = 1');
      await expect(migrate(database, folder, 'control')).rejects.toMatchObject({ code: 'migration-gap' });
    });

    test('refuses a database that a newer Writgate has migrated', async () => {
      await put({ '0001-a.sql': 'select 1', '0002-b.sql': 'select 2' });
      await migrate(database, folder, 'control');
      await rm(join(folder, '0002-b.sql'));
      await expect(migrate(database, folder, 'control')).rejects.toMatchObject({
        code: 'migration-newer',
        message: expect.stringMatching(/0002-b\.sql.*knows 1/),
      });
    });

    test('two processes at once apply each file once', async () => {
      await put({
        '0001-a.sql': 'create table a (n int)',
        '0002-b.sql': 'create table b (n int); insert into a values (1)',
      });
      const applied = await Promise.all([migrate(database, folder, 'control'), migrate(database, folder, 'control')]);
      expect(applied[0]! + applied[1]!).toBe(2);
      expect(await database.one('select count(*) from a')).toEqual({ count: 1 });
    });

    test('run again it does nothing; numbers count per owner', async () => {
      await put({ '0001-a.sql': 'create table a (n int)' });
      expect(await migrate(database, folder, 'control')).toBe(1);
      expect(await migrate(database, folder, 'control')).toBe(0);
      await put({ '0001-a.sql': 'create table other (n int)' });
      expect(await migrate(database, folder, 'gateway')).toBe(1);
      expect(await tables()).toEqual(['a', 'migration', 'other']);
    });

    test.each(['control', 'gateway'])('the migrations of %s apply', async (owner) => {
      const known = await readMigrations(`src/store/${owner}`);
      expect(await migrate(database, `src/store/${owner}`, owner)).toBe(known.length);
      expect(known.length).toBeGreaterThan(0);
    });
  });
}
