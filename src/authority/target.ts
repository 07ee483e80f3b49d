/** What the roles derive from a signed target: its address, the options a connector may know, and names on it. */
import type { TargetOptions } from '../connector/contract.ts';
import { canonicalDn } from '../connectors/ldap/dn.ts';
import type { Address } from '../gateway/perform/contract.ts';
import { isMechanism } from '../plan/change.ts';
import { type Authority, type Entitlement, protocolOf, type Target } from './authority.ts';

export const optionsOf = (target: Target): TargetOptions => {
  switch (protocolOf(target)) {
    case 'scim':
      return {
        ...(target.dialect === undefined ? {} : { dialect: target.dialect }),
        // Where people sign in with a password, an account is made with a first one.
        ...(target.signIn === undefined ? {} : { password: true }),
      };
    case 'ldap':
      return {
        base: target.base ?? '',
        people: target.people ?? 'ou=people',
        groups: target.groups ?? 'ou=groups',
        flavour: target.flavour ?? 'openldap',
      };
    case 'postgres':
      return {};
  }
};

export const addressOf = (target: Target): Address => ({
  url: target.scim ?? target.ldap ?? target.postgres ?? '',
  ca: target.ca ?? null,
  timeoutMs: target.timeout,
  ...(target.signIn === undefined ? {} : { signIn: target.signIn }),
});

/** How the system itself calls an entitlement: SCIM displayName, canonical DN, role name. */
export function nameOnSystem(target: Target, entitlement: Entitlement): string {
  const name = entitlement.group ?? entitlement.role ?? '';
  return target.ldap === undefined ? name : (canonicalDn(name, target.base ?? '') ?? name);
}

/** The configured name of what a system calls `name`; mechanisms keep theirs; null when nobody configured it. */
export function entitlementNamed(authority: Authority, system: string, name: string): string | null {
  if (isMechanism(name)) return name;
  const target = authority.targets[system];
  if (target === undefined) return null;
  for (const [configured, entitlement] of Object.entries(authority.entitlements)) {
    if (entitlement.on === system && nameOnSystem(target, entitlement) === name) return configured;
  }
  return null;
}

/** Ways by which access can live in a target besides accounts and memberships; each is revoked by a change of its own. */
export const mechanismsOf = (target: Target): readonly string[] =>
  target.mechanisms
    ? target.mechanisms.includes('connections')
      ? ['@connections']
      : []
    : protocolOf(target) === 'postgres'
      ? ['@connections']
      : [];
