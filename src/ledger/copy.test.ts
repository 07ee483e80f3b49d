/** An auditor's copy of a ledger, and the keys of the trust root: nothing else. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemAmbient, systemRandom } from '../clock.ts';
import { checkLedger, type LedgerReport } from './check.ts';
import { openDisk } from './disk.ts';
import { draftEntry, sealDrafts, sealEntry } from './entry.ts';
import { memoryHead } from './head.ts';
import { openLog } from './log.ts';
import { COSIGNATURE, createSigner, formatVerifier, parseNote, type Signer, signatureLine } from './note.ts';
import { gateway, logKey, newEntries, newFolder, newKey, ORIGIN, roleKeys, signer } from './testing.ts';

const witness = createSigner(`${ORIGIN}/witness`, newKey(), COSIGNATURE);
const base = { at: 1767225600000, by: 'gateway' as const, tenant: 'acme', body: {}, random: systemRandom };
const naming = (vkey: string, signWith = gateway.privateKey): Buffer =>
  sealEntry({ ...base, kind: 'gateway.witness', refs: { witness: vkey }, signWith }).entry;
const joint = (count: number): Buffer[] =>
  sealDrafts(
    Array.from({ length: count }, (_, place) =>
      draftEntry({ ...base, kind: 'gateway.intent', refs: { change: `P1.${place}` } }),
    ),
    gateway.privateKey,
  ).map(({ entry }) => entry);

/** A ledger as the roles leave it: cosigned, with entries of all makes. */
async function ledger(named: readonly Buffer[], by: readonly Signer[] = [witness], size = 600): Promise<string> {
  const folder = newFolder();
  const log = await openLog({
    ...systemAmbient,
    disk: openDisk(systemRandom),
    folder,
    origin: ORIGIN,
    signer,
    head: memoryHead(),
  });
  const before = [...named, ...joint(40)];
  await log.submitAll([...before, ...newEntries(size - before.length)]);
  await log.published();
  const note = log.checkpoint();
  await log.publishCosigned(
    note + by.map((key) => signatureLine(parseNote(note)?.text ?? '', key, 1767225600)).join(''),
  );
  await log.close();
  return folder;
}
const audit = (folder: string, threads = 0): Promise<LedgerReport> =>
  checkLedger({ folder, logKey, roleKeys, vouchedWitnesses: 1, threads });
const codes = ({ findings }: LedgerReport) => [...new Set(findings.map(({ code }) => code))];

describe('the witness that is asked for', () => {
  it('is the one that the gateway names, also the newest of several', async () => {
    expect(codes(await audit(await ledger([naming(formatVerifier(witness.verifier))])))).toEqual([]);
    const earlier = formatVerifier(createSigner(`${ORIGIN}/witness`, newKey(), COSIGNATURE).verifier);
    expect(codes(await audit(await ledger([naming(earlier), naming(formatVerifier(witness.verifier))])))).toEqual([]);
  });

  it('is unknown when the gateway names none, and then nothing holds', async () => {
    const found = await audit(await ledger([]));
    expect(codes(found)).toEqual(['witness-unknown', 'witness-quorum']);
  });

  it('is not the one that control names, under whatever key or name', async () => {
    const own = createSigner(`${ORIGIN}/witness`, newKey(), COSIGNATURE);
    const vkey = formatVerifier(own.verifier);
    const unsigned = sealEntry({ ...base, by: 'control', kind: 'gateway.witness', refs: { witness: vkey } }).entry;
    const signed = sealEntry({
      ...base,
      by: 'control',
      kind: 'gateway.witness',
      refs: { witness: vkey },
      signWith: gateway.privateKey,
    }).entry;
    const forged = naming(vkey, newKey());
    expect(codes(await audit(await ledger([unsigned], [own])))).toContain('witness-unknown');
    expect(codes(await audit(await ledger([signed], [own])))).toContain('witness-unknown');
    expect(codes(await audit(await ledger([forged], [own])))).toEqual(
      expect.arrayContaining(['entry-signature', 'witness-unknown']),
    );
  });

  it('is not the log itself, nor a key that does not cosign', async () => {
    const self = createSigner(`${ORIGIN}/witness`, signer.privateKey, COSIGNATURE);
    expect(codes(await audit(await ledger([naming(formatVerifier(self.verifier))], [self])))).toContain(
      'witness-quorum',
    );
    expect(codes(await audit(await ledger([naming(logKey)])))).toContain('witness-unknown');
    expect(codes(await audit(await ledger([naming('no key at all')])))).toContain('witness-unknown');
  });

  it('must have cosigned the very tree that is shown', async () => {
    const folder = await ledger([naming(formatVerifier(witness.verifier))], []);
    expect(codes(await audit(folder))).toEqual(['witness-quorum']);
    rmSync(join(folder, 'checkpoint.cosigned'));
    expect(codes(await audit(folder))).toEqual(['witness-quorum']);
  });
});

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());

describe('one changed byte', async () => {
  const whole = await ledger([naming(formatVerifier(witness.verifier))]);
  const served = newFolder();
  cpSync(whole, served, { recursive: true });
  rmSync(join(served, 'entries'));

  it('has a place in every kind of file', () => {
    const names = filesOf(whole).map((path) => relative(whole, path));
    for (const kind of [
      /^entries$/,
      /^checkpoint$/,
      /^checkpoint\.cosigned$/,
      /^tile\/0\//,
      /^tile\/1\//,
      /^tile\/entries\//,
    ])
      expect(names.some((name) => kind.test(name))).toBe(true);
    expect(names.filter((name) => !/^(entries|checkpoint|checkpoint\.cosigned|tile\/.*)$/.test(name))).toEqual([]);
  });

  it.each([
    ['the whole folder', whole],
    ['what a file server shows', served],
  ])('anywhere in %s is found, and said where', async (_, folder) => {
    expect(await audit(folder)).toMatchObject({ ok: true, size: 600 });
    const files = filesOf(folder);
    const [file, where, flip] = [fc.nat(files.length - 1), fc.nat(), fc.integer({ min: 1, max: 255 })];
    await fc.assert(
      fc.asyncProperty(file, where, flip, async (chosen, at, bits) => {
        const path = files[chosen]!;
        const bytes = readFileSync(path);
        const changed = Buffer.from(bytes);
        changed[at % bytes.length]! ^= bits;
        writeFileSync(path, changed);
        try {
          const { ok, findings } = await audit(folder);
          expect(ok).toBe(false);
          const told = findings.map(({ message, index }) => `${index ?? ''} ${message}`).join('\n');
          // An entry by its number; a checkpoint or a tile by its name.
          const name = relative(folder, path);
          if (/^checkpoint/.test(name)) expect(told).toMatch(/checkpoint|cosigned/);
          else if (/^tile\/[0-9]/.test(name))
            expect(told).toContain(`${name} is not what the entries make it, from byte ${at % bytes.length}`);
          else
            expect(
              findings.some(
                ({ index, code }) => index !== undefined || code === 'log-short' || code === 'tile-differs',
              ),
            ).toBe(true);
        } finally {
          writeFileSync(path, bytes);
        }
      }),
      { numRuns: 150 },
    );
  });

  it.each([
    ['the whole folder', whole],
    ['what a file server shows', served],
  ])('too many or too few at the end of a file in %s is found as well', async (_, folder) => {
    for (const path of filesOf(folder)) {
      const bytes = readFileSync(path);
      for (const changed of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.of(0)]), Buffer.alloc(0)]) {
        writeFileSync(path, changed);
        expect([path, (await audit(folder)).ok]).toEqual([path, false]);
      }
      rmSync(path);
      // Without the one file of entries, the bundles still say it all.
      expect([path, (await audit(folder)).ok]).toEqual([path, relative(folder, path) === 'entries']);
      writeFileSync(path, bytes);
    }
    expect((await audit(folder)).ok).toBe(true);
  });
});

const COMPILED = new URL('../../dist/src/ledger/check.js', import.meta.url);

describe('threads', () => {
  it('find what one finds, in the same order', async () => {
    // The threads' program is the compiled one; `npm test` compiles first.
    expect(existsSync(COMPILED)).toBe(true);
    const compiled = (await import(COMPILED.href)) as { readonly checkLedger: typeof checkLedger };
    const stranger = newKey();
    const forged = joint(1).map((entry) => Buffer.from(entry.toString().replace('"tenant":"acme"', '"tenant":"acne"')));
    const folder = await ledger(
      [naming(formatVerifier(witness.verifier)), ...forged, naming('x', stranger), ...joint(256), ...joint(3)],
      [witness],
      20_000,
    );
    const one = await audit(folder);
    const several = await compiled.checkLedger({ folder, logKey, roleKeys, vouchedWitnesses: 1, threads: 3 });
    expect(several).toEqual(one);
    expect(one.findings.map(({ code, index }) => [code, index])).toEqual([
      ['entry-signature', 1],
      ['entry-signature', 2],
    ]);
    const sound = await ledger([naming(formatVerifier(witness.verifier)), ...joint(200)], [witness], 25_000);
    expect(
      await compiled.checkLedger({ folder: sound, logKey, roleKeys, vouchedWitnesses: 1, threads: 2 }),
    ).toMatchObject({ ok: true, size: 25_000 });
  });
});
