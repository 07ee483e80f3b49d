import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Edge, eligibility, type Stakes } from './eligibility.ts';
import { beneficiariesOf } from './request.ts';
import type { RosterPerson } from './roster.ts';
import { genesisDocument, personOf, requestOf, rosterOf } from './testing.ts';

const roster = rosterOf(genesisDocument());
/** The connector that carries it out is owned by somebody who is not of security. */
const OWNED: readonly Edge[] = [{ owner: '201', owned: 'nhi:pay-grant' }];

function who(
  over: Partial<Stakes> = {},
  edges: readonly Edge[] = [],
  beneficiaries = ['301'],
  people?: readonly RosterPerson[],
) {
  const gains = beneficiariesOf(beneficiaries);
  const request = { ...requestOf(roster), beneficiaries: { digest: gains.digest, count: gains.count }, ...over };
  const given = people ? rosterOf(genesisDocument({ people, root: { role: 'security', people: 1 } })) : roster;
  return eligibility({ roster: given, request, beneficiaries: gains, ownership: [...OWNED, ...edges] });
}
const excludes = (person: string, why: string) => ({ ok: true, excluded: [{ person, why }] });

describe('who may approve', () => {
  test('members of the role, when none of them has a stake', () => {
    expect(who()).toMatchObject({ ok: true, candidates: ['101', '102', '103'], excluded: [] });
  });

  test('not who asked', () => {
    expect(who({ requester: '101' })).toMatchObject({ ...excludes('101', 'asked for it'), candidates: ['102', '103'] });
  });

  test('not who benefits', () => {
    expect(who({}, [], ['102', '301'])).toMatchObject(excludes('102', 'benefits from it'));
  });

  test('not who owns the connector that carries it out', () => {
    expect(who({}, [{ owner: '103', owned: 'nhi:pay-grant' }])).toMatchObject(
      excludes('103', 'controls nhi:pay-grant, which carries it out'),
    );
  });

  test('not who owns the machine that asked', () => {
    expect(who({ requester: 'nhi:bot' }, [{ owner: '101', owned: 'nhi:bot' }])).toMatchObject(
      excludes('101', 'controls nhi:bot, which asked for it'),
    );
  });

  test('not who owns a machine that benefits', () => {
    expect(who({}, [{ owner: '101', owned: 'nhi:gains' }], ['nhi:gains'])).toMatchObject(
      excludes('101', 'controls nhi:gains, which benefits from it'),
    );
  });

  test('not the delegate of who asked', () => {
    expect(who({ requester: '401' }, [{ owner: '102', owned: '401' }])).toMatchObject(
      excludes('102', 'controls 401, which asked for it'),
    );
  });

  test('not through a group, nor through five machines in a row', () => {
    const group = [
      { owner: '101', owned: 'group:ops' },
      { owner: 'group:ops', owned: 'nhi:bot' },
    ];
    expect(who({ requester: 'nhi:bot' }, group)).toMatchObject({ candidates: ['102', '103'] });
    const row = ['101', 'nhi:a', 'nhi:b', 'nhi:c', 'nhi:d', 'nhi:pay-grant'];
    const edges = row.slice(1).map((owned, index) => ({ owner: row[index] as string, owned }));
    expect(who({}, edges)).toMatchObject({ candidates: ['102', '103'] });
  });

  test('a machine with two owners excludes both', () => {
    const edges = [
      { owner: '101', owned: 'nhi:pay-grant' },
      { owner: '102', owned: 'nhi:pay-grant' },
    ];
    expect(who({}, edges)).toMatchObject({ candidates: ['103'] });
  });

  test('owning something that has no part in it excludes nobody', () => {
    expect(
      who({}, [
        { owner: '101', owned: 'nhi:other' },
        { owner: '401', owned: '101' },
      ]),
    ).toMatchObject({
      candidates: ['101', '102', '103'],
    });
  });

  test('not who is suspended', () => {
    const people = [personOf('101', { suspended: true }), personOf('102')];
    expect(who({}, [], ['301'], people)).toMatchObject({ ...excludes('101', 'is suspended'), candidates: ['102'] });
  });

  test('nobody, when an executor has no owner', () => {
    expect(who({ executors: ['mystery'] })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/who owns nhi:mystery/),
    });
    expect(who({ executors: ['mystery', 'pay-grant'] })).toMatchObject({ ok: false });
  });

  test('nobody, when the machine that asked has no owner', () => {
    expect(who({ requester: 'nhi:bot' })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/who owns nhi:bot/),
    });
  });

  test('nobody, when the owner is a group that nobody owns, or machines own each other', () => {
    expect(who({ requester: 'nhi:bot' }, [{ owner: 'group:ops', owned: 'nhi:bot' }])).toMatchObject({ ok: false });
    const circle = [
      { owner: 'nhi:b', owned: 'nhi:a' },
      { owner: 'nhi:a', owned: 'nhi:b' },
    ];
    expect(who({ requester: 'nhi:a' }, circle)).toMatchObject({ ok: false });
  });

  test('nobody, when one owner is known and another, above, is not', () => {
    const edges = [
      { owner: '401', owned: 'nhi:bot' },
      { owner: 'group:ops', owned: 'nhi:bot' },
    ];
    expect(who({ requester: 'nhi:bot' }, edges)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/who owns group:ops/),
    });
  });

  test('a circle with a person in it ends', () => {
    const circle = [
      { owner: 'nhi:b', owned: 'nhi:a' },
      { owner: 'nhi:a', owned: 'nhi:b' },
      { owner: '101', owned: 'nhi:b' },
    ];
    expect(who({ requester: 'nhi:a' }, circle)).toMatchObject({ ok: true, candidates: ['102', '103'] });
  });

  test('nobody, when everyone has a stake, or the role has no members', () => {
    expect(who({}, [], ['101', '102', '103'])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/nobody of role security/),
    });
    expect(who({ role: 'secuirty' })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/nobody of role secuirty/),
    });
    expect(who({ role: 'owner:999' })).toMatchObject({ ok: false });
  });

  test('the owner alone, for the role of an owner, unless he asked', () => {
    expect(who({ role: 'owner:101' })).toMatchObject({ ok: true, candidates: ['101'] });
    expect(who({ role: 'owner:101', requester: '101' })).toMatchObject({ ok: false });
  });

  test('nobody, when the beneficiaries are not those of the request', () => {
    const other = beneficiariesOf(['999']);
    const input = { roster, request: requestOf(roster), ownership: OWNED };
    expect(eligibility({ ...input, beneficiaries: other })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/beneficiaries/),
    });
  });

  test('nobody, when the request miscounts its beneficiaries', () => {
    const { digest, count } = beneficiariesOf(['301']);
    expect(who({ beneficiaries: { digest, count: count + 1 } })).toMatchObject({ ok: false });
  });

  test('more edges never make anybody eligible who was not', () => {
    const principal = fc.constantFrom('101', '102', '103', '201', '401', 'nhi:a', 'nhi:b', 'nhi:pay-grant', 'group:g');
    const edges = fc.array(fc.record({ owner: principal, owned: principal }), { maxLength: 12 });
    const named = (result: ReturnType<typeof who>) => (result.ok ? result.candidates : []);
    fc.assert(
      fc.property(edges, edges, fc.constantFrom('101', '401'), (some, more, requester) => {
        const before = who({ requester }, some);
        // Where an owner was unknown before, an added edge may make him known: that is its purpose.
        fc.pre(before.ok);
        return named(who({ requester }, [...some, ...more])).every((person) => named(before).includes(person));
      }),
    );
  });
});
