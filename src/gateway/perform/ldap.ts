/**
 * Performs one LDAP operation against one directory, on a connection bound with exactly the credential it was given.
 *
 * `down` until the operation goes onto a bound connection, `lost` from then until its result was read. Referrals are
 * never followed: an answer that leads elsewhere is code 10 without entries, since part of it is missing.
 */
import {
  AddRequest,
  AndFilter,
  Attribute,
  Change,
  DeleteRequest,
  EqualityFilter,
  type Filter as LdapFilter,
  ModifyRequest,
  NotFilter,
  OrFilter,
  PagedResultsControl,
  PresenceFilter,
  type SearchEntry,
  SearchRequest,
} from 'ldapts';
import { canonical, type Digest, digestOf } from '../../canonical.ts';
import type { Clock } from '../../clock.ts';
import type { Call, LdapCall, Reply } from '../../connector/contract.ts';
import { type Filter, parseFilter } from '../../connectors/ldap/filter.ts';
import type { Address, OpenPerformer, Performer, Secret } from './contract.ts';
import {
  type Answer,
  type Connection,
  type Request as LdapRequest,
  openConnection,
  readEndpoint,
} from './ldap-connection.ts';

const MAX_CONNECTIONS = 4;
/** Connections kept for the next page of a search: a cookie means something only where it was given. */
const MAX_HELD = 2;
const REFERRAL = 10;
const INVALID_CREDENTIALS = 49;

type Bind = Extract<Secret, { kind: 'bind' }>;

interface Slot {
  readonly connection: Connection;
  /** Of the credential that it is bound with. */
  readonly credential: Digest;
}

interface Held {
  readonly slot: Slot;
  readonly search: string;
  readonly cookie: Buffer;
}

/** @throws Failure `wrong-use` for an address that a credential must not be sent to. */
export const openLdap: OpenPerformer = (address, { clock, random }) => {
  readEndpoint(address);
  const pool = openPool(address, clock);
  const held = new Map<string, Held>();

  const drop = (handle: string, why: string): void => {
    const { slot } = held.get(handle)!;
    held.delete(handle);
    slot.connection.destroy(why);
    pool.release(slot);
  };

  const perform: Performer['perform'] = async (call, secret, signal) => {
    const request = readRequest(call, secret);
    if ('kind' in request) return request;
    const { bind, message } = request;
    const credential = digestOf([bind.dn, bind.password]);
    const search = request.page === null ? '' : canonical({ ...(call as LdapCall), page: request.page.size });
    let cookie: Buffer | null = null;
    let slot: Slot;
    if (request.page !== null && request.page.handle !== '') {
      const kept = held.get(request.page.handle);
      if (!kept || kept.search !== search || kept.slot.credential !== credential) {
        return { kind: 'lost', message: 'the search that this page belongs to is over; it must be begun anew' };
      }
      held.delete(request.page.handle);
      ({ slot, cookie } = kept);
    } else {
      try {
        slot = await pool.take(bind, credential, signal);
      } catch (error) {
        return { kind: 'down', message: scrub(messageOf(error), bind) };
      }
    }

    if (signal?.aborted) {
      pool.release(slot);
      return { kind: 'down', message: 'given up' };
    }
    const abort = (): void => slot.connection.destroy('given up');
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const answer = await slot.connection.ask(message(slot.connection.nextId(), cookie));
      const next = request.page === null ? null : cookieOf(answer);
      let handle = '';
      if (next !== null && answer.response.status === 0 && answer.references === 0) {
        handle = random(16).toString('base64');
        held.set(handle, { slot, search, cookie: next });
        if (held.size > MAX_HELD) drop(held.keys().next().value!, 'another search was begun');
      } else {
        pool.release(slot);
      }
      return replyOf(answer, handle, bind);
    } catch (error) {
      pool.release(slot);
      return { kind: 'lost', message: scrub(messageOf(error), bind) };
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  };

  return {
    perform,
    /** `login` is a DN, or for Active Directory also `user@domain` or `DOMAIN\user`. Never on a pooled connection. */
    async present(login, password) {
      // RFC 4513 section 5.1.2: a name without a password succeeds and proves nothing.
      if (login === '' || password === '') return 'unknown';
      let connection: Connection | null = null;
      try {
        connection = await openConnection(address, clock);
        const code = await connection.bind(login, password);
        return code === 0 ? 'accepted' : code === INVALID_CREDENTIALS ? 'refused' : 'unknown';
      } catch {
        return 'unknown';
      } finally {
        connection?.destroy('presented');
      }
    },
    async close() {
      for (const handle of [...held.keys()]) drop(handle, 'closed');
      pool.close();
    },
  };
};

/* ---- connections ------------------------------------------------------------------------------------------------------ */

interface Pool {
  /** A live connection bound with this credential and no other. @throws Error; nothing was asked of the target then. */
  take(bind: Bind, credential: Digest, signal?: AbortSignal): Promise<Slot>;
  release(slot: Slot): void;
  close(): void;
}

function openPool(address: Address, clock: Clock): Pool {
  let idle: Slot[] = [];
  let opened = 0;
  let closed = false;
  let waiting: (() => void)[] = [];

  const wake = (): void => waiting.shift()?.();
  const leave = (slot: Slot, why: string): void => {
    slot.connection.destroy(why);
    opened -= 1;
  };

  const open = async (bind: Bind, credential: Digest, signal?: AbortSignal): Promise<Slot> => {
    opened += 1;
    let connection: Connection | null = null;
    try {
      connection = await openConnection(address, clock, signal);
      const code = await connection.bind(bind.dn, bind.password);
      if (code !== 0) throw new Error(`the directory refused our credential ${bind.dn} with ${code}`);
      return { connection, credential };
    } catch (error) {
      connection?.destroy('not bound');
      opened -= 1;
      wake();
      throw error;
    }
  };

  return {
    async take(bind, credential, signal) {
      for (;;) {
        if (signal?.aborted) throw new Error('given up');
        if (closed) throw new Error('closed');
        for (const slot of idle.filter(({ connection }) => !connection.alive)) leave(slot, 'dead');
        idle = idle.filter(({ connection }) => connection.alive);
        const own = idle.find((slot) => slot.credential === credential);
        if (own) {
          idle = idle.filter((slot) => slot !== own);
          return own;
        }
        if (opened < MAX_CONNECTIONS) return open(bind, credential, signal);
        const stranger = idle.shift();
        if (stranger) {
          leave(stranger, 'its place was needed');
          continue;
        }
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
          signal?.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    },
    release(slot) {
      if (closed || !slot.connection.alive) leave(slot, 'closed');
      else idle.push(slot);
      wake();
    },
    close() {
      closed = true;
      for (const slot of idle) leave(slot, 'closed');
      idle = [];
      const left = waiting;
      waiting = [];
      for (const resolve of left) resolve();
    },
  };
}

/* ---- the request -------------------------------------------------------------------------------------------------------- */

interface Request {
  readonly bind: Bind;
  readonly message: (messageId: number, cookie: Buffer | null) => LdapRequest;
  readonly page: { readonly size: number; readonly handle: string } | null;
}

const refuse = (message: string): Reply => ({ kind: 'refused', code: 'wrong-use', message });

function readRequest(call: Call, secret: Secret): Request | Reply {
  if (call.kind !== 'ldap') return refuse(`a call of kind ${call.kind} to a directory`);
  if (secret.kind !== 'bind') return refuse(`a credential of kind ${secret.kind} that LDAP cannot carry`);
  // RFC 4513 section 5.1: without either, the bind would be an anonymous one and succeed.
  if (secret.dn === '' || secret.password === '') return refuse('a credential without a name or without a password');
  const of = (message: Request['message']): Request => ({ bind: secret, message, page: null });
  switch (call.op) {
    case 'search': {
      const filter = parseFilter(call.filter);
      if (!filter || call.attributes.length === 0) return refuse('a search needs a filter and attributes');
      const { base: baseDN, scope, page } = call;
      const attributes = [...call.attributes];
      const build = (messageId: number, cookie: Buffer | null): LdapRequest => {
        const value = page ? { size: page.size, ...(cookie ? { cookie } : {}) } : null;
        // Critical: a server that cannot page must say so instead of sending its first 500.
        const controls = value ? [new PagedResultsControl({ critical: true, value })] : [];
        // The time limit is ours to keep, on the connection.
        return new SearchRequest({
          messageId,
          baseDN,
          scope,
          filter: ldapFilter(filter),
          attributes,
          timeLimit: 0,
          controls,
        });
      };
      return { bind: secret, message: build, page: page ? { size: page.size, handle: page.cookie } : null };
    }
    case 'add': {
      const attributes = Object.entries(call.attributes).map(([type, values]) => attribute(type, values));
      return of((messageId) => new AddRequest({ messageId, dn: call.dn, attributes }));
    }
    case 'modify': {
      const changes = call.changes.map(
        ({ operation, attribute: type, values }) => new Change({ operation, modification: attribute(type, values) }),
      );
      return of((messageId) => new ModifyRequest({ messageId, dn: call.dn, changes }));
    }
    case 'delete':
      return of((messageId) => new DeleteRequest({ messageId, dn: call.dn }));
  }
}

/** MS-ADTS section 3.1.1.3.1.5: a password is set as the quoted text in UTF-16, little end first. */
function attribute(type: string, values: readonly string[]): Attribute {
  return type.toLowerCase() === 'unicodepwd'
    ? new Attribute({ type, values: values.map((plain) => Buffer.from(`"${plain}"`, 'utf16le')) })
    : new Attribute({ type, values: [...values] });
}

/** Not by ldapts' parser, which reads `\c3\a9` as two characters. */
function ldapFilter(filter: Filter): LdapFilter {
  switch (filter.kind) {
    case 'and':
      return new AndFilter({ filters: filter.parts.map(ldapFilter) });
    case 'or':
      return new OrFilter({ filters: filter.parts.map(ldapFilter) });
    case 'not':
      return new NotFilter({ filter: ldapFilter(filter.part) });
    case 'equal':
      return new EqualityFilter({ attribute: filter.attribute, value: filter.value });
    case 'present':
      return new PresenceFilter({ attribute: filter.attribute });
  }
}

/* ---- the reply ------------------------------------------------------------------------------------------------------------ */

/** Attributes that are bytes and not text; they come back as base64. */
const BINARY = new Set(['objectguid', 'objectsid']);

function readEntry({ name, attributes }: SearchEntry): Extract<Reply, { kind: 'ldap' }>['entries'][number] {
  const values = attributes.map(({ type, parsedBuffers }) => {
    const encoding = BINARY.has(type.toLowerCase()) ? 'base64' : 'utf8';
    return [type, parsedBuffers.map((bytes) => bytes.toString(encoding))];
  });
  return { dn: name, attributes: Object.fromEntries(values) };
}

function cookieOf({ response }: Answer): Buffer | null {
  const control = response.controls?.find((one) => one instanceof PagedResultsControl);
  return control?.value?.cookie?.length ? control.value.cookie : null;
}

function replyOf({ response, entries, references }: Answer, cookie: string, bind: Bind): Reply {
  if (references > 0) {
    const message = `${references} continuation references, none followed`;
    return { kind: 'ldap', code: REFERRAL, message, entries: [], cookie: '' };
  }
  return {
    kind: 'ldap',
    code: response.status,
    message: scrub(response.errorMessage, bind),
    entries: entries.map(readEntry),
    cookie,
  };
}

const messageOf = (error: unknown): string =>
  error instanceof AggregateError && error.errors[0] instanceof Error
    ? error.errors[0].message
    : error instanceof Error
      ? error.message
      : String(error);

/** What a target says may quote what it was sent. */
const scrub = (text: string, { password }: Bind): string => text.replaceAll(password, '[scrubbed]').slice(0, 500);
