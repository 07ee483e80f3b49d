/**
 * Is this operation in the connector's scope? Declared as `create User`, `grant staff`, `revoke *` (M3).
 * Judged from the classified call and the authority alone, outside the connector's own code.
 */
import type { Authority, ConnectorEntry, Duty } from '../authority/authority.ts';
import type { Effect, Tuple } from '../writ/tuple.ts';

/** Which duty an effect belongs to (M7). Adding is `grant`, taking away is `revoke`. */
const DUTY_OF: Readonly<Record<Effect, readonly Duty[]>> = {
  read: ['read', 'grant', 'revoke', 'verify'],
  create: ['grant'],
  update: ['grant'],
  enable: ['grant'],
  grant: ['grant'],
  authenticate: ['grant'],
  disable: ['revoke'],
  delete: ['revoke'],
  revoke: ['revoke'],
  adopt: [],
  install: [],
};

export type ScopeVerdict = { readonly ok: true } | { readonly ok: false; readonly why: string };

export function checkScope(
  connector: ConnectorEntry & { readonly name: string },
  operation: string,
  effect: Effect,
  tuple: Tuple | null,
): ScopeVerdict {
  if (!DUTY_OF[effect].some((duty) => connector.duties.includes(duty))) {
    return {
      ok: false,
      why: `${connector.name} has the duties ${connector.duties.join(', ')}; ${operation} is a ${effect}`,
    };
  }
  const wanted =
    (effect === 'grant' || effect === 'revoke') && tuple !== null ? `${effect} ${tuple.entitlement}` : operation;
  const anything = `${wanted.split(' ', 1)[0]} *`;
  if (connector.scope.includes(wanted) || connector.scope.includes(anything)) return { ok: true };
  return { ok: false, why: `${wanted} is not in the scope of ${connector.name} (${connector.scope.join(', ')})` };
}

/** The connector that may do this effect on this system, or null: nothing unlisted acts (M1). */
export function connectorFor(
  authority: Authority,
  system: string,
  duty: Duty,
): (ConnectorEntry & { name: string }) | null {
  const found = Object.entries(authority.connectors).find(
    ([, entry]) => entry.on === system && entry.duties.includes(duty),
  );
  return found ? { name: found[0], ...found[1] } : null;
}

export const dutyOf = (effect: Tuple['effect']): Duty => DUTY_OF[effect][0] ?? 'grant';
