/**
 * The platform fully compromised: whoever attacks holds control's database, its decision key, the log's key and the code,
 * and speaks to the gateway's socket himself. What he wins is the automatic envelope.
 *
 * Each case is an attack; it ends with the refusal's code, and the target, looked at directly, is as it was before.
 * A `test.fails` is an attack that works today: the comment says where the hole is.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateSshKey, parsePrivateKey } from '../../src/approval/private.ts';
import { ROSTER_NAMESPACE, type Roster, type RosterDocument, rosterText } from '../../src/approval/roster.ts';
import { type Signer, signSsh } from '../../src/approval/sshsig.ts';
import { parseTrustRoot, TRUST_ROOT_NAMESPACE, trustRootFile, trustRootText } from '../../src/approval/trust-root.ts';
import { digestOf, sha256 } from '../../src/canonical.ts';
import { systemAmbient, systemRandom } from '../../src/clock.ts';
import type { Attributes } from '../../src/connector/contract.ts';
import { connectPipe, type Handlers, type Listener, listenPipe, type Peer } from '../../src/connector/pipe.ts';
import { generateBoxKey, openBox } from '../../src/gateway/box.ts';
import { openDelivery } from '../../src/gateway/first-secret.ts';
import { accountAttributes } from '../../src/identity/account.ts';
import { parseCheckpoint } from '../../src/ledger/checkpoint.ts';
import { openDisk } from '../../src/ledger/disk.ts';
import { openEntry } from '../../src/ledger/entry.ts';
import { memoryHead } from '../../src/ledger/head.ts';
import { type Log, openLog } from '../../src/ledger/log.ts';
import { createSigner, parseNote, parseVerifier } from '../../src/ledger/note.ts';
import type { Submission } from '../../src/ledger/scribe.ts';
import { leafBytes } from '../../src/plan/change.ts';
import { treeOf } from '../../src/plan/make.ts';
import { AUTHORITY_NAMESPACE, type SignedAuthority } from '../../src/trust/force.ts';
import { checkVerification, type Looked } from '../../src/verification/look.ts';
import { HOUR, JOINER, PEOPLE, type Row, startWorld, type World } from '../company/world.ts';
import { scratchFolder } from '../scratch.ts';
import {
  attempt,
  beneficiaries,
  CALL,
  callAs,
  freeze,
  leafOf,
  nextAuthority,
  nextRoster,
  outcome,
  readText,
  type SignedCase,
  sealed,
  signedWrit,
  type Wish,
  writBody,
  writeText,
} from './forge.ts';

let world: World;
let door: Peer;
let roster: Roster;
/** Folders of logs that are thrown away. */
const forks: string[] = [];
/** Ids on the target. */
let users: Readonly<Record<string, string>>;
let groups: Readonly<Record<string, string>>;

/** 102 has a second key, so that one person can sign twice. */
const second = generateSshKey({ random: systemRandom, comment: 'second' });
const secondKey = (): Signer => parsePrivateKey(second.privateText);
const stranger = (): Signer => parsePrivateKey(generateSshKey({ random: systemRandom, comment: 'x' }).privateText);

/** Lou has left, Kim has moved from legal to sales, Mia has joined. */
const DAY_TWO: readonly Row[] = [
  ...PEOPLE.filter(({ id }) => id !== '112').map((row) => (row.id === '111' ? { ...row, department: 'sales' } : row)),
  JOINER,
];

async function readTarget(): Promise<void> {
  const state = await world.crm.state();
  users = Object.fromEntries(state.users.map(({ userName, id }) => [userName, id]));
  groups = Object.fromEntries(state.groups.map(({ displayName, id }) => [displayName, id]));
}
const user = (login: string): string => users[login] ?? `nobody ${login}`;
const group = (name: string): string => groups[name] ?? `no group ${name}`;
const grant = (name: string, login: string) => CALL.grant(group(name), user(login));
const revoke = (name: string, login: string) => CALL.revoke(group(name), user(login));

/** What the rules make of a row. */
const attributesOf = (row: Row): Attributes => {
  const assessed = world.control().world.rules.assess('hr', { ...row }, '2030-01-01');
  if (!assessed.ok) throw new Error(assessed.why);
  return accountAttributes(assessed.attributes);
};

beforeAll(async () => {
  world = await startWorld();
  await world.plan();
  await world.run();
  roster = await nextRoster(
    world,
    ({ people }) => ({
      people: people.map((member) =>
        member.person === '102'
          ? { ...member, keys: [...member.keys, second.publicText.trim().split(' ').slice(0, 2).join(' ')] }
          : member,
      ),
    }),
    [world.signer('102'), world.signer('103'), secondKey()],
  );
  await world.restart('control');
  await world.exportHr(DAY_TWO);
  door = await world.door();
  await door.request('reload', {});
  await door.request('fetch', { feed: 'hr' });
  // An account that nobody of HR is bound to, and one that is protected.
  await world.crm.post('/Users', { userName: 'olga', active: true });
  await world.crm.post('/Users', { userName: 'svc-backup', active: true });
  await readTarget();
});
afterAll(async () => {
  door?.close();
  await world?.stop();
  for (const folder of forks) await rm(folder, { recursive: true, force: true });
});

/** The attack fails with this code, and the target is as it was. */
function refuses(name: string, code: string, attack: () => Promise<string>): void {
  test(name, async () => {
    const before = await world.crm.picture();
    expect(await attack()).toBe(code);
    expect(await world.crm.picture()).toBe(before);
  });
}

/** Control alone: a plan and a writ of its own making, and no person. */
const alone = (wish: Wish, connector: string, call: () => unknown) => () =>
  attempt(door, sealed(world, writBody(world, freeze(world, [wish]))), connector, call());

/* ---- signatures ----------------------------------------------------------------------------------------------------- */

const ADMIN: Wish = {
  effect: 'grant',
  object: 'jo',
  key: '110',
  entitlement: 'admins',
  cause: 'request R1 by 109',
  until: new Date(Date.now() + 4 * HOUR).toISOString(),
};
/** Jo becomes an administrator, but for what a case changes. */
const signed = (over: Partial<SignedCase>) => async () =>
  attempt(
    door,
    await signedWrit(world, { wishes: [ADMIN], by: ['102', '103'], roster, ...over }),
    'crm-grant',
    grant('Admins', 'jo'),
  );

describe('people’s signatures', () => {
  refuses(
    'a high grant without signatures',
    'outside-envelope',
    alone(ADMIN, 'crm-grant', () => grant('Admins', 'jo')),
  );
  refuses('a request without any signature', 'not-approved', signed({ by: [] }));
  refuses('one signature of two', 'not-approved', signed({ by: ['102'] }));
  refuses('one signature twice', 'not-approved', signed({ by: ['102', '102'] }));
  test('two keys of one person are one person', async () => {
    expect(roster.people.find(({ person }) => person === '102')?.keys).toHaveLength(2);
    expect(await signed({ by: ['102', { person: '102', key: secondKey() }] })()).toBe('not-approved');
  });
  refuses('a signature for "refuse" shown as one for "approve"', 'not-approved', async () =>
    signed({ by: ['102', { person: '103', key: world.signer('103'), verdict: 'refuse' }] })(),
  );
  refuses(
    'the requester’s own signature',
    'not-approved',
    signed({ wishes: [{ ...ADMIN, cause: 'request R1 by 102' }] }),
  );
  refuses('the beneficiary’s own signature', 'not-approved', async () =>
    attempt(
      door,
      await signedWrit(world, {
        wishes: [{ ...ADMIN, object: 'cleo', key: '103' }],
        by: ['102', '103'],
        roster,
      }),
      'crm-grant',
      grant('Admins', 'cleo'),
    ),
  );
  refuses('the signature of whoever owns the connector', 'not-approved', signed({ by: ['102', '105'] }));
  refuses(
    'the owner of Writgate for what its own rules ask for',
    'not-approved',
    signed({
      wishes: [{ ...ADMIN, cause: 'birthright everyone' }],
      by: ['102', '104'],
    }),
  );
  refuses('a key that is nobody’s', 'not-approved', async () =>
    signed({ by: ['102', { person: '103', key: stranger() }] })(),
  );
  refuses('a signature under another person’s name', 'not-approved', async () =>
    signed({ by: ['102', { person: '103', key: secondKey() }] })(),
  );
  refuses('a request that asks for one person only', 'not-approved', signed({ request: { people: 1 }, by: ['102'] }));
  refuses('a request to another role', 'not-approved', signed({ request: { role: 'owner:102' } }));
  refuses('an expired request', 'not-approved', signed({ request: { expiresAt: Date.now() - 1, createdAt: 1 } }));
  refuses('a request of another tenant', 'not-approved', signed({ request: { tenant: 'other' } }));
  refuses('a request of another ledger', 'not-approved', signed({ request: { logOrigin: 'elsewhere' } }));
  refuses('a request under another authority', 'not-approved', signed({ request: { authorityDigest: sha256('x') } }));
  refuses('a request under an older roster', 'not-approved', async () => {
    const chain = JSON.parse(await readText(world, 'roster.json')) as { text: string }[];
    const first = chain[0]!.text;
    return signed({ request: { rosterVersion: 1, rosterDigest: sha256(first) } })();
  });
  refuses('a request about another risk than its plan’s', 'not-approved', signed({ request: { risk: 'low' } }));
  refuses('a request with another plan’s name', 'not-approved', signed({ request: { planId: 'P1' } }));
  refuses('a requester other than the one in the change', 'not-approved', signed({ request: { requester: '101' } }));
  refuses('beneficiaries that leave out who gains', 'not-approved', signed({ body: { beneficiaries: ['101'] } }));
  refuses(
    'an executor that the request does not name',
    'not-approved',
    signed({ request: { executors: ['crm-read'] } }),
  );
  refuses('signatures over another plan', 'not-approved', async () => {
    const harmless = freeze(world, [{ ...ADMIN, entitlement: 'staff' }]);
    const evil = freeze(world, [ADMIN]);
    const writ = await signedWrit(world, { wishes: [{ ...ADMIN, entitlement: 'staff' }], by: ['102', '103'], roster });
    const { request, approvals } = JSON.parse(writ.body) as { request: string; approvals: [] };
    expect(harmless.header.root).not.toBe(evil.header.root);
    const body = writBody(world, evil, { request, approvals, beneficiaries: beneficiaries(evil.leaves) });
    return attempt(door, sealed(world, body), 'crm-grant', grant('Admins', 'jo'));
  });
  refuses('signatures over a plan whose header was edited afterwards', 'not-approved', async () => {
    const writ = await signedWrit(world, { wishes: [ADMIN], by: ['102', '103'], roster });
    const body = JSON.parse(writ.body);
    body.header.createdAt = '2020-01-01T00:00:00.000Z';
    return attempt(door, sealed(world, body), 'crm-grant', grant('Admins', 'jo'));
  });
  refuses('a hundred valid signatures for a person who has left', 'outside-envelope', async () =>
    attempt(
      door,
      await signedWrit(world, {
        wishes: [{ ...ADMIN, object: 'lou', key: '112' }],
        by: ['102', '103', '104'],
        roster,
      }),
      'crm-grant',
      grant('Admins', 'lou'),
    ),
  );
  refuses('signatures over Ivo’s gain, and Jo’s account', 'outside-envelope', async () =>
    attempt(
      door,
      await signedWrit(world, { wishes: [{ ...ADMIN, key: '109' }], by: ['102', '103'], roster }),
      'crm-grant',
      grant('Admins', 'jo'),
    ),
  );
  refuses('signatures over the removal of Lou, and Jo’s account', 'outside-envelope', async () =>
    attempt(
      door,
      await signedWrit(world, {
        wishes: [{ effect: 'disable', object: 'jo', key: '112', cause: 'exception T1 by 109' }],
        header: { risk: 'removal' },
        request: { executors: ['crm-revoke'], requester: '109', risk: 'removal' },
        by: ['102', '103'],
        roster,
      }),
      'crm-revoke',
      CALL.active(user('jo'), false),
    ),
  );
  refuses('a protected account, with all signatures', 'outside-envelope', async () =>
    attempt(
      door,
      await signedWrit(world, { wishes: [{ ...ADMIN, object: 'svc-backup' }], by: ['102', '103'], roster }),
      'crm-grant',
      grant('Admins', 'svc-backup'),
    ),
  );
});

/* ---- writs ---------------------------------------------------------------------------------------------------------- */

/** A writ that would be good: Mia, who joined, gets her account. */
const MIA = (): Wish => ({
  effect: 'create',
  object: 'mia',
  key: '113',
  value: attributesOf(JOINER) as Record<string, string>,
});
const makeMia = () => CALL.create('mia', attributesOf(JOINER));
const withBody = (over: (body: ReturnType<typeof writBody>) => Record<string, unknown>) => async () => {
  const body = writBody(world, freeze(world, [MIA()]));
  return attempt(door, sealed(world, { ...body, ...over(body) } as never), 'crm-grant', makeMia());
};

describe('the writ itself', () => {
  refuses('no writ at all', 'writ-mismatch', () => outcome(() => callAs(door, 'crm-grant', null, makeMia())));
  refuses('a writ that was never brought', 'writ-expired', () =>
    outcome(() => callAs(door, 'crm-grant', 'W-1', makeMia())),
  );
  refuses('a writ sealed by another key', 'writ-invalid', async () => {
    const writ = sealed(world, writBody(world, freeze(world, [MIA()])));
    return attempt(door, { ...writ, seal: Buffer.alloc(64).toString('base64') }, 'crm-grant', makeMia());
  });
  refuses('a writ edited after it was sealed', 'writ-invalid', async () => {
    const writ = sealed(world, writBody(world, freeze(world, [MIA()])));
    return attempt(door, { ...writ, body: writ.body.replaceAll('mia', 'eve') }, 'crm-grant', makeMia());
  });
  refuses(
    'an expired writ',
    'writ-expired',
    withBody(() => ({ issuedAt: Date.now() - 60_000, expiresAt: Date.now() - 1 })),
  );
  refuses(
    'a writ that would live for a day',
    'writ-invalid',
    withBody(() => ({ expiresAt: Date.now() + 86_400_000 })),
  );
  refuses(
    'a writ from the future',
    'writ-invalid',
    withBody(() => ({
      issuedAt: Date.now() + 3_600_000,
      expiresAt: Date.now() + 3_601_000,
    })),
  );
  refuses(
    'an expiry as text',
    'writ-invalid',
    withBody(() => ({ expiresAt: 'never' })),
  );
  refuses(
    'an expiry that is missing',
    'writ-invalid',
    withBody(({ expiresAt: _gone, ...body }) => {
      return { ...body, expiresAt: null };
    }),
  );
  refuses(
    'a member that no writ has',
    'writ-invalid',
    withBody(() => ({ trusted: true })),
  );
  refuses(
    'a writ for another tenant',
    'writ-invalid',
    withBody(() => ({ tenant: 'other' })),
  );
  refuses(
    'a plan of another tenant',
    'writ-invalid',
    withBody(({ header }) => ({ header: { ...header, tenant: 'other' } })),
  );
  refuses(
    'a writ that permits nothing',
    'writ-invalid',
    withBody(() => ({ changes: [] })),
  );
  refuses(
    'a change that is listed twice',
    'writ-invalid',
    withBody(({ changes }) => ({ changes: [...changes, ...changes] })),
  );
  refuses(
    'a change that is not under the plan’s root',
    'writ-invalid',
    withBody(({ changes }) => ({
      changes: [{ ...changes[0], leaf: leafBytes(leafOf({ ...MIA(), cause: 'birthright other' })) }],
    })),
  );
  refuses('a change with another value than its digest', 'writ-invalid', async () => {
    const leaves = [{ ...leafOf(MIA()), value: { displayName: 'The Boss' } }];
    const { header } = freeze(world, [MIA()], { root: treeOf(leaves).root });
    return attempt(door, sealed(world, writBody(world, { header, leaves })), 'crm-grant', makeMia());
  });
  refuses('another writ under the id of one that is held', 'writ-invalid', async () => {
    const first = writBody(world, freeze(world, [MIA()]));
    await door.request('admit', { writ: sealed(world, first) });
    const other = writBody(world, freeze(world, [ADMIN]), { id: first.id });
    return attempt(door, sealed(world, other), 'crm-grant', grant('Admins', 'jo'));
  });
});

/* ---- the envelope ---------------------------------------------------------------------------------------------------- */

describe('the automatic envelope', () => {
  refuses(
    'somebody else’s login on the evidence of a fresh row',
    'outside-envelope',
    alone({ effect: 'create', object: 'root', key: '113', value: { displayName: 'Mia Moll' } }, 'crm-grant', () =>
      CALL.create('root', { displayName: 'Mia Moll' }),
    ),
  );
  refuses('attributes that are not those of the row', 'outside-envelope', async () => {
    const attributes = { ...attributesOf(JOINER), department: 'board' };
    return alone({ ...MIA(), value: attributes, valueDigest: digestOf(attributes) }, 'crm-grant', () =>
      CALL.create('mia', attributes),
    )();
  });
  refuses('an address that HR did not give', 'outside-envelope', async () => {
    const attributes = { ...attributesOf(PEOPLE[9]!), email: 'attacker@evil.example' };
    return alone({ effect: 'update', object: 'jo', key: '110', value: attributes }, 'crm-grant', () =>
      CALL.update(user('jo'), attributes),
    )();
  });
  refuses(
    'a person who is not in the feed',
    'outside-envelope',
    alone({ effect: 'create', object: 'zed', key: '999', value: { displayName: 'Zed' } }, 'crm-grant', () =>
      CALL.create('zed', { displayName: 'Zed' }),
    ),
  );
  refuses(
    'a person of a feed that does not exist',
    'outside-envelope',
    alone({ ...ADMIN, entitlement: 'staff', subject: { feed: 'shadow', key: '110' } }, 'crm-grant', () =>
      grant('Staff', 'jo'),
    ),
  );
  refuses(
    'nobody’s account',
    'outside-envelope',
    alone({ effect: 'grant', object: 'olga', entitlement: 'staff' }, 'crm-grant', () => grant('Staff', 'olga')),
  );
  refuses(
    'an account that is not bound, on somebody’s evidence',
    'outside-envelope',
    alone({ effect: 'grant', object: 'olga', key: '110', entitlement: 'staff' }, 'crm-grant', () =>
      grant('Staff', 'olga'),
    ),
  );
  refuses(
    'what no birthright rule gives',
    'outside-envelope',
    alone({ effect: 'grant', object: 'jo', key: '110', entitlement: 'legal' }, 'crm-grant', () => grant('Legal', 'jo')),
  );
  refuses(
    'what a rule gave before the person moved',
    'outside-envelope',
    alone({ effect: 'grant', object: 'kim', key: '111', entitlement: 'legal' }, 'crm-grant', () =>
      grant('Legal', 'kim'),
    ),
  );
  refuses(
    'another person’s birthright on one’s own account',
    'outside-envelope',
    alone({ effect: 'grant', object: 'ada', key: '110', entitlement: 'sales' }, 'crm-grant', () =>
      grant('Sales', 'ada'),
    ),
  );
  refuses(
    'what the leaver had',
    'outside-envelope',
    alone({ effect: 'grant', object: 'lou', key: '112', entitlement: 'staff' }, 'crm-grant', () =>
      grant('Staff', 'lou'),
    ),
  );
  refuses(
    'a removal of an active person’s birthright',
    'outside-envelope',
    alone({ effect: 'revoke', object: 'jo', key: '110', entitlement: 'staff', cause: 'left' }, 'crm-revoke', () =>
      revoke('Staff', 'jo'),
    ),
  );
  refuses(
    'an active person shut out',
    'outside-envelope',
    alone({ effect: 'disable', object: 'jo', key: '110', cause: 'left' }, 'crm-revoke', () =>
      CALL.active(user('jo'), false),
    ),
  );
  refuses(
    'an active person shut out on the evidence of a leaver',
    'outside-envelope',
    alone({ effect: 'disable', object: 'jo', key: '112', cause: 'left' }, 'crm-revoke', () =>
      CALL.active(user('jo'), false),
    ),
  );
  refuses(
    'an account deleted that was not disabled',
    'outside-envelope',
    alone({ effect: 'delete', object: 'lou', key: '112', cause: 'retention over' }, 'crm-revoke', () =>
      CALL.remove(user('lou')),
    ),
  );
  refuses('an adoption without signatures', 'outside-envelope', async () => {
    const frozen = freeze(world, [{ effect: 'adopt', object: 'olga', key: '110', cause: 'adoption' }], {
      risk: 'normal',
    });
    const writ = sealed(world, writBody(world, frozen));
    return outcome(async () => {
      const { id } = (await door.request('admit', { writ })) as { id: string };
      const { ok, message } = (await door.request('own', { writ: id, seq: 1 })) as { ok: boolean; message: string };
      expect(message).toContain('it needs 2 of security');
      return { kind: 'refused', code: ok ? 'adopted' : 'outside-envelope', message };
    });
  });
  refuses('a limit lifted by saying so', 'outside-envelope', async () =>
    attempt(
      door,
      sealed(world, writBody(world, freeze(world, [ADMIN], { overLimit: true, risk: 'low' }))),
      'crm-grant',
      grant('Admins', 'jo'),
    ),
  );
});

/* ---- the connection --------------------------------------------------------------------------------------------------- */

describe('tokens, duties, classification', () => {
  const good = () => sealed(world, writBody(world, freeze(world, [MIA()])));
  const under = (connector: string, call: () => unknown) => () => attempt(door, good(), connector, call());

  refuses(
    'a connector that revokes, and grants',
    'out-of-scope',
    under('crm-revoke', () => grant('Staff', 'jo')),
  );
  refuses(
    'a connector that grants, and revokes',
    'out-of-scope',
    under('crm-grant', () => revoke('Staff', 'jo')),
  );
  refuses('a connector that reads, and creates', 'out-of-scope', under('crm-read', makeMia));
  refuses('a connector that verifies, and creates', 'out-of-scope', under('crm-verify', makeMia));
  refuses('a connector that is not in the register', 'token-refused', under('crm-shadow', makeMia));
  refuses('a token of another connection', 'token-refused', async () => {
    const other = await world.door();
    try {
      const { token } = (await other.request('token', { connector: 'crm-grant' })) as { token: string };
      return await outcome(() => door.request('call', { token, writ: null, call: makeMia() }));
    } finally {
      other.close();
    }
  });
  refuses('a token that nobody issued', 'token-refused', () =>
    outcome(() => door.request('call', { token: 'x', writ: null, call: makeMia() })),
  );
  refuses(
    'a call of no protocol',
    'not-classified',
    under('crm-grant', () => ({ kind: 'shell', command: 'id' })),
  );
  refuses(
    'an authorization header of one’s own',
    'not-classified',
    under('crm-grant', () => ({
      ...makeMia(),
      headers: { authorization: 'Bearer x' },
    })),
  );
  refuses(
    '/Bulk',
    'not-classified',
    under('crm-grant', () => CALL.http('POST', ['Bulk'], { Operations: [] })),
  );
  refuses(
    'a group put in the place of another',
    'not-classified',
    under('crm-grant', () =>
      CALL.http('PUT', ['Groups', group('Admins')], { displayName: 'Admins', members: [{ value: user('jo') }] }),
    ),
  );
  refuses(
    'a group renamed',
    'not-classified',
    under('crm-grant', () =>
      CALL.http('PATCH', ['Groups', group('Admins')], {
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op: 'replace', path: 'displayName', value: 'Staff' }],
      }),
    ),
  );
  refuses(
    'a group made',
    'not-classified',
    under('crm-grant', () => CALL.http('POST', ['Groups'], { displayName: 'Staff' })),
  );
});

/* ---- what is spent ----------------------------------------------------------------------------------------------------- */

describe('once', () => {
  test('control can make the account of somebody who joined: that is the envelope', async () => {
    expect(await alone(MIA(), 'crm-grant', makeMia)()).toBe('done');
    await readTarget();
    expect(await world.crm.user('mia')).toMatchObject({ active: true });
  });
  test('a grant that was done is not done again under its writ', async () => {
    const writ = sealed(
      world,
      writBody(world, freeze(world, [{ effect: 'grant', object: 'mia', key: '113', entitlement: 'sales' }])),
    );
    expect(await attempt(door, writ, 'crm-grant', grant('Sales', 'mia'))).toBe('done');
    await world.crm.edit((state) => {
      for (const one of state.groups) one.members = one.members.filter(({ value }) => value !== user('mia'));
    });
    // The reply of then comes back, and nothing is done.
    expect(await attempt(door, writ, 'crm-grant', grant('Sales', 'mia'))).toBe('done');
    expect(await world.crm.members('Sales')).not.toContain('mia');
  });
  test('a leaver is stopped without people, and his account is kept for its retention', async () => {
    const off: Wish = { effect: 'disable', object: 'lou', key: '112', cause: 'left' };
    expect(await alone(off, 'crm-revoke', () => CALL.active(user('lou'), false))()).toBe('done');
    const away: Wish = { effect: 'delete', object: 'lou', key: '112', cause: 'retention over' };
    expect(await alone(away, 'crm-revoke', () => CALL.remove(user('lou')))()).toBe('outside-envelope');
    expect(await world.crm.user('lou')).toMatchObject({ active: false });
  });
  test('two eligible people’s signatures open, so the refusals above mean something', async () => {
    expect(await signed({})()).toBe('done');
    expect(await world.crm.members('Admins')).toEqual(['jo']);
  });
  test('a plan that lists one grant twice gives it once', async () => {
    const frozen = [{ ...ADMIN, object: 'ivo', key: '109', cause: 'request R2 by 110' }];
    const wishes = [...frozen, ...frozen];
    const whole = await signedWrit(world, { wishes, by: ['102', '103'], roster });
    const body = JSON.parse(whole.body);
    const only = (seq: number) =>
      sealed(world, { ...body, id: `W-${seq}-${body.id}`, changes: [body.changes[seq - 1]] });
    expect(await attempt(door, only(1), 'crm-grant', grant('Admins', 'ivo'))).toBe('done');
    await world.crm.edit((state) => {
      for (const one of state.groups.filter(({ displayName }) => displayName === 'Admins'))
        one.members = one.members.filter(({ value }) => value !== user('ivo'));
    });
    await attempt(door, only(2), 'crm-grant', grant('Admins', 'ivo'));
    expect(await world.crm.members('Admins')).not.toContain('ivo');
  });
});

/* ---- holes ------------------------------------------------------------------------------------------------------------ */

describe('what control gets beyond the envelope', () => {
  test('a second account of a person who has one', async () => {
    const attributes = attributesOf(JOINER);
    const result = await alone({ ...MIA(), object: 'mia2' }, 'crm-grant', () => CALL.create('mia2', attributes))();
    expect(result).toBe('outside-envelope');
  });

  describe('first secrets', () => {
    const account = { system: 'crm', login: 'mia' };
    const fetched = async () => ((await door.request('firstSecret', account)) as { sealed: string }).sealed;
    /** Everything in the data folder that could be a key, and the people's besides. */
    const privateKeys = () =>
      readdirSync(world.folder, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.key'))
        .map((path) => readFileSync(join(world.folder, path), 'utf8'));

    test('the first secret of a new account', async () => {
      const sealed = await fetched();
      const { secret, ...told } = openDelivery(sealed, world.deliveryKey, account);
      expect(told).toMatchObject({ subject: { feed: 'hr', key: '113' }, name: 'Mia Moll' });
      expect(secret.length).toBeGreaterThan(20);
      expect(Buffer.from(sealed, 'base64').includes(secret)).toBe(false);
      expect(privateKeys().length).toBeGreaterThan(8);
      for (const key of privateKeys()) expect(() => openBox(sealed, key)).toThrow();
      const rows = await world.gatewayDatabase.query('select * from first_secret');
      expect(JSON.stringify(rows)).not.toContain(secret);
    });
    test('the first secret of another account in the place of the one that was asked for', async () => {
      const sealed = await fetched();
      expect(() => openDelivery(sealed, world.deliveryKey, { ...account, login: 'ada' })).toThrow(
        expect.objectContaining({ code: 'wrong-use' }),
      );
    });
    test('a first secret done away with by somebody who cannot open it', async () => {
      const before = await fetched();
      for (const receipt of ['', 'x', sha256('x'), before]) {
        expect(await outcome(() => door.request('delivered', { ...account, receipt }))).toBe('wrong-use');
      }
      const rows = await world.gatewayDatabase.query<{ receipt: string }>('select receipt from first_secret');
      for (const { receipt } of rows)
        expect(await outcome(() => door.request('delivered', { ...account, receipt }))).toBe('wrong-use');
      expect(await fetched()).toBe(before);
    });
    test('the help desk opens it, and then it is gone', async () => {
      const { receipt } = openDelivery(await fetched(), world.deliveryKey, account);
      await door.request('delivered', { ...account, receipt });
      expect(await outcome(fetched)).toBe('not-found');
    });
    test('while nobody is named for delivery it waits, and goes to whoever is named by people’s signatures', async () => {
      const two = [world.signer('102'), world.signer('103')];
      const enact = async (delivery: string | undefined) => {
        const next = await nextAuthority(
          world,
          (document) => {
            delete document['delivery'];
            if (delivery !== undefined) document['delivery'] = delivery;
          },
          two,
        );
        await writeText(world, 'authority.json', JSON.stringify(next));
        await door.request('reload', {});
      };
      const { delivery } = world.control().world.authority;
      const oda: Row = { id: '121', name: 'Oda Ott', login: 'oda', department: 'sales' };
      const hers = { system: 'crm', login: 'oda' };
      await world.exportHr([...DAY_TWO, oda], HOUR / 1.2);
      await door.request('fetch', { feed: 'hr' });
      const attributes = attributesOf(oda);
      const wish: Wish = { effect: 'create', object: 'oda', key: '121', value: attributes as Record<string, string> };
      await enact(undefined);
      expect(await alone(wish, 'crm-grant', () => CALL.create('oda', attributes))()).toBe('done');
      expect(await outcome(() => door.request('firstSecret', hers))).toBe('credential-missing');
      await enact(delivery);
      const { sealed } = (await door.request('firstSecret', hers)) as { sealed: string };
      const opened = openDelivery(sealed, world.deliveryKey, hers);
      expect(opened).toMatchObject({ name: 'Oda Ott', subject: { key: '121' } });
      await door.request('delivered', { ...hers, receipt: opened.receipt });
    });
    refuses('a verifier’s key of the attacker’s own, to which first secrets would be sealed', 'down', async () => {
      const path = join(world.folder, 'verifier.box.pub');
      const own = readFileSync(path, 'utf8');
      const mine = generateBoxKey();
      const noor: Row = { id: '120', name: 'Noor Nau', login: 'noor', department: 'sales' };
      await world.exportHr([...DAY_TWO, noor], HOUR / 1.5);
      await door.request('fetch', { feed: 'hr' });
      const attributes = attributesOf(noor);
      const wish: Wish = { effect: 'create', object: 'noor', key: '120', value: attributes as Record<string, string> };
      try {
        writeFileSync(path, own.replace(/^\S+/, mine.publicKey));
        return await alone(wish, 'crm-grant', () => CALL.create('noor', attributes))();
      } finally {
        writeFileSync(path, own);
      }
    });
  });

  test('a signed grant whose own end has passed', async () => {
    const wish = { ...ADMIN, object: 'hana', key: '108', until: '2020-01-01T00:00:00.000Z' };
    const writ = await signedWrit(world, { wishes: [wish], by: ['102', '103'], roster });
    await attempt(door, writ, 'crm-grant', grant('Admins', 'hana'));
    expect(await world.crm.members('Admins')).not.toContain('hana');
  });

  test('a signed grant without end of what may be held for eight hours', async () => {
    const writ = await signedWrit(world, {
      wishes: [{ ...ADMIN, object: 'finn', key: '106', until: null }],
      by: ['102', '103'],
      roster,
    });
    await attempt(door, writ, 'crm-grant', grant('Admins', 'finn'));
    expect(await world.crm.members('Admins')).not.toContain('finn');
  });

  test('a signed update whose value is hidden behind its digest', async () => {
    const attributes = { title: 'CEO' };
    const wish: Wish = {
      effect: 'update',
      object: 'jo',
      key: '110',
      cause: 'request R3 by 109',
      valueDigest: digestOf(attributes),
    };
    const writ = await signedWrit(world, { wishes: [wish], header: { risk: 'low' }, by: ['102', '103'], roster });
    await attempt(door, writ, 'crm-grant', CALL.update(user('jo'), attributes));
    expect((await world.crm.user('jo'))?.['title']).toBeUndefined();
  });

  test('a high grant that its request calls low', async () => {
    const wish = { ...ADMIN, object: 'gil', key: '107' };
    const writ = await signedWrit(world, { wishes: [wish], header: { risk: 'low' }, by: ['102', '103'], roster });
    await attempt(door, writ, 'crm-grant', grant('Admins', 'gil'));
    expect(await world.crm.members('Admins')).not.toContain('gil');
  });

  test('an adoption approved by whoever answers for the gateway', async () => {
    const writ = await signedWrit(world, {
      wishes: [{ effect: 'adopt', object: 'olga', key: '110', cause: 'request A1 by 109' }],
      header: { risk: 'normal' },
      request: { executors: ['crm-read'] },
      by: ['102', '104'],
      roster,
    });
    const { id } = (await door.request('admit', { writ })) as { id: string };
    expect(await door.request('own', { writ: id, seq: 1 })).toMatchObject({ ok: false });
  });

  describe('what people took by their signatures', () => {
    const off = (login: string, key: string, cause: string) =>
      signedWrit(world, {
        wishes: [{ effect: 'disable', object: login, key, cause }],
        request: { executors: ['crm-revoke'] },
        header: { risk: 'removal' },
        by: ['102', '103'],
        roster,
      });
    const on = (login: string, key: string) =>
      alone({ effect: 'enable', object: login, key }, 'crm-grant', () => CALL.active(user(login), true))();

    test.each([
      ['a signed termination undone inside the envelope', 'hana', '108', 'exception T2 by 109'],
      ['a signed termination that control called a leaving', 'ivo', '109', 'left'],
      ['a signed termination under a name that nobody knows', 'gil', '107', 'Exception\tT2'],
    ])('%s', async (_, login, key, cause) => {
      const writ = await off(login, key, cause);
      expect(await attempt(door, writ, 'crm-revoke', CALL.active(user(login), false))).toBe('done');
      expect(await on(login, key)).toBe('outside-envelope');
      expect(await world.crm.user(login)).toMatchObject({ active: false });
    });
    test('a new start of the gateway, and a signed adoption, give nothing again', async () => {
      await world.restart('gateway');
      door.close();
      door = await world.door();
      await door.request('fetch', { feed: 'hr' });
      await world.crm.post('/Users', { userName: 'hana.old', active: true });
      const writ = await signedWrit(world, {
        wishes: [{ effect: 'adopt', object: 'hana.old', key: '108', cause: 'request A2 by 109' }],
        header: { risk: 'normal' },
        request: { executors: ['gateway'] },
        by: ['102', '103'],
        roster,
      });
      const { id } = (await door.request('admit', { writ })) as { id: string };
      expect(await door.request('own', { writ: id, seq: 1 })).toMatchObject({ ok: true });
      expect(await on('hana', '108')).toBe('outside-envelope');
    });
    test('two people’s signatures give again, and then rules do', async () => {
      const gains: Wish[] = [{ effect: 'enable', object: 'gil', key: '107', cause: 'birthright everyone' }];
      const writ = await signedWrit(world, { wishes: gains, header: { risk: 'low' }, by: ['102', '103'], roster });
      expect(await attempt(door, writ, 'crm-grant', CALL.active(user('gil'), true))).toBe('done');
      expect(await on('gil', '107')).toBe('done');
    });
    test('a leaver whom people took from by the thousand is no such case: the record asked for it', async () => {
      const writ = await off('lou', '112', 'left');
      expect(await attempt(door, writ, 'crm-revoke', CALL.active(user('lou'), false))).toBe('done');
      expect(await door.request('terminated', {})).toEqual(['hr:108', 'hr:109']);
    });
  });

  describe('a group is whoever it was', () => {
    const wish: Wish = { effect: 'grant', object: 'mia', key: '113', entitlement: 'staff' };
    const twins = async () => (await world.crm.state()).groups.filter(({ displayName }) => displayName === 'Staff');
    const another = async (): Promise<string> => {
      await world.crm.post('/Groups', { displayName: 'Staff' });
      return (await twins()).find(({ id }) => id !== group('Staff'))!.id;
    };
    const without = (...ids: readonly string[]) =>
      world.crm.edit((state) => {
        state.groups = state.groups.filter(({ id }) => !ids.includes(id));
      });

    test('a grant into another group that bears the name', async () => {
      const twin = await another();
      expect(await alone(wish, 'crm-grant', () => CALL.grant(twin, user('mia')))()).toBe('out-of-scope');
      await without(twin);
    });
    test('a grant into a group made in the place of the one that was', async () => {
      const { groups } = await world.crm.state();
      await without(group('Staff'));
      await world.crm.post('/Groups', { displayName: 'Staff' });
      const { id } = (await twins())[0]!;
      expect(await alone(wish, 'crm-grant', () => CALL.grant(id, user('mia')))()).toBe('out-of-scope');
      await world.crm.edit((state) => {
        state.groups = groups;
      });
    });
    test('a revocation from another group that bears the name, which would leave the right one as it is', async () => {
      const twin = await another();
      const off: Wish = { effect: 'revoke', object: 'lou', key: '112', entitlement: 'staff', cause: 'left' };
      expect(await alone(off, 'crm-revoke', () => CALL.revoke(twin, user('lou')))()).toBe('out-of-scope');
      await without(twin);
    });
    test('the first use of a group while another one bears its name', async () => {
      // As for a gateway that has not used it yet: that it is the older of the two, nobody can tell.
      await world.gatewayDatabase.query(`delete from pinned_group where name = 'Sales'`);
      await world.restart('gateway');
      door.close();
      door = await world.door();
      await world.crm.post('/Groups', { displayName: 'sales' });
      const before = await world.crm.picture();
      const gain: Wish = { ...wish, entitlement: 'sales' };
      expect(await alone(gain, 'crm-grant', () => grant('Sales', 'mia'))()).toBe('out-of-scope');
      expect(await world.crm.picture()).toBe(before);
      await world.crm.edit((state) => {
        state.groups = state.groups.filter(({ displayName }) => displayName !== 'sales');
      });
      expect(await alone(gain, 'crm-grant', () => grant('Sales', 'mia'))()).toBe('done');
    });
    test('an authority that names the id says which one it is, and says so in the refusal before', async () => {
      const twin = await another();
      const writ = sealed(world, writBody(world, freeze(world, [wish])));
      await door.request('admit', { writ });
      const reply = await callAs(
        door,
        'crm-grant',
        writ.body.match(/"id":"(W-[^"]+)"/)![1]!,
        CALL.grant(twin, user('mia')),
      );
      expect(reply).toMatchObject({ kind: 'refused' });
      expect((reply as { message: string }).message).toContain(`write id: "${twin}" in entitlements.staff`);
      await without(twin);
    });
  });
  test('a group renamed at the target keeps its name for whoever knew it', async () => {
    await callAs(door, 'crm-grant', null, grant('Admins', 'mia'));
    await world.crm.edit((state) => {
      for (const one of state.groups) if (one.id === group('Admins')) one.displayName = 'Staff';
    });
    const wish: Wish = { effect: 'grant', object: 'mia', key: '113', entitlement: 'staff' };
    expect(await alone(wish, 'crm-grant', () => grant('Admins', 'mia'))()).toBe('writ-mismatch');
    await world.crm.edit((state) => {
      for (const one of state.groups) if (one.id === group('Admins')) one.displayName = 'Admins';
    });
  });

  test('a row edited in the gateway’s own copy of a snapshot', async () => {
    const folder = join(world.place.snapshots, 'hr');
    const newest = readdirSync(folder).find((id) =>
      readFileSync(join(folder, id, 'records.ndjson'), 'utf8').includes('Mia'),
    );
    const path = join(folder, newest!, 'records.ndjson');
    const text = readFileSync(path, 'utf8');
    const line = text.split('\n').find((one) => one.includes('Ada Abel'))!;
    writeFileSync(path, text.replace(line, line.replace('board', 'sales')));
    try {
      const wish: Wish = { effect: 'grant', object: 'ada', key: '101', entitlement: 'sales' };
      await alone(wish, 'crm-grant', () => grant('Sales', 'ada'))();
      expect(await world.crm.members('Sales')).not.toContain('ada');
    } finally {
      writeFileSync(path, text);
    }
  });

  test('people made absent in the gateway’s own copy of a snapshot', async () => {
    const folder = join(world.place.snapshots, 'hr');
    const rowsOf = (id: string) => readFileSync(join(folder, id, 'records.ndjson'), 'utf8');
    const path = join(folder, readdirSync(folder).find((id) => rowsOf(id).includes('Mia')) ?? '', 'index');
    const index = readFileSync(path);
    writeFileSync(path, Buffer.alloc(index.length));
    try {
      const wish: Wish = { effect: 'disable', object: 'gil', key: '107', cause: 'left' };
      await alone(wish, 'crm-revoke', () => CALL.active(user('gil'), false))();
      expect(await world.crm.user('gil')).toMatchObject({ active: true });
    } finally {
      writeFileSync(path, index);
    }
  });
});

describe('the verifier, ordered by control', () => {
  const look = async (order: Record<string, unknown>) => {
    const peer = await connectPipe(world.place.socket('verifier'));
    try {
      const looked = (await peer.request('look', {
        order: { tenant: 'acme', plan: sha256('p'), change: 'P1.1', id: null, attributes: null, ...order },
      })) as Looked;
      return checkVerification(looked, world.control().world.verifierKey);
    } finally {
      peer.close();
    }
  };
  const tuple = (over: object) => ({
    system: 'crm',
    object: 'jo',
    effect: 'update',
    entitlement: null,
    valueDigest: null,
    ...over,
  });

  test('does not confirm an update without its attributes', async () => {
    const body = await look({ tuple: tuple({ valueDigest: digestOf({ department: 'board' }) }) });
    expect(body?.verdict).not.toBe('confirmed');
  });
  test('does not confirm an update by other attributes than its digest names', async () => {
    const body = await look({
      tuple: tuple({ valueDigest: digestOf({ department: 'board' }) }),
      attributes: { department: 'sales' },
    });
    expect(body?.verdict).not.toBe('confirmed');
  });
  test('does not confirm that an active account is stopped, whatever id it is given', async () => {
    for (const id of [null, 'nobody', user('lou')]) {
      expect((await look({ tuple: tuple({ effect: 'disable' }), id }))?.verdict).toBe('contradicted');
    }
  });
  test('does not confirm a revocation by looking at somebody else', async () => {
    const order = { tuple: tuple({ effect: 'revoke', entitlement: 'staff' }), id: user('olga') };
    expect((await look(order))?.verdict).not.toBe('confirmed');
  });
  test('does not confirm a grant by looking at somebody else', async () => {
    const order = { tuple: tuple({ object: 'ada', effect: 'grant', entitlement: 'admins' }), id: user('jo') };
    expect((await look(order))?.verdict).not.toBe('confirmed');
  });
  // HOLE: src/role/verifier.ts sight looks by the login alone since an id from control could be somebody else's. For a
  // removal both have to be looked at, the login's account and the id's, and either contradicts.
  test('does not confirm that an account is stopped which lives on under another name', async () => {
    const rename = (from: string, to: string) =>
      world.crm.edit((state) => {
        state.users = state.users.map((one) => (one.userName === from ? { ...one, userName: to } : one));
      });
    await rename('finn', 'finn.old');
    const body = await look({ tuple: tuple({ object: 'finn', effect: 'disable' }), id: user('finn') });
    await rename('finn.old', 'finn');
    expect(body?.verdict).not.toBe('confirmed');
  });
  test('says "inconclusive" of an entitlement that is not configured', async () => {
    expect((await look({ tuple: tuple({ effect: 'revoke', entitlement: 'shadow' }) }))?.verdict).toBe('inconclusive');
  });
});

/* ---- the ledger -------------------------------------------------------------------------------------------------------- */

/** Control’s socket in the hands of somebody else, with the log’s real key and a log of his own. */
async function fakeControl(
  hang: (kind: string) => boolean,
): Promise<{ listener: Listener; log: Log; hung: Promise<void> }> {
  const trust = parseTrustRoot(await readText(world, 'trust-root.json')).trustRoot;
  const { name } = parseVerifier(trust.logKey);
  const folder = await scratchFolder();
  forks.push(folder);
  const log = await openLog({
    ...systemAmbient,
    disk: openDisk(systemRandom),
    folder,
    origin: name,
    signer: createSigner(name, world.keys.log),
    head: memoryHead(),
  });
  let tellHung = (): void => undefined;
  const hung = new Promise<void>((resolve) => {
    tellHung = resolve;
  });
  const handlers: Handlers = {
    'ledger.submit': async (params) => {
      const entries = (params as { submissions: Submission[] }).submissions.map(({ entry }) =>
        Buffer.from(entry, 'base64'),
      );
      for (const bytes of entries) {
        const opened = openEntry(bytes);
        if (opened.ok && hang(opened.entry.kind)) {
          tellHung();
          return new Promise(() => undefined);
        }
      }
      const placed = await log.submitAll(entries);
      const checkpoint = placed.at(-1)!.checkpoint;
      const size = parseCheckpoint(parseNote(checkpoint)?.text ?? '')?.size ?? 0;
      return {
        checkpoint,
        placed: await Promise.all(
          placed.map(async ({ index }) => ({ index, proof: await log.inclusion(index, size) })),
        ),
      };
    },
    'ledger.consistency': (params) => {
      const { from, to } = params as { from: number; to: number };
      return log.consistency(from, to);
    },
    'ledger.cosigned': () => null,
  };
  const listener = await listenPipe(world.place.socket('control'), handlers);
  return { listener, log, hung };
}

describe('the ledger in control’s hands', () => {
  test('a change whose intent goes into a log that is thrown away', async () => {
    await world.halt('control');
    const { listener, log } = await fakeControl(() => false);
    try {
      const wish: Wish = { effect: 'grant', object: 'kim', key: '111', entitlement: 'sales' };
      const writ = sealed(world, writBody(world, freeze(world, [wish])));
      await attempt(door, writ, 'crm-grant', grant('Sales', 'kim'));
      expect(await world.crm.members('Sales')).not.toContain('kim');
    } finally {
      await listener.close();
      await log.close();
      await world.restart('control');
    }
  });

  test('an account of somebody else adopted by a create that never was', async () => {
    const nia: Row = { id: '114', name: 'Nia Nord', login: 'nia', department: 'sales' };
    await world.exportHr([...DAY_TWO, nia], HOUR / 2);
    await door.request('fetch', { feed: 'hr' });
    await world.crm.post('/Users', { userName: 'nia', active: true });
    const attributes = attributesOf(nia);
    const wish: Wish = { effect: 'create', object: 'nia', key: '114', value: attributes as Record<string, string> };
    const writ = sealed(world, writBody(world, freeze(world, [wish])));
    await world.halt('control');
    const fake = await fakeControl((kind) => kind === 'gateway.intent');
    const first = attempt(door, writ, 'crm-grant', CALL.create('nia', attributes));
    await fake.hung;
    await world.restart('gateway');
    await first;
    await fake.listener.close();
    await fake.log.close();
    await world.restart('control');
    door.close();
    door = await world.door();
    await attempt(door, writ, 'crm-grant', CALL.create('nia', attributes));
    const bound = await world.gatewayDatabase.query("select key from binding where login = 'nia'");
    expect(bound).toEqual([]);
  });
});

/* ---- the evidence grows old -------------------------------------------------------------------------------------------- */

describe('feeds', () => {
  test('people invented in an export that the exporter did not sign', async () => {
    const zed: Row = { id: '199', name: 'Zed Zorn', login: 'zed', department: 'sales' };
    await world.exportHr([...DAY_TWO, zed], HOUR / 4);
    await unlink(join(world.folder, 'hr', 'people.manifest.json.sig'));
    await door.request('fetch', { feed: 'hr' });
    const attributes = attributesOf(zed);
    const wish: Wish = { effect: 'create', object: 'zed', key: '199', value: attributes as Record<string, string> };
    await alone(wish, 'crm-grant', () => CALL.create('zed', attributes))();
    expect(await world.crm.user('zed')).toBeUndefined();
  });
  refuses('an export edited after it was stamped', 'outside-envelope', async () => {
    await world.exportHr(DAY_TWO, HOUR / 8);
    const path = join(world.folder, 'hr', 'people.csv');
    writeFileSync(path, readFileSync(path, 'utf8').replace('101,Ada Abel,ada,board', '101,Ada Abel,ada,sales'));
    expect(await door.request('fetch', { feed: 'hr' })).toMatchObject({ verdict: 'held' });
    return alone({ effect: 'grant', object: 'ada', key: '101', entitlement: 'sales' }, 'crm-grant', () =>
      grant('Sales', 'ada'),
    )();
  });
  refuses('an older export put back', 'outside-envelope', async () => {
    await world.exportHr(DAY_TWO, HOUR / 16);
    await door.request('fetch', { feed: 'hr' });
    await world.exportHr(PEOPLE, HOUR);
    expect(await door.request('fetch', { feed: 'hr' })).toMatchObject({ verdict: 'held' });
    return alone({ effect: 'grant', object: 'kim', key: '111', entitlement: 'legal' }, 'crm-grant', () =>
      grant('Legal', 'kim'),
    )();
  });
  refuses('a snapshot that control invented and wrote into its own database', 'outside-envelope', async () => {
    await world.database.query(
      `insert into snapshot select tenant, feed, 'ffffffffffff', 'accepted', now(), 'signed', now(), 99, raw_digest, statement, findings
         from snapshot limit 1`,
    );
    return alone({ effect: 'create', object: 'zoe', key: '998', value: { displayName: 'Zoe' } }, 'crm-grant', () =>
      CALL.create('zoe', { displayName: 'Zoe' }),
    )();
  });
});

/* ---- the rules themselves ------------------------------------------------------------------------------------------------ */

describe('signed files', () => {
  const reload = () => outcome(async () => (await door.request('reload', {})) && { kind: 'refused', code: 'believed' });
  /** Puts a file into the data folder, asks the gateway to believe it, and puts the old one back. */
  const with_ = async (files: Readonly<Record<string, string>>): Promise<string> => {
    const before = new Map<string, string>();
    for (const [name, text] of Object.entries(files)) {
      before.set(name, await readText(world, name));
      await writeText(world, name, text);
    }
    const result = await reload();
    for (const [name, text] of before) await writeText(world, name, text);
    return result;
  };
  const wider = (document: Record<string, unknown>): void => {
    (document['approvals'] as Record<string, unknown>)['high'] = 0;
  };

  let firstAuthority = '';
  beforeAll(async () => {
    firstAuthority = await readText(world, 'authority.json');
  });

  test('an edited authority', async () => {
    const now = JSON.parse(await readText(world, 'authority.json')) as SignedAuthority;
    const edited = { ...now, document: now.document.replace('"admins"', '"adminz"') };
    expect(await with_({ 'authority.json': JSON.stringify(edited) })).toBe('authority-invalid');
  });
  test('a wider authority signed by one of two', async () => {
    const next = await nextAuthority(world, wider, [world.signer('102')]);
    expect(await with_({ 'authority.json': JSON.stringify(next) })).toBe('authority-invalid');
  });
  test('a wider authority signed by one person with two keys', async () => {
    const next = await nextAuthority(world, wider, [world.signer('102'), secondKey()]);
    expect(await with_({ 'authority.json': JSON.stringify(next) })).toBe('authority-invalid');
  });
  test('a wider authority signed by control’s decision key’s friends', async () => {
    const next = await nextAuthority(world, wider, [stranger(), stranger()]);
    expect(await with_({ 'authority.json': JSON.stringify(next) })).toBe('authority-invalid');
  });
  test('another authority with the serial of the one in force', async () => {
    const { serial } = JSON.parse((JSON.parse(await readText(world, 'authority.json')) as SignedAuthority).term);
    const next = await nextAuthority(world, wider, [world.signer('102'), world.signer('103')], { serial });
    expect(await with_({ 'authority.json': JSON.stringify(next) })).toBe('authority-invalid');
  });
  test('an older authority put back', async () => {
    const old = await readText(world, 'authority.json');
    const next = await nextAuthority(
      world,
      (document) => {
        (document['limits'] as { grants: { count: number } }).grants.count = 41;
      },
      [world.signer('102'), world.signer('103')],
    );
    await writeText(world, 'authority.json', JSON.stringify(next));
    expect(await reload()).toBe('believed');
    expect(await with_({ 'authority.json': old })).toBe('authority-invalid');
    // Also not after a new start.
    await writeText(world, 'authority.json', old);
    await expect(world.restart('gateway')).rejects.toMatchObject({ code: 'authority-invalid' });
    await writeText(world, 'authority.json', JSON.stringify(next));
    await world.restart('gateway', 'control');
    door.close();
    door = await world.door();
  });
  test.each(['verifier', 'worker', 'control'] as const)(
    'an older authority put back, for a %s that starts again',
    async (role) => {
      const now = await readText(world, 'authority.json');
      expect(firstAuthority).not.toBe(now);
      // Each has believed the newest one once.
      await world.restart(role);
      await writeText(world, 'authority.json', firstAuthority);
      try {
        await expect(world.restart(role)).rejects.toMatchObject({ code: 'authority-invalid' });
      } finally {
        await writeText(world, 'authority.json', now);
        await world.restart(role);
      }
    },
  );
  test('data older than the contract grants nothing, and people’s signatures do not make it fresh', async () => {
    const two = [world.signer('102'), world.signer('103')];
    const impatient = await nextAuthority(
      world,
      (document) => {
        (document['feeds'] as { hr: { contract: { maxAge: number } } }).hr.contract.maxAge = 1000;
      },
      two,
    );
    await writeText(world, 'authority.json', JSON.stringify(impatient));
    expect(await reload()).toBe('believed');
    const before = await world.crm.picture();
    const wish: Wish = { effect: 'grant', object: 'eve', key: '105', entitlement: 'staff' };
    expect(await alone(wish, 'crm-grant', () => grant('Staff', 'eve'))()).toBe('outside-envelope');
    const authorityDigest = sha256(impatient.document);
    const asked = { ...ADMIN, object: 'kim', key: '111' };
    const people = signed({ wishes: [asked], request: { authorityDigest } });
    expect(await people()).toBe('writ-mismatch');
    const writ = await signedWrit(world, { wishes: [asked], request: { authorityDigest }, by: ['102', '103'], roster });
    expect(await attempt(door, writ, 'crm-grant', grant('Admins', 'kim'))).toBe('outside-envelope');
    const gone: Wish = { effect: 'disable', object: 'lou', key: '112', cause: 'left' };
    expect(await alone(gone, 'crm-revoke', () => CALL.active(user('lou'), false))()).toBe('outside-envelope');
    expect(await world.crm.picture()).toBe(before);
    const patient = await nextAuthority(
      world,
      (document) => {
        (document['feeds'] as { hr: { contract: { maxAge: number } } }).hr.contract.maxAge = 26 * HOUR;
      },
      two,
    );
    await writeText(world, 'authority.json', JSON.stringify(patient));
    expect(await reload()).toBe('believed');
  });
  test('an older roster put back', async () => {
    const chain = JSON.parse(await readText(world, 'roster.json')) as unknown[];
    expect(chain).toHaveLength(2);
    expect(await with_({ 'roster.json': JSON.stringify(chain.slice(0, 1)) })).toBe('authority-invalid');
  });
  test('a trust root, a roster and an authority of the attacker’s own people', async () => {
    const people = ['901', '902', '903'].map((person) => {
      const key = generateSshKey({ random: systemRandom, comment: person });
      return {
        person,
        name: person,
        roles: ['security'],
        publicText: key.publicText,
        signer: parsePrivateKey(key.privateText),
      };
    });
    const document: RosterDocument = {
      v: 1,
      tenant: 'acme',
      version: 1,
      previous: null,
      people: people.map(({ person, name, roles, publicText }) => ({
        person,
        name,
        roles,
        keys: [publicText.trim().split(' ').slice(0, 2).join(' ')],
      })),
      root: { role: 'security', people: 2 },
      expiresAt: Date.now() + 86_400_000,
    };
    const text = rosterText(document);
    const { trustRoot } = parseTrustRoot(await readText(world, 'trust-root.json'));
    const mine = { ...trustRoot, roster: sha256(text) };
    const signAll = (namespace: string, message: string) =>
      Promise.all(people.map(({ signer }) => signSsh({ signer, namespace, message })));
    const next = await nextAuthority(
      world,
      wider,
      people.map(({ signer }) => signer),
    );
    expect(AUTHORITY_NAMESPACE).toBe('authority@writgate');
    const result = await with_({
      'trust-root.json': trustRootFile({
        trustRoot: mine,
        signatures: await signAll(TRUST_ROOT_NAMESPACE, trustRootText(mine)),
      }),
      'roster.json': JSON.stringify([{ text, signatures: await signAll(ROSTER_NAMESPACE, text) }]),
      'authority.json': JSON.stringify(next),
    });
    expect(result).toBe('authority-invalid');
  });
});
