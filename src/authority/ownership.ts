/** Who controls which non-human identity, from the signed authority: what eligibility is worked out from. */
import type { Edge } from '../approval/eligibility.ts';
import type { Authority } from './authority.ts';

/** Writgate itself, as the requester of what its rules ask for. */
export const WRITGATE = 'writgate';
/** The gateway, where it carries out a change that concerns no target. */
export const GATEWAY = 'gateway';

export function ownershipOf(authority: Authority): readonly Edge[] {
  const edges: Edge[] = [
    { owner: authority.owner, owned: `nhi:${WRITGATE}` },
    { owner: authority.owner, owned: `nhi:${GATEWAY}` },
  ];
  for (const [name, { owner, deputy }] of Object.entries(authority.connectors)) {
    edges.push({ owner, owned: `nhi:${name}` });
    if (deputy !== undefined) edges.push({ owner: deputy, owned: `nhi:${name}` });
  }
  return edges;
}

/** Who asked for a change: the person of a request or an exception, else Writgate's own rules. */
export const requesterOf = ({ cause }: { readonly cause: string }): string =>
  /^(?:request|exception) \S+ by (\S+)/.exec(cause)?.[1] ?? `nhi:${WRITGATE}`;

/**
 * A cause for people. Who asked is only a claim: nobody signed it, and control wrote it down as it was told. What is held,
 * by the gateway, is that approvers saw this name and that he is none of them.
 */
export const claimOf = (cause: string): string =>
  requesterOf({ cause }) === `nhi:${WRITGATE}` ? cause : `${cause} (claimed)`;
