/**
 * One role in a process of its own: `node dist/src/role/main.js ROLE --folder DATA --config FILE [--listen HOST:PORT]`.
 *
 * With `--wait` it loads its code, and starts at the first line on stdin: so that a store can start meanwhile.
 *
 * Says `{"ready":true,"role":…}` on stdout once it listens, or `{"ready":false,"code":…,"message":…}` and ends with
 * the failure's exit code. It ends with its parent: when stdin does, so does the role. A bearer token for `--listen`
 * comes from the data folder and never stands in the arguments, which every process of the machine may read.
 *
 * Here alone a role is given the machine's own time, randomness, network and storage.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { after, systemAmbient } from '../clock.ts';
import { Failure } from '../errors.ts';
import { type Outside, openOutside } from './outside.ts';
import { placeOf } from './place.ts';

interface Started {
  close(): Promise<void>;
}
interface Options {
  readonly folder: string;
  readonly config: string;
  readonly listen: string | undefined;
  readonly outside: Outside;
}

/** Each role loads its own code and no other's. */
const ROLES: Readonly<Record<string, () => Promise<(options: Options) => Promise<Started>>>> = {
  gateway: async () => {
    const { startGateway } = await import('./gateway.ts');
    return ({ folder, config, outside }) => startGateway(folder, dirname(config), outside);
  },
  verifier: async () => {
    const { startVerifier } = await import('./verifier.ts');
    return ({ folder, outside }) => startVerifier(folder, outside);
  },
  worker: async () => {
    const { startWorker } = await import('./worker.ts');
    return ({ folder, outside }) => startWorker(folder, outside);
  },
  control: async () => {
    const [{ startControl }, { startApi }] = await Promise.all([import('./control.ts'), import('../api/serve.ts')]);
    return async ({ folder, listen, outside }) => {
      const address = listen === undefined ? null : await addressOf(folder, listen);
      const control = await startControl(folder, outside);
      try {
        const api = await startApi(control, { socket: placeOf(folder).socket('api'), listen: address });
        // A command's own roles live for that command; what happens by itself happens in `serve`.
        if (address === null) return api;
        const [{ startTimers }, { readConnection }] = await Promise.all([
          import('../control/timer.ts'),
          import('../store/prepare.ts'),
        ]);
        const timers = await startTimers(control.world, await readConnection(folder, 'control'), (line) =>
          log.warn(line),
        );
        return {
          async close() {
            await timers.close();
            await api.close();
          },
        };
      } catch (thrown) {
        await control.close();
        throw thrown;
      }
    };
  },
};

async function addressOf(folder: string, listen: string): Promise<{ host: string; port: number; token: string }> {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(listen) ?? [];
  if (host === '' || Number(port) > 65_535) throw new Failure('wrong-use', `"${listen}" is no HOST:PORT`);
  const token = (await readFile(join(folder, 'control', 'api.token'), 'utf8')).trim();
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port), token };
}

const CLOSE_WITHIN_MS = 5_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: 'string' },
    config: { type: 'string' },
    listen: { type: 'string' },
    wait: { type: 'boolean' },
  },
});
const [role = ''] = positionals;
const log = pino({ name: role, level: 'warn' }, pino.destination({ dest: 2, sync: true }));

const outside = openOutside(systemAmbient);
let started: Started | null = null;
let closing = false;
async function close(exit: number): Promise<void> {
  if (closing) return;
  closing = true;
  after(outside.clock, CLOSE_WITHIN_MS, () => process.exit(exit === 0 ? 1 : exit));
  await started?.close().catch((thrown: unknown) => log.error(thrown, 'could not close in order'));
  process.exit(exit);
}
process.on('SIGTERM', () => void close(0));
process.on('SIGINT', () => void close(0));
process.stdin.on('end', () => void close(0));
process.stdin.on('error', () => void close(0));
const told = once(process.stdin, 'data');
told.catch(() => undefined);
process.on('unhandledRejection', (thrown) => {
  log.fatal(thrown, 'a promise was rejected and nobody looked');
  void close(1);
});

try {
  const load = Object.hasOwn(ROLES, role) ? ROLES[role] : undefined;
  const { folder, config, listen, wait } = values;
  if (!load || folder === undefined || config === undefined) {
    throw new Failure('wrong-use', `usage: main.js ${Object.keys(ROLES).join('|')} --folder DATA --config FILE`);
  }
  const start = await load();
  if (wait) await told;
  started = await start({ folder, config, listen, outside });
  if (closing) await started.close();
  process.stdout.write(`${JSON.stringify({ ready: true, role })}\n`);
} catch (thrown) {
  const failure =
    thrown instanceof Failure ? thrown : new Failure('internal', `the ${role} could not start; its log has the cause`);
  log.error(thrown, 'could not start');
  process.stdout.write(`${JSON.stringify({ ready: false, role, code: failure.code, message: failure.message })}\n`);
  process.exitCode = failure.exit;
  await close(failure.exit);
}
