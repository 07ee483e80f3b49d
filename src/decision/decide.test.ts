import { describe, expect, it } from 'vitest';
import { hasCode } from '../errors.ts';
import { ADDING, EFFECTS } from '../writ/tuple.ts';
import { type Decision, type DecisionInput, decideAnew, decider } from './decide.ts';
import { loadPolicies, readDefaultPolicies, readPolicies } from './policy.ts';

const text = readDefaultPolicies();
const defaults = loadPolicies(text);
const decide = decider(defaults);

/** A birthright grant of low privilege to somebody who works, from a fresh, signed feed: the ordinary case. */
const GRANT: DecisionInput = {
  effect: 'grant',
  system: 'crm',
  privilege: 'low',
  cause: 'birthright',
  sourceVerdict: 'fresh',
  asOf: 'signed',
  personState: 'active',
  protected: false,
  managed: true,
  overLimit: false,
  automated: false,
};
const REVOKE: DecisionInput = { ...GRANT, effect: 'revoke', cause: 'lifecycle' };
const LEAVER: DecisionInput = { ...GRANT, effect: 'disable', cause: 'absence', personState: 'left' };
const DELETE: DecisionInput = { ...LEAVER, effect: 'delete' };
const ADOPT: DecisionInput = { ...GRANT, effect: 'adopt', cause: 'adoption', managed: false };
/** Nobody's account, on no source. */
const REVERT = { cause: 'revert', managed: false, personState: 'none', sourceVerdict: 'none', asOf: 'none' } as const;
const INSTALL: DecisionInput = {
  ...GRANT,
  effect: 'install',
  system: 'writgate',
  privilege: 'high',
  cause: 'request',
  sourceVerdict: 'none',
  asOf: 'none',
  personState: 'none',
};

type Row = readonly [
  verdict: Decision['verdict'],
  reasons: string,
  from: DecisionInput,
  change: Partial<DecisionInput>,
];

const TABLES: Readonly<Record<string, readonly Row[]>> = {
  'what may happen': [
    ['permit', 'gain', GRANT, {}],
    ['permit', 'gain', GRANT, { effect: 'create', managed: false }],
    ['permit', 'gain', GRANT, { effect: 'update', cause: 'lifecycle' }],
    ['permit', 'gain', GRANT, { effect: 'enable', cause: 'lifecycle' }],
    ['permit', 'gain', GRANT, { privilege: 'high', cause: 'request' }],
    ['permit', 'gain', GRANT, { cause: 'ticket', personState: 'notice' }],
    ['permit', 'lose', REVOKE, {}],
    ['permit', 'lose', LEAVER, {}],
    ['permit', 'lose', DELETE, {}],
    ['deny', '', GRANT, { cause: 'absence' }],
    ['deny', '', GRANT, { cause: 'adoption' }],
    ['deny', '', REVOKE, { cause: 'adoption' }],
  ],
  'protected accounts are never touched': [
    ['deny', 'protected-account', GRANT, { protected: true }],
    ['deny', 'protected-account', LEAVER, { protected: true }],
    ['deny', 'protected-account', ADOPT, { protected: true }],
    ['deny', 'protected-account', REVOKE, { protected: true, cause: 'exception' }],
    ['deny', 'protected-account', GRANT, { protected: true, automated: true }],
  ],
  'unmanaged accounts are only adopted': [
    ['deny', 'unmanaged-account', GRANT, { managed: false }],
    ['deny', 'unmanaged-account', GRANT, { managed: false, effect: 'update' }],
    ['deny', 'unmanaged-account', GRANT, { managed: false, effect: 'enable' }],
    ['deny', 'unmanaged-account', LEAVER, { managed: false }],
    ['deny', 'unmanaged-account', REVOKE, { managed: false, cause: 'exception' }],
    ['permit', 'adopt', ADOPT, {}],
    ['deny', '', ADOPT, { cause: 'request' }],
    ['deny', '', ADOPT, { cause: 'birthright' }],
    ['hold', 'automated-proposal', ADOPT, { automated: true }],
  ],
  'unmanaged accounts are stopped only while people look, and never deleted': [
    ['hold', 'removal-on-doubtful-source revert-unattended', LEAVER, REVERT],
    ['hold', 'removal-on-doubtful-source revert-unattended', REVOKE, REVERT],
    ['hold', 'revert-unattended', LEAVER, { ...REVERT, sourceVerdict: 'fresh' }],
    ['deny', 'delete-before-leaving revert-deletes-nothing', DELETE, REVERT],
    ['deny', 'revert-managed', LEAVER, { ...REVERT, managed: true }],
    ['deny', 'protected-account', LEAVER, { ...REVERT, protected: true }],
    ['deny', '', GRANT, { ...REVERT, personState: 'active', sourceVerdict: 'fresh', asOf: 'signed' }],
  ],
  'doubtful sources never grant': [
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'stale' }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'held' }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'none' }],
    ['deny', 'source-not-fresh', GRANT, { asOf: 'none' }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'stale', effect: 'create', managed: false }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'stale', effect: 'update' }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'stale', effect: 'enable' }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'stale', cause: 'exception' }],
    ['deny', 'source-not-fresh', GRANT, { sourceVerdict: 'none', cause: 'request', privilege: 'high' }],
  ],
  'removals on a doubtful source wait': [
    ['hold', 'removal-on-doubtful-source', LEAVER, { sourceVerdict: 'stale' }],
    ['hold', 'removal-on-doubtful-source', LEAVER, { sourceVerdict: 'held' }],
    ['hold', 'removal-on-doubtful-source', LEAVER, { sourceVerdict: 'none' }],
    ['hold', 'removal-on-doubtful-source', REVOKE, { sourceVerdict: 'held', cause: 'birthright' }],
    ['hold', 'removal-on-doubtful-source', REVOKE, { sourceVerdict: 'stale', cause: 'ticket' }],
    ['hold', 'removal-on-doubtful-source', DELETE, { sourceVerdict: 'stale' }],
    ['permit', 'lose', REVOKE, { sourceVerdict: 'stale', cause: 'exception' }],
    ['permit', 'lose', REVOKE, { sourceVerdict: 'none', asOf: 'none', cause: 'request' }],
    ['permit', 'lose', REVOKE, { asOf: 'claimed' }],
  ],
  'high privilege wants a proven age': [
    ['hold', 'privileged-on-claimed-age', GRANT, { privilege: 'high', asOf: 'claimed' }],
    ['hold', 'privileged-on-claimed-age', GRANT, { privilege: 'high', asOf: 'field' }],
    ['permit', 'gain', GRANT, { privilege: 'high', asOf: 'transport' }],
    ['permit', 'gain', GRANT, { privilege: 'high', asOf: 'signed' }],
    ['permit', 'gain', GRANT, { privilege: 'normal', asOf: 'claimed' }],
    ['permit', 'lose', REVOKE, { privilege: 'high', asOf: 'claimed' }],
    ['deny', 'source-not-fresh', GRANT, { privilege: 'high', asOf: 'claimed', sourceVerdict: 'stale' }],
  ],
  'only people who work gain': [
    ['deny', 'person-not-working', GRANT, { personState: 'prehire' }],
    ['deny', 'person-not-working', GRANT, { personState: 'prehire', effect: 'create', managed: false }],
    ['deny', 'person-not-working', GRANT, { personState: 'leave' }],
    ['deny', 'person-not-working', GRANT, { personState: 'left', effect: 'enable' }],
    ['deny', 'person-not-working', GRANT, { personState: 'left', cause: 'exception' }],
    ['deny', 'person-not-working', GRANT, { personState: 'none' }],
    ['permit', 'gain', GRANT, { personState: 'notice' }],
    ['permit', 'lose', REVOKE, { personState: 'leave' }],
    ['permit', 'lose', REVOKE, { personState: 'none' }],
  ],
  'deleting waits until people have left': [
    ['deny', 'delete-before-leaving', DELETE, { personState: 'active' }],
    ['deny', 'delete-before-leaving', DELETE, { personState: 'leave' }],
    ['deny', 'delete-before-leaving', DELETE, { personState: 'none', cause: 'exception' }],
  ],
  'a new password waits for a person': [
    ['hold', 'authenticator-change', GRANT, { effect: 'authenticate', cause: 'request' }],
    ['deny', 'source-not-fresh', GRANT, { effect: 'authenticate', cause: 'request', sourceVerdict: 'stale' }],
  ],
  'too much at once waits': [
    ['hold', 'over-limit', GRANT, { overLimit: true }],
    ['hold', 'over-limit', LEAVER, { overLimit: true }],
    ['hold', 'over-limit', REVOKE, { overLimit: true, cause: 'exception' }],
    ['hold', 'over-limit removal-on-doubtful-source', LEAVER, { overLimit: true, sourceVerdict: 'held' }],
    ['deny', 'source-not-fresh', GRANT, { overLimit: true, sourceVerdict: 'stale' }],
  ],
  'a model proposes and never decides': [
    ['hold', 'automated-proposal', GRANT, { automated: true }],
    ['hold', 'automated-proposal', REVOKE, { automated: true }],
    ['hold', 'automated-proposal', INSTALL, { automated: true }],
    ['deny', 'person-not-working', GRANT, { automated: true, personState: 'left' }],
  ],
  'the authority is changed on request': [
    ['permit', 'install', INSTALL, {}],
    ['deny', '', INSTALL, { cause: 'birthright' }],
    ['deny', '', INSTALL, { cause: 'exception' }],
    ['hold', 'over-limit', INSTALL, { overLimit: true }],
  ],
};

for (const [title, rows] of Object.entries(TABLES)) {
  describe(title, () => {
    it.each(
      rows.map(([verdict, reasons, from, change]) => ({ verdict, reasons, input: { ...from, ...change }, change })),
    )('$verdict [$reasons] $input.effect $change', ({ verdict, reasons, input }) => {
      expect(decide(input)).toEqual({
        verdict,
        reasons: reasons === '' ? [] : reasons.split(' '),
        policyDigest: defaults.policyDigest,
        alarm: null,
      });
    });
  });
}

it('has a row that permits, denies or holds for every policy', () => {
  const told = new Set(Object.values(TABLES).flatMap((rows) => rows.flatMap(([, reasons]) => reasons.split(' '))));
  expect([...defaults.policies.keys()].filter((id) => !told.has(id))).toEqual([]);
});

describe('over the inputs that differ in kind', () => {
  const values: { readonly [K in keyof DecisionInput]: readonly DecisionInput[K][] } = {
    effect: EFFECTS.filter((effect) => effect !== 'read'),
    system: ['crm'],
    privilege: ['low'],
    cause: ['birthright', 'absence', 'request', 'ticket', 'exception', 'adoption', 'revert', 'lifecycle'],
    sourceVerdict: ['fresh', 'stale'],
    asOf: ['signed', 'none'],
    personState: ['active', 'left'],
    protected: [false, true],
    managed: [false, true],
    overLimit: [false],
    automated: [false, true],
  };
  let inputs: DecisionInput[] = [GRANT];
  for (const key of Object.keys(values) as (keyof DecisionInput)[]) {
    inputs = inputs.flatMap((input) => values[key].map((value) => ({ ...input, [key]: value })));
  }
  const permitted = inputs.filter((input) => decide(input).verdict === 'permit');

  it('nothing protected, unmanaged or proposed by a model is permitted', () => {
    expect(inputs.length).toBeGreaterThan(4_000);
    expect(permitted.length).toBeGreaterThan(50);
    expect(permitted.filter((input) => input.protected || input.automated)).toEqual([]);
    const untouched: readonly string[] = ['create', 'adopt', 'install'];
    expect(permitted.filter(({ managed, effect }) => !managed && !untouched.includes(effect))).toEqual([]);
  });

  it('whatever adds access rests on a fresh source and on somebody who works', () => {
    const adding = permitted.filter(({ effect }) => ADDING.has(effect) && effect !== 'adopt' && effect !== 'install');
    expect(adding.length).toBeGreaterThan(20);
    for (const { sourceVerdict, asOf, personState } of adding) {
      expect([sourceVerdict, asOf === 'none', personState]).toEqual(['fresh', false, 'active']);
    }
  });

  it('a person who looks never turns a permit into less', () => {
    for (const input of permitted.slice(0, 50)) expect(decideAnew(defaults, input).verdict).toBe('permit');
  });
});

describe('faults deny', () => {
  const withPolicy = (policy: string) => loadPolicies({ ...text, policies: `${text.policies}\n${policy}` });

  it('a forbid that fails to evaluate denies what it would have let pass, and alarms', () => {
    const policies = withPolicy(
      '@id("broken") forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };',
    );
    expect(decider(policies)(GRANT)).toMatchObject({
      verdict: 'deny',
      reasons: ['broken'],
      alarm: expect.stringContaining('policy broken failed: integer overflow'),
    });
  });

  it('a forbid that fails only when attended denies instead of holding', () => {
    const policies = withPolicy(
      '@id("broken") forbid (principal, action, resource) when { context.attended && 9223372036854775807 + 1 > 0 };',
    );
    expect(decider(policies)({ ...GRANT, overLimit: true })).toMatchObject({ verdict: 'deny', reasons: ['broken'] });
    expect(decider(policies)({ ...GRANT, overLimit: true }).alarm).not.toBeNull();
  });

  it.each<[string, object]>([
    ['a word that the schema does not know', { cause: 'whim' }],
    ['an effect that is none', { effect: 'promote' }],
    ['text in place of a flag', { protected: 'false' }],
    ['a missing fact', { managed: undefined }],
    ['a fact that is null', { personState: null }],
  ])('%s', (_, change) => {
    const decision = decide({ ...GRANT, ...change } as DecisionInput);
    expect(decision.verdict).toBe('deny');
    expect(decision.alarm).not.toBeNull();
  });

  it('a set that the engine does not know', () => {
    const decision = decideAnew({ ...defaults, policyDigest: 'f'.repeat(64) as typeof defaults.policyDigest }, GRANT);
    expect(decision).toMatchObject({ verdict: 'deny', alarm: expect.stringContaining('') });
    expect(decision.alarm).not.toBeNull();
  });
});

describe('memory', () => {
  it('answers equal inputs with one and the same frozen decision', () => {
    const first = decide({ ...GRANT });
    expect(decide({ ...GRANT })).toBe(first);
    expect(Object.isFrozen(first) && Object.isFrozen(first.reasons)).toBe(true);
  });

  it('does not mistake one input for another, whatever the name of the system', () => {
    const names = ['a', 'a","low', 'a\\', '', 'a","low","birthright'];
    const fresh = decider(defaults);
    for (const system of names) fresh({ ...GRANT, system });
    for (const system of names) expect(fresh({ ...GRANT, system, protected: true }).verdict).toBe('deny');
  });

  it('remembers nothing of another policy set', () => {
    const closed = loadPolicies({
      ...text,
      policies: `${text.policies}\n@id("closed") forbid (principal, action, resource);`,
    });
    expect(closed.policyDigest).not.toBe(defaults.policyDigest);
    expect(decider(closed)(GRANT).reasons).toEqual(['closed']);
    expect(decide(GRANT).verdict).toBe('permit');
  });

  it('stays bounded', () => {
    const fresh = decider(defaults);
    const first = fresh({ ...GRANT, system: 'first' });
    for (let number = 0; number < 4_096; number++) fresh({ ...GRANT, system: `s${number}` });
    const again = fresh({ ...GRANT, system: 'first' });
    expect(again).toEqual(first);
    expect(again).not.toBe(first);
  });
});

describe('policies that are refused', () => {
  const refusal = (policies: string, schema = text.schema): string => {
    try {
      loadPolicies({ schema, policies });
    } catch (thrown) {
      expect(hasCode(thrown, 'policy-invalid')).toBe(true);
      return (thrown as Error).message;
    }
    return 'accepted';
  };
  it.each([
    ['broken syntax', '@id("a") permit (principal, action, resource', 'unexpected end of input'],
    ['no policy at all', '// nothing', 'there is no policy'],
    ['no id', 'permit (principal, action, resource);', 'no usable @id'],
    ['an id that is no word', '@id("a b") permit (principal, action, resource);', 'no usable @id'],
    [
      'one id twice',
      '@id("a") permit (principal, action, resource);\n@id("a") forbid (principal, action, resource);',
      'two policies have the id a',
    ],
    ['a template', '@id("a") permit (principal == ?principal, action, resource);', 'template'],
    [
      'a fact that is none',
      '@id("a") permit (principal, action, resource) when { context.managd };',
      'did you mean `managed`',
    ],
    [
      'a misspelt cause',
      '@id("a") permit (principal == Cause::"brithright", action, resource);',
      'not declared as a valid eid',
    ],
    [
      'a misspelt word in a list',
      '@id("a") forbid (principal, action, resource) when { [Source::"fresh", Source::"stail"].contains(context.source) };',
      'stail',
    ],
    [
      'an action that is none',
      '@id("a") forbid (principal, action == Action::"grnt", resource);',
      'did you mean `Action::"grant"`',
    ],
    [
      'text compared with a word',
      '@id("a") forbid (principal, action, resource) when { context.source == "stale" };',
      'not compatible',
    ],
    [
      'a rule that can never apply',
      '@id("a") forbid (principal, action, resource) when { principal == resource };',
      'impossible',
    ],
  ])('%s', (_, policies, message) => {
    expect(refusal(policies)).toContain(message);
  });

  it('a schema that is broken', () => {
    expect(refusal(text.policies, 'entity {')).not.toBe('accepted');
  });

  it('a folder that is not there', () => {
    expect(() => readPolicies('/nowhere/at/all')).toThrow('cannot be read');
  });
});

it('the actions of the schema are the effects, and its groups add and remove as the tuple does', () => {
  for (const effect of EFFECTS.filter((one) => one !== 'read')) {
    const inGroup = (group: string) => {
      const set = loadPolicies({
        ...text,
        policies: `@id("only") permit (principal, action in Action::"${group}", resource);`,
      });
      return decider(set)({ ...GRANT, effect }).verdict === 'permit';
    };
    const isOurs = effect === 'adopt' || effect === 'install';
    expect([effect, inGroup('add'), inGroup('remove')]).toEqual([
      effect,
      ADDING.has(effect) && !isOurs,
      !ADDING.has(effect),
    ]);
  }
});
