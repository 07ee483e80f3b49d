/**
 * What one part of the configuration says about another. Works on the raw document, entry by entry, so that a fault in
 * one entry hides no fault in the others: an entry that does not parse counts as there, and is judged no further.
 */
import type { z } from 'zod';
import { compileExpression, type Fields } from '../expression.ts';
import { suggestion } from '../nearest.ts';
import { EFFECTS, type Effect } from '../writ/tuple.ts';
import {
  Authority,
  Birthright,
  ConnectorEntry,
  type Duty,
  Entitlement,
  Feed,
  KNOWN_ATTRIBUTES,
  matchable,
  type Protocol,
  parseMatch,
  protocolOf,
  Target,
} from './authority.ts';
import { fieldsOf } from './fields.ts';
import { isLoopback } from './loopback.ts';
import type { Path, Span } from './position.ts';
import { describe, valueAt } from './sentence.ts';

export interface Report {
  /** `inside`: offsets in the text of the scalar at `path`, or its key. */
  problem(path: Path, message: string, remedy: string, inside?: Span | 'key'): void;
  warning(path: Path, message: string, remedy: string): void;
}

/** Name → entry, or null where it is there but faulty. */
type Entries<T> = ReadonlyMap<string, T | null>;

interface View {
  readonly raw: unknown;
  readonly feeds: Entries<Feed>;
  readonly targets: Entries<Target>;
  readonly entitlements: Entries<Entitlement>;
  readonly birthright: Entries<z.output<typeof Birthright>>;
  readonly connectors: Entries<ConnectorEntry>;
  /** Feed → what it maps, also where the feed has another fault. */
  readonly maps: Readonly<Record<string, { readonly map: Readonly<Record<string, string>> }>>;
  /** All attributes of `person` in rules. */
  readonly fields: Fields;
}

function entries<T extends z.ZodType>(raw: unknown, key: string, schema: T): Entries<z.output<T>> {
  const section = valueAt(raw, [key]);
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return new Map();
  return new Map(Object.entries(section).map(([name, entry]) => [name, schema.safeParse(entry).data ?? null]));
}

const present = <T>(all: Entries<T>): [string, T][] =>
  [...all].filter((entry): entry is [string, T] => entry[1] !== null);

function mapsOf(raw: unknown): View['maps'] {
  const maps: Record<string, { map: Record<string, string> }> = {};
  for (const name of Object.keys(valueAt(raw, ['feeds']) ?? {})) {
    const map = Object.entries(valueAt(raw, ['feeds', name, 'map']) ?? {}).filter(
      ([, source]) => typeof source === 'string',
    );
    maps[name] = { map: Object.fromEntries(map) };
  }
  return maps;
}

export function crossCheck(raw: unknown, report: Report): void {
  const maps = mapsOf(raw);
  const view: View = {
    raw,
    feeds: entries(raw, 'feeds', Feed),
    maps,
    targets: entries(raw, 'targets', Target),
    entitlements: entries(raw, 'entitlements', Entitlement),
    birthright: entries(raw, 'birthright', Birthright),
    connectors: entries(raw, 'connectors', ConnectorEntry),
    fields: fieldsOf(maps),
  };
  checkSpelling(raw, [], report);
  checkFeeds(view, report);
  checkCorrelate(view, report);
  checkTargets(view, report);
  checkEntitlements(view, report);
  checkBirthright(view, report);
  checkConnectors(view, report);
  checkCoverage(view, report);
  checkApprovals(view, report);
}

/* ---- spelling ---------------------------------------------------------------------------------------------------- */

const DURATIONS = ['maxAge', 'timeout', 'disable', 'delete', 'maxFor', 'within', 'window'];
const SHARES = ['share', 'maxDrop'];

/** The signed copy stores milliseconds and basis points; in the file a bare number would mean those, and nobody would see it. */
function checkSpelling(value: unknown, path: Path, report: Report): void {
  const key = path.at(-1);
  if (typeof value === 'number' && typeof key === 'string') {
    const unit = key === 'settles' ? 's' : DURATIONS.includes(key) ? 'h' : SHARES.includes(key) ? '%' : null;
    if (unit !== null) report.problem(path, `${path.join('.')} is ${value} without a unit`, `write ${value}${unit}`);
  } else if (typeof value === 'object' && value !== null && path.length < 16) {
    for (const [name, inner] of Object.entries(value)) checkSpelling(inner, [...path, name], report);
  }
}

/* ---- feeds and correlation ----------------------------------------------------------------------------------------- */

function checkExpression(
  source: string,
  of: 'row' | Fields,
  path: Path,
  report: Report,
  offset = 0,
): 'ok' | 'bool' | 'wrong' {
  const compiled = compileExpression(source, of === 'row' ? { of } : { of: 'person', fields: of });
  if (!compiled.ok) {
    for (const { start, end, message, remedy } of compiled.errors) {
      report.problem(path, message, remedy, { start: start + offset, end: end + offset });
    }
    return 'wrong';
  }
  return compiled.expression.type === 'bool' ? 'bool' : 'ok';
}

function checkFeeds(view: View, report: Report): void {
  for (const [name, feed] of present(view.feeds)) {
    const path = ['feeds', name];
    for (const [attribute, source] of Object.entries(feed.map)) {
      const verdict = checkExpression(source, 'row', [...path, 'map', attribute], report);
      if (verdict === 'bool' && (KNOWN_ATTRIBUTES as readonly string[]).includes(attribute)) {
        const message = `${attribute} is text, and the expression gives a condition`;
        report.problem(
          [...path, 'map', attribute],
          message,
          'give text, or use an attribute name of your own for the flag',
        );
      }
      if (attribute === 'active' || attribute === 'state') {
        const message = `${attribute} is what the lifecycle works out, and cannot be mapped`;
        report.problem([...path, 'map', attribute], message, 'map status, startsOn and endsOn instead', 'key');
      }
    }
    if (feed.absent === 'leaver' && feed.contract.mode === 'delta') {
      const message = 'absence means leaving, but a delta feed never lists everybody';
      report.problem([...path, 'absent'], message, 'set contract.mode: full, or absent: ignore');
    }
    if (feed.json) checkAddress(feed.json.url, ['http', 'https'], [...path, 'json', 'url'], report);
    checkAge(feed, path, report);
  }
}

function checkAge(feed: Feed, path: Path, report: Report): void {
  const ways = Object.keys(feed.asOf);
  if (ways.length > 1) {
    const message = `asOf is told in ${ways.length} ways: ${ways.join(', ')}`;
    report.problem([...path, 'asOf'], message, 'keep the one that the exporter vouches for');
  } else if (ways.length === 0) {
    const remedy = 'add asOf: { manifest: … } and stamp it with `writgate feed stamp`';
    report.warning([...path, 'asOf'], 'the feed does not tell its age, so it counts as old and never grants', remedy);
  } else if (feed.asOf.manifest !== undefined && feed.exporter === undefined) {
    const message = 'the manifest needs no signature, so the age is only claimed: privileged grants will be held';
    report.warning([...path, 'asOf'], message, 'add exporter: with the SSH public key of whoever exports');
  }
}

function checkCorrelate(view: View, report: Report): void {
  const written = valueAt(view.raw, ['correlate']);
  const keys = Array.isArray(written) ? written : ['employeeId', 'login'];
  const maps = Object.entries(view.maps).map(([name, { map }]) => ({ name, map }));
  for (const [position, key] of keys.entries()) {
    if (typeof key !== 'string' || maps.length === 0 || maps.some(({ map }) => Object.hasOwn(map, key))) continue;
    const known = new Set(maps.flatMap(({ map }) => Object.keys(map)));
    report.problem(['correlate', position], `no feed maps ${key}`, suggestion(key, known));
  }
  for (const { name, map } of maps) {
    if (keys.some((key) => typeof key === 'string' && Object.hasOwn(map, key))) continue;
    const message = `feed ${name} maps none of ${keys.join(', ')}, so its records belong to nobody`;
    report.problem(['feeds', name, 'map'], message, `map ${keys[0]}`, 'key');
  }
}

/* ---- targets ------------------------------------------------------------------------------------------------------- */

const SCHEMES: Readonly<Record<Protocol, readonly string[]>> = {
  scim: ['http', 'https'],
  ldap: ['ldap', 'ldaps'],
  postgres: ['postgres', 'postgresql'],
};
/** Settings that mean something for one protocol only. */
const ONLY: Readonly<Record<string, Protocol>> = {
  flavour: 'ldap',
  base: 'ldap',
  people: 'ldap',
  groups: 'ldap',
  dialect: 'scim',
  signIn: 'scim',
};

function checkTargets(view: View, report: Report): void {
  for (const [name, target] of present(view.targets)) {
    const path = ['targets', name];
    const protocol = protocolOf(target);
    checkAddress(target[protocol] ?? '', SCHEMES[protocol], [...path, protocol], report);
    for (const [setting, wanted] of Object.entries(ONLY)) {
      if (protocol === wanted || !Object.hasOwn(target, setting)) continue;
      const message = `${setting} means nothing for a ${protocol} target`;
      report.problem([...path, setting], message, `remove it: it is for ${wanted}`, 'key');
    }
    if (protocol === 'ldap' && target.base === undefined) {
      const message = `${path.join('.')} has no base, below which everything happens`;
      report.problem(path, message, 'add base: "dc=acme,dc=example"', 'key');
    }
    if (target.signIn) checkAddress(target.signIn.url, SCHEMES.scim, [...path, 'signIn', 'url'], report);
    for (const [position, pattern] of target.protected.entries()) {
      if (/^\**$/.test(pattern)) {
        const message = `"${pattern}" protects every account, so nothing can ever be done`;
        report.problem([...path, 'protected', position], message, 'name the accounts, such as svc-*');
      }
    }
    if (target.unmanaged === 'revert' && target.protected.length === 0) {
      const message = `every account on ${name} that nobody adopted will be proposed to be disabled, and none is protected`;
      const remedy =
        'add protected: with service and break-glass accounts, and with those by which Writgate itself logs in';
      report.warning([...path, 'unmanaged'], message, remedy);
    }
    checkMatch(target, [...path, 'match'], view.fields, report);
  }
}

function checkMatch(target: Target, path: Path, fields: Fields, report: Report): void {
  const match = parseMatch(target);
  if (match === null) {
    const remedy = `write ${matchable(target).join(' or ')}, then == and an expression, such as ${matchable(target)[0]} == person.login`;
    report.problem(path, `match is ${describe(target.match)}, which names no attribute to match by`, remedy);
  } else if (checkExpression(match.expression, fields, path, report, match.offset) === 'bool') {
    const inside = { start: match.offset, end: target.match.length };
    report.problem(
      path,
      'the right side of match is a condition, not text',
      'compare one attribute with one text',
      inside,
    );
  }
}

/** A credential travels to this address: it must be whole, hold no secret itself, and be encrypted beyond this machine. */
function checkAddress(address: string, schemes: readonly string[], path: Path, report: Report): void {
  const url = URL.canParse(address) ? new URL(address) : null;
  const scheme = url?.protocol.slice(0, -1) ?? '';
  if (url === null || !schemes.includes(scheme) || url.hostname === '') {
    const message = `${describe(address)} is no address of the kind ${schemes.join(', ')}`;
    report.problem(path, message, `write ${schemes.at(-1)}://host/…`);
    return;
  }
  if (url.password !== '' || url.username !== '') {
    const message = 'the address holds a user name or a password, and this file is read by many';
    report.problem(path, message, 'take it out; the secret is sealed to the gateway with `writgate credential`');
  }
  const isPlain = scheme === 'http' || scheme === 'ldap' || url.searchParams.get('sslmode') === 'disable';
  if (isPlain && !isLoopback(address)) {
    const encrypted = scheme === 'http' ? 'https://' : scheme === 'ldap' ? 'ldaps://' : 'sslmode=verify-full';
    const message = `${url.hostname} is beyond this machine, and the credential would travel unencrypted`;
    report.problem(path, message, `use ${encrypted}`);
  }
}

/* ---- entitlements and rules ------------------------------------------------------------------------------------------ */

function checkEntitlements(view: View, report: Report): void {
  const things = new Map<string, string>();
  for (const [name, entitlement] of present(view.entitlements)) {
    const path = ['entitlements', name];
    if (!view.targets.has(entitlement.on)) {
      report.problem(
        [...path, 'on'],
        `there is no target ${entitlement.on}`,
        suggestion(entitlement.on, view.targets.keys()),
      );
    }
    const target = view.targets.get(entitlement.on);
    if (target) {
      const [wanted, other] =
        protocolOf(target) === 'postgres' ? (['role', 'group'] as const) : (['group', 'role'] as const);
      if (entitlement[other] !== undefined) {
        const message = `${entitlement.on} is a ${protocolOf(target)} target, which has no ${other} to hold`;
        report.problem([...path, other], message, `write ${wanted}: instead`, 'key');
      }
    }
    if (target && entitlement.id !== undefined && protocolOf(target) !== 'scim') {
      const message = `${name} has an id, and on a ${protocolOf(target)} target the name is the id`;
      report.problem([...path, 'id'], message, 'remove it', 'key');
    }
    const thing = JSON.stringify([entitlement.on, (entitlement.group ?? entitlement.role ?? '').toLowerCase()]);
    const twin = things.get(thing);
    if (twin !== undefined) {
      const message = `${name} and ${twin} are the same thing on ${entitlement.on}, so one would revoke what the other grants`;
      report.problem(path, message, 'keep one of them', 'key');
    }
    things.set(thing, name);
    if (entitlement.privilege === 'high' && entitlement.owner === undefined) {
      report.problem(
        path,
        `${name} is of high privilege and nobody owns it`,
        'add owner: with the id of a person',
        'key',
      );
    }
  }
}

function checkBirthright(view: View, report: Report): void {
  for (const [name, rule] of present(view.birthright)) {
    const path = ['birthright', name];
    if (checkExpression(rule.when, view.fields, [...path, 'when'], report) === 'ok') {
      const message = 'when is not a condition';
      report.problem([...path, 'when'], message, 'compare something, such as person.department == "100"');
    }
    for (const [position, granted] of rule.grant.entries()) {
      if (!view.entitlements.has(granted)) {
        report.problem(
          [...path, 'grant', position],
          `there is no entitlement ${granted}`,
          suggestion(granted, view.entitlements.keys()),
        );
      } else if (view.entitlements.get(granted)?.privilege === 'high') {
        const message = `${granted} is of high privilege, and a rule gives it to people without end`;
        report.warning([...path, 'grant', position], message, 'let people request it for a time, with maxFor');
      }
    }
  }
}

/* ---- connectors ------------------------------------------------------------------------------------------------------ */

/** Which duty an operation belongs to (M7). */
const DUTY_OF: Readonly<Partial<Record<Effect, Duty>>> = {
  create: 'grant',
  update: 'grant',
  enable: 'grant',
  grant: 'grant',
  authenticate: 'grant',
  disable: 'revoke',
  delete: 'revoke',
  revoke: 'revoke',
};
/** What operations are about, as the catalogues name them. */
const NOUNS: Readonly<Record<Protocol, readonly string[]>> = {
  scim: ['User', 'Group', 'configuration'],
  ldap: ['User', 'Group'],
  postgres: ['User', 'Role', 'Group', 'Connections'],
};
/** Duties that a profile does not let sit together, besides `strict`, which lets none. */
const APART: Readonly<Record<'centralised' | 'separated', readonly (readonly [Duty, Duty])[]>> = {
  centralised: [
    ['grant', 'verify'],
    ['revoke', 'verify'],
  ],
  separated: [
    ['grant', 'revoke'],
    ['grant', 'verify'],
    ['revoke', 'verify'],
  ],
};

function checkConnectors(view: View, report: Report): void {
  const credentials = new Map<string, string>();
  for (const [name, connector] of present(view.connectors)) {
    const path = ['connectors', name];
    if (!view.targets.has(connector.on)) {
      report.problem(
        [...path, 'on'],
        `there is no target ${connector.on}`,
        suggestion(connector.on, view.targets.keys()),
      );
    }
    checkDuties(view, name, connector, report);
    connector.scope.forEach((scope, position) => {
      checkScope(view, connector, scope, [...path, 'scope', position], report);
    });
    const twin = credentials.get(connector.credential);
    if (twin !== undefined) {
      const message = `${name} and ${twin} share the credential ${connector.credential}, so neither can be stopped or told apart alone`;
      report.problem([...path, 'credential'], message, 'give each its own');
    }
    credentials.set(connector.credential, name);
    if (connector.deputy === connector.owner) {
      const message = `${connector.owner} is both owner and deputy of ${name}, so nobody stands in when he leaves`;
      report.problem([...path, 'deputy'], message, 'name another person');
    }
  }
}

function checkDuties(view: View, name: string, { duties }: ConnectorEntry, report: Report): void {
  const profile = Authority.shape.profile.safeParse(valueAt(view.raw, ['profile'])).data;
  if (profile === undefined) return;
  const path = ['connectors', name, 'duties'];
  const remedy = 'split it into several connectors, each with its own credential';
  if (profile === 'strict') {
    const different = new Set(duties).size;
    if (different > 1) report.problem(path, `${name} has ${different} duties, and the profile strict allows 1`, remedy);
    return;
  }
  for (const [one, other] of APART[profile]) {
    if (!duties.includes(one) || !duties.includes(other)) continue;
    report.problem(path, `${name} has both ${one} and ${other}, which the profile ${profile} keeps apart`, remedy);
  }
}

function checkScope(view: View, connector: ConnectorEntry, scope: string, path: Path, report: Report): void {
  const [verb = '', object = '', ...rest] = scope.split(' ');
  const known = EFFECTS.filter((effect) => effect === 'read' || DUTY_OF[effect] !== undefined);
  const effect = known.find((one) => one === verb);
  if (effect === undefined) {
    report.problem(path, `"${scope}" begins with no known effect`, suggestion(verb, known));
    return;
  }
  if (object === '' || rest.length > 0 || /["']/.test(object)) {
    const message = `${describe(scope)} is not an effect and what it is about`;
    report.problem(path, message, `write ${verb} User, or ${verb} *, without quotes inside`);
    return;
  }
  const duty = DUTY_OF[effect];
  if (duty !== undefined && !connector.duties.includes(duty)) {
    const message = `"${scope}" belongs to the duty ${duty}, and the connector has ${connector.duties.join(', ')}`;
    report.problem(path, message, 'remove it, or give it to a connector with that duty');
  }
  const target = view.targets.get(connector.on);
  if (object === '*' || !target) return;
  if (effect === 'grant' || effect === 'revoke') {
    const here = [...view.entitlements]
      .filter(([, entry]) => entry === null || entry.on === connector.on)
      .map(([name]) => name);
    if (here.includes(object) || (effect === 'revoke' && object === '@connections')) return;
    const message = `"${scope}" names no entitlement on ${connector.on}`;
    report.problem(path, message, suggestion(object, here));
  } else if (!NOUNS[protocolOf(target)].includes(object)) {
    const message = `"${scope}" is no operation of a ${protocolOf(target)} target`;
    report.problem(path, message, suggestion(object, NOUNS[protocolOf(target)]));
  }
}

/** What nobody may grant, revoke or look at would stay planned for ever, or stay unproven. */
function checkCoverage(view: View, report: Report): void {
  if ([...view.connectors.values()].includes(null)) return;
  for (const [name, { on }] of present(view.entitlements)) {
    if (!view.targets.has(on)) continue;
    const here = present(view.connectors).filter(([, connector]) => connector.on === on);
    const can = (duty: Duty, ...scopes: string[]) =>
      here.some(([, { duties, scope }]) => duties.includes(duty) && scope.some((one) => scopes.includes(one)));
    const missing = [
      can('grant', `grant ${name}`, 'grant *') ? null : 'grant',
      can('revoke', `revoke ${name}`, 'revoke *') ? null : 'revoke',
      can('verify', 'read User', 'read Group', 'read Role', 'read *') ? null : 'verify',
    ].filter((duty) => duty !== null);
    if (missing.length === 0) continue;
    const message = `no connector on ${on} may ${missing.join(', nor ')} ${name}`;
    const scope = missing[0] === 'verify' ? 'read *' : `${missing[0]} ${name}`;
    report.problem(
      ['entitlements', name],
      message,
      `add a connector with the duty ${missing[0]} and the scope ${scope}`,
      'key',
    );
  }
}

/* ---- approvals ------------------------------------------------------------------------------------------------------- */

function checkApprovals(view: View, report: Report): void {
  for (const level of ['low', 'normal', 'high', 'removal'] as const) {
    const path = ['approvals', level];
    const value = valueAt(view.raw, path);
    if (level === 'high' && value === 0) {
      report.problem(
        path,
        'high-privilege changes would flow without a person',
        'write high: { people: 2, role: security }',
      );
    }
    const people = valueAt(value, ['people']);
    if (valueAt(value, ['role']) === 'owner' && typeof people === 'number' && people > 1) {
      const message = `${people} owners must approve, and an entitlement has one`;
      report.problem([...path, 'people'], message, 'write people: 1, or another role');
    }
  }
}
