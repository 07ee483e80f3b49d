/** What a directory that behaves does not say: forged replies. */
import { describe, expect, test } from 'vitest';
import type { Call, LdapCall, Reply, TargetOptions, Task } from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import { connector } from './connector.ts';

type LdapReply = Extract<Reply, { kind: 'ldap' }>;
type Entries = LdapReply['entries'];

const BASE = 'dc=acme,dc=example';
const AD: TargetOptions = { base: BASE, people: 'ou=people', groups: 'ou=groups', flavour: 'ad' };
const OPENLDAP: TargetOptions = { ...AD, flavour: 'openldap' };
const ANN = `cn=ann,ou=people,${BASE}`;
const FINANCE = `cn=finance,ou=groups,${BASE}`;

const reply = (entries: Entries = [], cookie = '', code = 0): LdapReply => ({
  kind: 'ldap',
  code,
  message: '',
  entries,
  cookie,
});
const ann = (attributes: Record<string, readonly string[]> = {}, dn = ANN): Entries => [
  { dn, attributes: { sAMAccountName: ['ann'], userAccountControl: ['512'], ...attributes } },
];
const task = (effect: Task['effect'], more: Partial<Task> = {}): Task => ({
  effect,
  account: { login: 'ann', id: ANN },
  ...more,
});

const apply = async (options: TargetOptions, given: Task, answer: (call: LdapCall) => Reply) =>
  drive(connector.apply(options, given), (call: Call) => answer(call as LdapCall), { maxSteps: 50 });
const observe = async (options: TargetOptions, answer: (call: LdapCall) => Reply) =>
  drive(connector.observe(options), (call: Call) => answer(call as LdapCall), { maxSteps: 500 });
const onReads = (entries: Entries, written: Reply) => (call: LdapCall) =>
  call.op === 'search' ? reply(entries) : written;

describe('a population', () => {
  test('with a cut list of groups (`memberOf;range=0-1499`) is a fault, not a shorter list', async () => {
    const cut = ann({ 'memberOf;range=0-1499': [FINANCE], memberOf: [] });
    await expect(observe(AD, () => reply(cut))).rejects.toMatchObject({ code: 'unreadable-reply' });
  });

  test('with an account whose state is hidden is a fault, not an active account', async () => {
    await expect(observe(AD, () => reply(ann({ userAccountControl: [] })))).rejects.toMatchObject({
      code: 'unreadable-reply',
    });
  });

  test('that gives empty pages without end is a fault', async () => {
    await expect(observe(AD, () => reply([], 'more'))).rejects.toMatchObject({ code: 'incomplete-read' });
  });

  test('of which a part lies elsewhere is a fault', async () => {
    await expect(observe(AD, () => reply([], '', 10))).rejects.toMatchObject({ code: 'incomplete-read' });
  });

  test('with an empty page in the middle is read to its end', async () => {
    const pages = [
      reply(ann(), 'a'),
      reply([], 'b'),
      reply(ann({ sAMAccountName: ['bob'] }, `cn=bob,ou=people,${BASE}`)),
    ];
    let asked = 0;
    const { emitted } = await observe(AD, () => pages[asked++] ?? reply());
    expect(emitted.filter(({ type }) => type === 'account')).toHaveLength(2);
  });

  test('without flavour, base or containers cannot be read', async () => {
    for (const lacking of ['flavour', 'base', 'people', 'groups']) {
      const options = { ...AD, [lacking]: undefined };
      await expect(observe(options, () => reply())).rejects.toMatchObject({ code: 'bad-options' });
    }
  });

  test('tells logins and names in one spelling, and entries without a login by their name', async () => {
    const entries: Entries = [
      { dn: `UID=SJacobs,OU=People,${BASE}`, attributes: { UID: ['SJacobs'] } },
      { dn: `cn=Contact,ou=people,${BASE}`, attributes: {} },
    ];
    let asked = 0;
    const { emitted } = await observe(OPENLDAP, () => (asked++ === 0 ? reply(entries) : reply()));
    expect(emitted.map((fact) => fact.type === 'account' && fact.login)).toEqual([
      'sjacobs',
      `cn=contact,ou=people,${BASE}`,
    ]);
  });
});

describe('an account', () => {
  test('that two entries claim to be is unknown, not the first of them', async () => {
    const two = [...ann(), ...ann({}, `cn=ann,ou=north,ou=people,${BASE}`)];
    const { result, calls } = await apply(AD, task('disable', { account: { login: 'ann', id: null } }), () =>
      reply(two),
    );
    expect(result.outcome).toBe('unknown');
    expect(calls).toHaveLength(1);
  });

  test('that is answered with another entry is unknown, and nothing is written', async () => {
    const { result, calls } = await apply(AD, task('delete'), () => reply(ann({}, `cn=eve,ou=people,${BASE}`)));
    expect(result.outcome).toBe('unknown');
    expect(calls.every((call) => call.kind === 'ldap' && call.op === 'search')).toBe(true);
  });

  test('whose login could be read in two ways is not created', async () => {
    for (const login of ['SJacobs', ' ann', 'ann  lee', 'a\u200bnn', '']) {
      const { result, calls } = await apply(OPENLDAP, task('create', { account: { login, id: null } }), () => reply());
      expect(result.outcome, login).toBe('refused');
      expect(calls).toHaveLength(0);
    }
  });

  test('keeps its other flags when it is disabled', async () => {
    const { calls } = await apply(AD, task('disable'), onReads(ann({ userAccountControl: ['328192'] }), reply()));
    expect(calls[1]).toMatchObject({
      changes: [
        { operation: 'delete', values: ['328192'] },
        { operation: 'add', values: ['328194'] },
      ],
    });
  });
});

describe('result codes (RFC 4511 appendix A)', () => {
  test.each([
    [1, 'unknown'],
    [3, 'unknown'],
    [10, 'refused'],
    [16, 'later'],
    [19, 'refused'],
    [21, 'refused'],
    [50, 'refused'],
    [51, 'later'],
    [52, 'later'],
    [53, 'refused'],
    [65, 'refused'],
    [80, 'unknown'],
    [4711, 'unknown'],
  ])('%i to a write: %s', async (code, outcome) => {
    const { result } = await apply(AD, task('disable'), onReads(ann(), reply([], '', code)));
    expect(result.outcome).toBe(outcome);
  });

  test.each([
    ['delete', 32, 'already'],
    ['disable', 32, 'already'],
    ['update', 32, 'refused'],
    ['grant', 20, 'already'],
    ['grant', 68, 'already'],
    ['grant', 32, 'refused'],
    ['revoke', 16, 'already'],
    ['revoke', 32, 'already'],
    ['revoke', 65, 'refused'],
  ] as const)('%s answered %i: %s', async (effect, code, outcome) => {
    const answer = (call: LdapCall): Reply => {
      if (call.op !== 'search') return reply([], '', code);
      return reply(call.base === FINANCE ? [{ dn: FINANCE, attributes: {} }] : ann({ uid: ['ann'] }));
    };
    const given = task(effect, { entitlement: FINANCE, attributes: { title: 'x' } });
    expect((await apply(OPENLDAP, given, answer)).result.outcome).toBe(outcome);
  });

  test('Active Directory’s 53 to a revocation is already only when the group says so', async () => {
    const group = [{ dn: FINANCE, attributes: {} }];
    const revoke = task('revoke', { entitlement: FINANCE });
    const unwilling = reply([], '', 53);
    expect((await apply(AD, revoke, onReads(group, unwilling))).result.outcome).toBe('already');
    expect((await apply(AD, revoke, onReads([], unwilling))).result.outcome).toBe('refused');
    expect(
      (await apply(AD, revoke, (call) => (call.op === 'search' ? { kind: 'lost', message: '' } : unwilling))).result
        .outcome,
    ).toBe('refused');
  });
});

test('LDAP cannot end connections: refused, without a call', async () => {
  const { result, calls } = await apply(OPENLDAP, task('revoke', { entitlement: '@connections' }), () => reply());
  expect(result.outcome).toBe('refused');
  expect(calls).toEqual([]);
});
