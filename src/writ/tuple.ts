/**
 * The tuple: what exactly a writ permits, and what the gateway derives, on its own, from each call that it classifies.
 * A call passes only when both are equal, and each tuple is spent once.
 */
import { canonical, type Digest, digestOf } from '../canonical.ts';

/**
 * What an operation does to access. `authenticate` covers passwords, second factors, recovery addresses and keys;
 * `enable` lets a disabled account in again and counts as a grant. Two effects change Writgate and no target: `adopt`
 * binds an existing account to a person, `install` puts another authority in force; both always need signatures.
 */
export const EFFECTS = [
  'read',
  'create',
  'update',
  'enable',
  'disable',
  'delete',
  'grant',
  'revoke',
  'authenticate',
  'adopt',
  'install',
] as const;
export type Effect = (typeof EFFECTS)[number];

/** Privilege levels, weakest first. */
export const PRIVILEGES = ['low', 'normal', 'high'] as const;
export type Privilege = (typeof PRIVILEGES)[number];

export interface Tuple {
  /** Name of the target in the configuration. */
  readonly system: string;
  /**
   * The account: its login (SCIM `userName`, the LDAP login attribute, the PostgreSQL role). The target's own id is
   * bound to the login by the gateway from replies it has seen itself, never by the caller.
   */
  readonly object: string;
  readonly effect: Exclude<Effect, 'read'>;
  /** Entitlement name for `grant` and `revoke`; `@connections` and the like for a mechanism without a name; else null. */
  readonly entitlement: string | null;
  /** SHA-256 over the canonical neutral attributes for `create` and `update`; else null. */
  readonly valueDigest: Digest | null;
}

/** One string per tuple, for maps and unique keys. */
export const tupleKey = (tuple: Tuple): string =>
  canonical([tuple.system, tuple.object, tuple.effect, tuple.entitlement, tuple.valueDigest]);

export const tupleDigest = (tuple: Tuple): Digest => digestOf(tuple);

/** Effects that add access; the others take it away. */
export const ADDING: ReadonlySet<Effect> = new Set([
  'create',
  'update',
  'enable',
  'grant',
  'authenticate',
  'adopt',
  'install',
]);
