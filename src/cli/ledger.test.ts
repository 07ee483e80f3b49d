import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemAmbient, systemRandom } from '../clock.ts';
import { openDisk } from '../ledger/disk.ts';
import { sealEntry } from '../ledger/entry.ts';
import { memoryHead } from '../ledger/head.ts';
import { openLog } from '../ledger/log.ts';
import { COSIGNATURE, createSigner, formatVerifier, parseNote, parseVerifier, signatureLine } from '../ledger/note.ts';
import { readKey } from '../trust/key.ts';
import { tell } from './testing.ts';

let root: string;
let trustRoot: string;
/** A ledger as the roles leave it, alone in a folder. */
let copy: string;
let witnessKey: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-cli-ledger-'));
  expect(await tell(['init', '--demo', '--folder', join(root, 'demo')])).toMatchObject({ exit: 0 });
  const data = join(root, 'demo', '.writgate');
  trustRoot = join(root, 'trust-root.json');
  await cp(join(data, 'trust-root.json'), trustRoot);
  copy = join(root, 'copy');
  const { logKey } = JSON.parse(await readFile(trustRoot, 'utf8')).trustRoot as { logKey: string };
  const origin = parseVerifier(logKey).name;
  const witness = createSigner(`${origin}/witness`, await readKey(data, 'witness'), COSIGNATURE);
  witnessKey = formatVerifier(witness.verifier);
  const signer = createSigner(origin, await readKey(data, 'log'));
  const log = await openLog({
    ...systemAmbient,
    disk: openDisk(systemRandom),
    folder: copy,
    origin,
    signer,
    head: memoryHead(),
  });
  const base = { at: 1767225600000, tenant: 'acme', body: {}, random: systemRandom };
  await log.submitAll([
    sealEntry({
      ...base,
      by: 'gateway',
      kind: 'gateway.witness',
      refs: { witness: witnessKey },
      signWith: await readKey(data, 'gateway'),
    }).entry,
    ...Array.from(
      { length: 300 },
      (_, index) => sealEntry({ ...base, by: 'control', kind: 'plan.made', refs: { plan: `P${index}` } }).entry,
    ),
  ]);
  await log.published();
  const note = log.checkpoint();
  await log.publishCosigned(note + signatureLine(parseNote(note)?.text ?? '', witness, 1767225600));
  await log.close();
  // Nothing of the machine that made it.
  await rm(join(root, 'demo'), { recursive: true });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const check = (...more: string[]) => tell(['ledger', 'check', '--ledger', copy, '--trust-root', trustRoot, ...more]);

describe('an auditor with a copy of the ledger and the trust root', () => {
  test('needs nothing else', async () => {
    const told = await check();
    expect(told).toMatchObject({ exit: 0, err: '' });
    expect(told.out).toContain('301 entries');
    expect(told.out).toContain('the ledger holds.');
    expect(told.out).toContain('--roster FILE');
  });

  test('may name the witness that he knows, and is refused another', async () => {
    expect(await check('--witness', witnessKey)).toMatchObject({ exit: 0 });
    const { privateKey } = generateKeyPairSync('ed25519');
    const other = formatVerifier(createSigner('other/witness', privateKey, COSIGNATURE).verifier);
    const told = await check('--witness', other);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.out).toContain('witness-quorum');
  });

  test('is told the way out when the ledger names no witness', async () => {
    const entries = await readFile(join(copy, 'entries'));
    const emptied = Buffer.from(entries);
    emptied.write('gateway.witnesS', entries.indexOf('gateway.witness'));
    await writeFile(join(copy, 'entries'), emptied);
    const told = await check();
    await writeFile(join(copy, 'entries'), entries);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.out).toContain('witness-unknown');
    expect(told.out).toContain('The way out: --witness VKEY');
  });

  test('sees no stack trace, whatever one byte in a file, or a file that is none, does to it', async () => {
    const names = (await readdir(copy, { recursive: true, withFileTypes: true }))
      .filter((item) => item.isFile())
      .map((item) => join(item.parentPath, item.name));
    expect(names.length).toBeGreaterThan(5);
    for (const path of names) {
      const bytes = await readFile(path);
      for (const at of [0, Math.floor(bytes.length / 2), bytes.length - 1]) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 0xff;
        await writeFile(path, changed);
        const told = await check();
        expect([path, at, told.exit, told.err]).toEqual([path, at, 5, '']);
        expect(told.out).toContain('THE LEDGER DOES NOT HOLD');
      }
      await rm(path);
      await mkdir(path);
      const told = await check();
      expect([path, told.exit]).toEqual([path, told.err === '' ? 5 : 2]);
      expect(`${told.out}${told.err}`).not.toMatch(/\n\s+at /);
      await rm(path, { recursive: true });
      await writeFile(path, bytes);
    }
    expect(await check()).toMatchObject({ exit: 0 });
  });

  test.each([
    ['no file', null, 2],
    ['no JSON', 'hello', 5],
    ['another document', '{}\n', 5],
  ])('a trust root that is %s is refused', async (_, text, exit) => {
    const file = join(root, 'other.json');
    await rm(file, { force: true });
    if (text !== null) await writeFile(file, text);
    const told = await tell(['ledger', 'check', '--ledger', copy, '--trust-root', file]);
    expect(told.exit).toBe(exit);
    expect(told.err).not.toMatch(/\n\s+at /);
  });

  test('a roster that is not the one of the trust root is refused', async () => {
    const file = join(root, 'roster.json');
    for (const text of ['hello', '[]', '{}', 'null', '[{"text":"{}","signatures":[]}]']) {
      await writeFile(file, text);
      const told = await check('--roster', file);
      expect([text, told.exit]).toEqual([text, 5]);
      expect(told.err).toMatch(/trust root does not hold|roster is no JSON/);
    }
  });
});
