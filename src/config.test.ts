import { describe, expect, it } from 'vitest';
import { Authority } from './authority/authority.ts';
import { canonical, digestOf } from './canonical.ts';
import { authorityOf, type CheckedConfig, checkConfig, formatProblem, type Problem, resolvePath } from './config.ts';

const WHOLE = `version: 1
tenant: acme
owner: "101"
local: { data: data, listen: "127.0.0.1:7400" }
feeds:
  hr:
    csv: hr/employees.csv
    asOf: { manifest: hr/employees.manifest.json }
    exporter: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyOfTheExporterKeyOfTheExporterKeyOfTheE
    contract: { mode: full, key: employee_id, maxAge: 26h, count: { min: 90, maxDrop: 5% } }
    absent: leaver
    map:
      employeeId: row.employee_id
      name: row.first_name + " " + row.last_name
      login: row.email.lowerAscii()
      department: row.department_id
      startsOn: row.hire_date
      remote: row.location == "home"
correlate: [employeeId, login]
targets:
  crm:
    scim: https://crm.example/scim/v2
    match: userName == person.login
    leaver: { disable: now, delete: 90d }
    protected: [svc-*]
  corp: { ldap: "ldaps://dc.example:636", flavour: ad, base: "dc=acme", match: sAMAccountName == person.login }
  pay: { postgres: "postgres://db.example/pay", match: rolname == person.login }
entitlements:
  staff: { on: crm, group: Staff, privilege: low }
  finance: { on: corp, group: "cn=finance,ou=groups", privilege: normal, owner: "108" }
  payroll-admin: { on: pay, role: payroll_admin, privilege: high, maxFor: 8h, owner: "108" }
birthright:
  everyone: { when: person.active, grant: [staff] }
  finance: { when: person.department == "100", grant: [finance] }
profile: separated
connectors:
  crm-grant: { on: crm, duties: [grant], owner: "103", deputy: "104", credential: crm-g, scope: [create User, update User, grant staff], expires: 2027-02-01 }
  crm-revoke: { on: crm, duties: [revoke], owner: "103", credential: crm-r, scope: [disable User, revoke *], expires: 2027-02-01 }
  crm-verify: { on: crm, duties: [verify], owner: "108", credential: crm-v, scope: [read User, read Group], expires: 2027-02-01 }
  corp-grant: { on: corp, duties: [grant], owner: "103", credential: corp-g, scope: [create User, grant *], expires: 2027-02-01 }
  corp-revoke: { on: corp, duties: [revoke], owner: "103", credential: corp-r, scope: [revoke finance], expires: 2027-02-01 }
  corp-verify: { on: corp, duties: [verify], owner: "108", credential: corp-v, scope: [read *], expires: 2027-02-01 }
  pay-grant: { on: pay, duties: [grant], owner: "103", credential: pay-g, scope: [grant payroll-admin], expires: 2027-02-01 }
  pay-revoke: { on: pay, duties: [revoke], owner: "103", credential: pay-r, scope: [revoke *, revoke @connections], expires: 2027-02-01 }
  pay-verify: { on: pay, duties: [verify], owner: "108", credential: pay-v, scope: [read Role], expires: 2027-02-01 }
limits:
  grants: { count: 50, share: 10%, subjects: 50, weight: 100 }
  removals: { count: 20, share: 5%, subjects: 20 }
approvals: { low: 0, normal: { people: 1, role: owner }, high: { people: 2, role: security, within: 24h } }
envelope: { grants: { count: 50 }, removals: { count: 20 }, expires: 2027-02-01 }
`;

const FILE = 'writgate.yaml';

/** The whole file with one thing changed; the change must hit. */
function edited(from: string | RegExp, to: string): string {
  const text = WHOLE.replace(from, () => to);
  expect(text).not.toBe(WHOLE);
  return text;
}
function problemsOf(checked: CheckedConfig): readonly Problem[] {
  return checked.ok ? [] : checked.problems;
}
/** What the problem points at, as text. */
const pointedAt = (problem: Problem, text: string): string =>
  (text.split('\n')[problem.line - 1] ?? '').slice(problem.column - 1, problem.column - 1 + problem.length);

/** [what is changed, into what, the place it points at, what is wrong, the way out] */
type Row = readonly [from: string | RegExp, to: string, place: string, message: string, remedy: string];

function refusesWith(rows: readonly Row[]): void {
  it.each(rows)('%s → %s', (from, to, place, message, remedy) => {
    const text = edited(from, to);
    const problems = problemsOf(checkConfig(text, FILE));
    expect(problems.map((problem) => problem.message).join('\n')).toContain(message);
    const problem = problems.find((one) => one.message.includes(message));
    if (!problem) throw new Error('not reached');
    expect(problem.remedy).toContain(remedy);
    expect(pointedAt(problem, text)).toBe(place);
    expect(problem.file).toBe(FILE);
  });
}

describe('the text itself', () => {
  refusesWith([
    ['tenant: acme', 'tenant: acme\ntenant: other', 'tenant', 'the key is there twice', 'keep one'],
    ['tenant: acme', 'tenant: &t acme\nprofile2: *t', '*t', 'an alias', 'write the value out'],
    ['tenant: acme', 'tenant: acme\n<<: { profile: strict }', '<<', 'merges another map', 'write the value out'],
    ['tenant: acme', 'tenant: !secret acme', '!secret', 'Unresolved tag', 'remove the tag'],
    ['  hr:', '\thr:', '\t', 'Tabs are not allowed', 'indent with blanks'],
  ]);

  it('an expression with a colon, and says how to quote it', () => {
    const text = edited('row.department_id', 'row.a == "x" ? "y" : "z"');
    expect(problemsOf(checkConfig(text, FILE))[0]).toMatchObject({
      line: 16,
      remedy: expect.stringContaining('single quotes'),
    });
  });

  it('an expression that begins with a quote, and says how to quote it', () => {
    const text = edited('row.department_id', '"x" + row.department_id');
    expect(problemsOf(checkConfig(text, FILE))[0]).toMatchObject({
      line: 16,
      remedy: expect.stringContaining('single quotes'),
    });
  });

  it('aliases that would unfold into a billion values, without unfolding them', () => {
    const bomb = Array.from({ length: 12 }, (_, n) => `b${n + 1}: &b${n + 1} [${Array(10).fill(`*b${n}`).join(', ')}]`);
    const started = performance.now();
    const checked = checkConfig(`b0: &b0 x\n${bomb.join('\n')}\n`, FILE);
    expect(problemsOf(checked)[0]?.message).toBe('the value is an alias of another');
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it.each([
    ['nested without end', '['.repeat(20_000), 'the file is nested too deeply'],
    ['nested deeply', `a: ${'['.repeat(60)}${']'.repeat(60)}`, 'the file is nested too deeply'],
    ['a YAML version', `%YAML 1.1\n---\n${WHOLE}`, 'the file names a YAML version, which changes what its words mean'],
    ['two documents', `${WHOLE}---\n${WHOLE}`, 'Source contains multiple documents'],
    ['nothing', '', 'the file is empty or no map'],
    ['a list', '- a', 'the file is empty or no map'],
    ['megabytes', `#${'x'.repeat(1_000_001)}`, 'the file has 1000002 characters, limit 1000000'],
  ])('%s', (_, text, message) => {
    const problems = problemsOf(checkConfig(text, FILE));
    expect(problems[0]?.message).toContain(message);
    expect(problems.length).toBeLessThanOrEqual(100);
  });
});

describe('keys and values', () => {
  refusesWith([
    ['tenant: acme', 'tenat: acme', 'tenat', 'unknown key tenat', 'did you mean tenant?'],
    ['tenant: acme', 'tenat: acme', 'v', 'tenant is missing', 'add it: text'],
    ['maxAge: 26h', 'maxage: 26h', 'maxage', 'unknown key maxage in feeds.hr.contract', 'did you mean maxAge?'],
    [
      'maxDrop: 5%',
      'maxDorp: 5%',
      'maxDorp',
      'unknown key maxDorp in feeds.hr.contract.count',
      'did you mean maxDrop?',
    ],
    ['people: 2, role: security', 'poeple: 2, role: security', 'poeple', 'unknown key poeple', 'did you mean people?'],
    ['data: data,', 'dta: data,', 'dta', 'unknown key dta in local', 'did you mean data?'],
    ['version: 1', 'version: 2', '2', 'version is 2', 'write 1'],
    [
      'privilege: normal',
      'privilege: nomal',
      'nomal',
      'is "nomal", not one of low, normal, high',
      'did you mean normal?',
    ],
    ['maxAge: 26h', 'maxAge: 26x', '26x', 'is "26x"', 'a duration such as 15m, 26h or 90d'],
    ['maxAge: 26h', 'maxAge: 26', '26', 'maxAge is 26 without a unit', 'write 26h'],
    ['maxDrop: 5%', 'maxDrop: 5', '5', 'maxDrop is 5 without a unit', 'write 5%'],
    [
      '    match: userName == person.login\n',
      '    match: userName == person.login\n    settles: 5\n',
      '5',
      'targets.crm.settles is 5 without a unit',
      'write 5s',
    ],
    [
      '    match: userName == person.login\n',
      '    match: userName == person.login\n    settles: 5m\n',
      '5m',
      'settles is "5m"',
      'at most 60s',
    ],
    ['maxDrop: 5%', 'maxDrop: 250%', '250%', 'is "250%"', '0% to 100%'],
    ['maxAge: 26h, ', '', 'contract', 'maxAge is missing in feeds.hr.contract', 'a duration'],
    ['min: 90', 'min: -1', '-1', 'min is -1', 'at least 0'],
    ['min: 90', 'min: 1.5', '1.5', 'min is 1.5', 'a whole number'],
    ['owner: "103", deputy: "104"', 'owner: 0103', '0103', 'owner is 103', 'quotes'],
    ['expires: 2027-02-01 }\nlimits', 'expires: 2027-02-30 }\nlimits', '2027-02-30', 'is "2027-02-30"', 'YYYY-MM-DD'],
    ['tenant: acme', 'tenant: "a c"', '"a c"', 'tenant is "a c"', 'letters, digits'],
    [
      '  finance: { on: corp',
      '  constructor: { on: corp',
      'constructor',
      '"constructor" is no usable name',
      'JavaScript',
    ],
    ['    csv: hr/employees.csv\n', '', 'hr', 'feeds.hr does not have exactly one', 'exactly one of csv, ndjson, json'],
    ['grant: [staff]', 'grant: []', '[', 'grant is an empty list', 'at least 1 entries'],
    ['grant: [staff]', 'grant: staff', 'staff', 'grant is "staff"', 'a list'],
    ['listen: "127.0.0.1:7400"', 'listen: here', 'here', 'local.listen is "here"', '127.0.0.1:7400'],
  ]);
});

describe('one part about another', () => {
  refusesWith([
    ['on: crm, group', 'on: crmm, group', 'crmm', 'there is no target crmm', 'did you mean crm?'],
    ['on: crm, group', 'on: valueOf, group', 'valueOf', 'entitlements.staff.on is "valueOf"', 'JavaScript'],
    ['grant: [staff]', 'grant: [staf]', 'staf', 'there is no entitlement staf', 'did you mean staff?'],
    ['crm-grant: { on: crm', 'crm-grant: { on: cmr', 'cmr', 'there is no target cmr', 'did you mean crm?'],
    ['[employeeId, login]', '[employeeId, logni]', 'logni', 'no feed maps logni', 'did you mean login?'],
    ['[employeeId, login]', '[badge]', 'map', 'feed hr maps none of badge', 'map badge'],
    ['mode: full', 'mode: delta', 'leaver', 'a delta feed never lists everybody', 'mode: full'],
    [
      'asOf: { manifest: hr/employees.manifest.json }',
      'asOf: { manifest: m, header: date }',
      '{',
      'asOf is told in 2 ways',
      'keep the one',
    ],
    ['department: row.department_id', 'active: row.department_id', 'active', 'cannot be mapped', 'startsOn and endsOn'],
    ['department: row.department_id', 'department: row.a == "1"', 'row.a == "1"', 'department is text', 'of your own'],
    ['group: Staff', 'role: Staff', 'role', 'a scim target, which has no role', 'write group:'],
    ['role: payroll_admin', 'group: payroll_admin', 'group', 'a postgres target, which has no group', 'write role:'],
    ['privilege: high, maxFor: 8h, owner: "108"', 'privilege: high', 'payroll-admin', 'nobody owns it', 'add owner'],
    [
      '  finance: { on: corp',
      '  staff2: { on: crm, group: staff, privilege: low }\n  finance: { on: corp',
      'staff2',
      'staff2 and staff are the same thing',
      'keep one',
    ],
    ['protected: [svc-*]', 'protected: ["*"]', '"*"', 'protects every account', 'svc-*'],
    ['base: "dc=acme", ', '', 'corp', 'has no base', 'add base'],
    [
      'scim: https://crm.example/scim/v2',
      'scim: https://crm.example/scim/v2\n    base: x',
      'base',
      'means nothing for a scim target',
      'for ldap',
    ],
  ]);
});

describe('addresses', () => {
  refusesWith([
    ['https://crm.example', 'http://crm.example', 'http://crm.example/scim/v2', 'would travel unencrypted', 'https://'],
    ['"ldaps://dc.example:636"', 'ldap://dc.example', 'ldap://dc.example', 'would travel unencrypted', 'ldaps://'],
    [
      '"ldaps://dc.example:636"',
      'ldap://127.evil.example',
      'ldap://127.evil.example',
      'would travel unencrypted',
      'ldaps://',
    ],
    ['"ldaps://dc.example:636"', 'dc.example', 'dc.example', 'no address of the kind ldap, ldaps', 'ldaps://host/'],
    [
      'db.example/pay',
      'db.example/pay?sslmode=disable',
      '"postgres://db.example/pay?sslmode=disable"',
      'unencrypted',
      'verify-full',
    ],
    [
      'https://crm.example',
      'https://u:secret@crm.example',
      'https://u:secret@crm.example/scim/v2',
      'user name or a password',
      'take it out',
    ],
    [
      'scim: https://crm.example/scim/v2',
      'scim: ftp://crm.example',
      'ftp://crm.example',
      'no address of the kind',
      'https://host/',
    ],
  ]);

  it.each(['http://127.0.0.1:9/scim', 'http://localhost:9/scim', 'http://[::1]:9/scim'])(
    'takes %s on this machine',
    (address) => {
      expect(problemsOf(checkConfig(edited('https://crm.example/scim/v2', address), FILE))).toEqual([]);
    },
  );
});

describe('expressions inside the file', () => {
  refusesWith([
    [
      'row.email.lowerAscii()',
      'row.email.lowerAsci()',
      'row.email.lowerAsci()',
      'no function .lowerAsci()',
      'lowerAscii',
    ],
    [
      'row.first_name + " "',
      'row.first_name + 1',
      'row.first_name + 1',
      'no such overload: string + int',
      'values are text',
    ],
    [
      'person.department == "100"',
      'person.departmnt == "100"',
      'person.departmnt',
      'no attribute departmnt',
      'did you mean department?',
    ],
    [
      'person.department == "100"',
      "'person.active && person.departmnt == ''100'''",
      'person.departmnt',
      'no attribute departmnt',
      'department',
    ],
    [
      'person.department == "100"',
      '"person.active && person.departmnt == \\"100\\""',
      'person.departmnt',
      'no attribute departmnt',
      'department',
    ],
    [
      'when: person.active',
      'when: person.department',
      'person.department',
      'when is not a condition',
      'compare something',
    ],
    ['userName == person.login', 'userName == person.logn', 'person.logn', 'no attribute logn', 'did you mean login?'],
    ['userName == person.login', 'userName == person.active', 'person.active', 'a condition, not text', 'one text'],
    [
      'userName == person.login',
      'person.login',
      'person.login',
      'names no attribute to match by',
      'userName == person.login',
    ],
    [
      'userName == person.login',
      'rolname == person.login',
      'rolname == person.login',
      'names no attribute',
      'userName or login',
    ],
    [
      'sAMAccountName == person.login',
      'uid == person.login',
      'uid == person.login',
      'names no attribute',
      'sAMAccountName',
    ],
  ]);

  it.each([
    ['literal', 'name: |\n        row.first_name\n        + row.nope.bad()\n'],
    ['folded', 'name: >-\n        row.first_name\n        + row.nope.bad()\n'],
    ['plain over two lines', 'name: row.first_name\n        + row.nope.bad()\n'],
    ['double quotes over two lines', 'name: "row.first_name\n        + row.nope.bad()"\n'],
  ])('points into a scalar that is %s', (_, to) => {
    const text = edited('name: row.first_name + " " + row.last_name\n', to);
    const problem = problemsOf(checkConfig(text, FILE))[0];
    expect(problem && pointedAt(problem, text)).toBe('row.nope.bad()');
  });

  it('points behind escapes', () => {
    const text = edited('row.first_name + " " + row.last_name', String.raw`"\"\u0041\x42\" + row.a.bad()"`);
    const problem = problemsOf(checkConfig(text, FILE))[0];
    expect(problem && pointedAt(problem, text)).toBe('row.a.bad()');
  });
});

describe('connectors', () => {
  refusesWith([
    [
      'duties: [grant], owner: "103", deputy',
      'duties: [grant, revoke], owner: "103", deputy',
      '[',
      'both grant and revoke, which the profile separated keeps apart',
      'split it',
    ],
    [
      'duties: [verify], owner: "108", credential: crm-v',
      'duties: [verify, revoke], owner: "108", credential: crm-v',
      '[',
      'both revoke and verify',
      'split it',
    ],
    [
      /profile: separated[\s\S]*duties: \[grant\]/,
      'profile: centralised\nconnectors:\n  crm-grant: { on: crm, duties: [grant, verify]',
      '[',
      'both grant and verify, which the profile centralised',
      'split it',
    ],
    [
      /profile: separated[\s\S]*duties: \[grant\]/,
      'profile: strict\nconnectors:\n  crm-grant: { on: crm, duties: [read, grant]',
      '[',
      '2 duties, and the profile strict allows 1',
      'split it',
    ],
    ['grant staff]', 'grant staf]', 'grant staf', 'names no entitlement on crm', 'did you mean staff?'],
    ['grant staff]', 'grant finance]', 'grant finance', 'names no entitlement on crm', 'known are: staff'],
    [
      'grant staff]',
      'disable User, grant staff]',
      'disable User',
      'belongs to the duty revoke, and the connector has grant',
      'remove it',
    ],
    ['grant staff]', 'create Usr, grant staff]', 'create Usr', 'no operation of a scim target', 'did you mean User?'],
    ['grant staff]', 'craete User, grant staff]', 'craete User', 'no known effect', 'did you mean create?'],
    ['grant staff]', 'install User, grant staff]', 'install User', 'no known effect', 'known are'],
    ['grant staff]', 'create, grant staff]', 'create', 'not an effect and what it is about', 'create User'],
    [
      '[disable User, revoke *]',
      '[disable User, revoke "*"]',
      'revoke "*"',
      'not an effect and what it is about',
      'without quotes',
    ],
    ['credential: crm-r', 'credential: crm-g', 'crm-g', 'share the credential crm-g', 'its own'],
    ['deputy: "104"', 'deputy: "103"', '"103"', 'both owner and deputy', 'another person'],
    ['grant staff]', 'update Group]', 'staff', 'no connector on crm may grant staff', 'the scope grant staff'],
    [/ {2}crm-verify.*\n/, '', 'staff', 'no connector on crm may verify staff', 'the scope read *'],
    [
      / {2}pay-.*\n {2}pay-.*\n {2}pay-.*\n/,
      '',
      'payroll-admin',
      'may grant, nor revoke, nor verify payroll-admin',
      'duty grant',
    ],
    ['high: { people: 2, role: security, within: 24h }', 'high: 0', '0', 'flow without a person', 'people: 2'],
    ['people: 1, role: owner', 'people: 2, role: owner', '2', '2 owners must approve', 'people: 1'],
  ]);
});

describe('whatever stands there, the check answers', () => {
  it('when the file is cut off anywhere', () => {
    for (let length = 0; length < WHOLE.length; length += 61) {
      const checked = checkConfig(WHOLE.slice(0, length), FILE);
      expect(checked.ok).toBe(false);
      for (const problem of problemsOf(checked)) expect(formatProblem(problem, WHOLE.slice(0, length))).not.toBe('');
    }
  });

  it.each([
    '',
    '7',
    'text',
    '[]',
    '[7, {a: b}]',
    '{}',
    '{a: {b: [c]}}',
    '~',
    '{constructor: {on: crm}}',
    '{__proto__: {on: crm}}',
  ])('when any section is %j', (odd) => {
    const lines = WHOLE.split('\n');
    for (const [index, line] of lines.entries()) {
      const [, key] = /^( *[\w-]+:)/.exec(line) ?? [];
      if (key === undefined) continue;
      // The section's own lines go with it.
      const indent = line.search(/\S/);
      const next = lines.findIndex((other, at) => at > index && other.search(/\S/) <= indent);
      const text = [...lines.slice(0, index), `${key} ${odd}`, ...lines.slice(next)].join('\n');
      for (const problem of problemsOf(checkConfig(text, FILE))) {
        expect(problem.remedy).not.toBe('');
        expect(problem.message).not.toContain('undefined');
      }
    }
  });
});

it('tells everything at once, in the order of the file', () => {
  const text = WHOLE.replace('tenant: acme', 'tenat: acme')
    .replace('row.email.lowerAscii()', 'row.email.lower()')
    .replace('person.department == "100"', 'person.nope')
    .replace('grant staff]', 'grant stuff]');
  const problems = problemsOf(checkConfig(text, FILE));
  expect(problems.map(({ line, message }) => `${line} ${message}`)).toEqual([
    '1 tenant is missing',
    '2 unknown key tenat',
    '15 there is no function .lower()',
    '29 no connector on crm may grant staff',
    '34 person has no attribute nope',
    '37 "grant stuff" names no entitlement on crm',
  ]);
});

it('judges the other entries when one does not parse', () => {
  const text = WHOLE.replace('scim: https://crm.example/scim/v2', 'scim: 7').replace(
    'grant: [finance]',
    'grant: [finnace]',
  );
  const messages = problemsOf(checkConfig(text, FILE)).map(({ message }) => message);
  expect(messages).toEqual(['targets.crm.scim is 7', 'there is no entitlement finnace']);
});

it('shows the line, the place and the way out', () => {
  const text = edited('person.department == "100"', 'person.departmnt == "100"');
  const [problem] = problemsOf(checkConfig(text, FILE));
  expect(problem && formatProblem(problem, text)).toBe(
    [
      'writgate.yaml:34:20: person has no attribute departmnt',
      '   |',
      '34 |   finance: { when: person.departmnt == "100", grant: [finance] }',
      '   |                    ^^^^^^^^^^^^^^^^',
      '  did you mean department?',
    ].join('\n'),
  );
});

it('shows a window of a long line', () => {
  const text = edited('scope: [revoke *, revoke @connections]', `scope: [${'revoke *, '.repeat(40)}nonsense]`);
  const [problem] = problemsOf(checkConfig(text, FILE));
  const [, , excerpt = '', caret = ''] = problem ? formatProblem(problem, text).split('\n') : [];
  expect(excerpt.length).toBeLessThan(110);
  expect(excerpt.slice(caret.indexOf('^'), caret.lastIndexOf('^') + 1)).toBe('nonsense');
});

describe('a whole file', () => {
  function whole() {
    const checked = checkConfig(WHOLE, FILE);
    if (checked.ok) return checked;
    throw new Error(checked.problems.map((problem) => formatProblem(problem, WHOLE)).join('\n'));
  }

  it('gives durations in milliseconds, shares in basis points, and paths as written', () => {
    const { contract, csv } = whole().authority.feeds['hr']!;
    expect(contract).toMatchObject({ maxAge: 93_600_000, count: { min: 90, maxDrop: 500 } });
    expect(csv).toBe('hr/employees.csv');
    expect(resolvePath('/etc/writgate', 'hr/employees.csv')).toBe('/etc/writgate/hr/employees.csv');
    expect(resolvePath('/etc/writgate', '/srv/hr.csv')).toBe('/srv/hr.csv');
  });

  it('keeps local settings out of what is signed', () => {
    expect(whole().local).toEqual({ data: 'data', listen: '127.0.0.1:7400' });
    const moved = checkConfig(WHOLE.replace('data: data', 'data: elsewhere'), FILE);
    expect(moved.ok && authorityOf(moved).authorityDigest).toBe(authorityOf(whole()).authorityDigest);
  });

  it('has defaults where nothing is said', () => {
    const bare = checkConfig(WHOLE.replace(/local:.*\n/, ''), FILE);
    expect(bare.ok && bare.local).toEqual({ data: '.writgate', listen: '127.0.0.1:7400' });
  });

  it('has canonical bytes that read back to themselves', () => {
    const { bytes, authorityDigest } = authorityOf(whole());
    const again = Authority.parse(JSON.parse(bytes));
    expect(canonical(again)).toBe(bytes);
    expect(digestOf(again)).toBe(authorityDigest);
  });

  it('has the same digest whatever its layout, and another for another meaning', () => {
    const { authorityDigest } = authorityOf(whole());
    const layout = checkConfig(
      WHOLE.replace('maxAge: 26h', 'maxAge: "1560m"')
        .replace('absent: leaver', 'absent:   leaver # gone')
        .replace(/\n/g, '\r\n'),
      FILE,
    );
    expect(layout.ok && authorityOf(layout).authorityDigest).toBe(authorityDigest);
    const meaning = checkConfig(WHOLE.replace('maxAge: 26h', 'maxAge: 27h'), FILE);
    expect(meaning.ok && authorityOf(meaning).authorityDigest).not.toBe(authorityDigest);
  });

  it('warns of nothing', () => expect(whole().warnings).toEqual([]));
});

describe('warnings, which stop nothing', () => {
  it.each<[string | RegExp, string, string]>([
    [/ {4}exporter:.*\n/, '', 'the age is only claimed'],
    [/ {4}asOf:.*\n/, '', 'does not tell its age'],
    ['grant: [staff]', 'grant: [staff, payroll-admin]', 'a rule gives it to people without end'],
  ])('%s → %s', (from, to, message) => {
    const checked = checkConfig(edited(from, to), FILE);
    expect(checked.ok).toBe(true);
    expect(checked.warnings[0]?.message).toContain(message);
  });
});
