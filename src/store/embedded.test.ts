import { execFile, spawn } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ownServers, scratchFolder } from '../../test/scratch.ts';
import { sha256 } from '../canonical.ts';
import { systemAmbient, systemClock } from '../clock.ts';
import { type Binaries, isTraversable } from './binaries.ts';
import { type Cluster, type ClusterOptions, startCluster } from './embedded.ts';

const isRoot = process.getuid?.() === 0;
const run = promisify(execFile);

/** What a login over `cluster`'s socket answers: a row, or the SQLSTATE of the refusal. */
async function ask(cluster: Cluster, sql: string, login: Partial<pg.ClientConfig> = {}): Promise<unknown> {
  const client = new pg.Client({ ...cluster.superuser, ...login });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query({ text: sql, rowMode: 'array' })).rows[0]?.[0];
  } catch (cause) {
    return (cause as pg.DatabaseError).code;
  } finally {
    await client.end().catch(() => undefined);
  }
}

for (const [name, binaries] of await ownServers()) {
  describe(name, () => {
    const folders: string[] = [];
    let running: Cluster[] = [];

    const fresh = async (): Promise<string> => {
      const folder = await scratchFolder();
      folders.push(folder);
      return folder;
    };
    const start = async (
      folder: string,
      options: Omit<ClusterOptions, 'folder' | 'clock' | 'random'> = {},
    ): Promise<Cluster> => {
      const cluster = await startCluster({ ...systemAmbient, folder, binaries, ...options });
      running.push(cluster);
      return cluster;
    };
    afterEach(async () => {
      for (const cluster of running) {
        await cluster.stop();
        await rm(cluster.host, { recursive: true, force: true });
      }
      running = [];
    });
    afterAll(async () => {
      for (const folder of folders) await rm(folder, { recursive: true, force: true });
    });

    test('refuses a wrong password, and nobody is trusted', async () => {
      const cluster = await start(await fresh());
      expect(await ask(cluster, 'select 1', { password: 'x' })).toBe('28P01');
      expect(await ask(cluster, 'select 1', { user: 'nobody', password: 'x' })).toBe('28P01');
      expect(await ask(cluster, "select string_agg(distinct auth_method, ',') from pg_hba_file_rules")).toBe(
        'scram-sha-256',
      );
    });

    test('listens on its socket alone, and syncs what it acknowledges', async () => {
      const cluster = await start(await fresh());
      expect(await ask(cluster, 'show listen_addresses')).toBe('');
      expect(await ask(cluster, 'show fsync')).toBe('on');
      expect(await ask(cluster, 'show synchronous_commit')).toBe('on');
      expect(await ask(cluster, 'show full_page_writes')).toBe('on');
    });

    test('lets nobody else at its files, its password or its log', async () => {
      const folder = await fresh();
      const cluster = await start(folder);
      const mode = async (path: string) => ((await stat(join(folder, path))).mode & 0o777).toString(8);
      expect(await mode('.')).toBe('700');
      expect(await mode('cluster/data')).toBe('700');
      expect(await mode('cluster/superuser.json')).toBe('600');
      expect(await mode('cluster/server.log')).toBe('600');
      expect((await stat(cluster.host)).mode & 0o022).toBe(0);
      expect(await readdir(join(folder, 'cluster'))).toEqual(['data', 'server.log', 'superuser.json']);
      const environment = await readFile(`/proc/${cluster.pid}/environ`, 'utf8').catch(() => '');
      expect(environment.split('\0').map((entry) => entry.split('=')[0])).not.toContain('HOME');
    });

    test.runIf(isRoot)('runs as an unprivileged user when started by root', async () => {
      const folder = await fresh();
      const cluster = await start(folder);
      const { uid } = await stat(`/proc/${cluster.pid}`);
      expect(uid).not.toBe(0);
      expect((await stat(join(folder, 'cluster/data'))).uid).toBe(uid);
    });

    test('starts below a folder that only its owner can pass', async () => {
      const home = await fresh();
      await chmod(home, 0o700);
      const cluster = await start(join(home, 'project/.writgate/store'));
      expect(await ask(cluster, 'select 1')).toBe(1);
      // Work that opens files anew and starts helpers: nothing of it may walk there by the path.
      expect(await ask(cluster, 'create table t as select generate_series(1, 200000) as i; select 1')).toBe(undefined);
      expect(await ask(cluster, 'select sum(i)::int8 from t')).toBe('20000100000');
    });

    test('starts in a folder whose path is longer than a socket may have', async () => {
      const cluster = await start(join(await fresh(), 'a'.repeat(120), 'b'.repeat(60)));
      expect(await ask(cluster, 'select 1')).toBe(1);
    });

    test('attaches to the server that runs, and stops it once', async () => {
      const folder = await fresh();
      const first = await start(folder);
      const second = await start(folder);
      expect([first.started, second.started]).toEqual([true, false]);
      expect(second).toMatchObject({ pid: first.pid, host: first.host, port: first.port, superuser: first.superuser });
      await second.stop();
      expect(await ask(first, 'select 1')).toBe('ENOENT');
      await first.stop();
    });

    test('four starters at once end with one server', async () => {
      const folder = await fresh();
      const all = await Promise.all([start(folder), start(folder), start(folder), start(folder)]);
      expect(new Set(all.map(({ pid }) => pid)).size).toBe(1);
      expect(all.filter(({ started }) => started)).toHaveLength(1);
      for (const cluster of all) expect(await ask(cluster, 'select 1')).toBe(1);
      expect((await readdir(folder)).filter((entry) => entry.includes('draft'))).toEqual([]);
    });

    test('keeps what was committed when the server is killed, and starts again at once', async () => {
      const folder = await fresh();
      const cluster = await start(folder);
      await ask(cluster, 'create table kept as select 7 as seven');
      process.kill(cluster.pid, 'SIGKILL');
      await expect.poll(() => stat(`/proc/${cluster.pid}`).catch(() => null), { interval: 1 }).toBe(null);
      const again = await start(folder);
      expect(again.started).toBe(true);
      expect(await ask(again, 'select seven from kept')).toBe(7);
    });

    test('takes a pid file for stale when the pid is another program’s', async () => {
      const folder = await fresh();
      const cluster = await start(folder);
      const pidFile = await readFile(join(folder, 'cluster/data/postmaster.pid'), 'utf8');
      const lockFile = await readFile(join(cluster.host, `.s.PGSQL.${cluster.port}.lock`), 'utf8');
      await cluster.stop();
      // A program of the server's own user, which is the hard case for PostgreSQL: it cannot tell it from a server.
      const owner = await stat(join(folder, 'cluster/data'));
      const { uid, gid } = owner;
      const stranger = spawn('sleep', ['60'], { ...(isRoot ? { uid, gid } : {}), cwd: '/', stdio: 'ignore' });
      const forged = (text: string) => text.replace(/^\d+/, String(stranger.pid));
      try {
        for (const [path, text] of [
          [join(folder, 'cluster/data/postmaster.pid'), pidFile],
          [join(cluster.host, `.s.PGSQL.${cluster.port}.lock`), lockFile],
        ] as const) {
          await writeFile(path, forged(text), { mode: 0o600 });
          if (isRoot) await chown(path, uid, gid);
        }
        const again = await start(folder);
        expect(again.started).toBe(true);
        expect(again.pid).not.toBe(stranger.pid);
        expect(stranger.exitCode ?? stranger.signalCode).toBe(null);
      } finally {
        stranger.kill();
      }
    });

    test('removes what a starter left that was killed during initdb', async () => {
      const folder = await fresh();
      const dead = spawn('true');
      await new Promise((resolve) => dead.once('exit', resolve));
      await mkdir(join(folder, `cluster.draft-${dead.pid}-00/data`), { recursive: true });
      await start(folder);
      expect((await readdir(folder)).filter((entry) => entry.includes('draft'))).toEqual([]);
    });

    test('refuses programs of another version than the data', async () => {
      const folder = await fresh();
      await (await start(folder)).stop();
      const other: Binaries = { ...binaries, major: binaries.major + 1 };
      await expect(startCluster({ ...systemAmbient, folder, binaries: other })).rejects.toMatchObject({
        code: 'store-binaries',
      });
    });

    test('tells in the server’s words why it did not start', async () => {
      const settings = { shared_buffers: 'plenty' };
      await expect(start(await fresh(), { settings })).rejects.toMatchObject({
        code: 'store-start',
        message: expect.stringMatching(/shared_buffers.*plenty/s),
      });
      const missing = { ...binaries, folder: '/nonexistent' };
      await expect(start(await fresh(), { binaries: missing })).rejects.toMatchObject({ code: 'store-start' });
    });

    test('refuses a socket folder that somebody else could write', async () => {
      const folder = await fresh();
      const squatted = join(tmpdir(), `writgate-${sha256(join(folder, 'cluster/data')).slice(0, 16)}`);
      await mkdir(squatted);
      await chmod(squatted, 0o777);
      if (isRoot) await chown(squatted, 12345, 12345);
      await expect(start(folder)).rejects.toMatchObject({
        code: 'store-start',
        message: expect.stringContaining(squatted),
      });
      await rm(squatted, { recursive: true });
    });

    test('serves loopback with a password where a port was asked for, and nothing beyond', async () => {
      const cluster = await start(await fresh(), { loopbackPort: 0 });
      expect(await ask(cluster, 'show listen_addresses')).toBe('127.0.0.1');
      expect(await ask(cluster, 'select 1', { host: '127.0.0.1' })).toBe(1);
      expect(await ask(cluster, 'select 1', { host: '127.0.0.1', password: 'x' })).toBe('28P01');
    });

    test.runIf(isRoot)('starts as an ordinary user, who is refused the data of another', async ({ skip }) => {
      const isPassable = (await isTraversable(process.execPath)) && (await isTraversable(binaries.folder));
      skip(!isPassable, 'an ordinary user cannot run Node or PostgreSQL where they lie');
      const folder = await fresh();
      const user = { uid: 65534, gid: 65534 };
      await chmod(folder, 0o711);
      // Compiled, because this version of Node may not read TypeScript by itself.
      const { build } = await import('vite');
      await build({
        configFile: false,
        logLevel: 'error',
        build: { ssr: join(import.meta.dirname, 'embedded.ts'), outDir: join(folder, 'built'), minify: false },
      });
      const script = `
        const { startCluster } = await import(${JSON.stringify(join(folder, 'built/embedded.js'))});
        const { randomBytes: random } = await import('node:crypto');
        const clock = { now: () => Date.now(), sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) };
        const [folder, binaries] = JSON.parse(process.argv[1]);
        try {
          const cluster = await startCluster({ clock, random, folder, binaries });
          console.log(JSON.stringify({ uid: (await import('node:fs')).statSync('/proc/' + cluster.pid).uid, host: cluster.host }));
          await cluster.stop();
        } catch (failure) { console.log(JSON.stringify({ code: failure.code, message: failure.message })); }`;
      const tried = async (path: string): Promise<Record<string, unknown>> => {
        const args = ['--input-type=module', '-e', script, JSON.stringify([path, binaries])];
        const { stdout } = await run(process.execPath, args, { ...user, cwd: '/', env: { PATH: '/usr/bin:/bin' } });
        return JSON.parse(stdout);
      };
      await mkdir(join(folder, 'own'));
      await chown(join(folder, 'own'), user.uid, user.gid);
      const own = await tried(join(folder, 'own/store'));
      expect(own).toMatchObject({ uid: user.uid });
      // Root then takes it up as that user.
      const taken = await start(join(folder, 'own/store'));
      expect((await stat(`/proc/${taken.pid}`)).uid).toBe(user.uid);

      await mkdir(join(folder, 'roots'));
      await (await start(join(folder, 'roots'))).stop();
      await chmod(join(folder, 'roots'), 0o711);
      await chmod(join(folder, 'roots/cluster'), 0o711);
      expect(await tried(join(folder, 'roots'))).toMatchObject({ code: 'store-start' });
    });

    test('gives up waiting when told that no time is left', async () => {
      const folder = await fresh();
      const cluster = await start(folder);
      process.kill(cluster.pid, 'SIGSTOP');
      const hurried = { ...systemClock, sleep: async () => undefined };
      const seen = await startCluster({ ...systemAmbient, folder, binaries, clock: hurried });
      await expect(seen.stop()).rejects.toMatchObject({ code: 'store-start' });
      process.kill(cluster.pid, 'SIGCONT');
    });
  });
}
