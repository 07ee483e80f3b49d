/**
 * Logins: which names the rules give a person on a target. Control takes the first free one; the gateway creates an
 * account only under a name that this same function derives from the row that it attested itself.
 */
import { type LoginRule, loginRuleOf, parseMatch, type Target } from '../authority/authority.ts';
import { compileExpression, type Expression, type Fields, foldAscii } from '../expression.ts';
import type { PersonAttributes } from './lifecycle.ts';

/** What a target accepts, and how long; each limit is the server's own. */
const RULES: Readonly<Record<LoginRule, { readonly max: number; readonly refused: RegExp }>> = {
  // RFC 7643 section 4.1.1 sets no length; many services take e-mail addresses of 254 characters at most.
  scim: { max: 254, refused: /[^a-z0-9._@+-]/g },
  openldap: { max: 64, refused: /[^a-z0-9._-]/g },
  // sAMAccountName: 20 characters for users (MS-SAMR section 3.1.1.6).
  ad: { max: 20, refused: /[^a-z0-9._-]/g },
  // NAMEDATALEN - 1; a longer name would be cut silently, and two people would share a role.
  postgres: { max: 63, refused: /[^a-z0-9._-]/g },
};

/** Names that mean something to a system or to its people; `*` at the end of a prefix. */
const RESERVED = [
  'root',
  'admin',
  'admins',
  'administrator',
  'administrators',
  'sysadmin',
  'superuser',
  'system',
  'daemon',
  'nobody',
  'anonymous',
  'guest',
  'operator',
  'security',
  'support',
  'helpdesk',
  'postmaster',
  'hostmaster',
  'webmaster',
  'postgres',
  'pg_*',
  'public',
  'none',
  'current_user',
  'current_role',
  'session_user',
  'krbtgt*',
  'defaultaccount',
  'writgate*',
];

const SUFFIXES = 99;

/** `svc-*`: `*` stands for any run of characters; case does not matter. Linear in the login, whatever the pattern. */
export function matchesPattern(pattern: string, login: string): boolean {
  const text = login.toLowerCase();
  const [head = '', ...rest] = pattern.toLowerCase().split('*');
  const tail = rest.pop();
  if (tail === undefined) return text === head;
  if (!text.startsWith(head) || !text.endsWith(tail) || text.length < head.length + tail.length) return false;
  let at = head.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - tail.length;
}

/** Service and break-glass accounts, as the target declares them: never touched, never given to a person. */
export const isProtected = (target: Target, login: string): boolean =>
  target.protected.some((pattern) => matchesPattern(pattern, login));

/** Nobody is to be `admin@…` or `admin2` either: what counts is the name without its number. */
const stemOf = (login: string): string => (login.split('@', 1)[0] ?? login).replace(/[0-9]+$/, '');
const isReserved = (stem: string): boolean => RESERVED.some((pattern) => matchesPattern(pattern, stem));

/** Whether the login is one of the names that mean something to a system: nobody gets it, and nobody stops it. */
export const isSystemLogin = (login: string): boolean => isReserved(stemOf(login));

/** One spelling per name, for comparing: only PostgreSQL tells `Jane` from `jane`. */
export const loginKey = (target: Target, login: string): string =>
  target.postgres ? login : login.normalize('NFC').toLowerCase();

const rules = new WeakMap<Target, Expression | null>();

/** The right side of `match` where it is about the login, else `person.login`. */
function ruleOf(target: Target, fields: Fields): Expression | null {
  let rule = rules.get(target);
  if (rule === undefined) {
    const match = parseMatch(target);
    const source = match?.attribute === 'login' ? match.expression : 'person.login';
    const compiled = compileExpression(source, { of: 'person', fields });
    rules.set(target, (rule = compiled.ok ? compiled.expression : null));
  }
  return rule;
}

/**
 * @param person attributes as mapped; @param fields all attributes that the feeds map, see `fieldsOf` in `authority/fields.ts`
 * @returns best first: the rule's own answer, then 2 to 99 appended. Empty when the rule has no usable answer: somebody
 *          must then give the person a login by hand, never a guess.
 */
export function candidateLogins(person: PersonAttributes, target: Target, fields: Fields): readonly string[] {
  const { max, refused } = RULES[loginRuleOf(target)];
  let wanted: unknown = null;
  try {
    wanted = ruleOf(target, fields)?.evaluate(person) ?? null;
  } catch {
    return [];
  }
  if (typeof wanted !== 'string') return [];
  const clean = foldAscii(wanted).toLowerCase().trim().replaceAll(' ', '.').replace(refused, '');
  const at = clean.indexOf('@');
  const local = tidy(at < 0 ? clean : clean.slice(0, at));
  const domain = at < 0 ? '' : clean.slice(at);
  if (local === '' || domain === '@' || domain.indexOf('@', 1) > 0) return [];

  const candidates = new Set<string>();
  // The hundred candidates share a stem, but where a long name is cut to make room.
  let last = { stem: '', reserved: true };
  for (let number = 1; number <= SUFFIXES; number++) {
    const suffix = number === 1 ? '' : String(number);
    const room = max - suffix.length - domain.length;
    if (room < 1) break;
    const login = `${tidy(local.slice(0, room))}${suffix}${domain}`;
    const stem = stemOf(login);
    if (last.stem !== stem) last = { stem, reserved: isReserved(stem) };
    if (!last.reserved && !isProtected(target, login)) candidates.add(login);
  }
  return [...candidates];
}

/** A login begins with a letter or digit and does not end in a mark (Active Directory refuses a dot there). */
const tidy = (local: string): string => local.replace(/^[^a-z0-9]+|[._+-]+$/g, '').replace(/\.{2,}/g, '.');

/**
 * The login that a person has or gets. A changed name never renames a login by itself: who has one keeps it, and
 * `wouldBe` tells what the rules would give today, for a person to request the rename.
 */
export function chooseLogin(
  current: string | null,
  candidates: readonly string[],
  isTaken: (login: string) => boolean,
): { readonly login: string | null; readonly wouldBe: string | null } {
  if (current !== null) {
    const [first] = candidates;
    return { login: current, wouldBe: first === undefined || candidates.includes(current) ? null : first };
  }
  return { login: candidates.find((login) => !isTaken(login)) ?? null, wouldBe: null };
}
