/**
 * A performer does exactly one classified call against one target, with the credential that the gateway (or, for
 * reads, the verifier) injects. It never retries, never follows a redirect, never logs a secret, always has a timeout.
 */
import type { Ambient } from '../../clock.ts';
import type { Call, Reply } from '../../connector/contract.ts';

/** A target's address as the roster signed it. */
export interface Address {
  /** `https://crm.example/scim/v2`, `ldaps://dc.example:636`, `postgres://db.example/pay`. A credential is bound to this exact origin. */
  readonly url: string;
  /** PEM of the only CA to trust, or null for the system's. */
  readonly ca: string | null;
  readonly timeoutMs: number;
  /** HTTP: where a password is presented, and in which members of a JSON object. */
  readonly signIn?: { readonly url: string; readonly name: string; readonly password: string };
}

/** The secret as it was sealed to this process's public key. */
export type Secret =
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'bind'; readonly dn: string; readonly password: string }
  | { readonly kind: 'none' };

export interface Performer {
  /** @returns always a reply; network trouble is `lost` (may have happened) or `down` (certainly did not). */
  perform(call: Call, secret: Secret, signal?: AbortSignal): Promise<Reply>;
  /** Present a login's own secret (LDAP bind, database login, a form to sign in): was it let in? Absent where there is no way. */
  present?(login: string, password: string): Promise<'accepted' | 'refused' | 'unknown'>;
  close(): Promise<void>;
}

export type OpenPerformer = (address: Address, ambient: Ambient) => Performer;
