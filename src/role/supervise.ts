/**
 * The four roles as processes of one data folder: started together, started again when one dies, and stopped in order.
 *
 * A child gets an empty environment but for what finding programs, folders and certificates needs; its session is its
 * own, so that Ctrl-C at a terminal reaches us and we stop it in order; and it ends when we do, however we end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Ambient, after, type Clock } from '../clock.ts';
import { CODES, type Code, Failure } from '../errors.ts';
import { prepareStore } from '../store/prepare.ts';
import { placeOf } from './place.ts';

export const ROLES = ['control', 'gateway', 'verifier', 'worker'] as const;
export type Role = (typeof ROLES)[number];

export interface SuperviseOptions extends Ambient {
  /** Data folder. */
  readonly folder: string;
  readonly configFile: string;
  /** Where control also listens, with a bearer token: `127.0.0.1:7400`. */
  readonly listen?: string;
  /** All four, unless said otherwise. */
  readonly roles?: readonly Role[];
  /** What a role must find at its start and is still being made. The roles load their code meanwhile. */
  readonly after?: Promise<unknown>;
  /** For WRITGATE_…DATABASE_URL; nothing of it reaches the roles. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** What a person may want to read: a role's own words, and what happens to it. */
  readonly onLine: (role: Role | 'supervisor', line: string) => void;
}

export interface Supervised {
  /** Resolves when every role listens. @throws Failure of the first that cannot start; then all are stopped. */
  readonly ready: Promise<void>;
  /** Resolves when all has ended: null after `stop`, the failure when a role died too often. */
  readonly ended: Promise<Failure | null>;
  stop(): Promise<void>;
}

const PASSED_ON = ['PATH', 'HOME', 'TZ', 'TMPDIR', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];
/** So often within a minute, and whatever is wrong is not mended by another start. */
const MOST_DEATHS = 5;
const DEATH_WINDOW_MS = 60_000;
const FIRST_PAUSE_MS = 100;
/** A role has five seconds to close in order, and a moment to say so. */
const KILL_AFTER_MS = 6_000;

const here = fileURLToPath(new URL('../..', import.meta.url));
const ENTRY = join(basename(here) === 'dist' ? here : join(here, 'dist'), 'src', 'role', 'main.js');

interface Said {
  readonly ready: boolean;
  readonly code?: string;
  readonly message?: string;
}

/** Whether somebody answers on the data folder's API socket. */
export const isServed = (folder: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(placeOf(folder).socket('api'), () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

export function supervise(options: SuperviseOptions): Supervised {
  const { folder, configFile, listen, onLine, clock, random } = options;
  const { roles = ROLES, after: before, environment = process.env } = options;
  const children = new Map<Role, ChildProcess>();
  const deaths = new Map<Role, number[]>();
  const pausing = new AbortController();
  let stopStore: () => Promise<void> = async () => undefined;
  let stopping: Promise<void> | null = null;
  let tellEnded: (failure: Failure | null) => void;
  const ended = new Promise<Failure | null>((resolve) => {
    tellEnded = resolve;
  });

  /** Starts one role once all is there that it needs. Resolves when it listens; what happens to it later is `died`. */
  function start(role: Role, needed: Promise<unknown>): Promise<void> {
    const args = [ENTRY, role, '--folder', folder, '--config', configFile, '--wait'];
    if (role === 'control' && listen !== undefined) args.push('--listen', listen);
    const env = Object.fromEntries(PASSED_ON.flatMap((name) => (environment[name] ? [[name, environment[name]]] : [])));
    const child = spawn(process.execPath, args, {
      env,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    children.set(role, child);
    child.stdin.on('error', () => undefined);
    needed.then(
      () => child.stdin.write('start\n'),
      () => child.stdin.end(),
    );
    const log = createWriteStream(join(folder, 'log', `${role}.log`), { flags: 'a', mode: 0o600 });
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.write(`${line}\n`);
      onLine(role, line);
    });
    child.stderr.on('close', () => log.end());
    return new Promise((resolve, reject) => {
      let said: Said | null = null;
      createInterface({ input: child.stdout }).on('line', (line) => {
        said ??= JSON.parse(line) as Said;
        if (said.ready) resolve();
      });
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (children.get(role) === child) children.delete(role);
        if (said?.ready) died(role, signal ?? `exit code ${code}`);
        else reject(failureOf(role, said, signal ?? `exit code ${code}`));
      });
    });
  }

  /** A role that was up has ended. Started again after a pause that doubles, until it has died too often. */
  function died(role: Role, how: string): void {
    if (stopping) return;
    const now = clock.now();
    const recent = [...(deaths.get(role) ?? []), now].filter((at) => now - at < DEATH_WINDOW_MS);
    deaths.set(role, recent);
    if (recent.length > MOST_DEATHS) {
      fail(
        new Failure(
          'internal',
          `the ${role} died ${recent.length} times in a minute (${how}); its words are in ${join(folder, 'log', `${role}.log`)}`,
        ),
      );
      return;
    }
    const pauseMs = FIRST_PAUSE_MS * 2 ** (recent.length - 1);
    onLine('supervisor', `the ${role} ended (${how}); starting it again in ${pauseMs} ms`);
    void clock
      .sleep(pauseMs, pausing.signal)
      .then(() => start(role, Promise.resolve()))
      .then(() => onLine('supervisor', `the ${role} is up again`))
      .catch((thrown: unknown) => {
        if (stopping) return;
        onLine('supervisor', thrown instanceof Failure ? thrown.message : String(thrown));
        died(role, 'it could not start');
      });
  }

  function fail(failure: Failure): void {
    onLine('supervisor', failure.message);
    void stopAll(failure);
  }

  /** Control last: the others seal what they still have to say through it; the gateway before it, to cosign all of that. */
  function stopAll(failure: Failure | null): Promise<void> {
    stopping ??= (async () => {
      pausing.abort();
      await Promise.all([end(children.get('worker'), clock), end(children.get('verifier'), clock)]);
      await end(children.get('gateway'), clock);
      await end(children.get('control'), clock);
      await stopStore();
      tellEnded(failure);
    })();
    return stopping;
  }

  async function startStore(): Promise<void> {
    const { cluster } = await prepareStore({ folder, environment, clock, random });
    // A cluster that somebody else started, or that roles of another supervisor use, is not ours to stop.
    if (cluster?.started && roles.length === ROLES.length) stopStore = () => cluster.stop();
  }

  async function up(): Promise<void> {
    if (!existsSync(ENTRY)) throw new Failure('not-built', `${ENTRY} is not there; build it with \`npm run build\``);
    if (roles.includes('control') && (await isServed(folder))) {
      throw new Failure('already-running', `Writgate runs on ${folder} already; its commands work beside it`);
    }
    await mkdir(join(folder, 'log'), { recursive: true, mode: 0o700 });
    const store = roles.some((role) => role === 'control' || role === 'gateway') ? startStore() : null;
    const needed = Promise.all([before, store]);
    // A role that could not start must not leave the other three behind.
    const results = await Promise.allSettled([needed, store, ...roles.map((role) => start(role, needed))]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  // Whoever looks at it sees what went wrong through `ready`, if we come that far.
  before?.catch(() => undefined);
  const ready = up().catch(async (thrown: unknown) => {
    await stopAll(thrown instanceof Failure ? thrown : null);
    throw thrown;
  });
  ready.catch(() => undefined);
  return { ready, ended, stop: () => stopAll(null) };
}

function failureOf(role: Role, said: Said | null, how: string): Failure {
  if (said?.code && Object.hasOwn(CODES, said.code)) return new Failure(said.code as Code, said.message ?? how);
  return new Failure('internal', `the ${role} ended before it was ready (${how})`);
}

/** Asks a child to end by closing its stdin and SIGTERM, and insists after a while. */
function end(child: ChildProcess | undefined, clock: Clock): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const inTime = after(clock, KILL_AFTER_MS, () => child.kill('SIGKILL'));
    child.once('close', () => {
      inTime();
      resolve();
    });
    child.stdin?.end();
    child.kill('SIGTERM');
  });
}
