/**
 * Tokens of the worker's door. A connector holds no target credential, only a token of five minutes, good on the one
 * connection it was issued on: the connection is the binding, so a copied token is worth nothing elsewhere (M4).
 */
import type { Clock, Instant, Random } from '../clock.ts';
import { Failure } from '../errors.ts';

export const TOKEN_LIFETIME_MS = 5 * 60_000;

interface Issued {
  readonly connector: string;
  readonly connection: object;
  readonly expiresAt: Instant;
}

export interface Tokens {
  issue(connector: string, connection: object): { readonly token: string; readonly expiresAt: Instant };
  /** @returns the connector's name. @throws Failure `token-refused` */
  check(token: string, connection: object): string;
  /** At once, for every connection. */
  revoke(connector: string): void;
}

export function openTokens(clock: Clock, random: Random): Tokens {
  const issued = new Map<string, Issued>();
  return {
    issue(connector, connection) {
      const now = clock.now();
      for (const [token, entry] of issued) if (entry.expiresAt <= now) issued.delete(token);
      const token = random(32).toString('base64url');
      const expiresAt = now + TOKEN_LIFETIME_MS;
      issued.set(token, { connector, connection, expiresAt });
      return { token, expiresAt };
    },
    check(token, connection) {
      const entry = issued.get(token);
      if (!entry) throw new Failure('token-refused', 'no such token: ask the gateway for one');
      if (entry.connection !== connection)
        throw new Failure('token-refused', 'the token belongs to another connection');
      if (clock.now() >= entry.expiresAt) throw new Failure('token-refused', 'the token expired; they live 5 minutes');
      return entry.connector;
    },
    revoke(connector) {
      for (const [token, entry] of issued) if (entry.connector === connector) issued.delete(token);
    },
  };
}
