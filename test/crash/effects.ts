/**
 * Loaded into a process before its own code (`node --import`), so that the product has no hooks for this: counts what
 * leaves the process or becomes durable, and kills the process at the one that it was told.
 *
 * An effect is bytes handed to a socket or pipe (PostgreSQL, another role, a target, a connector's process), a socket
 * that begins to listen, a process that is started, and whatever writes to a file system: content, flush, name, mode.
 * Reading is none, nor is a question to the store. A process that is killed before an effect has done all earlier ones; one that is killed after it has
 * not seen what came of it.
 *
 *     {arm: {at: 7, when: 'before'}}   in by the IPC channel: counting begins anew, SIGKILL at the 7th
 *     {armed: true} · {count: 42}      out; the last when asked with {count: true}
 *
 * WRITGATE_CRASH="7 before" arms from the first effect on, WRITGATE_EFFECTS names a file to which each effect is told.
 */
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

export interface Point {
  /** From 1. */
  readonly at: number;
  readonly when: 'before' | 'after';
  /** Counts only effects in which this stands. */
  readonly of?: string;
}

type Any = (...args: unknown[]) => unknown;
type Holder = Record<string, Any>;

const told = process.env['WRITGATE_EFFECTS'];
const [at = '', when = 'before'] = (process.env['WRITGATE_CRASH'] ?? '').split(' ');
let point: Point | null = at === '' ? null : { at: Number(at), when: when as Point['when'] };
let count = 0;

const { writeSync } = fs;
const list = told === undefined ? null : fs.openSync(told, 'a');
const tell = (line: string): void => {
  if (list !== null) writeSync(list, `${line}\n`);
};
/** SIGKILL for oneself is delivered before the call returns: not one more instruction of this program runs. */
function die(what: string): void {
  tell(`KILLED ${point?.when} ${count} ${what.slice(0, 160)}`);
  process.kill(process.pid, 'SIGKILL');
}

/** @returns what to do when it is over. */
function effect(what: string): () => void {
  if (point?.of !== undefined && !what.includes(point.of)) return () => undefined;
  count += 1;
  tell(`${count} ${what.slice(0, 160)}`);
  if (point === null || point.at !== count) return () => undefined;
  if (point.when === 'before') die(what);
  return () => die(what);
}

process.on('message', (message: { readonly arm?: Point; readonly count?: true }) => {
  if (message.arm) {
    point = message.arm;
    count = 0;
    process.send?.({ armed: true });
  }
  if (message.count) process.send?.({ count });
});
process.channel?.unref();

/* ---- files ----------------------------------------------------------------------------------------------------------- */

const words = (args: readonly unknown[]): string => args.filter((arg) => typeof arg === 'string').join(' ');
const named = (name: string, args: readonly unknown[]): string => `${name} ${words(args)}`;

/** An `open` that can only read is none. */
const opensToWrite = (flags: unknown): boolean =>
  typeof flags === 'number'
    ? (flags & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0
    : typeof flags === 'string' && flags !== 'r';

function wrap(holder: Holder, name: string, shape: 'promise' | 'callback' | 'sync', isEffect = (_: unknown[]) => true) {
  const original = holder[name];
  if (original === undefined) return;
  holder[name] = function (this: unknown, ...args: unknown[]) {
    if (!isEffect(args)) return original.apply(this, args);
    const done = effect(named(`${name}${shape === 'sync' ? '' : ` (${shape})`}`, args));
    if (shape === 'callback') {
      const last = args.at(-1);
      if (typeof last === 'function') {
        args[args.length - 1] = (...results: unknown[]) => {
          done();
          return last(...results);
        };
      }
      return original.apply(this, args);
    }
    const result = original.apply(this, args);
    if (shape === 'sync') {
      done();
      return result;
    }
    return (result as Promise<unknown>).finally(done);
  };
}

const CHANGING = [
  ...['appendFile', 'chmod', 'chown', 'copyFile', 'link', 'mkdir', 'mkdtemp', 'rename', 'rm', 'rmdir', 'symlink'],
  ...['truncate', 'unlink', 'utimes', 'writeFile'],
];
const files = fs as unknown as Holder;
const promises = fs.promises as unknown as Holder;
for (const name of CHANGING) {
  wrap(promises, name, 'promise');
  wrap(files, name, 'callback');
  wrap(files, `${name}Sync`, 'sync');
}
for (const name of ['write', 'writev', 'fsync', 'fdatasync', 'ftruncate']) {
  wrap(files, name, 'callback');
  wrap(files, `${name}Sync`, 'sync');
}
wrap(promises, 'open', 'promise', ([, flags]) => opensToWrite(flags));
wrap(files, 'open', 'callback', ([, flags]) => opensToWrite(flags));
wrap(files, 'openSync', 'sync', ([, flags]) => opensToWrite(flags));
const handle = await fs.promises.open(process.execPath, 'r');
const FileHandle = Object.getPrototypeOf(handle) as Holder;
await handle.close();
for (const name of ['appendFile', 'chmod', 'datasync', 'sync', 'truncate', 'write', 'writeFile', 'writev']) {
  wrap(FileHandle, name, 'promise');
}

/* ---- sockets and processes --------------------------------------------------------------------------------------------- */

interface Wired {
  connecting: boolean;
  remotePort?: number;
  writgatePeer?: string;
  once(event: string, listener: () => void): void;
}

const Socket = net.Socket.prototype as unknown as Holder;
const connect = Socket['connect'] as Any;
Socket['connect'] = function (this: Wired, ...args: unknown[]) {
  const [first] = args.flat() as ({ path?: string; port?: number } | string | number)[];
  const to = typeof first === 'object' && first !== null ? (first.path ?? first.port) : first;
  this.writgatePeer = String(to).replace(/^.*\//, '');
  return connect.apply(this, args);
};
/** `Query` or `Parse` of a statement that only asks, or begins (PostgreSQL documentation, Message Formats). */
const ASKS = /^[QP].{0,6}?(select(?! pg_)|with|begin|set )/;
/** Where all of `write`, `end` and corked batches come together, when bytes are given to the kernel. */
const writeGeneric = Socket['_writeGeneric'] as Any;
Socket['_writeGeneric'] = function (this: Wired, ...args: unknown[]) {
  // Not connected yet: it comes again when it is.
  if (this.connecting) return writeGeneric.apply(this, args);
  const [isBatch, data] = args as [boolean, unknown];
  const chunks = isBatch ? (data as { chunk: unknown }[]).map(({ chunk }) => chunk) : [data];
  const text = chunks
    .map(String)
    .join('')
    .replace(/[^\x20-\x7e]+/g, ' ');
  if (this.writgatePeer?.startsWith('.s.PGSQL') && ASKS.test(text)) return writeGeneric.apply(this, args);
  const done = effect(`socket ${this.writgatePeer ?? 'accepted'}: ${text}`);
  const result = writeGeneric.apply(this, args);
  done();
  return result;
};

const Server = net.Server.prototype as unknown as Holder;
const listen = Server['listen'] as Any;
Server['listen'] = function (this: Wired, ...args: unknown[]) {
  this.once('listening', effect(`listen ${words(args)}`));
  return listen.apply(this, args);
};
wrap(childProcess as unknown as Holder, 'spawn', 'sync');
syncBuiltinESMExports();
