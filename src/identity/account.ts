/** The neutral attributes that an account of a person has. Control writes them, and the gateway recomputes them. */
import type { Attributes } from '../connector/contract.ts';
import { ATTRIBUTES } from '../connector/contract.ts';
import type { PersonAttributes } from './lifecycle.ts';

/** Person attribute → account attribute, where the names differ. */
export const NAMED: Readonly<Partial<Record<(typeof ATTRIBUTES)[number], string>>> = { displayName: 'name' };

/** In the order of canonical bytes, which are then written fastest. */
const ORDERED = [...ATTRIBUTES].sort();

export function accountAttributes(person: PersonAttributes): Attributes {
  const entries = ORDERED.flatMap((attribute) => {
    const value = person[NAMED[attribute] ?? attribute];
    return typeof value === 'string' && value !== '' ? [[attribute, value] as const] : [];
  });
  return Object.fromEntries(entries);
}
