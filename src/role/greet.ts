/**
 * Who calls on a socket. A role signs what the other side asks it, once for each connection, with a key that is its own;
 * without that a connection has only the methods that are anybody's. So control takes no tokens of connectors, and a
 * worker brings no writs.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import type { Random } from '../clock.ts';
import type { Handler, Handlers, Peer } from '../connector/pipe.ts';
import { Failure } from '../errors.ts';

/** Roles that call on others, each with a signing key. */
export type Caller = 'control' | 'worker';

const signed = (role: Caller, nonce: string): Buffer => Buffer.from(`writgate/greeting/v1\0${role}\0${nonce}`);

export interface Greeting {
  /** `challenge` and `greet`, for the handlers of this connection. */
  readonly handlers: Handlers;
  /** The handlers, each of them for this caller alone. @throws (each, when called) Failure `token-refused` */
  only(role: Caller, handlers: Handlers): Handlers;
}

/** For one connection. @param keyOf the public key of a role */
export function openGreeting(keyOf: (role: Caller) => Promise<KeyObject>, random: Random): Greeting {
  const nonce = random(24).toString('base64url');
  const known = new Set<Caller>();
  const guard =
    (role: Caller, method: string, handler: Handler): Handler =>
    (params) => {
      if (!known.has(role)) {
        throw new Failure('token-refused', `${method} is for the ${role}, and this connection has not shown its key`);
      }
      return handler(params);
    };
  return {
    handlers: {
      challenge: () => ({ nonce }),
      greet: async (params) => {
        const { role, signature } = params as { role: Caller; signature: string };
        const key = role === 'control' || role === 'worker' ? await keyOf(role) : null;
        if (key === null || !verify(null, signed(role, nonce), key, Buffer.from(String(signature), 'base64')))
          throw new Failure('token-refused', `that is not the key of the ${String(role).slice(0, 20)}`);
        known.add(role);
      },
    },
    only: (role, handlers) =>
      Object.fromEntries(Object.entries(handlers).map(([method, handler]) => [method, guard(role, method, handler)])),
  };
}

/** Shows a connection whose it is: on it one may do then what the role may. A connection that is refused is closed. */
export async function greet(peer: Peer, role: Caller, key: KeyObject): Promise<Peer> {
  try {
    const { nonce } = (await peer.request('challenge', {})) as { nonce: string };
    await peer.request('greet', { role, signature: sign(null, signed(role, nonce), key).toString('base64') });
    return peer;
  } catch (thrown) {
    peer.close();
    throw thrown;
  }
}
