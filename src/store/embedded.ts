/**
 * A private PostgreSQL server: one cluster in one folder, reached through a Unix socket, with a password for every
 * login. It outlives the process that started it, so a `kill -9` of ours takes no data with it, and the next start
 * finds it running.
 *
 * What a crash leaves behind, and who mends it:
 *  - during `initdb`: a folder `cluster.draft-…`, which nobody mistakes for a cluster; the next start removes it;
 *  - of the server: its pid file and write-ahead log; the next start replays the log, as PostgreSQL does;
 *  - of the machine: the same, and a pid that may be another program's by now; it is recognised by its working folder.
 * `fsync` is on, and `initdb` syncs what it wrote before the cluster gets its name; unless who starts it says otherwise.
 */
import { spawn } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../canonical.ts';
import type { Ambient, Clock, Random } from '../clock.ts';
import { Failure } from '../errors.ts';
import { type Binaries, findBinaries, isTraversable, type ServerUser, serverUser } from './binaries.ts';
import type { Login } from './database.ts';

export interface ClusterOptions extends Ambient {
  /** Made when it does not exist; mode 0700. */
  readonly folder: string;
  /**
   * Listen on 127.0.0.1 too, on this port (0: a free one). Only for a target that must look like a remote one: the npm
   * binaries carry an old OpenSSL, so nothing of theirs ever listens beyond loopback, and without TLS.
   */
  readonly loopbackPort?: number;
  /** Further `postgresql.conf` settings of the running server. With `fsync: 'off'` nothing of it survives a power cut. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Programs to use instead of those that are found. */
  readonly binaries?: Binaries;
}

export interface Cluster {
  /** Folder of the Unix socket: the `host` of a login. With a loopback port, 127.0.0.1 serves as well. */
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  /** Whether this call started the server; who only found it running should leave it running. */
  readonly started: boolean;
  readonly superuser: Login;
  /** Fast shutdown: open transactions roll back, the rest is on disk. Does nothing when it is down already. */
  stop(): Promise<void>;
}

const SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  password_encryption: 'scram-sha-256',
  unix_socket_permissions: '0777',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  shared_buffers: '256MB',
  work_mem: '64MB',
  maintenance_work_mem: '128MB',
  max_wal_size: '2GB',
  random_page_cost: '1.1',
  // A container's /dev/shm is often 64 MB, which a parallel hash join overruns; System V memory has no such bound.
  ...(process.platform === 'linux' ? { dynamic_shared_memory_type: 'sysv' } : {}),
};

/** `sun_path` holds 108 bytes with its closing zero (unix(7)); the name is `.s.PGSQL.` and a port. */
const MAX_SOCKET_FOLDER = 107 - '/.s.PGSQL.65535'.length;
const POLL_MS = 5;
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 60_000;
/** A server has no business with our environment: no `PG…` variable, no secret. */
const ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/bin:/bin' };

/**
 * Makes the cluster where there is none, starts it where it does not run, and waits until it takes connections. Two
 * starters at once end with one server, which both are given.
 * @throws Failure `store-binaries`, `store-start`
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { clock, random } = options;
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const folder = await realpath(options.folder);
  const cluster = join(folder, 'cluster');
  const data = join(cluster, 'data');

  const existing = await readCluster(data);
  const user = existing?.user ?? (await serverUser());
  const found = existing && (await settled(data, () => true, clock));
  if (found) return attach(found, false);

  const binaries =
    options.binaries ??
    (await findBinaries(user, {
      major: existing?.major ?? null,
      copies: [folder, '/var/lib/writgate'],
      random,
    }));
  if (existing && existing.major !== binaries.major) {
    throw new Failure('store-binaries', `${data} is PostgreSQL ${existing.major}, the programs are ${binaries.major}`);
  }
  if (!existing) {
    await initialise(folder, { binaries, user, random, isDurable: options.settings?.['fsync'] !== 'off' });
  }
  const socketFolder = await prepareSocketFolder(data, user);
  const port = options.loopbackPort === 0 ? await freePort() : (options.loopbackPort ?? 5432);
  const log = await open(join(cluster, 'server.log'), 'a', 0o600);
  const here = await open(data, 'r');
  try {
    const settings = {
      ...SETTINGS,
      listen_addresses: options.loopbackPort === undefined ? '' : '127.0.0.1',
      unix_socket_directories: socketFolder,
      port: String(port),
      ...options.settings,
    };
    await removeStalePid(data, socketFolder, port);
    const child = spawn(
      join(binaries.folder, 'postgres'),
      ['-D', inherited(0, data), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      // A session of its own: Ctrl-C in our terminal is for us, and we stop the server in order.
      { ...user, cwd: '/', detached: true, stdio: ['ignore', log.fd, log.fd, here.fd], env: ENVIRONMENT },
    );
    child.unref();
    let end: string | null = null;
    child.once('error', (cause) => {
      end = cause.message;
    });
    child.once('exit', (code, signal) => {
      end = `it ended with ${code ?? signal}`;
    });
    // The server that answers may be another starter's: then ours ended by itself, at the lock of the data folder.
    const postmaster = await settled(data, () => end !== null, clock);
    if (postmaster) return attach(postmaster, postmaster.pid === child.pid);
    const words = lastLine(await readFile(join(cluster, 'server.log'), 'utf8'));
    throw new Failure('store-start', `the PostgreSQL server of ${data} did not start, ${end}: ${words}`);
  } finally {
    await Promise.all([log.close(), here.close()]);
  }

  async function attach(postmaster: Postmaster, started: boolean): Promise<Cluster> {
    const secret = JSON.parse(await readFile(join(cluster, 'superuser.json'), 'utf8')) as { password: string };
    const { pid, port, socketFolder } = postmaster;
    return {
      host: socketFolder,
      port,
      pid,
      started,
      superuser: { host: socketFolder, port, user: 'postgres', password: secret.password, database: 'postgres' },
      stop: () => stopPostmaster(pid, data, clock),
    };
  }
}

/**
 * As root the server runs as another user, who often cannot pass the folders above its data (root's home is mode 700).
 * So it inherits what it needs as open files, from descriptor 3 on, and Linux lets it name them without walking there.
 */
const inherited = (index: number, path: string): string =>
  process.platform === 'linux' ? `/proc/self/fd/${3 + index}` : path;

/** @returns null where there is no cluster yet. `user` is who owns it, where we are root and can become anybody. */
async function readCluster(data: string): Promise<{ major: number; user: ServerUser | null } | null> {
  const found = await stat(data).catch(() => null);
  if (!found) return null;
  const us = process.getuid?.() ?? found.uid;
  if (us !== 0 && found.uid !== us) {
    throw new Failure(
      'store-start',
      `${data} belongs to user ${found.uid} and this is user ${us}; start Writgate as the user who made it, or take another data folder`,
    );
  }
  const major = Number.parseInt(await readFile(join(data, 'PG_VERSION'), 'utf8'), 10);
  return { major, user: us === 0 ? { uid: found.uid, gid: found.gid } : null };
}

/* ---- making --------------------------------------------------------------------------------------------------------- */

async function initialise(
  folder: string,
  {
    binaries,
    user,
    random,
    isDurable,
  }: { binaries: Binaries; user: ServerUser | null; random: Random; isDurable: boolean },
): Promise<void> {
  await removeDeadDrafts(folder);
  const draft = join(folder, `cluster.draft-${process.pid}-${random(6).toString('hex')}`);
  const data = join(draft, 'data');
  await mkdir(data, { recursive: true, mode: 0o700 });
  try {
    const password = random(32).toString('base64url');
    await writeDurably(join(draft, 'superuser.json'), JSON.stringify({ password }));
    const passwordFile = join(draft, 'password');
    await writeDurably(passwordFile, password);
    if (user) await Promise.all([data, passwordFile].map((path) => chown(path, user.uid, user.gid)));
    await runInitdb(binaries, { data, passwordFile, user, isDurable });
    await rm(passwordFile);
    await rename(draft, join(folder, 'cluster')).catch((cause: NodeJS.ErrnoException) => {
      // Another starter was quicker; its cluster is the cluster.
      if (cause.code !== 'ENOTEMPTY' && cause.code !== 'EEXIST') throw cause;
    });
    await syncFolder(folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function runInitdb(
  binaries: Binaries,
  {
    data,
    passwordFile,
    user,
    isDurable,
  }: { data: string; passwordFile: string; user: ServerUser | null; isDurable: boolean },
): Promise<void> {
  const args = [
    `--pgdata=${inherited(0, data)}`,
    `--pwfile=${inherited(1, passwordFile)}`,
    '--username=postgres',
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Bytes decide the order: the same on every machine, whatever its C library thinks of a language.
    '--locale=C',
    '--no-instructions',
    ...(isDurable ? [] : ['--no-sync']),
  ];
  const handles = await Promise.all([data, passwordFile].map((path) => open(path, 'r')));
  try {
    await new Promise<void>((resolve, reject) => {
      const child = spawn(join(binaries.folder, 'initdb'), args, {
        ...user,
        cwd: '/',
        stdio: ['ignore', 'ignore', 'pipe', ...handles.map(({ fd }) => fd)],
        env: ENVIRONMENT,
      });
      let words = '';
      child.stderr?.setEncoding('utf8').on('data', (text) => {
        words += text;
      });
      const fail = (cause: Error | null) =>
        reject(
          new Failure('store-start', `initdb of ${binaries.folder} failed: ${cause?.message ?? lastLine(words)}`, {
            cause,
          }),
        );
      child.once('error', fail);
      child.once('close', (code) => (code === 0 ? resolve() : fail(null)));
    });
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

async function removeDeadDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = Number(/^cluster\.draft-(\d+)-/.exec(name)?.[1] ?? Number.NaN);
    if (pid && !isAlive(pid)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * The socket's path must be short, and its folder must be the server's own: whoever could put another socket there
 * would be the database. Passwords guard the socket itself; as root, roles that run as other users pass through.
 */
async function prepareSocketFolder(data: string, user: ServerUser | null): Promise<string> {
  const name = `writgate-${sha256(data).slice(0, 16)}`;
  for (const place of [tmpdir(), '/tmp']) {
    const path = join(place, name);
    if (Buffer.byteLength(path) > MAX_SOCKET_FOLDER || (user && !(await isTraversable(place)))) continue;
    const mode = user ? 0o711 : 0o700;
    const owner = user?.uid ?? process.getuid?.();
    await mkdir(path, { mode: 0o700 }).then(
      async () => {
        await chmod(path, mode);
        if (user) await chown(path, user.uid, user.gid);
      },
      (cause: NodeJS.ErrnoException) => {
        if (cause.code !== 'EEXIST') throw cause;
      },
    );
    const found = await lstat(path);
    // Root may have been stopped between `mkdir` and `chown`.
    if (user && found.isDirectory() && found.uid === 0) await chown(path, user.uid, user.gid);
    else if (!found.isDirectory() || found.uid !== owner || (found.mode & 0o022) !== 0) {
      throw new Failure(
        'store-start',
        `${path} is to hold the database's socket, but user ${found.uid} made it; remove it, or set TMPDIR to a folder of your own`,
      );
    }
    return path;
  }
  throw new Failure(
    'store-start',
    `neither ${tmpdir()} nor /tmp can hold a socket (at most ${MAX_SOCKET_FOLDER} bytes, passable for the server's user); set TMPDIR to a short path`,
  );
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });

/* ---- running and stopping ------------------------------------------------------------------------------------------- */

interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly socketFolder: string;
  readonly isReady: boolean;
}

/** Reads `postmaster.pid` (PostgreSQL, src/include/utils/pidfile.h) and sees whether that process is this server. */
async function runningPostmaster(data: string): Promise<Postmaster | null> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const [pid = '', , , port = '', socketFolder = '', , , status = ''] = text.split('\n');
  if (!/^\d+$/.test(pid) || !(await isServerOf(Number(pid), data))) return null;
  return { pid: Number(pid), port: Number(port), socketFolder, isReady: status.trim() === 'ready' };
}

/** A pid is soon another program's; a server's working folder is its data. */
async function isServerOf(pid: number, data: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  if (process.platform !== 'linux') return true;
  return (await readlink(`/proc/${pid}/cwd`).catch(() => null)) === data;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * After a crash of the machine the pid of the last server may belong to another program of the same user, and
 * PostgreSQL then refuses to start. Two servers on one folder are still impossible: they meet at its shared memory.
 */
async function removeStalePid(data: string, socketFolder: string, port: number): Promise<void> {
  if (process.platform !== 'linux' || (await runningPostmaster(data))) return;
  for (const file of [join(data, 'postmaster.pid'), join(socketFolder, `.s.PGSQL.${port}.lock`)]) {
    const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
    if (pid && !(await isServerOf(pid, data))) await rm(file, { force: true });
  }
}

/** Waits out a server that is starting or stopping. @returns the one that takes connections, or null when none will. */
async function settled(data: string, isNoneComing: () => boolean, clock: Clock): Promise<Postmaster | null> {
  for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += POLL_MS) {
    // Asked first: a server that ends between the two questions must not look like one that never came.
    const last = isNoneComing();
    const postmaster = await runningPostmaster(data);
    if (postmaster?.isReady) return postmaster;
    if (!postmaster && last) return null;
    await clock.sleep(POLL_MS);
  }
  throw new Failure(
    'store-start',
    `the PostgreSQL server of ${data} was not ready within ${START_TIMEOUT_MS / 1000} s`,
  );
}

async function stopPostmaster(pid: number, data: string, clock: Clock): Promise<void> {
  if (!(await isServerOf(pid, data))) return;
  process.kill(pid, 'SIGINT');
  for (let waitedMs = 0; waitedMs < STOP_TIMEOUT_MS; waitedMs += POLL_MS) {
    if (!(await isServerOf(pid, data))) return;
    await clock.sleep(POLL_MS);
  }
  throw new Failure('store-start', `the PostgreSQL server ${pid} did not stop within ${STOP_TIMEOUT_MS / 1000} s`);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}

async function writeDurably(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  await handle
    .writeFile(text)
    .then(() => handle.sync())
    .finally(() => handle.close());
}
