import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { generateSshKey, parsePrivateKey } from '../approval/private.ts';
import { seeded } from '../approval/testing.ts';
import { systemClock } from '../clock.ts';
import { readInForce, type SignedAuthority } from './force.ts';
import { demoGenesis, prepareGenesis, writeGenesis } from './genesis.ts';
import {
  addSignature,
  approveAuthority,
  differences,
  readProposal,
  readRoster,
  unsignedAuthority,
  writeSigned,
} from './propose.ts';

const CONFIG = `version: 1
tenant: acme
owner: "100"
feeds:
  hr: { csv: people.csv, contract: { key: id, maxAge: 26h, count: { min: 1 } }, map: { employeeId: row.id, login: row.login } }
targets: {}
limits: { grants: { count: 50 }, removals: { count: 20 } }
approvals: { low: 0, normal: { people: 1, role: security }, high: { people: 2, role: security } }
`;
const PEOPLE = ['901', '902', '903'].map((person) => ({
  person,
  name: `Person ${person}`,
  roles: ['security', 'root'],
}));

let root: string;
let pristine: string;
let folder: string;
let configFile: string;
const signerOf = async (person: string) =>
  parsePrivateKey(await readFile(join(folder, 'people', `${person}.key`), 'utf8'));
const inForce = () => readInForce(folder, systemClock.now());
const proposed = async (edit: (text: string) => string) => {
  await writeFile(configFile, edit(CONFIG));
  return (await readProposal(configFile)).authority;
};
const more = () => proposed((text) => text.replace('count: 50', 'count: 60'));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-propose-'));
  pristine = join(root, 'pristine');
  configFile = join(root, 'writgate.yaml');
  await writeFile(configFile, CONFIG);
  await demoGenesis({ folder: pristine, configFile, people: PEOPLE, clock: systemClock, random: seeded('propose') });
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(root, 'data-'));
  await cp(pristine, folder, { recursive: true });
});

describe('a new authority comes into force by its people alone', () => {
  test('one signature of two waits, the second puts it in force', async () => {
    const authority = await more();
    const first = await approveAuthority(folder, await inForce(), authority, await signerOf('901'));
    expect(first).toMatchObject({ serial: 2, enacted: false, signed: ['901'], need: 2 });
    expect((await inForce()).term.serial).toBe(1);
    const second = await approveAuthority(folder, await inForce(), authority, await signerOf('902'));
    expect(second).toMatchObject({ serial: 2, enacted: true });
    expect(await inForce()).toMatchObject({ term: { serial: 2 }, authority: { limits: { grants: { count: 60 } } } });
  });

  test('the same person twice is one person', async () => {
    const authority = await more();
    for (let time = 0; time < 3; time++) {
      expect(await approveAuthority(folder, await inForce(), authority, await signerOf('901'))).toMatchObject({
        enacted: false,
        signed: ['901'],
      });
    }
  });

  test('signatures over another proposal are dropped', async () => {
    await approveAuthority(folder, await inForce(), await more(), await signerOf('901'));
    const other = await proposed((text) => text.replace('count: 50', 'count: 9000'));
    expect(await approveAuthority(folder, await inForce(), other, await signerOf('902'))).toMatchObject({
      enacted: false,
      signed: ['902'],
    });
  });

  test('a waiting document that was edited after a signature is not what the next one signs', async () => {
    const authority = await more();
    await approveAuthority(folder, await inForce(), authority, await signerOf('901'));
    const path = join(folder, 'authority.next.json');
    const waiting = JSON.parse(await readFile(path, 'utf8')) as SignedAuthority;
    await writeFile(
      path,
      JSON.stringify({ ...waiting, document: waiting.document.replace('"count":60', '"count":6000') }),
    );
    await expect(approveAuthority(folder, await inForce(), authority, await signerOf('902'))).rejects.toThrow(
      'edited after it was signed',
    );
    expect((await inForce()).term.serial).toBe(1);
  });

  test('rejects a key that is not in the roster', async () => {
    const stranger = parsePrivateKey(generateSshKey({ random: seeded('stranger'), comment: 'x' }).privateText);
    await expect(approveAuthority(folder, await inForce(), await more(), stranger)).rejects.toMatchObject({
      code: 'not-approved',
    });
  });

  test('rejects what is in force already', async () => {
    const same = await proposed((text) => `# another comment\n${text}`);
    await expect(approveAuthority(folder, await inForce(), same, await signerOf('901'))).rejects.toMatchObject({
      code: 'wrong-use',
    });
  });
});

describe('a ceremony', () => {
  const begin = async () => {
    const folderOfPeople = folder;
    folder = await mkdtemp(join(root, 'ceremony-'));
    const people = await Promise.all(
      PEOPLE.map(async (member) => ({
        ...member,
        publicKey: (await readFile(join(folderOfPeople, 'people', `${member.person}.key.pub`), 'utf8')).trim(),
      })),
    );
    await writeFile(configFile, CONFIG);
    await writeGenesis(
      folder,
      await prepareGenesis({ folder, configFile, people, demo: false, clock: systemClock }),
      [],
    );
    await cp(join(folderOfPeople, 'people'), join(folder, 'people'), { recursive: true });
    return readRoster(folder);
  };
  const signAll = async (file: string, people: readonly string[]) => {
    const roster = await readRoster(folder);
    for (const person of people) await addSignature(join(folder, file), await signerOf(person), roster);
  };

  test('nothing is in force before everybody has signed the trust root', async () => {
    await begin();
    await expect(inForce()).rejects.toMatchObject({ code: 'authority-invalid' });
    await signAll('trust-root.json', ['901', '902']);
    await signAll('authority.json', ['901', '902', '903']);
    await expect(inForce()).rejects.toThrow('903');
    await signAll('trust-root.json', ['903']);
    expect(await inForce()).toMatchObject({ term: { serial: 1 }, trustRoot: { demo: false } });
  });

  test('nothing is in force with too few signatures on the authority', async () => {
    await begin();
    await signAll('trust-root.json', ['901', '902', '903']);
    await signAll('authority.json', ['901']);
    await expect(inForce()).rejects.toThrow('1 of 2');
  });

  test('each may sign again, and counts once', async () => {
    const roster = await begin();
    await signAll('trust-root.json', ['901', '901', '901']);
    const signing = await addSignature(join(folder, 'trust-root.json'), await signerOf('902'), roster);
    expect(signing).toMatchObject({ what: 'trust root', signed: ['901', '902'], need: 3 });
  });

  test.each([
    ['no JSON', 'hello'],
    ['a roster', '[{"text":"{}","signatures":[]}]'],
    ['another document with signatures', '{"signatures":[]}'],
    ['null', 'null'],
  ])('rejects to sign %s', async (_, content) => {
    const roster = await begin();
    const path = join(folder, 'other.json');
    await writeFile(path, content);
    await expect(addSignature(path, await signerOf('901'), roster)).rejects.toMatchObject({ code: 'approval-form' });
    expect(await readFile(path, 'utf8')).toBe(content);
  });
});

test('the first authority follows nothing, and each next one its predecessor', async () => {
  const before = await inForce();
  const next = unsignedAuthority(await more(), before);
  expect(JSON.parse(next.term)).toMatchObject({ serial: 2 });
  expect(JSON.parse(next.term).previous).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.parse(unsignedAuthority(before.authority, null).term)).toMatchObject({ serial: 1, previous: null });
});

test('a proposal for another tenant is never in force', async () => {
  const other = await proposed((text) => text.replace('tenant: acme', 'tenant: evil'));
  await expect(approveAuthority(folder, await inForce(), other, await signerOf('901'))).rejects.toMatchObject({
    code: 'authority-invalid',
  });
  expect((await inForce()).authority.tenant).toBe('acme');
});

test('a file with faults is no proposal, and each fault has its place', async () => {
  await writeFile(configFile, CONFIG.replace('maxAge: 26h', 'maxAge: 26').replace('tenant: acme', 'tennant: acme'));
  await expect(readProposal(configFile)).rejects.toMatchObject({ code: 'config-invalid' });
  await expect(readProposal(configFile)).rejects.toThrow(/writgate\.yaml:2:1: unknown key tennant/);
});

test('what differs is told by its place, however deep, and nothing else', () => {
  expect(differences({ a: 1, b: [1, 2], c: { d: 1 } }, { c: { d: 2, e: [3] }, b: [1, 2], a: 1 })).toEqual([
    { path: 'c.d', before: 1, after: 2 },
    { path: 'c.e', before: undefined, after: [3] },
  ]);
  expect(differences({ a: [1, 2] }, { a: [2, 1] })).toHaveLength(1);
  expect(differences({ a: null }, { a: {} })).toHaveLength(1);
  expect(differences({ a: { b: 1 } }, { a: 1 })).toEqual([{ path: 'a', before: { b: 1 }, after: 1 }]);
});

test('a signed file is replaced whole', async () => {
  const path = join(folder, 'authority.json');
  await writeSigned(path, unsignedAuthority((await inForce()).authority, null));
  expect((await readFile(path, 'utf8')).endsWith('}\n')).toBe(true);
});
