/** The connectors that a runner can be: by name, loaded only in the process of that one. */
import type { Connector } from '../connector/contract.ts';

export const CONNECTORS = {
  scim: () => import('./scim/connector.ts'),
  ldap: () => import('./ldap/connector.ts'),
  postgres: () => import('./postgres/connector.ts'),
  dummy: () => import('./dummy/connector.ts'),
} satisfies Record<string, () => Promise<{ readonly connector: Connector }>>;

export type Kind = keyof typeof CONNECTORS;

export const isKind = (name: unknown): name is Kind => typeof name === 'string' && Object.hasOwn(CONNECTORS, name);
