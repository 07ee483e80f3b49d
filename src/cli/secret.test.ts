import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateBoxKey, openBox } from '../gateway/box.ts';
import { readKeyText } from '../trust/key.ts';
import { configTemplate } from './template.ts';
import { tell } from './testing.ts';

let folder: string;
let config: string;
const connector = (name: string, duties: string, credential: string, on = 'crm') =>
  `  ${name}: { on: ${on}, duties: [${duties}], owner: "${duties === 'verify' ? '108' : '103'}", credential: ${credential}, scope: [read User], expires: 2099-01-01 }\n`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writgate-secret-'));
  config = join(folder, 'writgate.yaml');
  await tell(['init', '--demo', '--folder', folder]);
  const text = configTemplate({
    tenant: 'acme',
    owner: '100',
    delivery: generateBoxKey().publicKey,
    expires: '2099-01-01',
  })
    .replace(
      'targets: {} ',
      'targets:\n  crm: { scim: "http://127.0.0.1:9/scim" }\n  pay: { postgres: "postgres://127.0.0.1:9/pay", match: rolname == person.login }\n#',
    )
    .replace(
      'connectors: {} ',
      `profile: centralised\nconnectors:\n${connector('crm-read', 'read', 'crm-r')}${connector('crm-verify', 'verify', 'crm-v')}${connector('pay-read', 'read', 'pay-r', 'pay')}#`,
    );
  await writeFile(config, text);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const secret = (name: string, input: string) => tell(['secret', name, '-c', config], { input });
const sealed = (name: string) => readFile(join(folder, '.writgate', 'secrets', `${name}.sealed`), 'utf8');
const TOKEN = '{"kind":"bearer","token":"s3cr3t-t0ken"}';

describe('a credential reaches one process', () => {
  test('a reader’s opens with the gateway’s key, and with the verifier’s it does not', async () => {
    const told = await secret('crm-r', TOKEN);
    expect(told).toMatchObject({ exit: 0 });
    expect(told.out).toContain('sealed to the gateway');
    const box = (await sealed('crm-r')).trim();
    const data = join(folder, '.writgate');
    expect(JSON.parse(openBox(box, await readKeyText(data, 'gatewayBox')))).toMatchObject({
      credential: 'crm-r',
      secret: { token: 's3cr3t-t0ken' },
    });
    const verifier = await readKeyText(data, 'verifierBox');
    expect(() => openBox(box, verifier)).toThrow('does not open');
  });

  test('a verifier’s does not open with the gateway’s', async () => {
    expect((await secret('crm-v', TOKEN)).out).toContain('sealed to the verifier');
    const box = (await sealed('crm-v')).trim();
    const gateway = await readKeyText(join(folder, '.writgate'), 'gatewayBox');
    expect(() => openBox(box, gateway)).toThrow('does not open');
  });

  test('it is never told again, and nobody else may read its file', async () => {
    const told = await secret('crm-r', TOKEN);
    expect(told.out + told.err).not.toContain('s3cr3t');
    const path = join(folder, '.writgate', 'secrets', 'crm-r.sealed');
    expect((await stat(path)).mode & 0o077).toBe(0);
    expect(await sealed('crm-r')).not.toContain('s3cr3t');
    expect((await readdir(join(folder, '.writgate', 'secrets'))).filter((name) => !name.endsWith('.sealed'))).toEqual(
      [],
    );
  });
});

describe('refuses', () => {
  test.each([
    ['an unknown credential', 'nothing', TOKEN, 'no connector uses'],
    ['a path for a name', '../../evil', TOKEN, 'no connector uses'],
    ['no JSON', 'crm-r', 's3cr3t-raw', 'not JSON'],
    ['nothing on stdin', 'crm-r', '', 'not JSON'],
    ['an empty token', 'crm-r', '{"kind":"bearer","token":""}', 'does not fit scim at token'],
    ['a bind on SCIM', 'crm-r', '{"kind":"bind","dn":"cn=s3cr3t","password":"s3cr3t"}', 'does not fit scim'],
    ['a token for a database', 'pay-r', TOKEN, 'does not fit postgres'],
    [
      'members that do not belong',
      'crm-r',
      '{"kind":"bearer","token":"s3cr3t","url":"https://evil"}',
      'does not fit scim',
    ],
  ])('%s, and never shows what came', async (_, name, input, message) => {
    const told = await secret(name, input);
    expect(told.exit).toBe(2);
    expect(told.err).toContain(message);
    expect(told.out + told.err).not.toContain('s3cr3t');
  });

  test('one secret that would both write and check what was written', async () => {
    const text = await readFile(config, 'utf8');
    await writeFile(config, text.replace('credential: crm-v', 'credential: crm-r'));
    const told = await secret('crm-r', TOKEN);
    await writeFile(config, text);
    expect(told.exit).toBe(2);
  });

  test('a folder in which nothing began', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'writgate-secret-'));
    await writeFile(join(empty, 'writgate.yaml'), await readFile(config, 'utf8'));
    const told = await tell(['secret', 'crm-r', '-c', join(empty, 'writgate.yaml')], { input: TOKEN });
    expect(told).toMatchObject({ exit: 5 });
    expect(told.err).toContain('writgate init');
    await rm(empty, { recursive: true });
  });
});
