import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parsePrivateKey } from '../approval/private.ts';
import { configTemplate } from '../cli/template.ts';
import { systemClock, systemRandom } from '../clock.ts';
import { generateBoxKey } from '../gateway/box.ts';
import { demoGenesis } from './genesis.ts';
import { believe, fileMemory } from './memory.ts';
import { approveAuthority, readProposal } from './propose.ts';

const CONFIG = configTemplate({
  tenant: 'acme',
  owner: '100',
  delivery: generateBoxKey().publicKey,
  expires: '2099-01-01',
});
const PEOPLE = ['901', '902', '903'].map((person) => ({ person, name: person, roles: ['security'] }));

let root: string;
let configFile: string;
let folder: string;
let path: string;
const start = () => believe(folder, systemClock.now(), fileMemory(path));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-memory-'));
  configFile = join(root, 'writgate.yaml');
  await writeFile(configFile, CONFIG);
  for (const name of ['first', 'second']) {
    await demoGenesis({
      folder: join(root, name),
      configFile,
      people: PEOPLE,
      clock: systemClock,
      random: systemRandom,
    });
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(root, 'data-'));
  path = join(folder, 'role', 'heads.json');
  await cp(join(root, 'first'), folder, { recursive: true });
});

/** Puts the next authority in force, with the signatures of two. */
async function enact(count: number): Promise<void> {
  await writeFile(configFile, CONFIG.replace('count: 50', `count: ${count}`));
  const { authority } = await readProposal(configFile);
  const before = await believe(folder, systemClock.now(), fileMemory(join(folder, 'none', 'heads.json')));
  for (const person of ['901', '902']) {
    const key = parsePrivateKey(await readFile(join(folder, 'people', `${person}.key`), 'utf8'));
    await approveAuthority(folder, before, authority, key);
  }
}

test('an old authority with all its signatures does not come back', async () => {
  const old = await readFile(join(folder, 'authority.json'), 'utf8');
  await start();
  await enact(60);
  expect((await start()).term.serial).toBe(2);
  await writeFile(join(folder, 'authority.json'), old);
  await expect(start()).rejects.toThrow(/authority 1 .* is not the authority 2 .*somebody rolls back/);
});

test('what was refused is not remembered', async () => {
  const old = await readFile(join(folder, 'authority.json'), 'utf8');
  await start();
  await enact(60);
  const newest = await readFile(join(folder, 'authority.json'), 'utf8');
  await start();
  await writeFile(join(folder, 'authority.json'), old);
  await expect(start()).rejects.toMatchObject({ code: 'authority-invalid' });
  await writeFile(join(folder, 'authority.json'), newest);
  expect((await start()).term.serial).toBe(2);
});

test('another authority of the same serial, and another trust root, are refused', async () => {
  await start();
  const elsewhere = join(root, 'second');
  await cp(join(elsewhere, 'trust-root.json'), join(folder, 'trust-root.json'));
  await cp(join(elsewhere, 'roster.json'), join(folder, 'roster.json'));
  await cp(join(elsewhere, 'authority.json'), join(folder, 'authority.json'));
  await expect(start()).rejects.toThrow(/trust-root 1 .* is not the trust-root 1/);
});

test('a last objection keeps it from being remembered', async () => {
  const refuse = () => {
    throw new Error('not mine');
  };
  await expect(believe(folder, systemClock.now(), fileMemory(path), refuse)).rejects.toThrow('not mine');
  expect(await fileMemory(path).load()).toEqual([]);
});

test('a memory that cannot be read is no empty one', async () => {
  await start();
  for (const text of ['', '[]', '{}', '[{"kind":"authority","serial":0,"digest":""}]', 'null']) {
    await writeFile(path, text);
    await expect(start(), text).rejects.toMatchObject({ code: 'authority-invalid' });
  }
});

test('the memory is the role’s own to read', async () => {
  await start();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
});
