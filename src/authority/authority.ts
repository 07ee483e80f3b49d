/**
 * The authority: what is in force. It is `writgate.yaml` after it was read, made canonical and signed by the roster.
 *
 * The file proposes; control plans from the signed copy, and the gateway and the verifier hold their own and judge by
 * it alone: targets and their addresses, connectors and scopes, entitlements and privileges, feeds and contracts,
 * limits, approvals, and the automatic envelope. An edit of the file is a change like any other (M8).
 */
import { z } from 'zod';
import { MAX_EXPRESSION } from '../expression.ts';
import { PRIVILEGES } from '../writ/tuple.ts';

/** `90d`, `26h`, `15m`, `30s`, or `now`. Stored as milliseconds. */
export const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
export const parseDuration = (text: string): number | null => {
  if (text === 'now') return 0;
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text);
  return match ? Number(match[1]) * UNITS[match[2] as keyof typeof UNITS] : null;
};
export const formatDuration = (ms: number): string => {
  if (ms === 0) return 'now';
  const unit = (['d', 'h', 'm', 's'] as const).find((name) => ms % UNITS[name] === 0 && ms >= UNITS[name]);
  return unit ? `${ms / UNITS[unit]}${unit}` : `${Math.round(ms / 1000)}s`;
};

/** `5%`, `2.5%`; stored in basis points (1 % = 100), because canonical bytes have no floats. */
export const parseShare = (text: string): number | null => {
  const basisPoints = /^\d{1,3}(\.\d{1,2})?%$/.test(text) ? Math.round(Number(text.slice(0, -1)) * 100) : 10_001;
  return basisPoints <= 10_000 ? basisPoints : null;
};

/** Text as people write it, or the number that it was stored as: the signed copy must read back to itself. */
const measured = (parse: (text: string) => number | null, most: number, expected: string) =>
  z.union(
    [
      z.number().int().min(0).max(most),
      z.string().transform((text, context) => {
        const value = parse(text);
        if (value === null) context.addIssue({ code: 'custom', message: expected });
        return value ?? 0;
      }),
    ],
    { error: expected },
  );

const duration = measured(parseDuration, Number.MAX_SAFE_INTEGER, 'a duration such as 15m, 26h or 90d');
const share = measured(parseShare, 10_000, 'a share from 0% to 100%, such as 5% or 2.5%');

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/i, 'a name of letters, digits, dot, dash and underscore, at most 63')
  // `targets.constructor` must never find what every object inherits.
  .refine((text) => !(text in Object.prototype), 'a name that is not one of JavaScript’s own, such as constructor');
const cel = z.string().min(1).max(MAX_EXPRESSION);
/** Text only: YAML reads 0108 as the number 108, which is another person. */
const personId = z.string().min(1).max(64);
const date = z.iso.date();

/** Attributes that lifecycle and birthright rules read. `map` may define further ones for use in rules. */
export const KNOWN_ATTRIBUTES = [
  'employeeId',
  'name',
  'givenName',
  'familyName',
  'email',
  'login',
  'department',
  'title',
  'manager',
  'startsOn',
  'endsOn',
  'kind',
  'status',
] as const;

export const Feed = z
  .strictObject({
    csv: z.string().optional(),
    ndjson: z.string().optional(),
    /** JSON over HTTP(S): `items` and `next` are JSON pointers into each page; `cursor` names the query parameter. */
    json: z
      .strictObject({
        url: z.url(),
        items: z.string().default('/items'),
        next: z.string().default('/next'),
        cursor: z.string().default('cursor'),
        total: z.string().optional(),
      })
      .optional(),
    encoding: z.enum(['utf-8', 'windows-1252', 'utf-16le']).optional(),
    delimiter: z.string().length(1).optional(),
    /** How the age is known. `manifest`: a stamped sidecar; `header`: an HTTP response header; `field`: newest value of a record field. */
    asOf: z
      .strictObject({ manifest: z.string().optional(), header: z.string().optional(), field: z.string().optional() })
      .default({}),
    /** SSH public key of whoever exports; with it, a manifest signed by another key, or by none, is only `claimed`. */
    exporter: z.string().optional(),
    contract: z.strictObject({
      mode: z.enum(['full', 'delta']).default('full'),
      key: z.string(),
      maxAge: duration,
      count: z.strictObject({ min: z.number().int().min(0).default(1), maxDrop: share.default(500) }),
      required: z.array(z.string()).default([]),
      watermark: z.string().optional(),
    }),
    /** What absence from an accepted full snapshot means. */
    absent: z.enum(['leaver', 'ignore']).default('ignore'),
    /** How often `serve` fetches it, makes plans, and carries what is permitted; absent: only when somebody asks. */
    every: duration.optional(),
    map: z.record(name, cel),
  })
  .refine(
    (feed) => [feed.csv, feed.ndjson, feed.json].filter(Boolean).length === 1,
    'exactly one of csv, ndjson, json',
  );

const MOST_SETTLING_MS = 60_000;

export const Target = z
  .strictObject({
    scim: z.url().optional(),
    ldap: z.string().optional(),
    postgres: z.string().optional(),
    /** LDAP. */
    flavour: z.enum(['openldap', 'ad']).optional(),
    base: z.string().optional(),
    people: z.string().optional(),
    groups: z.string().optional(),
    /** SCIM: how the server likes its PATCH; `put` where it cannot PATCH. */
    dialect: z.enum(['patch', 'put']).optional(),
    ca: z.string().optional(),
    /**
     * SCIM: where people sign in with a password, for the verifier to present an old one again after a removal: a POST of
     * one JSON object, answered 2xx where they are let in, 401 or 403 where not. SCIM itself has no way to ask. Accounts
     * are made with a first password then.
     */
    signIn: z
      .strictObject({
        url: z.url(),
        /** Members of the object: what they are called, and which name of the account the first one holds. */
        name: z.string().min(1).default('username'),
        password: z.string().min(1).default('password'),
        is: z.enum(['login', 'email']).default('login'),
      })
      .optional(),
    timeout: duration.default(10_000),
    /**
     * How long after a write a read may still show what was before: until then the verifier looks again before it says
     * `contradicted`. Absent: 2.25 s. `now`: the next read shows it. What takes longer is for the looks that come later.
     */
    settles: duration.refine((ms) => ms <= MOST_SETTLING_MS, `at most ${MOST_SETTLING_MS / 1000}s`).optional(),
    /** `userName == person.login`: the target's login attribute and a CEL expression over `person`. */
    match: z.string().default('login == person.login'),
    /** Access ends at once; the account is deleted after its retention, or never. */
    leaver: z
      .strictObject({
        disable: duration
          .default(0)
          .refine((ms) => ms === 0, 'now: access ends with the affiliation; let the feed say a later day'),
        delete: duration.optional(),
      })
      .default({ disable: 0 }),
    /**
     * Accounts that nobody wrote down. `report`: counted, and left alone. `adopt`: planning proposes to adopt those that
     * belong to exactly one person. `revert`: planning proposes to disable them. Either way people sign each plan.
     */
    unmanaged: z.enum(['report', 'adopt', 'revert']).default('report'),
    /** Logins with `*` at most as a wildcard; never touched. */
    protected: z.array(z.string()).default([]),
    mechanisms: z.array(z.enum(['account', 'membership', 'connections'])).optional(),
  })
  .refine(
    (target) => [target.scim, target.ldap, target.postgres].filter(Boolean).length === 1,
    'exactly one of scim, ldap, postgres',
  );

export const Entitlement = z
  .strictObject({
    on: name,
    group: z.string().optional(),
    role: z.string().optional(),
    /** The target's own id of the group (SCIM). Without it the gateway keeps to the one that it found first. */
    id: z.string().min(1).max(200).optional(),
    privilege: z.enum(PRIVILEGES),
    owner: personId.optional(),
    maxFor: duration.optional(),
  })
  .refine(
    (entitlement) => [entitlement.group, entitlement.role].filter(Boolean).length === 1,
    'exactly one of group, role',
  );

export const Birthright = z.strictObject({ when: cel, grant: z.array(name).min(1) });

export const DUTIES = ['read', 'grant', 'revoke', 'verify'] as const;
export const ConnectorEntry = z.strictObject({
  on: name,
  duties: z.array(z.enum(DUTIES)).min(1),
  owner: personId,
  deputy: personId.optional(),
  purpose: z.string().optional(),
  credential: name,
  /** `create User`, `grant staff`, `revoke *`: an operation and, for grant and revoke, an entitlement or `*`. */
  scope: z.array(z.string()).min(1),
  expires: date,
});

const Bound = z.strictObject({
  count: z.number().int().min(0),
  share: share.optional(),
  subjects: z.number().int().min(0).optional(),
  /** Sum of privilege weights: low 1, normal 3, high 10. */
  weight: z.number().int().min(0).optional(),
});

/** `0`: flows without a person, inside the envelope. */
const Quorum = z.union([
  z.literal(0),
  z.strictObject({ people: z.number().int().min(1).max(20), role: name, within: duration.default(24 * UNITS.h) }),
]);

export const Authority = z.strictObject({
  version: z.literal(1),
  tenant: name,
  /** The person who answers for Writgate itself; he approves nothing that its rules ask for. */
  owner: personId,
  /**
   * X25519 public key, base64: to whom first secrets of new accounts are sealed (`writgate delivery`). Nothing here:
   * they wait, sealed to the gateway, until somebody is named.
   */
  delivery: z
    .string()
    .regex(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, 'a public key as `writgate delivery FILE` prints it')
    .optional(),
  feeds: z.record(name, Feed),
  correlate: z.array(name).min(1).default(['employeeId', 'login']),
  targets: z.record(name, Target),
  entitlements: z.record(name, Entitlement).default({}),
  birthright: z.record(name, Birthright).default({}),
  profile: z.enum(['centralised', 'separated', 'strict']).default('separated'),
  connectors: z.record(name, ConnectorEntry).default({}),
  limits: z.strictObject({ grants: Bound, removals: Bound }),
  approvals: z.strictObject({ low: Quorum, normal: Quorum, high: Quorum, removal: Quorum.default(0) }),
  /** What the gateway opens for without people's signatures, per rolling window. Nothing here: nothing is automatic. */
  envelope: z
    .strictObject({
      window: duration.default(24 * UNITS.h),
      grants: Bound.omit({ share: true }),
      removals: Bound.omit({ share: true }),
      expires: date,
    })
    .optional(),
});

export type Authority = z.output<typeof Authority>;
export type Feed = z.output<typeof Feed>;
export type Target = z.output<typeof Target>;
export type Entitlement = z.output<typeof Entitlement>;
export type ConnectorEntry = z.output<typeof ConnectorEntry>;
export type Duty = (typeof DUTIES)[number];

export type Protocol = 'scim' | 'ldap' | 'postgres';
export const protocolOf = (target: Target): Protocol => (target.scim ? 'scim' : target.ldap ? 'ldap' : 'postgres');

/** What each kind of target calls the login. `match` may say this, or plain `login`. */
const LOGIN_ATTRIBUTES = { scim: 'userName', openldap: 'uid', ad: 'sAMAccountName', postgres: 'rolname' } as const;
export type LoginRule = keyof typeof LOGIN_ATTRIBUTES;
export const loginRuleOf = (target: Target): LoginRule =>
  target.scim ? 'scim' : target.postgres ? 'postgres' : (target.flavour ?? 'openldap');

/** Attributes other than the login by which an account may be found. */
const MATCHING = ['employeeId', 'email'] as const;

export interface Match {
  readonly attribute: 'login' | (typeof MATCHING)[number];
  /** CEL over `person`, and where it begins in the text. */
  readonly expression: string;
  readonly offset: number;
}

/** `userName == person.login`: @returns null when it is not `<attribute> == <CEL>`, or the attribute is not one to match by. */
export function parseMatch(target: Target): Match | null {
  const [, before = '', written = '', expression = ''] = /^(\s*([A-Za-z]\w*)\s*==\s*)(\S.*)$/s.exec(target.match) ?? [];
  const isLogin = written === 'login' || written === LOGIN_ATTRIBUTES[loginRuleOf(target)];
  const attribute = isLogin ? 'login' : MATCHING.find((known) => known === written);
  return attribute === undefined ? null : { attribute, expression, offset: before.length };
}

/** The words that `match` of this target may begin with. */
export const matchable = (target: Target): readonly string[] => [
  LOGIN_ATTRIBUTES[loginRuleOf(target)],
  'login',
  ...MATCHING,
];
