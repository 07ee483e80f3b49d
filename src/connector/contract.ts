/**
 * The sans-IO contract of a connector.
 *
 * A connector is a set of generators. A generator yields a `Call` and is given the `Reply`; it has no socket, no
 * secret, no clock, and imports nothing but this folder. It runs in a process of its own (`runner.ts`); the gateway
 * classifies each call, holds it against the writ, injects the credential and performs it. So a connector is tested
 * without a network, and one exported suite (`suite.ts`) holds them all.
 *
 * Rules that the suite enforces:
 *  - a generator ends in a bounded number of calls for a bounded population;
 *  - `apply` is idempotent: done twice, the second ends `already` and changes nothing;
 *  - a reply that is not understood ends `unknown`, never `done` (unknown is never yes);
 *  - a 404 or "no such member" on a removal ends `already`: a claim about the target, which only a verification proves.
 */
import type { Json } from '../canonical.ts';

/** The neutral attributes of an account. Each connector maps those its protocol knows, and refuses none silently. */
export const ATTRIBUTES = [
  'employeeId',
  'displayName',
  'givenName',
  'familyName',
  'email',
  'department',
  'title',
] as const;
export type Attribute = (typeof ATTRIBUTES)[number];
export type Attributes = { readonly [A in Attribute]?: string };

/* ---- calls: what a connector may ask for ---------------------------------------------------------------------- */

export interface HttpCall {
  readonly kind: 'http';
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Segments below the target's base address, un-encoded: ['Users', 'a/b'] is one user named `a/b`. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string>>;
  /** Only these; the gateway adds the rest (credential, content type). */
  readonly headers?: { readonly 'if-match'?: string };
  readonly body?: Json;
}

export type LdapCall =
  | {
      readonly kind: 'ldap';
      readonly op: 'search';
      readonly base: string;
      readonly scope: 'base' | 'one' | 'sub';
      readonly filter: string;
      readonly attributes: readonly string[];
      /** Ask for simple paged results (RFC 2696); the gateway hands back `cookie` until the population is read. */
      readonly page?: { readonly size: number; readonly cookie: string };
    }
  | {
      readonly kind: 'ldap';
      readonly op: 'add';
      readonly dn: string;
      readonly attributes: Readonly<Record<string, readonly string[]>>;
    }
  | {
      readonly kind: 'ldap';
      readonly op: 'modify';
      readonly dn: string;
      readonly changes: readonly {
        readonly operation: 'add' | 'delete' | 'replace';
        readonly attribute: string;
        readonly values: readonly string[];
      }[];
    }
  | { readonly kind: 'ldap'; readonly op: 'delete'; readonly dn: string };

/** A named template of the gateway; the gateway quotes identifiers. A connector never sends SQL text. */
export interface SqlCall {
  readonly kind: 'sql';
  readonly statement: string;
  readonly params: Readonly<Record<string, string | number | boolean | null>>;
}

export interface FileCall {
  readonly kind: 'file';
  /** Name of the feed's pinned file; never a free path. */
  readonly path: string;
}

export type Call = HttpCall | LdapCall | SqlCall | FileCall;

/**
 * Where a call must carry a new account's first secret, the connector writes this marker. The gateway makes the
 * secret, puts it in, and delivers it; neither the connector nor the control plane ever sees it.
 */
export const FIRST_SECRET = '\u0001first-secret';

/* ---- replies --------------------------------------------------------------------------------------------------- */

export type Reply =
  | {
      readonly kind: 'http';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Json;
    }
  | {
      readonly kind: 'ldap';
      /** Result code, RFC 4511 section 4.1.9; 0 is success. */
      readonly code: number;
      readonly message: string;
      readonly entries: readonly {
        readonly dn: string;
        readonly attributes: Readonly<Record<string, readonly string[]>>;
      }[];
      /** Paged-results cookie (base64), empty when the last page was read. */
      readonly cookie: string;
    }
  | {
      readonly kind: 'sql';
      readonly rows: readonly Readonly<Record<string, Json>>[];
      readonly count: number;
      /** SQLSTATE when the statement was refused by the server, else null. */
      readonly sqlstate: string | null;
      readonly message: string;
    }
  /** The gateway did not perform the call. `code` is one of `errors.ts`. */
  /** `retryAt`: when the gateway's budget has room for it again, if that is why. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string; readonly retryAt?: number }
  /** The call may or may not have been performed: connection lost, time-out, an answer that could not be read. */
  | { readonly kind: 'lost'; readonly message: string }
  /** Certainly not performed: connection refused, name not found, TLS failed. */
  | { readonly kind: 'down'; readonly message: string };

/* ---- what generators yield and return ---------------------------------------------------------------------------- */

/** A typed fact about a target, emitted by `observe`. */
export type Observed =
  | {
      readonly type: 'account';
      /** The target's own identifier (SCIM id, DN, rolname). */
      readonly id: string;
      readonly login: string;
      readonly state: 'active' | 'disabled';
      readonly attributes: Attributes;
    }
  /** Something that can be held. `ref` is the target's id of it, `name` what the configuration calls it (SCIM displayName, DN, rolname). */
  | { readonly type: 'entitlement'; readonly ref: string; readonly name: string }
  | { readonly type: 'membership'; readonly ref: string; readonly account: string };

export type Step = { readonly call: Call } | { readonly emit: readonly Observed[] };

/** What a change asks of a connector. */
export interface Task {
  readonly effect: 'create' | 'update' | 'enable' | 'disable' | 'delete' | 'grant' | 'revoke';
  readonly account: {
    readonly login: string /** as observed; null before the account exists */;
    readonly id: string | null;
  };
  /** For create and update. */
  readonly attributes?: Attributes;
  /** For grant and revoke: the configured name of the entitlement on the system (SCIM displayName, DN, rolname), or a mechanism such as `@connections`. */
  readonly entitlement?: string;
}

/** The target's claim, as the connector read it. Never proof. */
export type Receipt =
  | {
      readonly outcome: 'done' | 'already' /** id of a created account */;
      readonly id?: string;
      readonly message: string;
    }
  /** The target or the gateway said no, for good. */
  | { readonly outcome: 'refused'; readonly message: string }
  /** Not now: down, or rate-limited with or without `Retry-After`. */
  | { readonly outcome: 'later'; readonly retryAfterMs: number | null; readonly message: string }
  /** It may have happened. Only looking will tell. */
  | { readonly outcome: 'unknown'; readonly message: string };

/** What a look saw. `null` is "could not be seen". */
export interface Sighting {
  readonly account: 'active' | 'disabled' | 'absent' | null;
  readonly id: string | null;
  readonly attributes: Attributes | null;
  /** Answer to `Question.entitlement`: does the account hold it? For `@connections`: is any open? */
  readonly holds: boolean | null;
  /** Which path was looked on, for example `GET /Groups/{id}`. */
  readonly path: string;
  readonly message: string;
}

export interface Question {
  readonly account: { readonly login: string; readonly id: string | null };
  readonly entitlement?: string;
}

/** Settings of a target that a connector may know: nothing secret, no address. */
export interface TargetOptions {
  /** For LDAP: base DN, user and group containers, flavour; for SCIM: page size and PATCH dialect; free of secrets. */
  readonly [option: string]: Json | undefined;
}

export interface Connector {
  readonly kind: string;
  /** By which ways access can live in such a target; a revocation is one change per mechanism. */
  readonly mechanisms: readonly ('account' | 'membership' | 'connections')[];
  /** Reads the whole population. */
  observe(options: TargetOptions): Generator<Step, void, Reply>;
  apply(options: TargetOptions, task: Task): Generator<Step, Receipt, Reply>;
  /** One narrow read that answers one question, on a path that the writer did not use where the protocol has one. */
  look(options: TargetOptions, question: Question): Generator<Step, Sighting, Reply>;
}
