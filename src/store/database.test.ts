import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ScratchCluster, scratchCluster, servers } from '../../test/scratch.ts';
import { systemClock } from '../clock.ts';
import { Failure } from '../errors.ts';
import { type Database, openDatabase, packageFolder, sqlstateOf } from './database.ts';

const gathered = async (pieces: AsyncIterable<Buffer>): Promise<string> => {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all).toString();
};

/** Resolves when `release` is called: two transactions meet exactly where the test says. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test('the package’s own folder is where package.json lies', () => {
  expect(packageFolder()).toBe(process.cwd());
});

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    let cluster: ScratchCluster;
    let database: Database;
    beforeAll(async () => {
      cluster = await scratchCluster({ binaries });
      database = openDatabase(cluster.superuser, { clock: systemClock });
    });
    afterAll(async () => {
      await database?.close();
      await cluster?.remove();
    });

    describe('failures', () => {
      test('says that nobody is there, whichever way', async () => {
        for (const elsewhere of [
          { host: '/nonexistent' },
          { host: '127.0.0.1', port: 1 },
          { host: 'nowhere.invalid' },
        ]) {
          const nobody = openDatabase({ ...cluster.superuser, ...elsewhere }, { clock: systemClock });
          await expect(nobody.query('select 1')).rejects.toMatchObject({ code: 'store-unavailable' });
          await expect(nobody.tx(async () => 1)).rejects.toMatchObject({ code: 'store-unavailable' });
          await nobody.close();
        }
      });

      test('a session ended by the server is store-unavailable, and the next query gets a new one', async () => {
        const failing = database.query('select pg_terminate_backend(pg_backend_pid())');
        await expect(failing).rejects.toMatchObject({ code: 'store-unavailable' });
        expect(await database.query('select 1 as one')).toEqual([{ one: 1 }]);
      });

      test('a session ended between two statements of a transaction commits nothing', async () => {
        await database.query('create table half (n int)');
        const work = database.tx(async (tx) => {
          await tx.query('insert into half values (1)');
          const { pid } = await tx.one<{ pid: number }>('select pg_backend_pid() as pid');
          await database.query('select pg_terminate_backend($1, 5000)', [pid]);
          await tx.query('insert into half values (2)');
        });
        await expect(work).rejects.toMatchObject({ code: 'store-unavailable' });
        expect(await database.query('select * from half')).toEqual([]);
      });

      test('a full disk, a conflict and anything else are told apart, and keep their SQLSTATE', async () => {
        const raise = (state: string) =>
          database.query(`do $$ begin raise exception 'as told' using errcode = '${state}'; end $$`);
        const seen = async (state: string) => {
          const thrown = await raise(state).catch((cause) => cause);
          expect(thrown).toBeInstanceOf(Failure);
          expect(sqlstateOf(thrown)).toBe(state);
          return (thrown as Failure).code;
        };
        expect(await seen('53100')).toBe('store-full');
        expect(await seen('40001')).toBe('store-conflict');
        expect(await seen('40P01')).toBe('store-conflict');
        expect(await seen('53300')).toBe('store-unavailable');
        expect(await seen('57P03')).toBe('store-unavailable');
        expect(await seen('08006')).toBe('store-unavailable');
        expect(await seen('23505')).toBe('store-failed');
        expect(await seen('42501')).toBe('store-failed');
        expect(sqlstateOf(new Error('no'))).toBe(null);
      });

      test('the message holds no row’s contents; the cause does', async () => {
        await database.query('create table secret (name text primary key)');
        await database.query("insert into secret values ('mallory')");
        const thrown = await database.query("insert into secret values ('mallory')").catch((cause) => cause);
        expect(thrown.message).not.toContain('mallory');
        expect(thrown.message).toContain('23505');
        expect(thrown.cause.detail).toContain('mallory');
      });

      test('a wrong password is not taken for a server that is away', async () => {
        const stranger = openDatabase({ ...cluster.superuser, password: 'x' }, { clock: systemClock });
        await expect(stranger.query('select 1')).rejects.toMatchObject({ code: 'store-failed' });
        await stranger.close();
      });
    });

    describe('values', () => {
      test('refuses an integer that JavaScript would round', async () => {
        const exact = await database.one('select 9007199254740991::int8 as max, -9007199254740991::int8 as min');
        expect(exact).toEqual({ max: Number.MAX_SAFE_INTEGER, min: Number.MIN_SAFE_INTEGER });
        await expect(database.query('select 9007199254740992::int8')).rejects.toMatchObject({ code: 'store-failed' });
        await expect(database.query('select array[9007199254740992]::int8[]')).rejects.toMatchObject({
          code: 'store-failed',
        });
        expect(await database.one('select array[1, null, 3]::int8[] as list')).toEqual({ list: [1, null, 3] });
        expect(await database.one('select count(*) from generate_series(1, 3)')).toEqual({ count: 3 });
      });

      test('a date is a date and no instant in our time zone', async () => {
        const row = await database.one("select date '2026-02-28' as day, timestamp '2026-02-28 23:30' as local");
        expect(row).toEqual({ day: '2026-02-28', local: '2026-02-28 23:30:00' });
        const { at } = await database.one<{ at: Date }>("select timestamptz '2026-02-28 23:30+02' as at");
        expect(at.toISOString()).toBe('2026-02-28T21:30:00.000Z');
      });

      test('exactly one, at most one', async () => {
        await expect(database.one('select 1 where false')).rejects.toMatchObject({ code: 'store-failed' });
        await expect(database.one('select generate_series(1, 2)')).rejects.toMatchObject({ code: 'store-failed' });
        await expect(database.maybe('select generate_series(1, 2)')).rejects.toMatchObject({ code: 'store-failed' });
        expect(await database.maybe('select 1 where false')).toBe(null);
      });
    });

    describe('tx', () => {
      test('rolls back what throws, and passes on what was thrown', async () => {
        await database.query('create table kept (n int)');
        const verdict = new RangeError('no');
        const work = database.tx(async (tx) => {
          await tx.query('insert into kept values (1)');
          throw verdict;
        });
        await expect(work).rejects.toBe(verdict);
        expect(await database.query('select * from kept')).toEqual([]);
      });

      test('a statement that failed unnoticed does not end in a commit', async () => {
        const work = database.tx(async (tx) => {
          await tx.query('select 1 / 0').catch(() => undefined);
        });
        await expect(work).rejects.toMatchObject({ code: 'store-failed' });
      });

      test('a deadlock fails when not told that the work may run again, and is resolved when told', async () => {
        await database.query('create table pair (id int primary key, n int default 0)');
        await database.query('insert into pair values (1), (2)');
        const meet = async (attempts: number) => {
          const [first, second] = [gate(), gate()];
          let runs = 0;
          const cross = (mine: number, other: number, held: ReturnType<typeof gate>, wait: ReturnType<typeof gate>) =>
            database.tx(
              async (tx) => {
                runs++;
                await tx.query("set local deadlock_timeout = '50ms'");
                await tx.query('update pair set n = n + 1 where id = $1', [mine]);
                held.open();
                await wait.opened;
                await tx.query('update pair set n = n + 1 where id = $1', [other]);
              },
              { attempts },
            );
          const ends = await Promise.allSettled([cross(1, 2, first, second), cross(2, 1, second, first)]);
          return { failed: ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.code] : [])), runs };
        };
        expect(await meet(1)).toEqual({ failed: ['store-conflict'], runs: 2 });
        expect(await meet(2)).toEqual({ failed: [], runs: 3 });
        expect(await database.one('select sum(n)::int as n from pair')).toEqual({ n: 2 + 4 });
      });

      test('serializable transactions that met run again, and both count', async () => {
        await database.query('create table tally (n int)');
        await database.query('insert into tally values (0)');
        const both = [gate(), gate()];
        const add = (mine: number) =>
          database.tx(
            async (tx) => {
              const { n } = await tx.one<{ n: number }>('select n from tally');
              both[mine]!.open();
              await both[1 - mine]!.opened;
              await tx.query('update tally set n = $1', [n + 1]);
            },
            { isolation: 'serializable', attempts: 3 },
          );
        await Promise.all([add(0), add(1)]);
        expect(await database.one('select n from tally')).toEqual({ n: 2 });
      });
    });

    describe('copy', () => {
      test('takes and gives rows in bulk, also inside a transaction', async () => {
        await database.query('create table bulk (n int, s text)');
        function* rows() {
          for (let n = 0; n < 50_000; n++) yield `${n}\tname ${n}\n`;
        }
        const count = await database.tx((tx) => tx.copyIn('copy bulk from stdin', rows()));
        expect(count).toBe(50_000);
        const text = await gathered(database.copyOut('copy (select n from bulk order by n) to stdout'));
        expect(text.split('\n')).toHaveLength(50_001);
      });

      test('a source that fails half-way stores nothing, and its error comes out', async () => {
        await database.query('create table torn (n int)');
        const torn = new RangeError('the feed ended early');
        async function* rows() {
          yield '1\n';
          throw torn;
        }
        await expect(database.copyIn('copy torn from stdin', rows())).rejects.toBe(torn);
        expect(await database.query('select * from torn')).toEqual([]);
      });

      test('a row that does not fit stores nothing and says why', async () => {
        await expect(database.copyIn('copy torn from stdin', ['1\n', 'two\n'])).rejects.toMatchObject({
          code: 'store-failed',
          message: expect.stringContaining('22P02'),
        });
        await expect(gathered(database.copyOut('copy nothing to stdout'))).rejects.toMatchObject({
          code: 'store-failed',
        });
        expect(await database.query('select * from torn')).toEqual([]);
      });

      test('a reader who has had enough leaves the connection fit for use', async () => {
        const single = openDatabase(cluster.superuser, { maxConnections: 1, clock: systemClock });
        await single.tx(async (tx) => {
          for await (const piece of tx.copyOut('copy (select generate_series(1, 300000)) to stdout')) {
            expect(piece.length).toBeGreaterThan(0);
            break;
          }
          expect(await tx.one('select 1 as one')).toEqual({ one: 1 });
        });
        for await (const _ of single.copyOut('copy (select generate_series(1, 300000)) to stdout')) break;
        expect(await single.one('select 1 as one')).toEqual({ one: 1 });
        await single.close();
      });
    });

    test('hears notifications, and is told that it may have missed some', async () => {
      const heard: (string | null)[] = [];
      const stop = await database.listen('news of "Q"', (payload) => heard.push(payload));
      const notify = (text: string) => database.query('select pg_notify($1, $2)', ['news of "Q"', text]);
      await notify('one');
      await expect.poll(() => heard).toEqual(['one']);
      await database.query(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where query like 'listen%' and pid <> pg_backend_pid()",
      );
      await expect.poll(() => heard, { timeout: 5000 }).toEqual(['one', null]);
      await notify('two');
      await expect.poll(() => heard).toEqual(['one', null, 'two']);
      await stop();
      await notify('three');
      expect(heard).toEqual(['one', null, 'two']);
    });

    test('an answer to COMMIT that never comes is unknown, and neither yes nor no', async () => {
      // A wire that is cut when COMMIT has been passed on.
      const sockets = new Set<Socket>();
      const wire = createServer((from) => {
        const to = connect(`${cluster.host}/.s.PGSQL.${cluster.port}`);
        for (const socket of [from, to]) {
          sockets.add(socket);
          socket.on('error', () => undefined);
        }
        to.pipe(from);
        from.on('data', (bytes) => {
          to.write(bytes);
          if (!bytes.includes('commit\0')) return;
          to.unpipe(from);
          to.once('data', () => from.destroy()).resume();
        });
      });
      await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve));
      const { port } = wire.address() as { port: number };
      const cut = openDatabase({ ...cluster.superuser, host: '127.0.0.1', port }, { clock: systemClock });
      await database.query('create table doubtful (n int)');
      const work = cut.tx((tx) => tx.query('insert into doubtful values (1)'));
      await expect(work).rejects.toMatchObject({ code: 'store-unknown' });
      expect(await database.query('select n from doubtful')).toEqual([{ n: 1 }]);
      await cut.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => wire.close(resolve));
    });
  });
}
