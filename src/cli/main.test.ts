import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { checkSshSignature } from '../approval/sshsig.ts';
import { NAMESPACE } from '../source/manifest.ts';
import { planOf } from './draw/testing.ts';
import type { Face } from './face.ts';
import { programFor } from './main.ts';
import { exitOf } from './run.ts';
import { tell } from './testing.ts';

/* ---- the page ------------------------------------------------------------------------------------------------------------ */

const silent = { out() {}, err() {} } as unknown as Face;
const pageFile = new URL('../../docs/cli.md', import.meta.url);

function helps(command: Command, path: string): [string, string][] {
  const own: [string, string][] = path === 'writgate' ? [] : [[path, helpOf(command)]];
  return [...own, ...command.commands.flatMap((each) => helps(each, `${path} ${each.name()}`))];
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (piece) => (text += piece), getOutHasColors: () => false });
  command.outputHelp();
  return text.trim();
}

function pageOf(program: Command, prose: string): string {
  const blocks = helps(program, 'writgate').filter(([, text]) => text.includes('Example:'));
  return `${prose}\n${blocks.map(([path, text]) => `## ${path}\n\n\`\`\`\n${text}\n\`\`\`\n`).join('\n')}`;
}

test('docs/cli.md says what --help says (UPDATE_DOCS=1 writes it again)', async () => {
  const written = await readFile(pageFile, 'utf8');
  const [prose = ''] = written.split(/^## writgate /m, 1);
  const page = pageOf(programFor(silent), `${prose.trimEnd()}\n`);
  if (process.env['UPDATE_DOCS'] === '1') await writeFile(pageFile, page);
  else expect(written).toBe(page);
});

test('every command has an example and its exit codes in its help', () => {
  const all = helps(programFor(silent), 'writgate').filter(
    ([, text]) => !text.startsWith('Usage: writgate ledger [') && !text.startsWith('Usage: writgate feed ['),
  );
  expect(all.length).toBeGreaterThan(20);
  for (const [path, text] of all) {
    expect(text, path).toMatch(/\nExample:\n {2}\$ writgate /);
    expect(text, path).toMatch(/\nExit codes:\n {2}0 /);
    expect(text, path).toContain('--json');
  }
});

/* ---- commands that need no role -------------------------------------------------------------------------------------------- */

let root: string;
let demo: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-cli-'));
  demo = join(root, 'demo');
  expect(await tell(['init', '--demo', '--folder', demo])).toMatchObject({ exit: 0 });
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('wrong use is exit 2 and one line that helps', () => {
  test.each([
    ['an unknown command', ['nonsense'], 'unknown command'],
    ['an unknown option', ['plan', '--force'], 'unknown option'],
    ['a missing argument', ['trace'], 'missing required argument'],
    ['an unknown role', ['serve', '--role', 'root'], 'Allowed choices'],
    ['an unknown action', ['person', 'ann', 'promote'], 'Allowed choices'],
    ['a refusal without a reason', ['refuse', 'P1', '--key', 'x'], '--reason'],
    ['no configuration', ['plan'], 'writgate init'],
    [
      'a termination that says neither why nor who',
      ['person', 'ann', 'terminate', '-c', 'CONFIG'],
      '--reason TEXT --by PERSON',
    ],
    [
      'a duration without a unit',
      ['request', 'ann', 'staff', '--for', '8', '--reason', 'x', '-c', 'CONFIG'],
      'no duration',
    ],
    [
      'two people for a beginning',
      ['init', '--folder', 'NEW', '--person', '1=KEY', '--person', '2=KEY'],
      'at least 3 people',
    ],
    ['people both generated and brought', ['init', '--demo', '--person', '1=KEY', '--folder', 'NEW'], 'not both'],
    ['a beginning that is there already', ['init', '--demo', '--folder', 'DEMO'], 'has its beginning already'],
    [
      'a private key where a public one belongs',
      ['init', '--folder', 'NEW', '--person', '1=PRIVATE', '--person', '2=KEY', '--person', '3=KEY'],
      'SSH public key',
    ],
    [
      'evidence that is not there',
      ['evidence', 'check', 'nothing.json', '--trust-root', 'nothing.json'],
      'cannot be read',
    ],
    ['evidence without a trust root', ['evidence', 'check', 'nothing.json'], '--trust-root'],
    [
      'a stamp for a file of no feed',
      ['feed', 'stamp', 'other.csv', '--as-of', 'now', '-c', 'CONFIG'],
      'is of no feed',
    ],
    [
      'a stamp with a time of no zone',
      ['feed', 'stamp', 'FEED', '--as-of', '2027-01-04T06:00:00', '-c', 'CONFIG'],
      'with a zone',
    ],
    ['a signature without a key', ['sign', 'TRUST'], '--key FILE'],
    ['two ways to sign at once', ['sign', 'TRUST', '--key', 'PRIVATE', '--agent'], '--key FILE, or --agent'],
  ])('%s', async (_, args, message) => {
    const names: Record<string, string> = {
      CONFIG: join(demo, 'writgate.yaml'),
      NEW: join(root, 'new'),
      DEMO: demo,
      KEY: join(demo, '.writgate', 'people', '901.key.pub'),
      PRIVATE: join(demo, '.writgate', 'people', '901.key'),
      FEED: join(demo, 'people.csv'),
      TRUST: join(demo, '.writgate', 'trust-root.json'),
    };
    const filled = args.map((arg) => arg.replace(/[A-Z]{3,}$/, (name) => names[name] ?? name));
    const told = await tell(filled);
    expect(told.exit, told.err).toBe(2);
    expect(told.err).toContain(message);
    expect(told.out).toBe('');
  });
});

test('a failure with --json is a problem that a program can read', async () => {
  const told = await tell(['plan', '--json', '-c', join(root, 'nothing.yaml')]);
  expect(told.exit).toBe(2);
  expect(JSON.parse(told.out)).toMatchObject({ problem: { code: 'config-invalid' } });
});

test('a command in a folder where nothing is in force says how to begin', async () => {
  const folder = join(root, 'empty');
  expect(await tell(['init', '--folder', folder])).toMatchObject({ exit: 0 });
  for (const args of [['plan'], ['run'], ['authority']]) {
    const told = await tell([...args, '-c', join(folder, 'writgate.yaml')]);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.err).toContain('writgate init');
  }
});

describe('init', () => {
  test('writes a configuration that check takes, and says that it is a demo', async () => {
    const told = await tell(['check', '-c', join(demo, 'writgate.yaml')]);
    expect(told).toMatchObject({ exit: 0 });
    expect(told.out).toContain('no problems');
    expect(told.out).toMatch(/feed {2}hr {2}3 records, as of .* \(claimed\): accepted/);
    expect(JSON.parse(await readFile(join(demo, '.writgate', 'trust-root.json'), 'utf8')).trustRoot.demo).toBe(true);
  });

  test('leaves a configuration that is there as it is', async () => {
    const folder = await mkdtemp(join(root, 'kept-'));
    const text = `# mine\n${await readFile(join(demo, 'writgate.yaml'), 'utf8')}`;
    await writeFile(join(folder, 'writgate.yaml'), text);
    expect((await tell(['init', '--demo', '--folder', folder])).out).toContain('stays');
    expect(await readFile(join(folder, 'writgate.yaml'), 'utf8')).toBe(text);
  });

  test('a ceremony with three people: each signs, and then it is in force and no demo', async () => {
    const folder = join(root, 'ceremony');
    const key = (person: string) => join(demo, '.writgate', 'people', `${person}.key`);
    const people = ['901', '902', '903'];
    const told = await tell([
      'init',
      '--folder',
      folder,
      '--tenant',
      'globex',
      ...people.flatMap((person) => ['--person', `${person}=${key(person)}.pub`]),
    ]);
    expect(told).toMatchObject({ exit: 0 });
    const files = ['trust-root.json', 'authority.json'].map((name) => join(folder, '.writgate', name));
    for (const [index, person] of people.entries()) {
      const signed = await tell(['sign', ...files, '--key', key(person)]);
      expect(signed.exit, signed.err).toBe(index === 2 ? 0 : 4);
    }
    const shown = await tell(['authority', '-c', join(folder, 'writgate.yaml')]);
    expect(shown).toMatchObject({ exit: 0, out: 'In force: authority 1, as writgate.yaml says.' });
    expect(JSON.parse(await readFile(files[0]!, 'utf8')).trustRoot).toMatchObject({ demo: false, tenant: 'globex' });
  });
});

describe('authority', () => {
  let config: string;
  let folder: string;
  const key = (person: string) => join(folder, '.writgate', 'people', `${person}.key`);
  beforeEach(async () => {
    folder = await mkdtemp(join(root, 'authority-'));
    config = join(folder, 'writgate.yaml');
    await tell(['init', '--demo', '--folder', folder]);
    await writeFile(config, (await readFile(config, 'utf8')).replace('grants: { count: 50,', 'grants: { count: 60,'));
  });

  test('an edit is shown, waits for the quorum, and is in force with it', async () => {
    const shown = await tell(['authority', '-c', config]);
    expect(shown).toMatchObject({ exit: 4 });
    expect(shown.out).toContain('~ limits.grants.count: 50 → 60');
    expect(await tell(['authority', 'approve', '--yes', '--key', key('901'), '-c', config])).toMatchObject({ exit: 4 });
    expect(await tell(['authority', 'approve', '--yes', '--key', key('901'), '-c', config])).toMatchObject({ exit: 4 });
    const second = await tell(['authority', 'approve', '--yes', '--key', key('902'), '-c', config]);
    expect(second).toMatchObject({ exit: 0 });
    expect(second.out).toContain('Authority 2 is in force, signed by 901, 902');
    expect(await tell(['authority', '-c', config])).toMatchObject({ exit: 0 });
  });

  test('nobody signs without having been asked', async () => {
    const told = await tell(['authority', 'approve', '--key', key('901'), '-c', config]);
    expect(told).toMatchObject({ exit: 2 });
    expect(told.err).toContain('--yes');
    expect(await readFile(join(folder, '.writgate', 'authority.next.json')).catch(() => null)).toBeNull();
  });

  test('another person’s key does not sign as somebody', async () => {
    const told = await tell(['authority', 'approve', '--yes', '--key', key('901'), '--as', '902', '-c', config]);
    expect(told).toMatchObject({ exit: 4 });
    expect(told.err).toContain('the key is that of 901');
  });
});

describe('feed stamp', () => {
  const config = () => join(demo, 'writgate.yaml');
  const manifest = () => readFile(join(demo, 'people.manifest.json'), 'utf8');

  test('says when, how many and which bytes; signed, it checks with OpenSSH’s format', async () => {
    const told = await tell([
      'feed',
      'stamp',
      join(demo, 'people.csv'),
      '--as-of',
      '2027-01-04T06:00:00Z',
      '--key',
      join(demo, '.writgate', 'people', '903.key'),
      '-c',
      config(),
    ]);
    expect(told).toMatchObject({ exit: 0, err: '' });
    const text = await manifest();
    const sha256 = createHash('sha256')
      .update(await readFile(join(demo, 'people.csv')))
      .digest('hex');
    expect(JSON.parse(text)).toEqual({ v: 1, file: 'people.csv', asOf: '2027-01-04T06:00:00.000Z', rows: 3, sha256 });
    const armored = await readFile(join(demo, 'people.manifest.json.sig'), 'utf8');
    expect(checkSshSignature({ armored, namespace: NAMESPACE, message: text }).ok).toBe(true);
  });

  test('a key that cannot sign leaves the manifest that was there', async () => {
    const before = await manifest();
    expect(
      (await tell(['feed', 'stamp', join(demo, 'people.csv'), '--as-of', 'now', '--key', config(), '-c', config()]))
        .exit,
    ).toBe(2);
    expect(await manifest()).toBe(before);
  });
});

describe('ledger check', () => {
  test('no ledger is no good ledger', async () => {
    const told = await tell(['ledger', 'check', '-c', join(demo, 'writgate.yaml')]);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.out).toContain('checkpoint-missing');
  });

  test('a trust root that was edited is none', async () => {
    const file = join(root, 'edited.json');
    await writeFile(
      file,
      (await readFile(join(demo, '.writgate', 'trust-root.json'), 'utf8')).replace('"demo":true', '"demo":false'),
    );
    const told = await tell(['ledger', 'check', '--trust-root', file, '-c', join(demo, 'writgate.yaml')]);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.err).toContain('the trust root does not hold');
  });
});

describe('evidence check', () => {
  test.each([
    ['an empty file', ''],
    ['no JSON', 'hello'],
    ['another document', '{}'],
  ])('%s is no evidence', async (_, text) => {
    const file = join(root, 'some.evidence.json');
    await writeFile(file, text);
    const told = await tell(['evidence', 'check', file, '--trust-root', join(demo, '.writgate', 'trust-root.json')]);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.out).toContain('DOES NOT HOLD');
  });
});

test.each([
  [5, { verified: 9, contradicted: 1, failed: 1 }],
  [1, { verified: 9, failed: 1, waiting: 3 }],
  [3, { verified: 9, denied: 1, waiting: 3 }],
  [4, { verified: 9, inconclusive: 1 }],
  [4, { verified: 9, held: 1 }],
  [0, { verified: 9, superseded: 2 }],
] as const)('run ends with %d for %o, by the gravest that happened', (exit, stages) => {
  expect(exitOf([planOf({ stages })])).toBe(exit);
});

test('run does not end with 0 while a plan refuses itself', () => {
  expect(exitOf([planOf({ state: 'refused', stages: {} })])).toBe(3);
});
