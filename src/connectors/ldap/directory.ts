/** A directory as the configuration describes it, and what its two flavours do differently. Shared with the catalogue. */
import type { TargetOptions } from '../../connector/contract.ts';
import { type Entry, type FlavourName, valuesOf } from './attributes.ts';
import { type Dn, fold, isBelow, isSame, parseDn, plainDn, writeDn } from './dn.ts';
import { and, equal, type Filter } from './filter.ts';

export interface Flavour {
  readonly name: FlavourName;
  /** The attribute that holds the login, and the one that names the entry. */
  readonly login: 'uid' | 'sAMAccountName';
  readonly rdn: 'uid' | 'cn';
  readonly objectClass: 'inetOrgPerson' | 'user';
  readonly password: 'userPassword' | 'unicodePwd';
  readonly person: Filter;
  readonly group: Filter;
}

const FLAVOURS: Readonly<Record<FlavourName, Flavour>> = {
  openldap: {
    name: 'openldap',
    login: 'uid',
    rdn: 'uid',
    objectClass: 'inetOrgPerson',
    password: 'userPassword',
    person: equal('objectClass', 'inetOrgPerson'),
    group: equal('objectClass', 'groupOfNames'),
  },
  ad: {
    name: 'ad',
    login: 'sAMAccountName',
    rdn: 'cn',
    objectClass: 'user',
    password: 'unicodePwd',
    // MS-ADTS: SAM_NORMAL_USER_ACCOUNT. Computers and trusts are `user` too, and not this.
    person: and(equal('objectClass', 'user'), equal('sAMAccountType', '805306368')),
    group: equal('objectClass', 'group'),
  },
};

export interface Directory {
  readonly base: Dn;
  readonly people: Dn;
  readonly groups: Dn;
  readonly flavour: Flavour;
  /** Entries a page; Active Directory gives at most 1000. */
  readonly pageSize: number;
}

/** @returns the directory, or one sentence about what its options lack. */
export function readDirectory(options: TargetOptions): Directory | string {
  const { base, people, groups, flavour, pageSize = 500 } = options;
  if (flavour !== 'openldap' && flavour !== 'ad') return 'flavour must be openldap or ad';
  if (typeof pageSize !== 'number' || pageSize < 1 || pageSize > 1000) return 'pageSize must be 1 to 1000';
  const root = typeof base === 'string' ? parseDn(base) : null;
  if (!root) return 'base must be a distinguished name such as dc=acme,dc=example';
  const below = (container: unknown): Dn | null => {
    const name = typeof container === 'string' ? parseDn(container) : null;
    return name && (isSame(name, root) ? null : isBelow(name, root) ? name : [...name, ...root]);
  };
  const [persons, entitlements] = [below(people), below(groups)];
  if (!persons) return 'people must be a distinguished name below base, such as ou=people';
  if (!entitlements) return 'groups must be a distinguished name below base, such as ou=groups';
  return { base: root, people: persons, groups: entitlements, flavour: FLAVOURS[flavour], pageSize };
}

/** Where an account of this login is created. `login` must be folded. */
export const accountDn = ({ people, flavour }: Directory, login: string): string =>
  writeDn([[{ type: flavour.rdn, value: login }], ...people]);

/**
 * The login of an entry, folded, because a directory does not tell `SJacobs` from `sjacobs`: the RDN where it is the
 * login, else the login attribute, else the whole name (an entry without a login can still bind by its name).
 */
export function loginOf(entry: Entry, { flavour }: Directory): string | null {
  const [first, ...more] = parseDn(entry.dn)?.[0] ?? [];
  if (flavour.rdn === 'uid' && first?.type === 'uid' && more.length === 0) return first.value;
  const [value, second] = valuesOf(entry, flavour.login);
  return value === undefined || second !== undefined ? plainDn(entry.dn) : fold(value);
}

/**
 * OpenLDAP's groupOfNames may not be empty (RFC 4519 section 3.5). This member, who is nobody, keeps the last real
 * member revocable.
 */
export const placeholderOf = ({ groups }: Directory): string => writeDn([[{ type: 'cn', value: 'nobody' }], ...groups]);

/** draft-behera-ldap-password-policy-11 section 5.3.3: locked for good, by hand. Any other value is a passing lock-out. */
export const LOCKED_FOR_GOOD = '000001010000Z';

/** MS-ADTS section 2.2.16. */
export const UAC = { disabled: 0x2, normal: 0x200, passwordNeverExpires: 0x10000, smartcardRequired: 0x40000 } as const;
