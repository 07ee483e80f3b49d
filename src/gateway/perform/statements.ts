/**
 * Every statement that Writgate sends to a PostgreSQL target, in one table. A call names one and gives its parameters;
 * no SQL text is ever built from them. Names reach the server as values and are quoted there, by `format('%I')`, in the
 * very statement that also checks whom it is about. So a hostile name is a name and nothing more, and the server itself
 * refuses what must never be touched: superusers, the gateway's own login, and roles that are no accounts.
 *
 * A writing statement runs in a transaction in which `writgate.NAME` holds each parameter, and leaves its outcome in
 * `writgate.outcome`: `done`, `already`, or `absent` when there is no such account. A reading one gives one row.
 */
import { parseCanonical } from '../../canonical.ts';
import { ATTRIBUTES, type Attributes } from '../../connector/contract.ts';
import type { Effect } from '../../writ/tuple.ts';

/**
 * What a parameter may be. `role` is a name that is no mechanism's (`@connections`); `start` is a name or empty: the
 * place in a list after which the next page begins.
 */
type ParameterKind = 'name' | 'role' | 'start' | 'count' | 'attributes' | 'secret';

export interface Statement {
  /** As a scope names it. */
  readonly operation: string;
  readonly effect: Effect;
  readonly params: Readonly<Record<string, ParameterKind>>;
  readonly sql: string;
}

/* ---- pieces ----------------------------------------------------------------------------------------------------------- */

/** Attributes are in the comment; see `connectors/postgres/comment.ts`. */
const MARK = String.raw`writgate:(\{.*\})$`;
const NOTE = String.raw`\s*writgate:\{.*\}$`;

/** Predefined roles are the server's. */
const OWN_ROLE = `rolname !~ '^pg_'`;
const IS_ACCOUNT = `(rolcanlogin or coalesce(shobj_description(oid, 'pg_authid'), '') ~ '${MARK}')`;

/** From 16 on a membership may give neither the role's rights nor the way to it: a creator's, for administration. */
const GIVES_ACCESS = (membership: string): string =>
  `(coalesce((to_jsonb(${membership}) ->> 'inherit_option')::boolean, true)
    or coalesce((to_jsonb(${membership}) ->> 'set_option')::boolean, true))`;

/** @param body runs with `login` and, where there is such an account, `account`; it assigns `outcome`. */
const write = (body: string, declarations = ''): string => `do $writ$
declare
  login text := current_setting('writgate.login');
  outcome text;
  account record;
  ${declarations}
begin
  select oid, rolname, rolsuper, rolcanlogin, shobj_description(oid, 'pg_authid') as comment, ${IS_ACCOUNT} as is_account
    into account from pg_roles where rolname = login;
  if account.rolsuper then
    raise exception 'role % is a superuser, which Writgate never touches', login using errcode = '42501';
  elsif login in (session_user, current_user) then
    raise exception 'role % is the gateway''s own login', login using errcode = '42501';
  elsif account.oid is not null and not account.is_account then
    raise exception 'role % is no account: it cannot log in, and Writgate did not disable it', login using errcode = '42809';
  end if;
  ${body}
  perform set_config('writgate.outcome', outcome, true);
end $writ$`;

/** Of one existing account. */
const change = (body: string, declarations = ''): string =>
  write(`if account.oid is null then outcome := 'absent'; else ${body} end if;`, declarations);

/** Keeps the people's note, and sets what is known beside it. */
const MERGE = `
  begin
    stored := coalesce(substring(account.comment from '${MARK}'), '{}')::jsonb;
  exception when data_exception then
    stored := '{}';
  end;
  note := regexp_replace(coalesce(account.comment, ''), '${NOTE}', '');`;
const MERGING = 'stored jsonb; note text;';
const comment = (value: string): string =>
  `execute format('comment on role %I is %L', login, ltrim(note || ' writgate:' || ${value}::text));`;

/** A page in the order of bytes, and how many there are from here on: a short page shows. */
const page = (rows: string, order: string, limit: string): string => `
  with rest as (${rows})
  select (select count(*)::int from rest) as remaining,
         (select coalesce(json_agg(item), '[]') from (select * from rest order by ${order} limit ${limit}) as item) as items`;

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

const define = <T extends Record<string, Statement>>(table: T): T => table;

export const STATEMENTS = define({
  'list accounts': {
    operation: 'read User',
    effect: 'read',
    params: { after: 'start', limit: 'count' },
    sql: page(
      `select rolname::text collate "C" as login, rolcanlogin as active,
              coalesce(shobj_description(oid, 'pg_authid'), '') as comment
         from pg_roles where ${OWN_ROLE} and ${IS_ACCOUNT} and rolname::text collate "C" > $1`,
      'login',
      '$2',
    ),
  },
  'list roles': {
    operation: 'read Role',
    effect: 'read',
    params: { after: 'start', limit: 'count' },
    sql: page(
      `select rolname::text collate "C" as name from pg_roles
        where ${OWN_ROLE} and rolname::text collate "C" > $1
          and (not ${IS_ACCOUNT}
               or exists (select from pg_auth_members m where m.roleid = pg_roles.oid and ${GIVES_ACCESS('m')}))`,
      'name',
      '$2',
    ),
  },
  'list memberships': {
    operation: 'read Role',
    effect: 'read',
    params: { afterRole: 'start', afterLogin: 'start', limit: 'count' },
    sql: page(
      `select distinct r.rolname::text collate "C" as role, a.rolname::text collate "C" as login
         from pg_auth_members m
         join pg_roles r on r.oid = m.roleid and r.${OWN_ROLE}
         join (select oid, rolname from pg_roles where ${OWN_ROLE} and ${IS_ACCOUNT}) a on a.oid = m.member
        where ${GIVES_ACCESS('m')} and (r.rolname::text collate "C", a.rolname::text collate "C") > ($1, $2)`,
      'role, login',
      '$3',
    ),
  },
  'read account': {
    operation: 'read User',
    effect: 'read',
    params: { login: 'name' },
    sql: `select rolname is not null as found, rolcanlogin as active, shobj_description(oid, 'pg_authid') as comment
            from (select) as one left join pg_roles on rolname = $1::text`,
  },
  // What counts is whether the role can be used, also by way of a third one, and not which grants there are.
  'read membership': {
    operation: 'read Role',
    effect: 'read',
    params: { login: 'name', role: 'role' },
    sql: `select case
                   when r.oid is null or a.oid is null then null
                   when current_setting('server_version_num')::int < 160000 then pg_has_role(a.oid, r.oid, 'member')
                   else pg_has_role(a.oid, r.oid, 'usage') or pg_has_role(a.oid, r.oid, 'set')
                 end as holds
            from (select) as one
            left join pg_roles r on r.rolname = $2::text
            left join pg_roles a on a.rolname = $1::text`,
  },
  // A session outlives its role: then nobody can say whose it was.
  'read connections': {
    operation: 'read Connections',
    effect: 'read',
    params: { login: 'name' },
    sql: `select (count(*) filter (where usename = $1::text))::int as open,
                 (count(*) filter (where usename is null and usesysid is not null))::int as nameless
            from pg_stat_activity`,
  },
  'create account': {
    operation: 'create User',
    effect: 'create',
    params: { login: 'name', password: 'secret', attributes: 'attributes' },
    sql: write(`
      execute format('create role %I login password %L', login, current_setting('writgate.password'));
      execute format('comment on role %I is %L', login, 'writgate:' || current_setting('writgate.attributes'));
      outcome := 'done';`),
  },
  'update account': {
    operation: 'update User',
    effect: 'update',
    params: { login: 'name', attributes: 'attributes' },
    sql: change(
      `${MERGE}
      if stored @> current_setting('writgate.attributes')::jsonb then outcome := 'already';
      else
        ${comment(`(stored || current_setting('writgate.attributes')::jsonb)`)}
        outcome := 'done';
      end if;`,
      MERGING,
    ),
  },
  // The mark keeps a disabled account from looking like a role that never was one.
  'disable account': {
    operation: 'disable User',
    effect: 'disable',
    params: { login: 'name' },
    sql: change(
      `if not account.rolcanlogin then outcome := 'already';
      else
        execute format('alter role %I nologin', login);
        ${MERGE}
        ${comment('stored')}
        outcome := 'done';
      end if;`,
      MERGING,
    ),
  },
  'enable account': {
    operation: 'enable User',
    effect: 'enable',
    params: { login: 'name' },
    sql: change(`
      if account.rolcanlogin then outcome := 'already';
      else
        execute format('alter role %I login', login);
        outcome := 'done';
      end if;`),
  },
  // Sessions outlive the role, and could not even be named afterwards.
  'delete account': {
    operation: 'delete User',
    effect: 'delete',
    params: { login: 'name' },
    sql: change(
      `select count(*) into sessions from pg_stat_activity where usesysid = account.oid;
      if sessions > 0 then
        raise exception 'role % has % open connections, which would outlive it', login, sessions using errcode = '55006';
      end if;
      execute format('drop role %I', login);
      outcome := 'done';`,
      'sessions int;',
    ),
  },
  'grant role': {
    operation: 'grant',
    effect: 'grant',
    params: { login: 'name', role: 'role' },
    sql: change(
      `select oid, rolname, rolsuper into granted from pg_roles where rolname = current_setting('writgate.role');
      if granted.oid is null then
        raise exception 'there is no role %', current_setting('writgate.role') using errcode = '42704';
      elsif granted.rolsuper or granted.rolname ~ '^pg_' then
        raise exception 'role % is the server''s own or a superuser, and is not granted', granted.rolname using errcode = '42501';
      elsif exists (select from pg_auth_members m where m.roleid = granted.oid and m.member = account.oid and ${GIVES_ACCESS('m')}) then
        outcome := 'already';
      else
        execute format('grant %I to %I', granted.rolname, login);
        outcome := 'done';
      end if;`,
      'granted record;',
    ),
  },
  // From 16 on everybody who granted it must be named: without, the server says REVOKE ROLE and takes back only our own.
  'revoke role': {
    operation: 'revoke',
    effect: 'revoke',
    params: { login: 'name', role: 'role' },
    sql: change(
      `outcome := 'already';
      for membership in
        select r.rolname as role, g.rolname as grantor
          from pg_auth_members m join pg_roles r on r.oid = m.roleid left join pg_roles g on g.oid = m.grantor
         where r.rolname = current_setting('writgate.role') and m.member = account.oid
      loop
        if current_setting('server_version_num')::int < 160000 then
          execute format('revoke %I from %I', membership.role, login);
        else
          execute format('revoke %I from %I granted by %I', membership.role, login, membership.grantor);
        end if;
        outcome := 'done';
      end loop;`,
      'membership record;',
    ),
  },
  // NOLOGIN keeps nobody out who is in already.
  'end connections': {
    operation: 'revoke',
    effect: 'revoke',
    params: { login: 'name' },
    sql: change(
      `select count(*), count(*) filter (where pg_terminate_backend(pid)) into sessions, ended
        from pg_stat_activity where usesysid = account.oid;
      outcome := case when sessions = 0 then 'already' else 'done' end;
      for patience in 1 .. 100 loop
        exit when sessions = 0;
        perform pg_sleep(0.02), pg_stat_clear_snapshot();
        select count(*) into sessions from pg_stat_activity where usesysid = account.oid;
      end loop;
      if sessions > 0 then
        raise exception '% connections of role % did not end', sessions, login using errcode = '55006';
      end if;`,
      'sessions int; ended int;',
    ),
  },
});

export type StatementName = keyof typeof STATEMENTS;

export const isStatement = (name: string): name is StatementName => Object.hasOwn(STATEMENTS, name);

/* ---- parameters ------------------------------------------------------------------------------------------------------- */

/** NAMEDATALEN - 1: the server cuts a longer identifier, and it would then be another role's name. */
const MAX_NAME_BYTES = 63;
const MAX_PAGE = 1000;

type Value = string | number | boolean | null;

const CHECKS: Readonly<Record<ParameterKind, (value: Value) => string | null>> = {
  name: (value) => (value === '' ? 'is empty' : nameFlaw(value)),
  role: (value) =>
    value === ''
      ? 'is empty'
      : String(value).startsWith('@')
        ? 'is a mechanism’s name, and no role’s'
        : nameFlaw(value),
  start: nameFlaw,
  count: (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value <= MAX_PAGE
      ? null
      : `is no number from 1 to ${MAX_PAGE}`,
  attributes: (value) =>
    typeof value === 'string' && readAttributes(value) ? null : 'is no canonical text of neutral attributes',
  secret: (value) => (typeof value === 'string' && value !== '' ? null : 'is no text'),
};

function nameFlaw(value: Value): string | null {
  if (typeof value !== 'string') return 'is no text';
  if (!value.isWellFormed() || value.includes('\0')) return 'has a character that no role’s name can have';
  const bytes = Buffer.byteLength(value);
  return bytes > MAX_NAME_BYTES ? `has ${bytes} bytes; PostgreSQL cuts a name after ${MAX_NAME_BYTES}` : null;
}

/** The attributes that a parameter sets, or null for anything but the canonical text of neutral ones. */
export function readAttributes(text: string): Attributes | null {
  try {
    const value = parseCanonical(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    const entries = Object.entries(value);
    const known = entries.every(
      ([name, content]) =>
        ATTRIBUTES.some((attribute) => attribute === name) && typeof content === 'string' && !content.includes('\0'),
    );
    return known ? (value as Attributes) : null;
  } catch {
    return null;
  }
}

/** What is wrong with the parameters of a statement, or null: exactly those it has, each of its kind. */
export function paramsFlaw(name: StatementName, params: Readonly<Record<string, Value>>): string | null {
  const expected: Statement['params'] = STATEMENTS[name].params;
  const stranger = Object.keys(params).find((key) => !Object.hasOwn(expected, key));
  if (stranger !== undefined) return `"${name}" has no parameter ${JSON.stringify(stranger)}`;
  for (const [key, kind] of Object.entries(expected)) {
    const value = Object.hasOwn(params, key) ? params[key] : undefined;
    const flaw = value === undefined ? 'is missing' : CHECKS[kind](value);
    if (flaw !== null) return `parameter ${key} of "${name}" ${flaw}`;
  }
  return null;
}
