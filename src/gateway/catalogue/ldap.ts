/**
 * LDAP operations (RFC 4511): which of them is this, whom does it touch, and how do we spell it.
 *
 * Everything is a table or a list of refusals: names must lie below the pinned containers, attributes must be known,
 * a modify does one thing. What is forwarded is written anew from what was understood, with every name in its one
 * spelling (`canonicalDn`).
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { assert } from '../../assert.ts';
import {
  ATTRIBUTES,
  type Attribute,
  type Attributes,
  type Call,
  FIRST_SECRET,
  type LdapCall,
  type Reply,
  type TargetOptions,
} from '../../connector/contract.ts';
import { ATTRIBUTE_NAMES, NO_SURNAME } from '../../connectors/ldap/attributes.ts';
import {
  accountDn,
  type Directory,
  LOCKED_FOR_GOOD,
  loginOf,
  placeholderOf,
  readDirectory,
  UAC,
} from '../../connectors/ldap/directory.ts';
import { canonicalDn, type Dn, fold, isBelow, isSame, parseDn, plainDn, writeDn } from '../../connectors/ldap/dn.ts';
import { attributesOf, type Filter, parseFilter, writeFilter } from '../../connectors/ldap/filter.ts';
import type { Effect } from '../../writ/tuple.ts';
import type { Catalogue, Classification, Classified, ObjectName } from './contract.ts';

export { canonicalDn };

type SearchCall = Extract<LdapCall, { op: 'search' }>;
type AddCall = Extract<LdapCall, { op: 'add' }>;
type ModifyCall = Extract<LdapCall, { op: 'modify' }>;
type Modification = ModifyCall['changes'][number];

/** What comes through the pipe is only said to be a call. A field that is not known here would be one not looked at. */
const text = z.string().max(4000);
const Shape = z.discriminatedUnion('op', [
  z.strictObject({
    kind: z.literal('ldap'),
    op: z.literal('search'),
    base: text,
    scope: z.enum(['base', 'one', 'sub']),
    filter: text,
    // An empty list means every attribute (RFC 4511 section 4.5.1.8), the password among them.
    attributes: z.array(text).min(1).max(50),
    page: z.strictObject({ size: z.int().min(1).max(1000), cookie: text }).optional(),
  }),
  z.strictObject({
    kind: z.literal('ldap'),
    op: z.literal('add'),
    dn: text,
    attributes: z.record(text, z.array(text)),
  }),
  z.strictObject({
    kind: z.literal('ldap'),
    op: z.literal('modify'),
    dn: text,
    changes: z
      .array(
        z.strictObject({
          operation: z.enum(['add', 'delete', 'replace']),
          attribute: text,
          values: z.array(text).max(50),
        }),
      )
      .min(1)
      .max(50),
  }),
  z.strictObject({ kind: z.literal('ldap'), op: z.literal('delete'), dn: text }),
]);

const refuse = (reason: string): Classification => ({ ok: false, reason });

/** Types that a name written to may consist of; others could be second names of these. */
const NAMING = new Set(['cn', 'uid', 'ou', 'dc', 'o', 'c', 'l', 'st']);

/** A name below one of the containers, in its one spelling. */
function pinned(text: unknown, container: Dn): Dn | null {
  const dn = typeof text === 'string' ? parseDn(text) : null;
  const plain = dn?.every((rdn) => rdn.length === 1 && NAMING.has(rdn[0]!.type));
  return dn && plain && isBelow(dn, container) ? dn : null;
}

/** The login where the name carries it, else the name, which the gateway binds to the login that it reads itself. */
function objectOf(dn: Dn, { flavour }: Directory): ObjectName {
  const { type, value } = dn[0]![0]!;
  return flavour.rdn === 'uid' && type === 'uid' ? { login: value } : { id: writeDn(dn) };
}

interface Found {
  readonly effect: Exclude<Effect, 'read'>;
  readonly attributes?: Attributes;
  readonly wantsSecret?: boolean;
}

const accept = (object: ObjectName, call: Call, found: Found): Classification => ({
  ok: true,
  classified: {
    operation: `${found.effect} User`,
    object,
    entitlement: null,
    call,
    attributes: null,
    wantsSecret: false,
    ...found,
  },
});

/* ---- search -------------------------------------------------------------------------------------------------------- */

/** What a connector may read and ask about, lower case. No password, no wild card, no operational attribute unnamed. */
const READABLE = new Map(
  [
    ...Object.values(ATTRIBUTE_NAMES).flatMap((names) => Object.values(names)),
    'objectClass',
    'cn',
    'uid',
    'member',
    'memberOf',
    'pwdAccountLockedTime',
    'sAMAccountName',
    'sAMAccountType',
    'userAccountControl',
    'primaryGroupID',
    'primaryGroupToken',
    'objectGUID',
    'objectSid',
  ].map((name) => [name.toLowerCase(), name]),
);

/** Whether there is a password may be asked; what it is may not, not even by comparing. */
const asksPresence = (filter: Filter, attribute: string): boolean =>
  filter.kind === 'and'
    ? filter.parts.every((part) => asksPresence(part, attribute))
    : filter.kind === 'present' || !attributesOf(filter).includes(attribute);

function classifySearch(call: SearchCall, { people, groups }: Directory): Classification {
  const base = parseDn(call.base);
  const within = (container: Dn): boolean => !!base && (isSame(base, container) || isBelow(base, container));
  const kind = within(people) ? 'User' : within(groups) ? 'Group' : null;
  if (!base || !kind) return refuse(`search base ${call.base} is not inside the containers for people and groups`);
  const filter = parseFilter(call.filter);
  if (!filter) return refuse('the filter holds more than and, or, not, equality and presence');
  const asked = attributesOf(filter).find((name) => !READABLE.has(name) && name !== 'userpassword');
  if (asked || !asksPresence(filter, 'userpassword')) return refuse(`the filter asks about ${asked ?? 'a password'}`);
  const attributes = call.attributes.map((name) => (name === '1.1' ? name : READABLE.get(name.toLowerCase())));
  if (attributes.includes(undefined)) return refuse(`may not read all of ${call.attributes.join(', ')}`);
  const rebuilt: SearchCall = {
    kind: 'ldap',
    op: 'search',
    base: writeDn(base),
    scope: call.scope,
    filter: writeFilter(filter),
    attributes: attributes as string[],
    ...(call.page ? { page: call.page } : {}),
  };
  return {
    ok: true,
    classified: {
      operation: `read ${kind}`,
      effect: 'read',
      object: null,
      entitlement: null,
      attributes: null,
      wantsSecret: false,
      call: rebuilt,
    },
  };
}

/* ---- add ------------------------------------------------------------------------------------------------------------ */

/** Lower-case attribute name → neutral name. */
const neutralNames = ({ flavour }: Directory): ReadonlyMap<string, Attribute> =>
  new Map(ATTRIBUTES.map((name) => [ATTRIBUTE_NAMES[flavour.name][name].toLowerCase(), name]));

const isText = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.isWellFormed() && value !== FIRST_SECRET;

/** An account is added whole and in one form only; each attribute is either neutral or follows from the others. */
function classifyAdd(call: AddCall, directory: Directory): Classification {
  const { people, flavour } = directory;
  const dn = pinned(call.dn, people);
  if (!dn) return refuse(`${call.dn} is not below the container for people`);
  const given = new Map<string, string>();
  for (const [name, values] of Object.entries(call.attributes)) {
    const [value, second] = values;
    const key = name.toLowerCase();
    if (!value?.isWellFormed() || value === '' || second !== undefined || given.has(key)) {
      return refuse(`${name} needs exactly one value`);
    }
    given.set(key, value);
  }
  const take = (name: string): string | undefined => {
    const value = given.get(name.toLowerCase());
    given.delete(name.toLowerCase());
    return value;
  };

  const secret = take(flavour.password);
  // Anywhere else the marker would turn into a secret that everybody reads.
  if ([...given.values()].includes(FIRST_SECRET)) return refuse('the marker for a secret stands beside the password');
  if (secret !== undefined && secret !== FIRST_SECRET)
    return refuse('a call carries no password, only the marker for one');
  if (secret === undefined) return refuse('a new account needs a first secret');
  if (take('objectClass')?.toLowerCase() !== flavour.objectClass.toLowerCase()) {
    return refuse(`objectClass must be ${flavour.objectClass}`);
  }
  const login = fold(take(flavour.login) ?? '');
  if (!login || accountDn(directory, login) !== writeDn(dn)) {
    return refuse(
      `${call.dn} must be ${flavour.rdn}=<login> directly in the container, with the same ${flavour.login}`,
    );
  }
  const read: Partial<Record<Attribute, string>> = {};
  for (const [name, neutral] of neutralNames(directory)) {
    const value = take(name);
    if (value !== undefined) read[neutral] = value;
  }
  const sn = read.familyName;
  if (sn === NO_SURNAME) delete read.familyName;
  const cn = take('cn');
  const control = take('userAccountControl');
  if (flavour.name === 'ad') {
    if (fold(cn ?? '') !== login) return refuse('cn must be the login');
    if (control !== String(UAC.normal)) return refuse(`userAccountControl of a new account must be ${UAC.normal}`);
    if (sn === NO_SURNAME) return refuse(`sn is ${NO_SURNAME}`);
  } else {
    if (cn !== (read.displayName ?? login)) return refuse('cn must be the displayName, or the login without one');
    if (sn === undefined) return refuse(`sn is missing; ${NO_SURNAME} stands for none`);
    if (control !== undefined) return refuse('userAccountControl is not an attribute here');
  }
  const [unknown] = given.keys();
  if (unknown !== undefined) return refuse(`attribute ${unknown} is not in the catalogue`);

  const names = ATTRIBUTE_NAMES[flavour.name];
  const attributes: Record<string, readonly string[]> = {
    objectClass: [flavour.objectClass],
    ...(flavour.name === 'ad'
      ? { cn: [login], sAMAccountName: [login], userAccountControl: [String(UAC.normal)] }
      : { uid: [login], cn: [cn!], sn: [sn!] }),
    ...Object.fromEntries(
      ATTRIBUTES.flatMap((name) => (read[name] === undefined ? [] : [[names[name], [read[name]]]])),
    ),
    [flavour.password]: [FIRST_SECRET],
  };
  const rebuilt: AddCall = { kind: 'ldap', op: 'add', dn: writeDn(dn), attributes };
  return accept({ login }, rebuilt, { effect: 'create', attributes: read, wantsSecret: true });
}

/* ---- modify ---------------------------------------------------------------------------------------------------------- */

/** `replace pwdAccountLockedTime []` as text, to hold a modify against its known forms. */
const shapeOf = (changes: readonly Modification[]): string =>
  changes.map(({ operation, attribute, values }) => `${operation} ${attribute} ${JSON.stringify(values)}`).join('\n');

const shape = (...lines: readonly (readonly [string, string, ...string[]])[]): string =>
  lines.map(([operation, attribute, ...values]) => `${operation} ${attribute} ${JSON.stringify(values)}`).join('\n');

/** What may be done to a password or a lock: these whole modifies, order included, and nothing beside them. */
const FIXED: Readonly<Record<Directory['flavour']['name'], ReadonlyMap<string, Found>>> = {
  openldap: new Map<string, Found>([
    [shape(['replace', 'pwdAccountLockedTime', LOCKED_FOR_GOOD], ['replace', 'userPassword']), { effect: 'disable' }],
    [
      // The policy overlay takes the mark away when a password is set; the mark in front tells this from a new password.
      shape(['replace', 'pwdAccountLockedTime', LOCKED_FOR_GOOD], ['replace', 'userPassword', FIRST_SECRET]),
      { effect: 'enable', wantsSecret: true },
    ],
    [shape(['replace', 'userPassword', FIRST_SECRET]), { effect: 'authenticate', wantsSecret: true }],
  ]),
  ad: new Map<string, Found>([
    [shape(['replace', 'unicodePwd', FIRST_SECRET]), { effect: 'authenticate', wantsSecret: true }],
  ]),
};

/** Spellings of the attributes in those forms. */
const SPECIAL = new Map(
  ['pwdAccountLockedTime', 'userPassword', 'unicodePwd', 'userAccountControl'].map((name) => [
    name.toLowerCase(),
    name,
  ]),
);

function classifyPerson(call: ModifyCall, dn: Dn, directory: Directory): Classification {
  const { flavour } = directory;
  const changes = call.changes.map((one) => ({
    operation: one.operation,
    attribute: SPECIAL.get(one.attribute.toLowerCase()) ?? one.attribute,
    values: one.values,
  }));
  const rebuilt = (as: readonly Modification[]): ModifyCall => ({
    kind: 'ldap',
    op: 'modify',
    dn: writeDn(dn),
    changes: as,
  });
  const object = objectOf(dn, directory);
  const fixed = FIXED[flavour.name].get(shapeOf(changes));
  if (fixed) return accept(object, rebuilt(changes), fixed);
  if (flavour.name === 'ad' && changes.every(({ attribute }) => attribute === 'userAccountControl')) {
    const effect = flagEffect(changes);
    return typeof effect === 'string' ? refuse(effect) : accept(object, rebuilt(changes), effect);
  }

  const neutral = neutralNames(directory);
  const read: Partial<Record<Attribute, string>> = {};
  const names = ATTRIBUTE_NAMES[flavour.name];
  const written: Modification[] = [];
  let cn: string | null = null;
  for (const { operation, attribute, values } of changes) {
    const name = neutral.get(attribute.toLowerCase());
    const [value = '', second] = values;
    if (operation !== 'replace' || second !== undefined || (values.length === 1 && !isText(value))) {
      return refuse(`${operation} ${attribute} is not a replace by one value`);
    }
    if (flavour.name === 'openldap' && attribute.toLowerCase() === 'cn' && cn === null && value !== '') {
      cn = value;
      written.push({ operation, attribute: 'cn', values: [value] });
    } else if (name && read[name] === undefined) {
      read[name] = flavour.name === 'openldap' && name === 'familyName' && value === NO_SURNAME ? '' : value;
      written.push({ operation, attribute: names[name], values: value === '' ? [] : [value] });
    } else {
      return refuse(`may not replace ${attribute}`);
    }
  }
  // Where the entry is not named by its cn, that follows the display name, and only then.
  const { type, value: rdn } = dn[0]![0]!;
  const due = flavour.name === 'openldap' && type === 'uid' && read.displayName !== undefined;
  if (cn !== (due ? read.displayName || rdn : null)) return refuse('cn must follow the displayName');
  return accept(object, rebuilt(written), { effect: 'update', attributes: read });
}

/** Flags with which an account may be let in again. Delegation, no pre-authentication, no password: not through here. */
const ENABLEABLE = UAC.normal | UAC.passwordNeverExpires | UAC.smartcardRequired;

/**
 * Compare-and-set of userAccountControl that turns one bit: the directory itself refuses it when the flags are not the
 * ones deleted, so no other flag can ride along.
 */
function flagEffect(changes: readonly Modification[]): Found | string {
  const [before, after, third] = changes;
  const flags = [before, after].map((one) => {
    const [value, second] = one?.values ?? [];
    return value !== undefined && second === undefined && /^[1-9]\d{0,9}$/.test(value) ? Number(value) : Number.NaN;
  }) as [number, number];
  if (before?.operation !== 'delete' || after?.operation !== 'add' || third || flags.some(Number.isNaN)) {
    return 'userAccountControl is changed by deleting the old value and adding the new';
  }
  const [old, set] = flags;
  if ((old ^ set) !== UAC.disabled || (old & UAC.normal) === 0) {
    return `userAccountControl ${old} to ${set} does more than turn the flag of a disabled normal account`;
  }
  if (set & UAC.disabled) return { effect: 'disable' };
  return (set & ~ENABLEABLE) === 0
    ? { effect: 'enable' }
    : `userAccountControl ${set} has flags that are not enabled here`;
}

/** One member in, or one member out; beside the latter at most the placeholder that an emptied group needs. */
function classifyGroup(call: ModifyCall, group: Dn, directory: Directory): Classification {
  const [first, second, third] = call.changes;
  const [value, more] = first?.values ?? [];
  if (first?.attribute.toLowerCase() !== 'member') return refuse('of a group only member may be changed');
  if (first.operation === 'replace' || value === undefined || more !== undefined) {
    return refuse('member is changed by adding or deleting exactly one value');
  }
  const member = pinned(value, directory.people);
  if (!member) return refuse(`${value} is not below the container for people`);
  const effect = first.operation === 'add' ? 'grant' : 'revoke';
  const changes: Modification[] = [{ operation: first.operation, attribute: 'member', values: [writeDn(member)] }];
  if (second) {
    const placeholder = placeholderOf(directory);
    const [nobody, another] = second.values;
    const harmless =
      effect === 'revoke' &&
      directory.flavour.name === 'openldap' &&
      second.operation === 'add' &&
      second.attribute.toLowerCase() === 'member' &&
      another === undefined &&
      nobody !== undefined &&
      plainDn(nobody) === placeholder;
    if (!harmless || third) return refuse('a modify of a group does one thing');
    changes.push({ operation: 'add', attribute: 'member', values: [placeholder] });
  }
  const dn = writeDn(group);
  const classified: Classified = {
    operation: effect,
    effect,
    object: objectOf(member, directory),
    entitlement: { name: dn },
    attributes: null,
    wantsSecret: false,
    call: { kind: 'ldap', op: 'modify', dn, changes },
  };
  return { ok: true, classified };
}

function classifyModify(call: ModifyCall, directory: Directory): Classification {
  const asGroup = call.changes.some(({ attribute }) => attribute.toLowerCase() === 'member');
  const dn = pinned(call.dn, asGroup ? directory.groups : directory.people);
  if (!dn) return refuse(`${call.dn} is not below the container for ${asGroup ? 'groups' : 'people'}`);
  return asGroup ? classifyGroup(call, dn, directory) : classifyPerson(call, dn, directory);
}

function classifyDelete(dn: string, directory: Directory): Classification {
  const name = pinned(dn, directory.people);
  if (!name) return refuse(`${dn} is not below the container for people`);
  const { type } = name[0]![0]!;
  if (type !== 'uid' && type !== 'cn') return refuse(`${dn} is not an account`);
  return accept(objectOf(name, directory), { kind: 'ldap', op: 'delete', dn: writeDn(name) }, { effect: 'delete' });
}

/* ---- the catalogue ------------------------------------------------------------------------------------------------------ */

function classify(given: Call, options: TargetOptions): Classification {
  const directory = readDirectory(options);
  if (typeof directory === 'string') return refuse(directory);
  const shaped = Shape.safeParse(given);
  if (!shaped.success) {
    const [issue] = shaped.error.issues;
    return refuse(`not an LDAP call of this catalogue: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const call = shaped.data as LdapCall;
  switch (call.op) {
    case 'search':
      return classifySearch(call, directory);
    case 'add':
      return classifyAdd(call, directory);
    case 'modify':
      return classifyModify(call, directory);
    case 'delete':
      return classifyDelete(call.dn, directory);
  }
}

/** The login behind a name, read from the directory; null unless there is exactly that one account. */
const resolveObject: Catalogue['resolveObject'] = (id, options) => {
  const directory = readDirectory(options);
  if (typeof directory === 'string') return null;
  const { flavour, people } = directory;
  const dn = pinned(id, people);
  if (!dn) return null;
  const base = writeDn(dn);
  const filter = writeFilter(flavour.person);
  return {
    call: { kind: 'ldap', op: 'search', base, scope: 'base', filter, attributes: [flavour.login] },
    read(reply: Reply): string | null {
      if (reply.kind !== 'ldap' || reply.code !== 0) return null;
      const [entry, second] = reply.entries;
      return entry && !second && plainDn(entry.dn) === base ? loginOf(entry, directory) : null;
    },
  };
};

/**
 * OpenLDAP stores what it is given, so a first secret is hashed here (RFC 2307 section 5.3 as extended to {SSHA}),
 * which every OpenLDAP reads. The hash is a weak one, and enough: the secret is random and full-length, and the salt,
 * which only has to differ between accounts, comes from both.
 */
function hashed(dn: string, secret: string): string {
  const salt = createHash('sha256').update(`${dn}\0${secret}`).digest().subarray(0, 16);
  const digest = createHash('sha1').update(secret).update(salt).digest();
  return `{SSHA}${Buffer.concat([digest, salt]).toString('base64')}`;
}

function withSecret(call: Call, secret: string): Call {
  if (call.kind !== 'ldap' || (call.op !== 'add' && call.op !== 'modify')) return call;
  const put = (attribute: string, values: readonly string[]): readonly string[] =>
    values.map((value) => {
      if (value !== FIRST_SECRET) return value;
      assert(attribute === 'userPassword' || attribute === 'unicodePwd', `a secret does not go into ${attribute}`);
      return attribute === 'userPassword' ? hashed(call.dn, secret) : secret;
    });
  if (call.op === 'modify') {
    return { ...call, changes: call.changes.map((one) => ({ ...one, values: put(one.attribute, one.values) })) };
  }
  const attributes = Object.entries(call.attributes).map(([name, values]) => [name, put(name, values)]);
  return { ...call, attributes: Object.fromEntries(attributes) };
}

export const catalogue: Catalogue = {
  protocol: 'ldap',
  operations: [
    'read User',
    'read Group',
    'create User',
    'update User',
    'enable User',
    'disable User',
    'delete User',
    'authenticate User',
    'grant',
    'revoke',
  ],
  classify,
  resolveObject,
  // The reference is the name, in its one spelling.
  resolveEntitlement: () => null,
  findEntitlement: () => null,
  createdId: (call, reply) =>
    call.kind === 'ldap' && call.op === 'add' && reply.kind === 'ldap' && reply.code === 0 ? plainDn(call.dn) : null,
  withSecret,
};
