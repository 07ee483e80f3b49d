import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ScratchCluster, scratchCluster, scratchFolder, servers } from '../../test/scratch.ts';
import { systemAmbient, systemClock } from '../clock.ts';
import { type Connection, type Database, openDatabase } from './database.ts';
import { HOLDERS, prepareStore, readConnection, type Store } from './prepare.ts';

const using = async <T>(connection: Connection, work: (database: Database) => Promise<T>): Promise<T> => {
  const database = openDatabase(connection, { clock: systemClock });
  return work(database).finally(() => database.close());
};
const whoAmI = (connection: Connection) =>
  using(connection, (database) => database.one('select current_user as login, current_database() as database'));

/** The same login at another database of the same server. */
const at = (connection: Connection, database: string): Connection => {
  if (!('connectionString' in connection)) return { ...connection, database };
  const url = new URL(connection.connectionString);
  url.pathname = `/${database}`;
  return { connectionString: url.href };
};

async function expectSeparate(store: Store): Promise<void> {
  for (const mine of HOLDERS) {
    const other = mine === 'control' ? 'gateway' : 'control';
    expect(await whoAmI(store[mine])).toEqual({ login: `writgate_${mine}`, database: `writgate_${mine}` });
    await expect(whoAmI(at(store[mine], `writgate_${other}`)), `${mine} at ${other}`).rejects.toMatchObject({
      message: expect.stringContaining('42501'),
    });
    const weak = await using(store[mine], (database) =>
      database.one(
        'select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls as any from pg_roles where rolname = current_user',
      ),
    );
    expect(weak).toEqual({ any: false });
    await using(store[mine], async (database) => {
      await expect(database.query(`set role writgate_${other}`)).rejects.toMatchObject({ code: 'store-failed' });
      await expect(database.query(`drop database writgate_${other}`)).rejects.toMatchObject({ code: 'store-failed' });
      await expect(database.query('select rolpassword from pg_authid')).rejects.toMatchObject({ code: 'store-failed' });
      await database.query('create table if not exists own (n int)');
    });
  }
}

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    const folders: string[] = [];
    const fresh = async (): Promise<string> => {
      const folder = await scratchFolder();
      folders.push(folder);
      return folder;
    };
    afterAll(async () => {
      for (const folder of folders) await rm(folder, { recursive: true, force: true });
    });

    describe('the embedded server', () => {
      let folder: string;
      let store: Store;
      beforeAll(async () => {
        folder = await fresh();
        store = await prepareStore({ folder, ...systemAmbient, environment: {}, cluster: { binaries } });
      });
      afterAll(async () => {
        await store?.cluster?.stop();
        await rm(store.cluster!.host, { recursive: true, force: true });
      });
      const again = () => prepareStore({ folder, ...systemAmbient, environment: {}, cluster: { binaries } });

      test('neither role reaches the other’s database, nor the server’s own', async () => {
        await expectSeparate(store);
        for (const holder of HOLDERS) {
          for (const database of ['postgres', 'template1']) {
            await expect(whoAmI(at(store[holder], database))).rejects.toMatchObject({ code: 'store-failed' });
          }
        }
      });

      test('keeps each password in a file of mode 0600, and nothing else in common', async () => {
        const texts = await Promise.all(
          HOLDERS.map((holder) => readFile(join(folder, holder, 'database.json'), 'utf8')),
        );
        expect(new Set(texts.map((text) => JSON.parse(text).password)).size).toBe(2);
        for (const holder of HOLDERS) {
          expect((await stat(join(folder, holder, 'database.json'))).mode & 0o777).toBe(0o600);
          expect((await stat(join(folder, holder))).mode & 0o777).toBe(0o700);
          expect(await readConnection(folder, holder)).toEqual(store[holder]);
        }
      });

      test('run again, and twice at once, it changes nothing', async () => {
        const written = await stat(join(folder, 'control/database.json'));
        const [first, second] = await Promise.all([again(), again()]);
        expect(first).toMatchObject({ control: store.control, gateway: store.gateway });
        expect(second).toMatchObject({ control: store.control, gateway: store.gateway });
        expect((await stat(join(folder, 'control/database.json'))).mtimeMs).toBe(written.mtimeMs);
      });

      test('closes a database that a killed start left open to everybody', async () => {
        await using(store.cluster!.superuser, (admin) =>
          admin.query('grant connect on database writgate_gateway to public'),
        );
        await again();
        await expectSeparate(store);
      });

      test('refuses to go on when control was let in by name', async () => {
        const admin = (sql: string) => using(store.cluster!.superuser, (database) => database.query(sql));
        await admin('grant connect on database writgate_gateway to writgate_control');
        await expect(again()).rejects.toMatchObject({ code: 'store-shared' });
        await admin('revoke connect on database writgate_gateway from writgate_control');
      });

      test('gives a role another password when its file is lost', async () => {
        await rm(join(folder, 'gateway/database.json'));
        const mended = await again();
        expect(mended.control).toEqual(store.control);
        expect(mended.gateway).not.toEqual(store.gateway);
        await expect(whoAmI(store.gateway)).rejects.toMatchObject({ message: expect.stringContaining('28P01') });
        await expectSeparate(mended);
      });
    });

    describe('a server by URL', () => {
      let server: ScratchCluster;
      let url: string;
      const admin = (sql: string) => using(server.superuser, (database) => database.query(sql));
      const urlOf = (user: string, password: string, database = 'postgres') =>
        `postgres://${user}:${password}@127.0.0.1:${server.port}/${database}?application_name=kept`;
      beforeAll(async () => {
        server = await scratchCluster({ binaries, loopbackPort: 0 });
        await admin("create role builder login createdb createrole password 'b'");
        url = urlOf('builder', 'b');
      });
      afterAll(async () => server?.remove());

      test('is prepared by a login that is no superuser, and keeps the URL’s settings', async () => {
        const folder = await fresh();
        const store = await prepareStore({ folder, ...systemAmbient, environment: { WRITGATE_DATABASE_URL: url } });
        expect(store.cluster).toBe(null);
        expect(store.control).toEqual({ connectionString: expect.stringContaining('?application_name=kept') });
        await expectSeparate(store);
        expect(await prepareStore({ folder, ...systemAmbient, environment: { WRITGATE_DATABASE_URL: url } })).toEqual(
          store,
        );
        const members = await using(server.superuser, (database) =>
          database.query(
            "select 1 from pg_auth_members where roleid::regrole::text like 'writgate%' and coalesce((to_jsonb(pg_auth_members)->>'set_option')::bool, true)",
          ),
        );
        expect(members).toEqual([]);
      });

      test('another installation on the same server is refused, and the first keeps its password', async () => {
        const first = await fresh();
        const environment = { WRITGATE_DATABASE_URL: url };
        for (const holder of HOLDERS) {
          await admin(`drop database if exists writgate_${holder}`);
          await admin(`drop role if exists writgate_${holder}`);
        }
        const store = await prepareStore({ folder: first, ...systemAmbient, environment });
        await expect(prepareStore({ folder: await fresh(), ...systemAmbient, environment })).rejects.toMatchObject({
          code: 'store-taken',
        });
        await expectSeparate(store);
      });

      test('no password stands in the server’s log, whatever it logs', async () => {
        await admin("alter system set log_statement = 'all'");
        await admin('select pg_reload_conf()');
        for (const holder of HOLDERS) {
          await admin(`drop database if exists writgate_${holder}`);
          await admin(`drop role if exists writgate_${holder}`);
        }
        const folder = await fresh();
        const store = await prepareStore({ folder, ...systemAmbient, environment: { WRITGATE_DATABASE_URL: url } });
        const log = await readFile(join(server.folder, 'cluster/server.log'), 'utf8');
        expect(log).toMatch(/create role writgate_control login password 'SCRAM-SHA-256/);
        for (const holder of HOLDERS) {
          const { password } = new URL((store[holder] as { connectionString: string }).connectionString);
          expect(log).not.toContain(password);
        }
      });
    });

    describe('two URLs', () => {
      let server: ScratchCluster;
      const urlOf = (user: string, database: string) => `postgres://${user}:p@127.0.0.1:${server.port}/${database}`;
      const prepare = async (control: string, gateway: string) =>
        prepareStore({
          ...systemAmbient,
          folder: await fresh(),
          environment: { WRITGATE_CONTROL_DATABASE_URL: control, WRITGATE_GATEWAY_DATABASE_URL: gateway },
        });
      beforeAll(async () => {
        server = await scratchCluster({ binaries, loopbackPort: 0 });
        await using(server.superuser, async (admin) => {
          for (const role of ['one', 'two', 'super', 'open']) {
            await admin.query(`create role ${role} login password 'p'`);
            await admin.query(`create database ${role} owner ${role}`);
            if (role !== 'open') await admin.query(`revoke connect on database ${role} from public`);
          }
          await admin.query('alter role super superuser');
        });
      });
      afterAll(async () => server?.remove());

      test('serve when neither login reaches the other’s database', async () => {
        const store = await prepare(urlOf('one', 'one'), urlOf('two', 'two'));
        expect(await whoAmI(store.gateway)).toEqual({ login: 'two', database: 'two' });
      });

      test.each([
        ['one database', 'one', 'one', 'one', 'one'],
        ['a superuser', 'super', 'super', 'one', 'one'],
        ['a superuser as the gateway', 'one', 'one', 'super', 'super'],
        ['a database open to everybody', 'one', 'one', 'open', 'open'],
      ])('are refused with %s', async (_fact, control, controlDatabase, gateway, gatewayDatabase) => {
        const refused = prepare(urlOf(control, controlDatabase), urlOf(gateway, gatewayDatabase));
        await expect(refused).rejects.toMatchObject({ code: 'store-shared' });
      });

      test('are refused when control is a member of the gateway’s role', async () => {
        await using(server.superuser, (admin) => admin.query('grant two to one'));
        await expect(prepare(urlOf('one', 'one'), urlOf('two', 'two'))).rejects.toMatchObject({ code: 'store-shared' });
        await using(server.superuser, (admin) => admin.query('revoke two from one'));
      });
    });

    test('one of two URLs is half an answer', async () => {
      const environment = { WRITGATE_CONTROL_DATABASE_URL: 'postgres://localhost/x' };
      await expect(prepareStore({ folder: await fresh(), ...systemAmbient, environment })).rejects.toMatchObject({
        code: 'wrong-use',
      });
    });

    test('a role whose store was not prepared is told so', async () => {
      const folder = await fresh();
      await expect(readConnection(folder, 'gateway')).rejects.toMatchObject({ code: 'not-found' });
      await writeFile(join(folder, 'gateway'), '');
      await expect(readConnection(folder, 'gateway')).rejects.toMatchObject({ code: 'not-found' });
    });
  });
}
