/**
 * Runs a connector in a process of its own, which can do nothing but ask for calls.
 *
 * Three tiers, the best that the machine allows, each on top of the next:
 *  - `bwrap`: no network, no other processes, an empty file system but for Node and the connector's code;
 *  - `permission`: Node's own flags: no file but the connector's code, no child processes, threads or add-ons. The
 *    network and signals to processes of the same user stay open, so this is for our own connectors only;
 *  - `process`: a process with an empty environment, bounded memory and no descriptors but its pipe.
 *
 * In every tier what it says is read strictly, each task has a bounded number of steps, one step at a time, and a
 * process that is silent for too long or breaks the protocol is killed. Its tasks fail; the next one starts it again.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ZodType } from 'zod';
import { after, type Clock, type Instant } from '../clock.ts';
import type { Kind } from '../connectors/table.ts';
import { Failure } from '../errors.ts';
import type { Call, Observed, Question, Receipt, Reply, Sighting, TargetOptions, Task } from './contract.ts';
import { MAX_CALLS, MAX_STEPS } from './drive.ts';
import { ConnectorFault } from './fault.ts';
import { openPipe, type Peer } from './pipe.ts';
import { CallShape, EndShape, ObservedShape, ReceiptShape, SightingShape } from './shape.ts';
import { openSharing } from './share.ts';

export type Tier = 'bwrap' | 'permission' | 'process';

const HEAP_MB = 256;
/** A connector that has its reply and says nothing for this long, and at most twice as long, is killed. */
const SILENCE_MS = 10_000;
/** So many ends without one finished task between them, and the next start waits. */
const MAX_DEATHS = 5;
const COOL_DOWN_MS = 30_000;
const LAST_WORDS = 2000;

/** The compiled code: connectors run from `dist`, also when the caller was started from the sources. */
const here = fileURLToPath(new URL('../..', import.meta.url));
const dist = basename(here) === 'dist' ? here : join(here, 'dist');

/* ---- the fence ---------------------------------------------------------------------------------------------------- */

const permissionFlag = ['--permission', '--experimental-permission'].find((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
);

/** Program and arguments that run `entry` in a tier. Only `code` (files, or folders that end in a slash) can be read. */
function command(tier: Tier, entry: string, args: readonly string[], code: readonly string[]): [string, string[]] {
  const node = realpathSync(process.execPath);
  const nodeFlags = [
    `--max-old-space-size=${HEAP_MB}`,
    '--no-warnings',
    '--disallow-code-generation-from-strings',
    ...(tier === 'process' || !permissionFlag
      ? []
      : [permissionFlag, ...code.map((path) => `--allow-fs-read=${path.endsWith('/') ? `${path}*` : path}`)]),
  ];
  if (tier !== 'bwrap') return [node, [...nodeFlags, entry, ...args]];
  const system = ['/usr', '/lib', '/lib64', '/etc/ld.so.cache', dirname(node)];
  return [
    'bwrap',
    [
      ...['--unshare-all', '--die-with-parent', '--new-session', '--clearenv', '--cap-drop', 'ALL'],
      ...system.flatMap((path) => ['--ro-bind-try', path, path]),
      ...code.filter((path) => existsSync(path)).flatMap((path) => ['--ro-bind', path, path]),
      ...['--chdir', '/', node, ...nodeFlags, entry, ...args],
    ],
  ];
}

let probed: Tier | undefined;

/** The best tier of this machine, tried out once. The roles print it. */
export function probeConfinement(): Tier {
  if (probed) return probed;
  const [program, args] = command('bwrap', '--version', [], []);
  const tried = spawnSync(program, args, { env: pathOnly, timeout: 5000, stdio: 'ignore' });
  probed = tried.status === 0 ? 'bwrap' : permissionFlag ? 'permission' : 'process';
  return probed;
}

/** To find `bwrap`; what it starts has an environment without anything. */
const pathOnly = { PATH: '/usr/local/bin:/usr/bin:/bin' };

/* ---- the runner ------------------------------------------------------------------------------------------------------ */

export type PerformCall = (call: Call) => Promise<Reply>;

export interface Runner {
  readonly tier: Tier;
  /** @throws ConnectorFault from the connector; Failure `connector-lost`, `connector-bound`; what `perform` throws. */
  apply(options: TargetOptions, task: Task, perform: PerformCall): Promise<Receipt>;
  /** @throws as `apply` */
  look(options: TargetOptions, question: Question, perform: PerformCall): Promise<Sighting>;
  /** Hands over each chunk as it is read and waits for `onEmit`. @throws as `apply`, and what `onEmit` throws. */
  observe(
    options: TargetOptions,
    perform: PerformCall,
    onEmit: (observed: readonly Observed[]) => void | Promise<void>,
  ): Promise<void>;
  /** Kills the process; its tasks fail with `connector-lost`. Resolves when it is gone. */
  stop(): Promise<void>;
}

export interface RunnerOptions {
  readonly clock: Clock;
  /** Default: the best that `probeConfinement` finds. */
  readonly tier?: Tier;
  readonly silenceMs?: number;
  /** A compiled program to run in place of `runner.js`; its folder becomes readable. Tests only. */
  readonly entry?: string;
}

/** A task in the connector's process, and whose turn it is. */
interface Running {
  readonly maxSteps: number;
  readonly perform: PerformCall;
  readonly onEmit: (observed: readonly Observed[]) => void | Promise<void>;
  steps: number;
  /** Ticks of the watch that the connector has let pass since it was its turn; null while we are to answer. */
  silent: number | null;
  /** What it fails with, known before its process is gone. */
  failure: unknown;
}

interface Process {
  readonly peer: Peer;
  readonly tasks: Map<number, Running>;
  /** Resolves with how it ended, in words. */
  readonly gone: Promise<string>;
}

/** Starts the process of one connector. @throws Failure `not-built` when there is no compiled code. */
export function startRunner(kind: Kind, options: RunnerOptions): Runner {
  const { clock, tier = probeConfinement(), silenceMs = SILENCE_MS } = options;
  const entry = options.entry ?? join(dist, 'src/connector/runner.js');
  if (!existsSync(entry)) throw new Failure('not-built', `${entry} is missing: run \`npm run build\` first`);
  const code = ['src/connector/', 'src/connectors/', 'src/errors.js', 'src/canonical.js', '../package.json'].map(
    (path) => join(dist, path),
  );
  const [program, args] = command(tier, entry, [kind], options.entry ? [...code, `${dirname(entry)}/`] : code);

  let current: Process | null = null;
  let stopped = false;
  let lastTask = 0;
  let deaths = 0;
  let diedAt: Instant = 0;

  function launch(): Process {
    const child = spawn(program, args, { cwd: '/', env: tier === 'bwrap' ? pathOnly : {}, stdio: 'pipe' });
    const tasks = new Map<number, Running>();
    const peer = openPipe(
      child.stdout,
      child.stdin,
      duties(tasks, () => peer),
      () => undefined,
    );
    const watching = new AbortController();
    const gone = ending(child, clock).then((how) => {
      peer.close(how);
      watching.abort();
      deaths++;
      diedAt = clock.now();
      return how;
    });
    void peer.closed.then(() => {
      child.kill('SIGKILL');
      // The next task gets a new process at once and not the one that is on its way out.
      if (current?.peer === peer) current = null;
    });
    void watch(tasks, peer, watching.signal);
    return { peer, tasks, gone };
  }

  /** What the connector may ask of us: perform a call, take what it saw. One thing at a time for each task. */
  function duties(tasks: ReadonlyMap<number, Running>, peer: () => Peer) {
    const share = openSharing();
    const step =
      <Said>(what: string, shape: ZodType<Said>, answer: (running: Running, said: Said) => unknown) =>
      async (params: unknown): Promise<unknown> => {
        const { task, [what]: said } = params as Readonly<Record<string, unknown>>;
        const running = tasks.get(task as number);
        const read = shape.safeParse(said);
        if (!running || running.silent === null || !read.success) {
          peer().close(`the ${kind} connector broke its protocol: ${what}`);
          return null;
        }
        if (running.steps++ > running.maxSteps) {
          running.failure = new Failure(
            'connector-bound',
            `the ${kind} connector took more than ${running.maxSteps} steps for one task and was stopped`,
          );
          peer().close('over its bound of steps');
          return null;
        }
        running.silent = null;
        try {
          return await answer(running, read.data);
        } catch (thrown) {
          running.failure = thrown;
          throw thrown;
        } finally {
          running.silent = 0;
        }
      };
    return {
      call: step('call', CallShape, ({ perform }, call) => share(call, perform)),
      emit: step('observed', ObservedShape, ({ onEmit }, observed) => onEmit(observed)),
    };
  }

  async function watch(tasks: ReadonlyMap<number, Running>, peer: Peer, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await clock.sleep(silenceMs, signal);
        const silent = [...tasks.values()].filter((running) => running.silent !== null && running.silent++ > 0);
        for (const running of silent) {
          running.failure = new Failure(
            'connector-bound',
            `the ${kind} connector said nothing for ${silenceMs} ms when it was its turn, and was stopped`,
          );
        }
        if (silent.length > 0) peer.close('silent for too long');
      }
    } catch {
      // The process has gone, and with it what there was to watch.
    }
  }

  function live(): Process {
    if (stopped) throw new Failure('connector-lost', `the ${kind} connector was stopped`);
    if (deaths >= MAX_DEATHS && clock.now() - diedAt < COOL_DOWN_MS) {
      throw new Failure(
        'connector-lost',
        `the ${kind} connector ended ${deaths} times without finishing a task; it is started again after ${COOL_DOWN_MS} ms`,
      );
    }
    current ??= launch();
    return current;
  }

  async function run<Result>(
    generator: 'apply' | 'look' | 'observe',
    target: TargetOptions,
    input: unknown,
    shape: ZodType<Result> | null,
    perform: PerformCall,
    onEmit: Running['onEmit'] = refuseEmit,
  ): Promise<Result> {
    const { peer, tasks, gone } = live();
    const task = ++lastTask;
    const maxSteps = generator === 'observe' ? MAX_STEPS : MAX_CALLS;
    const running: Running = { maxSteps, perform, onEmit, steps: 0, silent: 0, failure: null };
    tasks.set(task, running);
    try {
      const end = EndShape.parse(await peer.request(generator, { task, options: target, input }));
      if ('fault' in end) throw new ConnectorFault(end.fault.code, end.fault.message);
      const result = shape ? shape.parse(end.result) : (undefined as Result);
      deaths = 0;
      return result;
    } catch (thrown) {
      if (running.failure !== null) throw running.failure;
      if (thrown instanceof ConnectorFault) throw thrown;
      // The process is gone, or what it returned is no result: then it is not to be trusted further.
      peer.close(thrown instanceof Failure ? thrown.message : 'a result that is none');
      throw new Failure('connector-lost', `the ${kind} connector's process ended: ${await gone}`, { cause: thrown });
    } finally {
      tasks.delete(task);
    }
  }

  current = launch();
  return {
    tier,
    apply: (target, task, perform) => run('apply', target, task, ReceiptShape, perform),
    look: (target, question, perform) => run('look', target, question, SightingShape, perform),
    observe: (target, perform, onEmit) => run('observe', target, null, null, perform, onEmit),
    async stop() {
      stopped = true;
      const last = current;
      last?.peer.close('stopped');
      await last?.gone;
    },
  };
}

/** How long last words may be on their way after the process itself has ended. */
const STDERR_GRACE_MS = 500;

const refuseEmit = (): never => {
  throw new Failure('connector-bound', 'a connector emitted facts while it was to change or to look');
};

/** How a process ended, with its last words on stderr. */
function ending(child: ChildProcess, clock: Clock): Promise<string> {
  let words = '';
  let closed = (): void => undefined;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-LAST_WORDS);
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    // A process that was confined in this one can outlive it, if this one dies before it has told the kernel to take it
    // along; it then holds stderr open, and `close` would never come.
    child.once('exit', () => {
      closed = after(clock, STDERR_GRACE_MS, () => child.stderr?.destroy());
    });
    child.once('close', (exit, signal) => {
      closed();
      resolve(`${signal ?? `exit ${exit}`}${words && `; its last words: ${words.trim()}`}`);
    });
  });
}
