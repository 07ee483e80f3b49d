/**
 * LDAP v3 (RFC 4511): OpenLDAP and Active Directory. README.md says how each effect is done, and what it does not do.
 *
 * A change is at most two narrow reads and one write (one removal takes the same write twice). Names are compared in
 * their one spelling (`dn.ts`); an account's id is its name.
 */
import {
  ATTRIBUTES,
  type Attributes,
  type Connector,
  FIRST_SECRET,
  type LdapCall,
  type Observed,
  type Receipt,
  type Reply,
  type Step,
  type TargetOptions,
  type Task,
} from '../../connector/contract.ts';
import { ConnectorFault } from '../../connector/fault.ts';
import { unanswered } from '../../connector/receipt.ts';
import { ATTRIBUTE_NAMES, type Entry, NO_SURNAME, readAttributes, valuesOf } from './attributes.ts';
import { accountDn, type Directory, LOCKED_FOR_GOOD, loginOf, placeholderOf, readDirectory, UAC } from './directory.ts';
import { canonicalDn, fold, isBelow, parseDn, plainDn, writeDn } from './dn.ts';
import { and, equal, type Filter, not, present, writeFilter } from './filter.ts';

type Asking<Result> = Generator<Step, Result, Reply>;
type LdapReply = Extract<Reply, { kind: 'ldap' }>;
type Modification = Extract<LdapCall, { op: 'modify' }>['changes'][number];

/* ---- reading: from entries to facts, or null ---------------------------------------------------------------------- */

interface Account {
  readonly id: string;
  readonly login: string;
  readonly state: 'active' | 'disabled';
  readonly attributes: Attributes;
  /** Groups by the back-link, canonical; on OpenLDAP only where the overlay keeps it. */
  readonly memberOf: readonly string[];
  /** Active Directory: the flags as they are, for compare-and-set. */
  readonly control: number;
  readonly primaryGroup: string | null;
}

function readState(entry: Entry, { flavour }: Directory): { state: Account['state']; control: number } | null {
  if (flavour.name === 'openldap') {
    const locked = valuesOf(entry, 'pwdAccountLockedTime').includes(LOCKED_FOR_GOOD);
    return { state: locked ? 'disabled' : 'active', control: 0 };
  }
  const [flags, second] = valuesOf(entry, 'userAccountControl');
  if (flags === undefined || second !== undefined || !/^\d{1,10}$/.test(flags)) return null;
  return { state: Number(flags) & UAC.disabled ? 'disabled' : 'active', control: Number(flags) };
}

function readAccount(entry: Entry, directory: Directory): Account | null {
  const id = plainDn(entry.dn);
  const login = loginOf(entry, directory);
  const state = readState(entry, directory);
  // Active Directory hands out more than 1500 values as `memberOf;range=0-1499`: a shorter list than the truth.
  if (!id || login === null || !state || Object.keys(entry.attributes).some((name) => name.includes(';'))) return null;
  const memberOf = valuesOf(entry, 'memberOf').map(plainDn);
  if (memberOf.includes(null)) return null;
  return {
    id,
    login,
    ...state,
    attributes: readAttributes(entry, directory.flavour.name),
    memberOf: memberOf as string[],
    primaryGroup: valuesOf(entry, 'primaryGroupID')[0] ?? null,
  };
}

const personAttributes = ({ flavour }: Directory): readonly string[] => [
  flavour.login,
  ...Object.values(ATTRIBUTE_NAMES[flavour.name]),
  ...(flavour.name === 'ad' ? ['userAccountControl', 'primaryGroupID'] : ['pwdAccountLockedTime']),
  'memberOf',
];

/** Asks for no attribute at all (RFC 4511 section 4.5.1.8): only whether the entry matches. */
const NOTHING = ['1.1'];

/* ---- what a reply means ---------------------------------------------------------------------------------------------- */

/** Result codes (RFC 4511 appendix A) that mean that nothing was done, and whether it may be tried later. */
const RESULTS: Readonly<Record<number, readonly ['refused' | 'later', string]>> = {
  8: ['refused', 'strongerAuthRequired'],
  10: ['refused', 'referral, which is never followed'],
  13: ['refused', 'confidentialityRequired'],
  // The entry is not what it was when it was read: read it again.
  16: ['later', 'noSuchAttribute'],
  17: ['refused', 'undefinedAttributeType'],
  19: ['refused', 'constraintViolation'],
  20: ['later', 'attributeOrValueExists'],
  21: ['refused', 'invalidAttributeSyntax'],
  32: ['refused', 'noSuchObject'],
  34: ['refused', 'invalidDNSyntax'],
  50: ['refused', 'insufficientAccessRights'],
  51: ['later', 'busy'],
  52: ['later', 'unavailable'],
  53: ['refused', 'unwillingToPerform'],
  64: ['refused', 'namingViolation'],
  65: ['refused', 'objectClassViolation'],
  66: ['refused', 'notAllowedOnNonLeaf'],
  67: ['refused', 'notAllowedOnRDN'],
  68: ['refused', 'entryAlreadyExists'],
};

/** A reply that is not success, as a receipt. After a write only a certain no is a no. */
function explain(reply: Reply, stage: 'before' | 'write'): Receipt {
  if (reply.kind !== 'ldap') return unanswered(reply, stage, 'an LDAP call');
  const [outcome, name] = RESULTS[reply.code] ?? ['unknown', 'not understood'];
  const message = `the directory answered ${reply.code} (${name}): ${reply.message}`;
  return outcome === 'later' ? { outcome, retryAfterMs: null, message } : { outcome, message };
}

const refused = (message: string): Receipt => ({ outcome: 'refused', message });
const already = (message: string): Receipt => ({ outcome: 'already', message });

const codeOf = (reply: Reply): number | null => (reply.kind === 'ldap' ? reply.code : null);
const succeeded = (reply: Reply): reply is LdapReply => codeOf(reply) === 0;

/* ---- calls ------------------------------------------------------------------------------------------------------------- */

const search = (
  base: string,
  scope: 'base' | 'sub',
  filter: Filter,
  attributes: readonly string[],
): Extract<LdapCall, { op: 'search' }> => ({
  kind: 'ldap',
  op: 'search',
  base,
  scope,
  filter: writeFilter(filter),
  attributes,
});

const modify = (dn: string, ...changes: readonly Modification[]): LdapCall => ({
  kind: 'ldap',
  op: 'modify',
  dn,
  changes,
});
const change = (operation: Modification['operation'], attribute: string, ...values: string[]): Modification => ({
  operation,
  attribute,
  values,
});

/** Found, certainly not there, or why that could not be told. */
type Found = { readonly item: Account | null } | { readonly trouble: Receipt };

/** By name where there is one: a login can be given to somebody else. */
function* findAccount(directory: Directory, { login, id }: Task['account']): Asking<Found> {
  if (id === null) return yield* findByLogin(directory, login);
  const dn = plainDn(id);
  if (dn === null) return { trouble: refused(`${id} is not a distinguished name`) };
  const reply = yield { call: search(dn, 'base', directory.flavour.person, personAttributes(directory)) };
  if (codeOf(reply) === 32) return { item: null };
  if (!succeeded(reply)) return { trouble: explain(reply, 'before') };
  const [entry, second] = reply.entries;
  if (!entry) return { item: null };
  const item = readAccount(entry, directory);
  return item?.id === dn && !second ? { item } : { trouble: { outcome: 'unknown', message: `${dn} is unreadable` } };
}

function* findByLogin(directory: Directory, login: string): Asking<Found> {
  const { people, flavour } = directory;
  const filter = and(flavour.person, equal(flavour.login, login));
  const reply = yield { call: search(writeDn(people), 'sub', filter, personAttributes(directory)) };
  // 32 here is a container that this credential cannot see, and then nobody in it was seen either.
  if (!succeeded(reply)) return { trouble: explain(reply, 'before') };
  const [entry, second] = reply.entries;
  if (!entry) return { item: null };
  const item = readAccount(entry, directory);
  if (second || item?.login !== fold(login)) {
    return { trouble: { outcome: 'unknown', message: `${reply.entries.length} entries for the login ${login}` } };
  }
  return { item };
}

/** @returns whether the entry matches, or the reply that did not tell. */
function* matches(dn: string, filter: Filter): Asking<boolean | { readonly reply: Reply }> {
  const reply = yield { call: search(dn, 'base', filter, NOTHING) };
  return succeeded(reply) && reply.entries.every((entry) => plainDn(entry.dn) === dn)
    ? reply.entries.length > 0
    : { reply };
}

/* ---- observe ------------------------------------------------------------------------------------------------------------ */

function open(options: TargetOptions): Directory {
  const directory = readDirectory(options);
  if (typeof directory === 'string') throw new ConnectorFault('bad-options', directory);
  return directory;
}

/** A server may send empty pages with a cookie (RFC 2696 section 3), but not for ever. */
const MAX_EMPTY_PAGES = 20;

function* readAll(
  call: Extract<LdapCall, { op: 'search' }>,
  size: number,
  facts: (entry: Entry) => readonly Observed[],
): Asking<void> {
  let cookie = '';
  let read = 0;
  let empty = 0;
  do {
    const reply: Reply = yield { call: { ...call, page: { size, cookie } } };
    if (!succeeded(reply)) {
      const { message } = explain(reply, 'before');
      throw new ConnectorFault('incomplete-read', `${call.base} could not be read past ${read} entries: ${message}`);
    }
    empty = reply.entries.length === 0 ? empty + 1 : 0;
    if (empty > MAX_EMPTY_PAGES) throw new ConnectorFault('incomplete-read', `${call.base} gives only empty pages`);
    if (reply.entries.length > 0) yield { emit: reply.entries.flatMap(facts) };
    read += reply.entries.length;
    cookie = reply.cookie;
  } while (cookie !== '');
}

const unreadable = (dn: string): ConnectorFault => new ConnectorFault('unreadable-reply', `unreadable entry ${dn}`);

function* observe(options: TargetOptions): Asking<void> {
  const directory = open(options);
  const { people, groups, flavour, pageSize } = directory;
  const membership = (ref: string, account: string): Observed => ({ type: 'membership', ref, account });

  const readGroup = (entry: Entry): readonly Observed[] => {
    const ref = plainDn(entry.dn);
    if (!ref || Object.keys(entry.attributes).some((name) => name.includes(';'))) throw unreadable(entry.dn);
    const members = valuesOf(entry, 'member').map((member) => {
      const dn = parseDn(member);
      if (!dn) throw unreadable(entry.dn);
      return dn;
    });
    const persons = members.filter((member) => isBelow(member, people)).map(writeDn);
    return [{ type: 'entitlement', ref, name: ref }, ...persons.map((person) => membership(ref, person))];
  };
  const readPerson = (entry: Entry): readonly Observed[] => {
    const account = readAccount(entry, directory);
    if (!account) throw unreadable(entry.dn);
    const { id, login, state, attributes } = account;
    // Active Directory cuts long `member` lists into ranges, so there the back-link tells; OpenLDAP may have none.
    const held = flavour.name === 'ad' ? account.memberOf.filter((group) => isBelow(parseDn(group)!, groups)) : [];
    return [{ type: 'account', id, login, state, attributes }, ...held.map((group) => membership(group, id))];
  };

  const groupAttributes = flavour.name === 'ad' ? ['cn'] : ['member'];
  yield* readAll(search(writeDn(people), 'sub', flavour.person, personAttributes(directory)), pageSize, readPerson);
  yield* readAll(search(writeDn(groups), 'sub', flavour.group, groupAttributes), pageSize, readGroup);
}

/* ---- apply -------------------------------------------------------------------------------------------------------------- */

function* apply(options: TargetOptions, task: Task): Asking<Receipt> {
  const directory = open(options);
  switch (task.effect) {
    case 'create':
      return yield* create(directory, task);
    case 'grant':
    case 'revoke':
      return yield* regroup(directory, task, task.effect);
    default:
      return yield* alter(directory, task, task.effect);
  }
}

const sameAttributes = (wanted: Attributes, seen: Attributes): boolean =>
  ATTRIBUTES.every((name) => wanted[name] === undefined || wanted[name] === (seen[name] ?? ''));

function* create(directory: Directory, { account: { login }, attributes = {} }: Task): Asking<Receipt> {
  const { flavour } = directory;
  if (fold(login) !== login) return refused(`a login in a directory is lower case and single-spaced: ${fold(login)}`);
  if (Object.values(attributes).includes('') || attributes.familyName === NO_SURNAME) {
    return refused('an attribute of a new account is left out when it is empty');
  }
  const dn = accountDn(directory, login);
  const named = ATTRIBUTES.flatMap((name) => {
    const value = attributes[name];
    return value === undefined ? [] : [[ATTRIBUTE_NAMES[flavour.name][name], [value]] as const];
  });
  const first: Record<string, readonly string[]> =
    flavour.name === 'ad'
      ? // Active Directory enables an account only together with a password; both go into the one add.
        { cn: [login], sAMAccountName: [login], userAccountControl: [String(UAC.normal)] }
      : { uid: [login], cn: [attributes.displayName ?? login], sn: [NO_SURNAME] };
  const reply = yield {
    call: {
      kind: 'ldap',
      op: 'add',
      dn,
      attributes: {
        objectClass: [flavour.objectClass],
        ...first,
        ...Object.fromEntries(named),
        [flavour.password]: [FIRST_SECRET],
      },
    },
  };
  if (succeeded(reply)) return { outcome: 'done', id: dn, message: `added ${dn}` };
  if (codeOf(reply) !== 68) return explain(reply, 'write');

  const found = yield* findByLogin(directory, login);
  if ('trouble' in found) return found.trouble;
  if (!found.item) return refused(`${dn} exists and is not an account`);
  const { id, state } = found.item;
  return state === 'active' && sameAttributes(attributes, found.item.attributes)
    ? { outcome: 'already', id, message: `${id} is there` }
    : refused(`${id} is there already, ${state}, and is another account`);
}

type Alteration = Exclude<Task['effect'], 'create' | 'grant' | 'revoke'>;

function* alter(directory: Directory, task: Task, effect: Alteration): Asking<Receipt> {
  const found = yield* findAccount(directory, task.account);
  if ('trouble' in found) return found.trouble;
  const account = found.item;
  const removal = effect === 'delete' || effect === 'disable';
  if (!account) {
    return removal ? already('the directory has no such account') : refused(`no account to ${effect}`);
  }
  const call = yield* alteration(directory, task, effect, account);
  if ('outcome' in call) return call;

  let reply = yield { call };
  // Taking the password away made the policy overlay drop the mark that was there already: mark it once more.
  const again = effect === 'disable' && directory.flavour.name === 'openldap' && account.state === 'disabled';
  if (succeeded(reply) && again) reply = yield { call };
  if (succeeded(reply)) return { outcome: 'done', message: `${effect}: the directory answered success` };
  if (removal && codeOf(reply) === 32) return already('the directory has no such account');
  return explain(reply, 'write');
}

/** The one write of a change, or why there is none. */
function* alteration(
  directory: Directory,
  task: Task,
  effect: Alteration,
  account: Account,
): Asking<LdapCall | Receipt> {
  const { flavour } = directory;
  const { id, state } = account;
  switch (effect) {
    case 'delete':
      return { kind: 'ldap', op: 'delete', dn: id };
    case 'update': {
      const wanted = task.attributes ?? {};
      if (sameAttributes(wanted, account.attributes)) return already('the attributes are so');
      return modify(id, ...updates(directory, id, wanted));
    }
    case 'enable':
    case 'disable': {
      const wanted = effect === 'disable' ? 'disabled' : 'active';
      if (flavour.name === 'ad') {
        if (state === wanted) return already(`the account is ${state}`);
        // Compare and set in one modify: no other flag can change between the read and the write, nor be slipped in.
        return modify(
          id,
          change('delete', 'userAccountControl', String(account.control)),
          change('add', 'userAccountControl', String(account.control ^ UAC.disabled)),
        );
      }
      if (effect === 'enable') {
        if (state === wanted) return already('the account is active');
        // The policy overlay takes the mark away itself when a password is set, and fails where it is gone already
        // (measured); so the mark is written once more. Were it to stay, the account would stay locked, and a look says so.
        return modify(
          id,
          change('replace', 'pwdAccountLockedTime', LOCKED_FOR_GOOD),
          change('replace', 'userPassword', FIRST_SECRET),
        );
      }
      if (state === wanted) {
        // Marked by somebody else, and perhaps by the mark alone.
        const password = yield* matches(id, and(flavour.person, present('userPassword')));
        if (typeof password === 'object') return explain(password.reply, 'before');
        if (!password) return already('the account is locked and has no password');
      }
      // The mark alone does nothing without an effective lockout policy (measured); no password, no bind.
      return modify(id, change('replace', 'pwdAccountLockedTime', LOCKED_FOR_GOOD), change('replace', 'userPassword'));
    }
  }
}

/** An empty value removes the attribute. OpenLDAP's mandatory `cn` follows the display name, `sn` has a stand-in. */
function updates({ flavour }: Directory, id: string, wanted: Attributes): readonly Modification[] {
  const [rdn] = parseDn(id)?.[0] ?? [];
  return ATTRIBUTES.flatMap((name) => {
    const value = wanted[name];
    if (value === undefined) return [];
    const attribute = ATTRIBUTE_NAMES[flavour.name][name];
    if (flavour.name === 'openldap' && name === 'familyName') return [change('replace', 'sn', value || NO_SURNAME)];
    const replaced = change('replace', attribute, ...(value === '' ? [] : [value]));
    const named = flavour.name === 'openldap' && name === 'displayName' && rdn?.type === 'uid';
    return named ? [replaced, change('replace', 'cn', value || rdn.value)] : [replaced];
  });
}

function* regroup(directory: Directory, task: Task, effect: 'grant' | 'revoke'): Asking<Receipt> {
  const group = groupDn(directory, task.entitlement ?? '');
  if (group === null) return refused(`LDAP has no operation to ${effect} ${task.entitlement}`);
  // A membership can outlive its account, so a revocation that knows the name does not ask whether there is one.
  let member = effect === 'revoke' && task.account.id !== null ? plainDn(task.account.id) : null;
  if (member === null) {
    const found = yield* findAccount(directory, task.account);
    if ('trouble' in found) return found.trouble;
    if (!found.item) return effect === 'revoke' ? already('no such account') : refused('no account to grant to');
    member = found.item.id;
  }
  if (effect === 'grant') {
    const reply = yield { call: modify(group, change('add', 'member', member)) };
    if (succeeded(reply)) return { outcome: 'done', message: `member of ${group}` };
    // OpenLDAP answers 20 for a value that is there, Active Directory 68.
    return codeOf(reply) === 20 || codeOf(reply) === 68 ? already(`member of ${group}`) : explain(reply, 'write');
  }

  const changes = [change('delete', 'member', member)];
  if (directory.flavour.name === 'openldap') {
    const placeholder = placeholderOf(directory);
    const needed = yield* matches(group, and(directory.flavour.group, not(equal('member', placeholder))));
    if (typeof needed === 'object') {
      return codeOf(needed.reply) === 32 ? already('no such group') : explain(needed.reply, 'before');
    }
    if (needed) changes.push(change('add', 'member', placeholder));
  }
  const reply = yield { call: modify(group, ...changes) };
  if (succeeded(reply)) return { outcome: 'done', message: `no longer member of ${group}` };
  if (codeOf(reply) === 16 || codeOf(reply) === 32) return already(`not a member of ${group}`);
  // Active Directory answers 53 when there was no such member, and for much else.
  if (codeOf(reply) === 53 && (yield* matches(group, not(equal('member', member)))) === true) {
    return already(`not a member of ${group}`);
  }
  return explain(reply, 'write');
}

const groupDn = ({ base }: Directory, entitlement: string): string | null =>
  entitlement.startsWith('@') ? null : canonicalDn(entitlement, writeDn(base));

/* ---- look --------------------------------------------------------------------------------------------------------------- */

/**
 * Account: the entry by its name, then by its login, so that a moved account is not taken for a deleted one.
 * Membership: the back-link first, which the writer did not write; "not held" needs the group itself to say so, since
 * the overlay that keeps the back-link may be missing or younger than the membership.
 */
const look: Connector['look'] = function* (options, question) {
  const directory = open(options);
  let found = yield* findAccount(directory, question.account);
  if (question.account.id !== null && 'item' in found && !found.item) {
    found = yield* findByLogin(directory, question.account.login);
  }
  const nothing = { account: null, id: null, attributes: null, holds: null } as const;
  if ('trouble' in found) return { ...nothing, path: 'search the account', message: found.trouble.message };
  const account = found.item;
  const seen = account
    ? ({ account: account.state, id: account.id, attributes: account.attributes } as const)
    : ({ ...nothing, account: 'absent' } as const);
  const path = account ? `entry ${account.id}` : `search below ${writeDn(directory.people)}`;
  if (question.entitlement === undefined) return { ...seen, holds: null, path, message: seen.account };

  const group = groupDn(directory, question.entitlement);
  if (group === null) return { ...seen, holds: null, path, message: 'LDAP does not show open connections' };
  const own = account?.id ?? plainDn(question.account.id ?? accountDn(directory, question.account.login));
  if (own === null) return { ...seen, holds: null, path, message: `${question.account.id} is not a name` };
  if (account?.memberOf.includes(group)) {
    return { ...seen, holds: true, path: `memberOf of ${own}`, message: `member of ${group}` };
  }
  const { holds, message } = yield* askGroup(group, own, account?.primaryGroup ?? null);
  return { ...seen, holds, path: `memberOf of ${own}, member of ${group}`, message };
};

/** Both questions are put: an entry that the credential may not see through matches neither (RFC 4511 section 4.5.1.7). */
function* askGroup(
  group: string,
  member: string,
  primaryGroup: string | null,
): Asking<{ readonly holds: boolean | null; readonly message: string }> {
  const within = yield* matches(group, equal('member', member));
  if (typeof within === 'object') return { holds: null, message: explain(within.reply, 'before').message };
  if (within) return { holds: true, message: `member of ${group}` };
  const attributes = primaryGroup === null ? NOTHING : ['primaryGroupToken'];
  const reply = yield { call: search(group, 'base', not(equal('member', member)), attributes) };
  if (!succeeded(reply)) return { holds: null, message: explain(reply, 'before').message };
  const [entry, second] = reply.entries;
  if (!entry || second || plainDn(entry.dn) !== group) return { holds: null, message: `${group} could not be seen` };
  // Active Directory keeps one membership outside `member`: the primary group.
  if (primaryGroup === null) return { holds: false, message: `not a member of ${group}` };
  const [token] = valuesOf(entry, 'primaryGroupToken');
  if (token === undefined) return { holds: null, message: `the token of ${group} could not be seen` };
  return token === primaryGroup
    ? { holds: true, message: `${group} is the primary group` }
    : { holds: false, message: `not a member of ${group}` };
}

/** `connections` is listed although LDAP can neither end nor show them: an open one outlives disable and delete (measured). */
export const connector: Connector = {
  kind: 'ldap',
  mechanisms: ['account', 'membership', 'connections'],
  observe,
  apply,
  look,
};
