/** Neutral attributes ↔ those of inetOrgPerson (RFC 2798, RFC 4519) and of Active Directory's `user`. */
import { ATTRIBUTES, type Attribute, type Attributes } from '../../connector/contract.ts';

export type FlavourName = 'openldap' | 'ad';

export const ATTRIBUTE_NAMES: Readonly<Record<FlavourName, Readonly<Record<Attribute, string>>>> = {
  openldap: {
    employeeId: 'employeeNumber',
    displayName: 'displayName',
    givenName: 'givenName',
    familyName: 'sn',
    email: 'mail',
    department: 'departmentNumber',
    title: 'title',
  },
  ad: {
    employeeId: 'employeeID',
    displayName: 'displayName',
    givenName: 'givenName',
    familyName: 'sn',
    email: 'mail',
    department: 'department',
    title: 'title',
  },
};

/** `person` must have a surname (RFC 4519 section 3.12); this stands for one that nobody told us. */
export const NO_SURNAME = '-';

/** An entry as a reply carries it. Attribute names come in whatever case the server likes. */
export interface Entry {
  readonly dn: string;
  readonly attributes: Readonly<Record<string, readonly string[]>>;
}

export function valuesOf(entry: Entry, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  return Object.entries(entry.attributes).find(([key]) => key.toLowerCase() === wanted)?.[1] ?? [];
}

/** Several values have no order in a directory (RFC 4511 section 4.1.7): the first in sorted order is the one reported. */
export function readAttributes(entry: Entry, flavour: FlavourName): Attributes {
  const read = ATTRIBUTES.flatMap((name) => {
    const [value] = [...valuesOf(entry, ATTRIBUTE_NAMES[flavour][name])].sort();
    return value === undefined || (name === 'familyName' && value === NO_SURNAME) ? [] : [[name, value]];
  });
  return Object.fromEntries(read);
}
