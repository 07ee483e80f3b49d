/**
 * One LDAP connection that carries one operation at a time (RFC 4511). ldapts writes and reads the messages.
 *
 * Its `Client` is not used, because it answers the three questions that matter here for us: it reconnects by itself and
 * then goes on unauthenticated, it takes an empty page for the last one and hides the cookie (RFC 2696 section 3 says
 * to go on), and it does not tell an operation that was never sent from one that was.
 */
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import {
  type AddRequest,
  AddResponse,
  BindRequest,
  BindResponse,
  type DeleteRequest,
  DeleteResponse,
  ExtendedRequest,
  ExtendedResponse,
  MessageParser,
  type ModifyRequest,
  ModifyResponse,
  ProtocolOperation,
  SearchEntry,
  SearchReference,
  type SearchRequest,
  SearchResponse,
} from 'ldapts';
import { assert } from '../../assert.ts';
import { after, type Clock } from '../../clock.ts';
import { Failure } from '../../errors.ts';
import type { Address } from './contract.ts';

const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/;
const START_TLS = '1.3.6.1.4.1.1466.20037';

export type Request = AddRequest | BindRequest | DeleteRequest | ExtendedRequest | ModifyRequest | SearchRequest;
type Response = AddResponse | BindResponse | DeleteResponse | ExtendedResponse | ModifyResponse | SearchResponse;

/** What answers what: any other message in its place ends the connection. */
const ANSWERS: ReadonlyMap<number, unknown> = new Map<number, unknown>([
  [ProtocolOperation.LDAP_REQ_BIND, BindResponse],
  [ProtocolOperation.LDAP_REQ_SEARCH, SearchResponse],
  [ProtocolOperation.LDAP_REQ_ADD, AddResponse],
  [ProtocolOperation.LDAP_REQ_MODIFY, ModifyResponse],
  [ProtocolOperation.LDAP_REQ_DELETE, DeleteResponse],
  [ProtocolOperation.LDAP_REQ_EXTENSION, ExtendedResponse],
]);
const answers = (message: object, request: Request): message is Response =>
  message.constructor === ANSWERS.get(request.protocolOperation);

export interface Answer {
  readonly response: Response;
  readonly entries: readonly SearchEntry[];
  /** Continuation references (RFC 4511 section 4.5.3). Nobody follows them. */
  readonly references: number;
}

export interface Connection {
  readonly alive: boolean;
  /** Sends one operation. @throws Error when no readable answer came: it may have been done. The connection is then dead. */
  ask(message: Request): Promise<Answer>;
  /** Simple bind. @returns the result code. */
  bind(dn: string, password: string): Promise<number>;
  nextId(): number;
  destroy(why: string): void;
}

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: 'from the start' | 'upgrade' | 'none';
}

/**
 * `ldaps://host`, or `ldap://host` with StartTLS, which is not optional; plain text only on this machine.
 * @throws Failure `wrong-use` for an address that a credential must not be sent to.
 */
export function readEndpoint({ url, timeoutMs }: Address): Endpoint {
  const base = URL.parse(url);
  const why = !base
    ? 'it is no URL'
    : base.protocol !== 'ldaps:' && base.protocol !== 'ldap:'
      ? 'it is neither ldaps:// nor ldap://'
      : base.hostname === ''
        ? 'it has no host'
        : base.username || base.password || base.search || base.hash || !['', '/'].includes(base.pathname)
          ? 'it has more than a host and a port'
          : timeoutMs > 0
            ? null
            : `its timeout is ${timeoutMs} ms`;
  if (why !== null || !base) throw new Failure('wrong-use', `the address of an LDAP target is refused: ${why}`);
  const host = base.hostname.replace(/^\[|\]$/g, '');
  const secure = base.protocol === 'ldaps:';
  return {
    host,
    port: base.port === '' ? (secure ? 636 : 389) : Number(base.port),
    tls: secure ? 'from the start' : LOOPBACK.test(host) ? 'none' : 'upgrade',
  };
}

/** @throws Error when there is no connection that a credential may be sent over. Nothing was asked of the target then. */
export async function openConnection(address: Address, clock: Clock, signal?: AbortSignal): Promise<Connection> {
  const { host, port, tls } = readEndpoint(address);
  const secure: ConnectionOptions = {
    host,
    minVersion: 'TLSv1.2',
    // Said aloud, because an environment variable would otherwise switch it off.
    rejectUnauthorized: true,
    ...(isIP(host) ? {} : { servername: host }),
    ...(address.ca === null ? {} : { ca: address.ca }),
  };
  const limit: Limit = { clock, timeoutMs: address.timeoutMs };
  if (tls === 'from the start') {
    return speak(await ready(connectTls({ ...secure, port }), 'secureConnect', limit, signal), limit);
  }
  const socket = await ready(connect({ host, port }), 'connect', limit, signal);
  const plain = speak(socket, limit);
  if (tls === 'none') return plain;
  const { response } = await plain.ask(new ExtendedRequest({ messageId: plain.nextId(), oid: START_TLS }));
  if (response.status !== 0) {
    plain.destroy('no TLS');
    throw new Error(`StartTLS was answered ${response.status}; a credential does not go over plain text`);
  }
  // A new reader: whatever came unencrypted is not part of the encrypted conversation.
  socket.removeAllListeners('data');
  return speak(await ready(connectTls({ ...secure, socket }), 'secureConnect', limit, signal), limit);
}

/** How long each step may take, and by whose time. */
interface Limit {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

function ready<S extends Socket>(socket: S, event: string, limit: Limit, signal?: AbortSignal): Promise<S> {
  const { clock, timeoutMs } = limit;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const late = (): void => fail(new Error(`no connection within ${timeoutMs} ms`));
    const closed = (): void => fail(new Error('the connection was closed while it was opened'));
    const abort = (): void => fail(new Error('given up'));
    const inTime = after(clock, timeoutMs, late);
    const settle = (): void => {
      inTime();
      signal?.removeEventListener('abort', abort);
      socket.off('close', closed);
    };
    socket.once('close', closed);
    // Stays: a socket error without a listener would end the process; `close` follows each.
    socket.on('error', fail);
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    socket.once(event, () => {
      settle();
      resolve(socket);
    });
  });
}

interface Pending {
  readonly message: Request;
  readonly entries: SearchEntry[];
  references: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

function speak(socket: Socket, { clock, timeoutMs }: Limit): Connection {
  const parser = new MessageParser();
  let pending: Pending | null = null;
  let dead: string | null = null;
  let received = 0;
  let id = 0;

  const end = (why: string): void => {
    dead ??= why;
    socket.destroy();
    const lost = pending;
    pending = null;
    lost?.reject(new Error(dead));
  };
  // A message that answers nothing is a disconnection notice (RFC 4511 section 4.4.1) or not LDAP.
  parser.on('message', (message) => {
    if (!pending || message.messageId !== pending.message.messageId) return end('the directory ended the conversation');
    const searching = pending.message.protocolOperation === ProtocolOperation.LDAP_REQ_SEARCH;
    if (searching && message instanceof SearchEntry) pending.entries.push(message);
    else if (searching && message instanceof SearchReference) pending.references += message.uris.length;
    else if (answers(message, pending.message)) {
      const { resolve, entries, references } = pending;
      pending = null;
      resolve({ response: message, entries, references });
    } else end('the answer is to another operation');
  });
  parser.on('error', () => end('the answer could not be read'));
  socket.on('data', (bytes: Buffer) => {
    received += bytes.length;
    if (received > MAX_RESPONSE_BYTES) return end(`the answer is longer than ${MAX_RESPONSE_BYTES} bytes`);
    if (dead !== null) return;
    try {
      parser.read(bytes, new Map());
    } catch {
      // Thousands of tiny messages in one packet exhaust the parser's recursion.
      end('the answer could not be read');
    }
  });
  socket.on('error', (error) => end(error.message));
  for (const over of ['end', 'close']) socket.on(over, () => end('the connection was closed'));

  const connection: Connection = {
    get alive() {
      return dead === null;
    },
    nextId: () => (id = (id % 0x7fffffff) + 1),
    destroy: end,
    async ask(message) {
      assert(pending === null, 'one operation at a time on an LDAP connection');
      if (dead !== null) throw new Error(dead);
      received = 0;
      const inTime = after(clock, timeoutMs, () => end(`no answer within ${timeoutMs} ms`));
      try {
        return await new Promise<Answer>((resolve, reject) => {
          pending = { message, entries: [], references: 0, resolve, reject };
          socket.write(message.write());
        });
      } finally {
        inTime();
      }
    },
    async bind(dn, password) {
      const { response } = await connection.ask(new BindRequest({ messageId: connection.nextId(), dn, password }));
      return response.status;
    },
  };
  return connection;
}
