import { execFileSync } from 'node:child_process';
import { chown, readFile, stat } from 'node:fs/promises';
import { createServer, connect as dial, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  FIRST_PASSWORD,
  openPostgresBench,
  startTarget,
  type Target,
} from '../../../test/counterparts/postgres-bench.ts';
import { servers } from '../../../test/scratch.ts';
import { canonical } from '../../canonical.ts';
import { systemAmbient } from '../../clock.ts';
import type { Question, Receipt, Reply, Sighting, SqlCall, Task } from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import type { Bench } from '../../connector/suite.ts';
import { connector } from '../../connectors/postgres/connector.ts';
import type { Secret } from './contract.ts';
import { openSql, readEndpoint } from './sql.ts';
import { STATEMENTS, type Statement } from './statements.ts';

const call = (statement: string, params: SqlCall['params']): SqlCall => ({ kind: 'sql', statement, params });
const GUARDED: readonly (readonly [string, SqlCall['params']])[] = [
  ['update account', { attributes: canonical({ title: 'x' }) }],
  ['disable account', {}],
  ['enable account', {}],
  ['delete account', {}],
  ['grant role', { role: 'staff' }],
  ['revoke role', { role: 'staff' }],
  ['end connections', {}],
];

test('every statement that changes an account is among those that are tried on what must not be touched', () => {
  const changing = Object.entries(STATEMENTS as Record<string, Statement>).filter(
    ([, { effect }]) => effect !== 'read',
  );
  expect(changing.map(([name]) => name).sort()).toEqual([...GUARDED.map(([name]) => name), 'create account'].sort());
});

test.each([
  ['no URL', 'db.example', null],
  ['another protocol', 'https://db.example/pay', null],
  ['no host', 'postgres:///pay', null],
  ['no database', 'postgres://db.example', null],
  ['a deeper path', 'postgres://db.example/pay/x', null],
  ['a login in the URL', 'postgres://u:p@db.example/pay', null],
  ['a host that the driver would take from elsewhere', 'postgres://db.example/pay?host=evil.example', null],
  ['a session option', 'postgres://db.example/pay?options=-csearch_path%3Dpublic', null],
  ['TLS that checks nobody', 'postgres://db.example/pay?sslmode=require', null],
  ['no TLS beyond this machine', 'postgres://db.example/pay?sslmode=disable', null],
  ['a name that only begins like this machine', 'postgres://127.evil.example/pay?sslmode=disable', null],
])('refuses an address with %s', (_fact, url, ca) => {
  expect(() => openSql({ url, ca, timeoutMs: 1000 }, systemAmbient)).toThrow(
    expect.objectContaining({ code: 'wrong-use' }),
  );
});

test('checks the server’s name by TLS everywhere but on this machine', () => {
  const ssl = (url: string, ca: string | null = null) => readEndpoint({ url, ca, timeoutMs: 1000 }).ssl;
  expect(ssl('postgres://db.example/pay')).toMatchObject({ rejectUnauthorized: true });
  expect(ssl('postgres://localhost/pay?sslmode=verify-full')).toMatchObject({ rejectUnauthorized: true });
  expect(ssl('postgres://127.0.0.1/pay', 'PEM')).toMatchObject({ rejectUnauthorized: true, ca: 'PEM' });
  expect(ssl('postgres://127.0.0.1/pay')).toBe(false);
  expect(ssl('postgres://[::1]/pay')).toBe(false);
});

describe('a server that is none', () => {
  const secret: Secret = { kind: 'basic', username: 'writer', password: 'do-not-tell' };
  /** Answers the startup message with `answer`, and keeps what it is told. */
  const impostor = async (answer: Buffer, ask: (url: string) => Promise<unknown>): Promise<string> => {
    let told = '';
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        told += bytes.toString('latin1');
      });
      socket.once('data', () => socket.write(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    try {
      await ask(`postgres://127.0.0.1:${port}/pay`);
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
    return told;
  };
  const message = (type: string, ...parts: (number | Buffer)[]): Buffer => {
    const body = Buffer.concat(
      parts.map((part) => {
        if (typeof part !== 'number') return part;
        const word = Buffer.alloc(4);
        word.writeUInt32BE(part);
        return word;
      }),
    );
    const head = Buffer.alloc(5);
    head.write(type);
    head.writeUInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const ready = message('Z', Buffer.from('I'));

  test.each([
    ['asks for the password itself', message('R', 3)],
    ['asks for its MD5', message('R', 5, Buffer.from('salt'))],
    ['asks for nothing', Buffer.concat([message('R', 0), ready])],
    ['asks for a way that we do not know', message('R', 10, Buffer.from('EVIL-256\0\0'))],
    ['speaks another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['says no more', Buffer.alloc(0)],
  ])('that %s gets no credential and no statement', async (_fact, answer) => {
    const told = await impostor(answer, async (url) => {
      const performer = openSql({ url, ca: null, timeoutMs: 300 }, systemAmbient);
      expect(await performer.perform(call('read account', { login: 'x' }), secret)).toMatchObject({ kind: 'down' });
      expect(await performer.present?.('writer', 'do-not-tell')).toBe('unknown');
    });
    expect(told).toContain('writer');
    expect(told).not.toContain('do-not-tell');
    expect(told).not.toContain('md5');
    expect(told).not.toMatch(/select|begin/i);
  });

  test('that has no TLS where it must have is told nothing, not even the login', async () => {
    const told = await impostor(Buffer.from('N'), async (url) => {
      const performer = openSql({ url: `${url}?sslmode=verify-full`, ca: null, timeoutMs: 300 }, systemAmbient);
      expect(await performer.perform(call('read account', { login: 'x' }), secret)).toMatchObject({ kind: 'down' });
    });
    expect(told).not.toContain('writer');
  });

  test('at a closed port is down, and proves nothing', async () => {
    const performer = openSql({ url: 'postgres://127.0.0.1:1/pay', ca: null, timeoutMs: 300 }, systemAmbient);
    expect(await performer.perform(call('read account', { login: 'x' }), secret)).toMatchObject({ kind: 'down' });
    expect(await performer.present?.('writer', 'x')).toBe('unknown');
  });
});

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    let target: Target;
    let bench: Bench;
    let superuser: Secret;
    let serial = 0;

    beforeAll(async () => {
      target = await startTarget(binaries);
      bench = openPostgresBench(target);
      await target.admin("create role chief login superuser password 'c'");
      superuser = { kind: 'basic', username: 'chief', password: 'c' };
    });
    afterAll(async () => {
      await bench?.close();
      await target?.close();
    });

    const fresh = () => `person${++serial}`;
    const apply = async (effect: Task['effect'], login: string, more: Partial<Task> = {}): Promise<Receipt> => {
      const task: Task = { effect, account: { login, id: null }, ...more };
      return (await drive(connector.apply({}, task), bench.perform)).result;
    };
    const look = async (login: string, entitlement?: string): Promise<Sighting> => {
      const question: Question = {
        account: { login, id: null },
        ...(entitlement === undefined ? {} : { entitlement }),
      };
      return (await drive(connector.look({}, question), bench.look)).result;
    };
    const create = async (login = fresh()): Promise<string> => {
      expect(await apply('create', login, { attributes: { employeeId: '1' } })).toMatchObject({ outcome: 'done' });
      return login;
    };
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
    const roles = async () =>
      (await target.admin('select rolname from pg_roles order by 1')).map((row) => row['rolname']);
    const perform = (statement: string, params: SqlCall['params'], secret: Secret = target.writer): Promise<Reply> => {
      const performer = openSql(target.address, systemAmbient);
      return performer.perform(call(statement, params), secret);
    };

    describe('measured lies', () => {
      test('NOLOGIN leaves open sessions alive; ending the connections ends them', async () => {
        const login = await create();
        const session = await target.login(login, FIRST_PASSWORD);
        expect(await apply('disable', login)).toMatchObject({ outcome: 'done' });
        expect((await session.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
        expect(await look(login, '@connections')).toMatchObject({ account: 'disabled', holds: true });

        const ended = new Promise((resolve) => session.once('end', resolve));
        expect(await apply('revoke', login, { entitlement: '@connections' })).toMatchObject({ outcome: 'done' });
        await ended;
        expect(await look(login, '@connections')).toMatchObject({ account: 'disabled', holds: false });
        expect(await apply('revoke', login, { entitlement: '@connections' })).toMatchObject({ outcome: 'already' });
        await expect(target.login(login, FIRST_PASSWORD)).rejects.toThrow();
      });

      test('DROP ROLE would leave a nameless session: it waits until the connections are ended', async () => {
        const login = await create();
        const session = await target.login(login, FIRST_PASSWORD);
        expect(await apply('delete', login)).toMatchObject({
          outcome: 'later',
          message: expect.stringContaining('1 open connections'),
        });
        expect(await look(login)).toMatchObject({ account: 'active' });
        const ended = new Promise((resolve) => session.once('end', resolve));
        await apply('revoke', login, { entitlement: '@connections' });
        await ended;
        expect(await apply('delete', login)).toMatchObject({ outcome: 'done' });
        expect(await look(login, '@connections')).toMatchObject({ account: 'absent', holds: false });
      });

      test('a role that somebody else dropped under its session is not said to be without connections', async () => {
        const login = await create();
        const session = await target.login(login, FIRST_PASSWORD);
        await target.admin(`drop role ${login}`);
        expect((await session.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
        expect(await look(login, '@connections')).toMatchObject({ account: null, holds: null });
        await session.end();
        await expect.poll(async () => (await look(login, '@connections')).account).toBe('absent');
      });

      test('REVOKE takes back only one’s own grant: what another granted is refused aloud or really gone', async () => {
        const login = await create();
        await target.admin(`grant staff to ${login}`);
        const receipt = await apply('revoke', login, { entitlement: 'staff' });
        if (binaries.major >= 16) {
          expect(receipt).toMatchObject({ outcome: 'refused', message: expect.stringContaining('42501') });
          expect(await look(login, 'staff')).toMatchObject({ holds: true });
        } else {
          expect(receipt).toMatchObject({ outcome: 'done' });
          expect(await look(login, 'staff')).toMatchObject({ holds: false });
        }
        await apply('grant', login, { entitlement: 'staff' });
        const reply = await perform('revoke role', { login, role: 'staff' }, superuser);
        expect(reply).toMatchObject({ rows: [{ outcome: 'done' }] });
        expect(await look(login, 'staff')).toMatchObject({ holds: false });
        expect(await target.admin(`select 1 from pg_auth_members where member = '${login}'::regrole`)).toEqual([]);
      });

      test('a role held by way of another is still held', async () => {
        const login = await create();
        const by = `team${++serial}`;
        await target.admin(`create role ${by}; grant staff to ${by}; grant ${by} to ${login}`);
        expect(await apply('revoke', login, { entitlement: 'staff' })).toMatchObject({ outcome: 'already' });
        expect(await look(login, 'staff')).toMatchObject({ holds: true });
      });

      test('a session that took on the role keeps it after REVOKE, until the connections are ended', async () => {
        const login = await create();
        await apply('grant', login, { entitlement: 'payroll_admin' });
        const session = await target.login(login, FIRST_PASSWORD);
        await session.query('set role payroll_admin');
        expect(await apply('revoke', login, { entitlement: 'payroll_admin' })).toMatchObject({ outcome: 'done' });
        expect(await look(login, 'payroll_admin')).toMatchObject({ holds: false });
        expect((await session.query('select current_user as me')).rows).toEqual([{ me: 'payroll_admin' }]);
        const ended = new Promise((resolve) => session.once('end', resolve));
        await apply('revoke', login, { entitlement: '@connections' });
        await ended;
      });
    });

    describe('what must never be touched', () => {
      const state = async (role: string) =>
        target.admin(
          `select rolcanlogin, rolsuper, shobj_description(oid, 'pg_authid') as comment,
                  array(select roleid::regrole::text from pg_auth_members where member = pg_roles.oid order by 1) as member
             from pg_roles where rolname = ${literal(role)}`,
        );

      test.each(GUARDED)('"%s" refuses a superuser, even with a superuser’s credential', async (statement, params) => {
        for (const login of ['postgres', 'chief']) {
          const before = await state(login);
          const session = await target.login('chief', 'c');
          for (const secret of [target.writer, superuser]) {
            expect(await perform(statement, { login, ...params }, secret)).toMatchObject({
              kind: 'sql',
              sqlstate: '42501',
            });
          }
          expect(await state(login)).toEqual(before);
          expect((await session.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
          await session.end();
        }
      });

      test.each(GUARDED)('"%s" refuses the gateway’s own login', async (statement, params) => {
        const before = await state('writer');
        expect(await perform(statement, { login: 'writer', ...params })).toMatchObject({ sqlstate: '42501' });
        expect(await state('writer')).toEqual(before);
      });

      test.each(GUARDED)('"%s" refuses a role that is no account', async (statement, params) => {
        const role = `group${++serial}`;
        await target.admin(`create role ${role}`);
        for (const login of [role, 'pg_read_all_data']) {
          const before = await state(login);
          expect(await perform(statement, { login, ...params }, superuser)).toMatchObject({ sqlstate: '42809' });
          expect(await state(login)).toEqual(before);
        }
      });

      test.each(['postgres', 'chief', 'pg_execute_server_program', 'pg_read_all_data'])(
        '%s is granted to nobody',
        async (role) => {
          const login = await create();
          expect(await perform('grant role', { login, role }, superuser)).toMatchObject({ sqlstate: '42501' });
          expect((await state(login))[0]).toMatchObject({ member: [] });
        },
      );

      test('a database’s owner cannot slip other tables under the statements', async () => {
        await target.admin(`create view public.pg_roles as
          select oid, rolname, false as rolsuper, true as rolcanlogin from pg_catalog.pg_roles`);
        await target.admin('alter database pay set search_path = public, pg_catalog');
        expect(await perform('disable account', { login: 'chief' }, superuser)).toMatchObject({ sqlstate: '42501' });
        await target.admin('alter database pay reset search_path');
        await target.admin('drop view public.pg_roles');
      });

      test('the verifier’s credential, and a read, change nothing', async () => {
        const login = await create();
        for (const [statement, params] of GUARDED.filter(
          ([one]) => one !== 'enable account' && one !== 'revoke role',
        )) {
          const reply = await perform(statement, { login, ...params }, target.reader);
          expect(reply, statement).not.toMatchObject({ rows: [{ outcome: 'done' }] });
        }
        expect(await look(login)).toMatchObject({ account: 'active', attributes: { employeeId: '1' } });
      });
    });

    describe('names', () => {
      const hostile = [
        '"; drop role victim; --',
        `'; drop role victim; --`,
        '$writ$; drop role victim; --',
        `"victim"`,
        `'`,
        '"',
        '\\',
        '%I',
        '%',
        'a b\tc\nd',
        'Victim',
        ' victim',
        'víctim',
        'ｖictim',
        '😀'.repeat(15),
        'ü'.repeat(31),
        'current_user',
        'session_user',
        'select',
        '__proto__',
        '-c role=postgres',
      ];
      test.each(hostile)('%j is a name and nothing more', async (login) => {
        if (!(await roles()).includes('victim')) await target.admin("create role victim login password 'v'");
        const before = await roles();
        await create(login);
        expect(await roles()).toEqual(expect.arrayContaining([...before, login]));
        expect(await apply('update', login, { attributes: { title: login } })).toMatchObject({ outcome: 'done' });
        expect(await apply('grant', login, { entitlement: 'staff' })).toMatchObject({ outcome: 'done' });
        expect(await look(login, 'staff')).toMatchObject({
          account: 'active',
          holds: true,
          attributes: { title: login },
        });
        expect(await apply('disable', login)).toMatchObject({ outcome: 'done' });
        expect(await apply('enable', login)).toMatchObject({ outcome: 'done' });
        expect(await apply('revoke', login, { entitlement: 'staff' })).toMatchObject({ outcome: 'done' });
        expect(await apply('revoke', login, { entitlement: '@connections' })).toMatchObject({ outcome: 'already' });
        expect(await look('victim')).toMatchObject({ account: 'active', attributes: {} });
        expect(await apply('delete', login)).toMatchObject({ outcome: 'done' });
        expect(await roles()).toEqual(before);
      });

      test.each(hostile)('a role %j is granted as itself', async (role) => {
        const login = await create();
        await target.admin(`create role ${quoted(role)}`);
        expect(await perform('grant role', { login, role }, superuser)).toMatchObject({ rows: [{ outcome: 'done' }] });
        expect(await look(login, role)).toMatchObject({ holds: true });
        expect(
          await target.admin(`select count(*)::int as n from pg_auth_members where member = '${login}'::regrole`),
        ).toEqual([{ n: 1 }]);
        await target.admin(`drop role ${quoted(role)}`);
      });

      test.each(['public', 'none', 'pg_person', 'a'.repeat(64), 'ü'.repeat(32), '', 'a\0b', '\ud800'])(
        '%j is refused',
        async (login) => {
          const before = await roles();
          expect(await apply('create', login, { attributes: {} })).toMatchObject({ outcome: 'refused' });
          expect(await roles()).toEqual(before);
        },
      );

      test('a name of 64 bytes does not reach the role of 63 that the server would make of it', async () => {
        const victim = 'v'.repeat(63);
        await create(victim);
        for (const effect of ['disable', 'enable', 'delete'] as const) {
          expect(await apply(effect, `${victim}x`)).toMatchObject({ outcome: 'refused' });
        }
        expect(await look(victim)).toMatchObject({ account: 'active' });
        // Also when a call gets past the catalogue.
        expect(await perform('delete account', { login: `${victim}x` })).toMatchObject({ kind: 'refused' });
      });
    });

    describe('accounts', () => {
      test('one that owns something is not deleted, and the way out is told', async () => {
        const login = await create();
        await target.admin(`grant create on database pay to ${login}`);
        const session = await target.login(login, FIRST_PASSWORD);
        await session.query(`create schema ${login}`);
        await session.end();
        await expect.poll(async () => (await look(login, '@connections')).holds).toBe(false);
        expect(await apply('delete', login)).toMatchObject({
          outcome: 'refused',
          message: expect.stringMatching(/2BP01.*REASSIGN OWNED/),
        });
        expect(await look(login)).toMatchObject({ account: 'active' });
      });

      test('a login that is taken by another role is refused, and that role stays as it is', async () => {
        for (const role of ['staff', 'writer', 'chief', 'postgres']) {
          expect(await apply('create', role, { attributes: { employeeId: '1' } })).toMatchObject({
            outcome: 'refused',
          });
          // Nothing to tell them apart by is no reason to take it for ours.
          expect(await apply('create', role, { attributes: {} })).toMatchObject({ outcome: 'refused' });
        }
        const other = await create();
        expect(await apply('create', other, { attributes: { employeeId: '2' } })).toMatchObject({ outcome: 'refused' });
        await apply('disable', other);
        expect(await apply('create', other, { attributes: { employeeId: '1' } })).toMatchObject({ outcome: 'refused' });
        await expect(target.login('chief', FIRST_PASSWORD)).rejects.toThrow(/password/);
      });

      test('enable, update and grant of nobody are refused; taking away from nobody is already so', async () => {
        const login = fresh();
        expect(await apply('enable', login)).toMatchObject({ outcome: 'refused' });
        expect(await apply('update', login, { attributes: {} })).toMatchObject({ outcome: 'refused' });
        expect(await apply('grant', login, { entitlement: 'staff' })).toMatchObject({ outcome: 'refused' });
        for (const effect of ['disable', 'delete'] as const) {
          expect(await apply(effect, login)).toMatchObject({ outcome: 'already' });
        }
        expect(await apply('revoke', login, { entitlement: 'staff' })).toMatchObject({ outcome: 'already' });
      });

      test('a role that is not there is not granted, and nobody says whether it is held', async () => {
        const login = await create();
        expect(await apply('grant', login, { entitlement: 'staf' })).toMatchObject({ outcome: 'refused' });
        expect(await look(login, 'staf')).toMatchObject({ account: 'active', holds: null });
      });

      test('what people wrote about a role stays, and what is there stays what it is', async () => {
        const login = fresh();
        await target.admin(`create role ${login} login; comment on role ${login} is 'night shift (wiki)'`);
        if (binaries.major >= 16)
          await target.admin(`grant ${login} to writer with admin true, inherit false, set false`);
        expect(await apply('disable', login)).toMatchObject({ outcome: 'done' });
        expect(await apply('update', login, { attributes: { title: 'a' } })).toMatchObject({ outcome: 'done' });
        expect(await apply('update', login, { attributes: { email: 'b' } })).toMatchObject({ outcome: 'done' });
        expect(await apply('update', login, { attributes: { title: 'a' } })).toMatchObject({ outcome: 'already' });
        expect(await look(login)).toMatchObject({ account: 'disabled', attributes: { title: 'a', email: 'b' } });
        const [row] = await target.admin(`select shobj_description('${login}'::regrole, 'pg_authid') as comment`);
        expect(row?.['comment']).toMatch(/^night shift \(wiki\) writgate:\{[^{]*\}$/);
      });

      test('a mark that somebody broke is no attribute and no obstacle', async () => {
        const login = await create();
        await target.admin(`comment on role ${login} is 'writgate:{not json}'`);
        expect(await look(login)).toMatchObject({ account: 'active', attributes: {} });
        expect(await apply('update', login, { attributes: { title: 'a' } })).toMatchObject({ outcome: 'done' });
        expect(await look(login)).toMatchObject({ attributes: { title: 'a' } });
      });
    });

    describe('passwords', () => {
      test('the first one lets in, and stands in no log, whatever the server logs', async () => {
        const login = await create();
        const session = await target.login(login, FIRST_PASSWORD);
        await session.end();
        await apply('create', login, { attributes: {} });
        const log = await readFile(join(target.cluster.folder, 'cluster/server.log'), 'utf8');
        expect(log).toContain(`'writgate.password'`);
        expect(log).toContain('SCRAM-SHA-256$4096:');
        expect(log).not.toContain(FIRST_PASSWORD);
      });

      test('presented again: accepted, refused, or unknown, and never refused by guess', async () => {
        const { present } = openSql(target.address, systemAmbient);
        const login = await create();
        expect(await present?.(login, FIRST_PASSWORD)).toBe('accepted');
        expect(await present?.(login, 'wrong')).toBe('refused');
        expect(await present?.('nobody-of-that-name', FIRST_PASSWORD)).toBe('refused');
        await apply('disable', login);
        expect(await present?.(login, FIRST_PASSWORD)).toBe('refused');
        await apply('enable', login);
        // Not let in, but for another reason than the password: it may still open another database.
        await target.admin('revoke connect on database pay from public');
        expect(await present?.(login, FIRST_PASSWORD)).toBe('unknown');
        await target.admin('grant connect on database pay to public');
        await target.admin(`alter role ${login} connection limit 0`);
        expect(await present?.(login, FIRST_PASSWORD)).toBe('unknown');
        expect(await present?.(login, 'pässword')).toBe('unknown');
        expect(await present?.('', '')).toBe('unknown');
      });

      test('a credential that the server refuses is down, and is not said back', async () => {
        const secret: Secret = { kind: 'basic', username: 'writer', password: 'w-that-was' };
        const reply = await perform('read account', { login: 'x' }, secret);
        expect(reply).toMatchObject({ kind: 'down', message: expect.not.stringContaining('w-that-was') });
      });

      test.each<Secret>([
        { kind: 'none' },
        { kind: 'bearer', token: 'x' },
        { kind: 'bind', dn: 'x', password: 'x' },
        { kind: 'basic', username: '', password: 'x' },
        { kind: 'basic', username: 'writer', password: '' },
      ])('a credential of another kind is refused: %j', async (secret) => {
        expect(await perform('read account', { login: 'x' }, secret)).toMatchObject({ kind: 'refused' });
      });
    });

    describe('trouble', () => {
      test('what is no statement of the table is refused', async () => {
        const performer = openSql(target.address, systemAmbient);
        expect(await performer.perform({ kind: 'file', path: 'x' }, superuser)).toMatchObject({ kind: 'refused' });
        for (const statement of ['drop role victim', 'toString', '__proto__', '']) {
          expect(await perform(statement, {}, superuser)).toMatchObject({ kind: 'refused' });
        }
        expect(await perform('read account', { login: 'x', more: 'y' })).toMatchObject({ kind: 'refused' });
        expect(await perform('read account', {})).toMatchObject({ kind: 'refused' });
      });

      /** The target behind a wire that is cut as soon as it has carried `word` there and an answer came. */
      const cutAfter = async (word: string, use: (address: Target['address']) => Promise<void>): Promise<void> => {
        const sockets: Socket[] = [];
        const wire = createServer((from) => {
          const to = dial(target.cluster.port, '127.0.0.1');
          for (const socket of [from, to]) {
            sockets.push(socket);
            socket.on('error', () => undefined);
          }
          to.pipe(from);
          from.on('data', (bytes) => {
            to.write(bytes);
            if (!bytes.includes(word)) return;
            to.unpipe(from);
            to.once('data', () => from.destroy()).resume();
          });
        });
        await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve));
        const { port } = wire.address() as { port: number };
        await use({ ...target.address, url: `postgres://127.0.0.1:${port}/pay` });
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => wire.close(resolve));
      };

      test('an answer to COMMIT that never comes is lost, and it was done', async () => {
        const login = await create();
        await cutAfter('commit\0', async (address) => {
          const reply = await openSql(address, systemAmbient).perform(
            call('disable account', { login }),
            target.writer,
          );
          expect(reply).toMatchObject({ kind: 'lost' });
        });
        expect(await look(login)).toMatchObject({ account: 'disabled' });
      });

      test('a wire cut before COMMIT is lost too, because from here nobody can tell, and it was not done', async () => {
        const login = await create();
        await cutAfter('do $writ$', async (address) => {
          const reply = await openSql(address, systemAmbient).perform(
            call('disable account', { login }),
            target.writer,
          );
          expect(reply).toMatchObject({ kind: 'lost' });
        });
        expect(await look(login)).toMatchObject({ account: 'active' });
      });

      test('a change that waits for another’s transaction is given up by the server, and did nothing', async () => {
        const login = await create();
        const other = await target.login('chief', 'c');
        await other.query('begin');
        await other.query(`alter role ${login} connection limit 3`);
        const performer = openSql({ ...target.address, timeoutMs: 400 }, systemAmbient);
        const reply = await performer.perform(call('disable account', { login }), target.writer);
        expect(reply).toMatchObject({ kind: 'sql', sqlstate: '57014' });
        await other.query('rollback');
        await other.end();
        expect(await look(login)).toMatchObject({ account: 'active' });
      });

      test('stopped before it began is down; stopped while it runs is lost', async () => {
        const login = await create();
        const performer = openSql(target.address, systemAmbient);
        const stopped = await performer.perform(call('disable account', { login }), target.writer, AbortSignal.abort());
        expect(stopped).toMatchObject({ kind: 'down' });

        const other = await target.login('chief', 'c');
        await other.query('begin');
        await other.query(`alter role ${login} connection limit 3`);
        const stop = new AbortController();
        const running = performer.perform(call('disable account', { login }), target.writer, stop.signal);
        const waiting = () =>
          target.admin("select 1 as one from pg_stat_activity where usename = 'writer' and wait_event_type = 'Lock'");
        await expect.poll(waiting).toEqual([{ one: 1 }]);
        stop.abort();
        expect(await running).toMatchObject({ kind: 'lost' });
        await other.query('rollback');
        await other.end();
      });

      test('leaves no connection behind', async () => {
        await perform('read account', { login: 'x' });
        await perform('delete account', { login: 'chief' });
        const left = () => target.admin("select 1 from pg_stat_activity where usename = 'writer'");
        await expect.poll(left).toEqual([]);
      });

      test('a server that takes no more connections is down', async () => {
        await target.admin('alter role reader connection limit 0');
        expect(await perform('read account', { login: 'x' }, target.reader)).toMatchObject({ kind: 'down' });
        await target.admin('alter role reader connection limit -1');
      });
    });

    // The npm binaries carry an OpenSSL that is too old to listen anywhere.
    test.runIf(binaries.origin === 'machine')('trusts the one CA that the roster signed, and no other', async () => {
      const folder = join(target.cluster.folder, 'cluster/data');
      const { uid, gid } = await stat(folder);
      const make = async (file: string) => {
        const [key, crt] = [join(folder, `${file}.key`), join(folder, `${file}.crt`)];
        execFileSync(
          'openssl',
          [
            ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
            ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', crt],
          ],
          { stdio: 'ignore' },
        );
        for (const path of [key, crt]) await chown(path, uid, gid);
        return readFile(crt, 'utf8');
      };
      const [ca, other] = [await make('server'), await make('other')];
      const tried = (host: string, trusted: string) =>
        openSql(
          { url: `postgres://${host}:${target.cluster.port}/pay`, ca: trusted, timeoutMs: 3000 },
          systemAmbient,
        ).perform(call('read account', { login: 'chief' }), target.reader);
      expect(await tried('localhost', ca)).toMatchObject({ kind: 'down', message: expect.stringContaining('SSL') });
      await target.admin('alter system set ssl = on');
      await target.admin('select pg_reload_conf()');
      await expect.poll(() => tried('localhost', ca)).toMatchObject({ kind: 'sql', sqlstate: null });
      expect(await tried('localhost', other)).toMatchObject({ kind: 'down' });
      expect(await tried('127.0.0.1', ca)).toMatchObject({
        kind: 'down',
        message: expect.stringContaining('127.0.0.1'),
      });
    });
  });
}
