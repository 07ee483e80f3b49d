/**
 * A catalogue classifies calls of one protocol: which operation is this, what does its body do, to which object, and
 * how would the gateway itself spell it. It judges from the call alone, never from what the caller says about it.
 */
import type { Attributes, Call, Reply, TargetOptions } from '../../connector/contract.ts';
import type { Effect } from '../../writ/tuple.ts';

/** How the object of a write is named in the call: by login, or by the target's own id, which the gateway must bind. */
export type ObjectName = { readonly login: string } | { readonly id: string };

export interface Classified {
  /** `create User`, `grant`, `read Group`: as a scope names it. */
  readonly operation: string;
  readonly effect: Effect;
  /** For reads: null. */
  readonly object: ObjectName | null;
  /** For grant and revoke: how the call names the entitlement: by configured name or by the target's own id of it. */
  readonly entitlement: { readonly name: string } | { readonly ref: string } | null;
  /** For create and update: the neutral attributes that the body sets, re-derived from the body. */
  readonly attributes: Attributes | null;
  /** Whether the call carries the FIRST_SECRET marker. */
  readonly wantsSecret: boolean;
  /** The call rebuilt from what was understood: this is what gets forwarded, never the bytes that came. */
  readonly call: Call;
}

export type Classification =
  | { readonly ok: true; readonly classified: Classified }
  /** An operation that is not in the catalogue, or whose body does more than one thing, is refused. */
  | { readonly ok: false; readonly reason: string };

export interface Catalogue {
  readonly protocol: string;
  /** Every operation name that `classify` can return, for scopes and docs. */
  readonly operations: readonly string[];
  classify(call: Call, options: TargetOptions): Classification;
  /** The gateway's own read that tells which login an id has; null where the id is the login. */
  resolveObject(id: string, options: TargetOptions): { call: Call; read(reply: Reply): string | null } | null;
  /** The gateway's own read that tells which configured name an entitlement's id has; null where the ref is the name. */
  resolveEntitlement(ref: string, options: TargetOptions): { call: Call; read(reply: Reply): string | null } | null;
  /** The gateway's own read of the ids that bear an entitlement's name on the system; null where the name is the id. */
  findEntitlement(
    name: string,
    options: TargetOptions,
  ): { call: Call; read(reply: Reply): readonly string[] | null } | null;
  /** From the reply to a create under a writ: the new object's id, or null when it does not tell. */
  createdId(call: Call, reply: Reply): string | null;
  /**
   * What of the reply to a write concerns its object: of the members of a group, the one who was put in or taken out.
   * Nothing else of it goes to the connector or is kept. Left out: everything.
   */
  concerning?(call: Call, reply: Reply): Reply;
  /** Puts the first secret in place of the marker. */
  withSecret(call: Call, secret: string): Call;
}
