/**
 * JSON lines over a stream: how the roles speak to each other (Unix sockets) and to a connector's process (stdio).
 *
 * A line is `{id, method, params}`, `{id, result}` or `{id, error: {code, message}}`. Either side may ask; many requests
 * are in flight at once and are answered in any order. Anything else ends this connection and no other.
 *
 * Memory is bounded: a line has at most 8 MiB, a side has at most `MAX_IN_FLIGHT` requests unanswered, and a side whose
 * answers nobody takes stops reading. It does so only while it waits for no answer itself, so that two sides never wait
 * for each other.
 */
import { isUtf8 } from 'node:buffer';
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { CODES, type Code, Failure } from '../errors.ts';

export const MAX_LINE_BYTES = 8 * 1024 * 1024;
export const MAX_IN_FLIGHT = 1024;
/** With so many bytes that the other side has not taken, nothing new is asked and no more requests are read. */
const MAX_BACKLOG_BYTES = 1024 * 1024;
/** `sun_path` of unix(7) without its final zero. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Answers a request. What it throws goes to the other side: a Failure with its code, anything else as `internal`. */
export type Handler = (params: unknown) => unknown;
export type Handlers = Readonly<Record<string, Handler>>;

export interface Peer {
  /**
   * @returns the other side's result, as JSON brought it.
   * @throws Failure with the other side's code; `peer-lost` when the connection ends first; the signal's reason when
   * it aborts. In the last two cases the request may be done all the same.
   */
  request(method: string, params: unknown, signal?: AbortSignal): Promise<unknown>;
  /** Resolves with the reason once the connection has ended, by whichever side. */
  readonly closed: Promise<string>;
  close(reason?: string): void;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(reason: unknown): void;
}

/** Speaks over a pair of streams, such as a child's stdout and stdin. `logDefect` is given what `internal` conceals. */
export function openPipe(
  readable: Readable,
  writable: Writable,
  handlers: Handlers,
  logDefect: (thrown: unknown) => void = console.error,
): Peer {
  const inFlight = new Map<number, Waiting>();
  /** Requests that wait until they may be sent. */
  const queue: (() => void)[] = [];
  let lastId = 0;
  /** Requests of the other side that are being answered. */
  let owed = 0;
  /** Lines of this turn of the event loop. */
  let batch = '';
  /** The bytes of a line that has not ended yet. */
  let rest: Buffer[] = [];
  let restBytes = 0;
  let ended: Failure | null = null;
  let tellClosed: (reason: string) => void;
  const closed = new Promise<string>((resolve) => {
    tellClosed = resolve;
  });

  function close(reason = 'this side closed it'): void {
    if (ended) return;
    ended = new Failure('peer-lost', `the connection ended before the answer came: ${reason}`);
    readable.destroy();
    writable.destroy();
    // First: whoever hears that his request is lost can rely on everybody knowing that the connection is.
    tellClosed(reason);
    for (const { reject } of inFlight.values()) reject(ended);
    inFlight.clear();
    for (const start of queue.splice(0)) start();
  }

  /** One write per turn of the event loop: with many requests in flight, that is most of the speed. */
  function send(line: string): void {
    if (ended) return;
    if (batch === '') setImmediate(flush);
    batch += line;
  }

  function flush(): void {
    if (ended) return;
    writable.write(batch);
    batch = '';
    balance();
  }

  const congested = (): boolean => writable.writableLength + batch.length > MAX_BACKLOG_BYTES;
  const mayAsk = (): boolean => inFlight.size < MAX_IN_FLIGHT && !congested();

  /** Sends what waited, then stops or resumes reading. */
  function balance(): void {
    while (queue.length > 0 && mayAsk()) queue.shift()?.();
    if (congested() && inFlight.size === 0) readable.pause();
    else if (readable.isPaused()) readable.resume();
  }

  async function answer(id: number, method: string, params: unknown): Promise<void> {
    owed++;
    let line: string;
    try {
      const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
      if (!handler) throw new Failure('wrong-use', `there is no method "${method.slice(0, 64)}" here`);
      line = encode({ id, result: (await handler(params)) ?? null });
    } catch (thrown) {
      if (!(thrown instanceof Failure)) logDefect(thrown);
      const { code, message } =
        thrown instanceof Failure
          ? thrown
          : { code: 'internal', message: `${method} failed; the log of that role says why` };
      line = encode({ id, error: { code, message: message.slice(0, 4096) } });
    }
    owed--;
    send(line);
  }

  function take(line: unknown): void {
    const { id, method, params, result, error } = line as Readonly<Record<string, unknown>>;
    if (typeof id !== 'number' || !Number.isSafeInteger(id)) throw new SyntaxError('a line without an id');
    if (typeof method === 'string') {
      if (owed === MAX_IN_FLIGHT) throw new SyntaxError(`more than ${MAX_IN_FLIGHT} requests at once`);
      void answer(id, method, params);
      return;
    }
    const waiting = inFlight.get(id);
    if (!waiting) throw new SyntaxError('an answer to nothing that was asked');
    inFlight.delete(id);
    if (error === undefined) {
      waiting.resolve(result);
      return;
    }
    const { code, message } = error as { readonly code: unknown; readonly message: unknown };
    const known = typeof code === 'string' && Object.hasOwn(CODES, code);
    waiting.reject(new Failure(known ? (code as Code) : 'internal', String(message)));
  }

  function read(chunk: Buffer): void {
    const end = chunk.lastIndexOf(0x0a);
    const lines = end < 0 ? null : Buffer.concat([...rest, chunk.subarray(0, end)]);
    if (lines) rest = [];
    restBytes = (lines ? 0 : restBytes) + chunk.length - end - 1;
    rest.push(chunk.subarray(end + 1));
    try {
      // The sum of the parts so far: a line is refused while it grows, not when it ends.
      if (restBytes > MAX_LINE_BYTES) throw new SyntaxError(`a line of more than ${MAX_LINE_BYTES} bytes`);
      if (!lines) return;
      if (!isUtf8(lines)) throw new SyntaxError('bytes that are not UTF-8');
      for (const text of lines.toString('utf8').split('\n')) take(JSON.parse(text));
    } catch (thrown) {
      close(`the peer broke the protocol: ${(thrown as Error).message.slice(0, 200)}`);
    }
    balance();
  }

  function request(method: string, params: unknown, signal?: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const line = encode({ id: ++lastId, method, params });
      const id = lastId;
      // The place in flight is kept until the answer comes: the other side is still at work.
      const abort = () => reject(signal?.reason);
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          signal?.removeEventListener('abort', abort);
          then(value);
        };
      const start = () => {
        if (signal?.aborted) return;
        if (ended) return settle(reject)(ended);
        inFlight.set(id, { resolve: settle(resolve), reject: settle(reject) });
        send(line);
      };
      if (signal?.aborted) return abort();
      signal?.addEventListener('abort', abort, { once: true });
      if (ended || mayAsk()) start();
      else queue.push(start);
    });
  }

  readable.on('data', read);
  readable.on('end', () => close('the peer closed it'));
  writable.on('drain', balance);
  for (const stream of [readable, writable]) {
    stream.on('error', (error: Error) => close(error.message));
    stream.on('close', () => close('the peer closed it'));
  }
  return { request, closed, close };
}

/** @throws Failure `wrong-use` when the line would be longer than the other side takes. */
function encode(line: object): string {
  const text = JSON.stringify(line);
  // A UTF-16 unit is at most three bytes of UTF-8: short lines need no counting.
  if (text.length * 3 > MAX_LINE_BYTES && Buffer.byteLength(text) > MAX_LINE_BYTES) {
    throw new Failure('wrong-use', `a message of ${Buffer.byteLength(text)} bytes; the pipe takes ${MAX_LINE_BYTES}`);
  }
  return `${text}\n`;
}

/** One connection of a listener: what a token is bound to, and how to ask the other side something in turn. */
export interface Connection {
  peer(): Peer;
}

export interface Listener {
  close(): Promise<void>;
}

/**
 * Listens on a Unix socket with mode 0600 in a folder with mode 0700, which is made where it is missing.
 * @throws Failure `already-running` when somebody answers there; `wrong-use` when the path is too long for a socket, or
 * something stands there that is no socket, or others may enter the folder.
 */
export async function listenPipe(
  path: string,
  handlers: Handlers | ((connection: Connection) => Handlers),
): Promise<Listener> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new Failure('wrong-use', `the socket path has ${bytes} bytes, at most ${MAX_SOCKET_PATH_BYTES}: ${path}`);
  }
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode } = await lstat(folder);
  if ((mode & 0o077) !== 0) {
    throw new Failure('wrong-use', `others may enter ${folder}, which holds a socket: chmod 700 ${folder}`);
  }
  await removeStale(path);

  const peers = new Set<Peer>();
  const server = createServer((socket) => {
    const connection: Connection = { peer: () => peer };
    const peer = openPipe(socket, socket, typeof handlers === 'function' ? handlers(connection) : handlers);
    peers.add(peer);
    void peer.closed.then(() => peers.delete(peer));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const peer of peers) peer.close();
      }),
  };
}

/** A socket on which nobody answers is what a killed process left behind. Anything else there is not ours to remove. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (!found) return;
  if (!found.isSocket()) throw new Failure('wrong-use', `${path} is not a socket; move it away`);
  try {
    (await connected(path)).destroy();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw thrown;
    return unlink(path);
  }
  throw new Failure('already-running', `somebody answers on ${path}`);
}

const connected = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket.off('error', reject)));
    socket.once('error', reject);
  });

/** @throws Failure `peer-lost` when nobody listens there. */
export async function connectPipe(path: string, handlers: Handlers = {}): Promise<Peer> {
  try {
    const socket = await connected(path);
    return openPipe(socket, socket, handlers);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Failure('peer-lost', `nobody answers on ${path} (${code}): start that role`, { cause });
  }
}
