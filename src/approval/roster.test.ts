import { beforeAll, describe, expect, test } from 'vitest';
import { canonical } from '../canonical.ts';
import {
  checkRosterChain,
  membersOf,
  parseRoster,
  type Roster,
  type RosterDocument,
  rosterText,
  type SignedRoster,
} from './roster.ts';
import { signSsh } from './sshsig.ts';
import {
  DAY,
  digestNamed,
  genesisDocument,
  NOW,
  personOf,
  rosterOf,
  SIGNERS,
  signerOf,
  signRoster,
  successorOf,
} from './testing.ts';

const { '101': ann, '102': bob, '103': cleo, '201': dora } = SIGNERS;
const newcomer = signerOf('104');
const person104 = { person: '104', name: 'Person 104', roles: ['security', 'root'], keys: [newcomer.publicKey.text] };
const without = (people: RosterDocument['people'], id: string) => people.filter((member) => member.person !== id);

describe('a roster', () => {
  const parse = (over: object) => () => parseRoster(canonical({ ...genesisDocument(), ...over }));
  const withPerson = (over: object) => ({ people: [personOf('101', over), personOf('102'), personOf('103')] });

  test('reads back what it wrote, and finds people by key', () => {
    const roster = rosterOf(genesisDocument());
    expect(roster.holders.get(bob.publicKey.text)?.person).toBe('102');
    expect(rosterText(genesisDocument())).toBe(canonical(genesisDocument()));
  });

  test.each([
    ['no people', { people: [] }, /at least one/],
    ['one key for two persons', withPerson({ keys: [bob.publicKey.text] }), /one key to two persons, 101 and 102/],
    ['one key twice for one person', withPerson({ keys: [ann.publicKey.text, ann.publicKey.text] }), /twice/],
    ['one person twice', { people: [personOf('101'), personOf('101', { keys: [bob.publicKey.text] })] }, /101 twice/],
    ['a person without a key', withPerson({ keys: [] }), /at least one/],
    ['a person without a role', withPerson({ roles: [] }), /at least one/],
    ['a key with a comment', withPerson({ keys: [`${ann.publicKey.text} bob@acme`] }), /carries a comment/],
    ['something that is no key', withPerson({ keys: ['ssh-ed25519 AAAA'] }), /is no key that can approve/],
    ['a machine as a person', withPerson({ person: 'nhi:crm-grant' }), /not a person id/],
    ['a role that looks like an owner', withPerson({ roles: ['owner:108'] }), /not a name/],
    ['a name that turns text round', withPerson({ name: 'Ann\u202eboB' }), /printable name/],
    ['a name with a control character', withPerson({ name: 'Ann\u001b[2K' }), /printable name/],
    ['a name of a blank', withPerson({ name: ' ' }), /printable name/],
    ['suspended: false, a second way to say nothing', withPerson({ suspended: false }), /is not true/],
    ['a member that does not belong', { extra: 1 }, /"extra" that does not belong/],
    ['a threshold of zero', { root: { role: 'root', people: 0 } }, /whole number from 1/],
    ['no threshold', { root: { role: 'root' } }, /lacks "people"/],
    ['a threshold beyond the members', { root: { role: 'root', people: 4 } }, /wants 4 of role root .* 3 hold/],
    ['a root role that nobody holds', { root: { role: 'rooot', people: 1 } }, /wants 1 of role rooot .* 0 hold/],
    ['version 0', { version: 0 }, /whole number from 1/],
    ['a genesis with a predecessor', { previous: digestNamed('x') }, /version 1 with a predecessor/],
    ['a successor without one', { version: 2 }, /version 2 with no predecessor/],
    ['another format version', { v: 2 }, /is not 1/],
    ['an expiry as text', { expiresAt: '2027-01-01' }, /whole number/],
  ])('refuses %s', (_, over, message) => {
    expect(parse(over)).toThrow(
      expect.objectContaining({ code: 'approval-form', message: expect.stringMatching(message) }),
    );
  });

  test('suspended members do not fill the threshold', () => {
    const people = [personOf('101', { suspended: true }), personOf('102'), personOf('103')];
    expect(parse({ people, root: { role: 'root', people: 3 } })).toThrow(/2 hold that role/);
  });

  test('refuses bytes that are not canonical, or nested beyond reason', () => {
    const text = rosterText(genesisDocument());
    const inherits = text.replace('{', '{"__proto__":1,');
    for (const bad of [inherits, ` ${text}`, `${text}\n`, text.replace('{', '{"v":1,'), '', '['.repeat(200_000)]) {
      expect(() => parseRoster(bad)).toThrow(expect.objectContaining({ code: 'approval-form' }));
    }
  });

  test('owner:108 means the person 108 and nobody else', () => {
    const roster = rosterOf(genesisDocument());
    expect(membersOf(roster, 'owner:101').map((member) => member.person)).toEqual(['101']);
    expect(membersOf(roster, 'owner:999')).toEqual([]);
    expect(membersOf(roster, 'owner:')).toEqual([]);
  });
});

describe('a chain of rosters', () => {
  let genesis: Roster;
  const chain = (successors: readonly SignedRoster[], over: object = {}) =>
    checkRosterChain({ genesis, successors, now: NOW, ...over });
  const step = async (over: Partial<RosterDocument>, signers: Parameters<typeof signRoster>[1]) =>
    chain([await signRoster(successorOf(genesis, over), signers)]);
  const addsNewcomer = () => ({ people: [...genesis.people, person104] });

  beforeAll(() => {
    genesis = rosterOf(genesisDocument());
  });

  test('of the genesis roster alone has it as its head', () => {
    expect(chain([])).toMatchObject({ ok: true, head: { version: 1 } });
  });

  test('takes a successor that the threshold of both rosters signed and whose new key proved itself', async () => {
    expect(await step(addsNewcomer(), [ann, bob, newcomer])).toMatchObject({ ok: true, head: { version: 2 } });
  });

  test('rejects a successor under the old threshold', async () => {
    expect(await step({ expiresAt: NOW + 9 * DAY }, [ann])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/1 of 2 persons of the old root/),
    });
    expect(await step({ expiresAt: NOW + 9 * DAY }, [])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/0 of 2/),
    });
  });

  test('rejects the same person signing twice', async () => {
    expect(await step({ expiresAt: NOW + 9 * DAY }, [ann, ann])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/1 of 2/),
    });
  });

  test('rejects two keys of one person as two persons', async () => {
    const second = signerOf('101 second');
    const people = [
      personOf('101', { keys: [ann.publicKey.text, second.publicKey.text] }),
      personOf('102'),
      personOf('103'),
    ];
    const twoKeys = rosterOf(genesisDocument({ people }));
    const signed = await signRoster(successorOf(twoKeys, { expiresAt: NOW + 9 * DAY }), [ann, second]);
    const check = checkRosterChain({ genesis: twoKeys, successors: [signed], now: NOW });
    expect(check).toMatchObject({ ok: false, reason: expect.stringMatching(/1 of 2/) });
  });

  test('a member outside the root role does not fill the threshold', async () => {
    expect(await step({ expiresAt: NOW + 9 * DAY }, [ann, dora])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/1 of 2/),
    });
  });

  test('a new key does not count towards its own enrolment', async () => {
    expect(await step(addsNewcomer(), [ann, newcomer])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/1 of 2 persons of the old/),
    });
  });

  test('a new root threshold is not filled by people that it enrols itself', async () => {
    const people = [...without(genesis.people, '103'), person104];
    const over = { people, root: { role: 'root', people: 3 } };
    expect(await step(over, [ann, bob, cleo, newcomer])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/2 of 3 persons of the new/),
    });
  });

  test('a person’s second key, new in this roster, does not count for him either', async () => {
    const second = signerOf('101 second');
    const people = [
      personOf('101', { keys: [ann.publicKey.text, second.publicKey.text] }),
      ...without(genesis.people, '101'),
    ];
    expect(await step({ people }, [second, bob])).toMatchObject({ ok: false, reason: expect.stringMatching(/1 of 2/) });
    expect(await step({ people }, [ann, second, bob])).toMatchObject({ ok: true });
  });

  test('the new root threshold counts as well as the old', async () => {
    const root = { role: 'root', people: 3 };
    expect(await step({ root }, [ann, bob])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/2 of 3 persons of the new root/),
    });
    expect(await step({ root }, [ann, bob, cleo])).toMatchObject({ ok: true });
  });

  test('rejects a new key without proof that somebody holds it', async () => {
    expect(await step(addsNewcomer(), [ann, bob])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/new key of 104 did not sign/),
    });
  });

  test('rejects a key that passes from one person to another', async () => {
    const people = [personOf('101', { keys: [dora.publicKey.text] }), personOf('102'), personOf('103')];
    expect(await step({ people }, [ann, bob, cleo, dora])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/key of 201 passes to 101/),
    });
  });

  test('rejects a version that skips, repeats or goes back', async () => {
    for (const version of [3, 1000]) {
      expect(await step({ version }, [ann, bob])).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/its version is/),
      });
    }
    const again = await signRoster(genesisDocument(), [ann, bob]);
    expect(chain([again])).toMatchObject({ ok: false, reason: expect.stringMatching(/its version is 1, not 2/) });
  });

  test('rejects another predecessor and another tenant', async () => {
    expect(await step({ previous: digestNamed('x') }, [ann, bob])).toMatchObject({
      reason: expect.stringMatching(/another predecessor/),
    });
    expect(await step({ tenant: 'umbrella' }, [ann, bob])).toMatchObject({
      reason: expect.stringMatching(/of tenant umbrella/),
    });
  });

  test('rejects bytes changed after they were signed, and one bad signature among good ones', async () => {
    const signed = await signRoster(successorOf(genesis, { expiresAt: NOW + 9 * DAY }), [ann, bob]);
    const altered = signed.text.replace(String(NOW + 9 * DAY), String(NOW + 8 * DAY));
    expect(chain([{ ...signed, text: altered }])).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/does not verify/),
    });
    expect(chain([{ ...signed, signatures: [...signed.signatures, 'x'] }])).toMatchObject({ ok: false });
  });

  test('rejects a roster signed for another purpose', async () => {
    const text = rosterText(successorOf(genesis, { expiresAt: NOW + 9 * DAY }));
    const sign = (signer: typeof ann) => signSsh({ signer, namespace: 'approval@writgate', message: text });
    expect(chain([{ text, signatures: [await sign(ann), await sign(bob)] }])).toMatchObject({
      reason: expect.stringMatching(/is for "approval@writgate", not for "roster@writgate"/),
    });
  });

  test('rejects a chain whose head has expired, and takes one whose older versions have', async () => {
    const old = { ...genesisDocument(), expiresAt: NOW - 1 };
    const expired = rosterOf(old);
    expect(checkRosterChain({ genesis: expired, successors: [], now: NOW })).toMatchObject({
      reason: expect.stringMatching(/version 1 has expired/),
    });
    const renewed = await signRoster(successorOf(expired, { expiresAt: NOW + 1 }), [ann, bob]);
    expect(checkRosterChain({ genesis: expired, successors: [renewed], now: NOW }).ok).toBe(true);
    expect(checkRosterChain({ genesis: expired, successors: [renewed], now: NOW + 1 }).ok).toBe(false);
  });

  test('rejects a rollback and a fork of what was seen before', async () => {
    const two = await signRoster(successorOf(genesis, { expiresAt: NOW + 9 * DAY }), [ann, bob]);
    const fork = await signRoster(successorOf(genesis, { expiresAt: NOW + 8 * DAY }), [ann, bob]);
    const newest = { version: 2, digest: parseRoster(two.text).digest };
    expect(chain([two], { newest }).ok).toBe(true);
    expect(chain([], { newest })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/ends at version 1 .* version 2, which was seen/),
    });
    expect(chain([fork], { newest })).toMatchObject({ ok: false });
  });

  test('rejects a chain that begins after genesis', async () => {
    const two = await signRoster(successorOf(genesis, { expiresAt: NOW + 9 * DAY }), [ann, bob]);
    expect(checkRosterChain({ genesis: parseRoster(two.text), successors: [], now: NOW })).toMatchObject({
      reason: expect.stringMatching(/begins at version 2/),
    });
  });

  describe('suspension', () => {
    const suspending = (id: string) => ({
      people: genesis.people.map((member) => (member.person === id ? { ...member, suspended: true as const } : member)),
    });

    test('needs one person of the old roster, whatever his role', async () => {
      expect(await step(suspending('101'), [dora])).toMatchObject({ ok: true, head: { version: 2 } });
    });

    test('by nobody, or by a stranger, is rejected', async () => {
      expect(await step(suspending('101'), [])).toMatchObject({
        reason: expect.stringMatching(/nobody of the old roster/),
      });
      expect(await step(suspending('101'), [newcomer])).toMatchObject({
        reason: expect.stringMatching(/nobody of the old roster/),
      });
    });

    test('with anything else in the same version needs the threshold', async () => {
      const { people } = suspending('101');
      for (const over of [
        { people, expiresAt: NOW + 9 * DAY },
        { people, root: { role: 'root', people: 1 } },
        { people: people.map((member) => (member.person === '201' ? { ...member, roles: ['root'] } : member)) },
        { people: without(people, '103') },
        { people: genesis.people },
      ]) {
        expect(await step(over, [dora])).toMatchObject({ ok: false });
      }
    });

    test('a suspended person suspends nobody and fills no threshold; ending it needs the threshold', async () => {
      const two = await signRoster(successorOf(genesis, suspending('101')), [bob]);
      const second = parseRoster(two.text);
      const both = second.people.map((member) =>
        member.person === '201' ? { ...member, suspended: true as const } : member,
      );
      const next = async (over: Partial<RosterDocument>, signers: Parameters<typeof signRoster>[1]) =>
        chain([two, await signRoster(successorOf(second, over), signers)]);
      expect(await next({ people: both }, [ann])).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/nobody of the old roster/),
      });
      expect(await next({ people: genesis.people }, [bob])).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/1 of 2/),
      });
      expect(await next({ people: genesis.people }, [ann, bob])).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/1 of 2/),
      });
      expect(await next({ people: genesis.people }, [bob, cleo])).toMatchObject({ ok: true, head: { version: 3 } });
    });
  });
});
