import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemAmbient, systemRandom } from '../clock.ts';
import { checkLedger, checkProof } from './check.ts';
import { formatCheckpoint } from './checkpoint.ts';
import { openDisk } from './disk.ts';
import { openEntry, sealEntry } from './entry.ts';
import { memoryHead } from './head.ts';
import { openLog } from './log.ts';
import { COSIGNATURE, createSigner, formatVerifier, signatureLine, signNote } from './note.ts';
import { formatProof, parseProof } from './proof.ts';
import {
  check,
  gateway,
  logKey,
  newEntries,
  newEntry,
  newFolder,
  newKey,
  ORIGIN,
  roleKeys,
  signer,
} from './testing.ts';
import { frameEntries, splitEntries, tilePath } from './tile.ts';
import { buildTree, leafHash, treeRoot } from './tree.ts';

const witness = createSigner('w1.example', newKey(), COSIGNATURE);
const other = createSigner('w2.example', newKey(), COSIGNATURE);
const vkeys = [witness, other].map(({ verifier }) => formatVerifier(verifier));
const textOf = (note: string) => note.slice(0, note.lastIndexOf('\n\n') + 1);
const cosign = (note: string, ...by: (typeof witness)[]) =>
  note + by.map((key) => signatureLine(textOf(note), key, 7)).join('');

async function ledger(size = 600) {
  const folder = newFolder();
  const entries = newEntries(size);
  entries[5] = newEntry('gateway');
  const log = await openLog({
    ...systemAmbient,
    folder,
    origin: ORIGIN,
    signer,
    head: memoryHead(),
    disk: openDisk(systemRandom),
  });
  await log.submitAll(entries);
  await log.published();
  return { folder, log, entries };
}

/** Replaces the entries, keeping the published checkpoint. */
const rewrite = (folder: string, entries: readonly Buffer[]) =>
  writeFileSync(join(folder, 'entries'), frameEntries(entries));
/** What an operator with the log's key can do: publish whatever he likes. */
const publish = (folder: string, entries: readonly Buffer[], key = signer) => {
  const text = formatCheckpoint({ origin: ORIGIN, size: entries.length, root: treeRoot(entries.map(leafHash)) });
  writeFileSync(join(folder, 'checkpoint'), signNote(text, key));
  // Tiles of his own making would be right again.
  rmSync(join(folder, 'tile'), { recursive: true, force: true });
};
const codes = (report: { findings: readonly { code: string }[] }) => report.findings.map(({ code }) => code);

describe('the checker finds', async () => {
  const { folder, log, entries } = await ledger();
  await log.close();
  const note = readFileSync(join(folder, 'checkpoint'), 'utf8');
  const pristine = newFolder();
  cpSync(folder, pristine, { recursive: true });
  const reset = () => {
    rmSync(folder, { recursive: true });
    cpSync(pristine, folder, { recursive: true });
  };
  const find = async (change: () => void, more: Parameters<typeof check>[1] = {}) => {
    reset();
    change();
    const report = await check(folder, more);
    expect(report.ok).toBe(report.findings.length === 0);
    return report;
  };

  it('nothing wrong with what is right', async () => {
    const report = await find(() => {});
    expect(report).toEqual({ ok: true, size: 600, root: treeRoot(entries.map(leafHash)), findings: [] });
  });

  it('one edited bit, wherever it is, and which entry it is in', async () => {
    const bytes = frameEntries(entries);
    const starts = new Set<number>();
    for (const at of [2, 700, 70_000, bytes.length - 1]) {
      const report = await find(() => {
        const edited = Buffer.from(bytes);
        edited[at]! ^= 0x20;
        writeFileSync(join(folder, 'entries'), edited);
      });
      expect(codes(report)).toContain('root-differs');
      const { index } = report.findings.find(({ code }) => code === 'root-differs')!;
      expect(splitEntries(bytes.subarray(0, at)).entries.length).toBe(index);
      starts.add(index!);
    }
    expect(starts.size).toBe(4);
  });

  it('an edited length', async () => {
    const report = await find(() => {
      const edited = frameEntries(entries);
      edited[0] = 255;
      writeFileSync(join(folder, 'entries'), edited);
    });
    expect(report.ok).toBe(false);
  });

  it('an edited entry that is still well formed', async () => {
    const report = await find(() => rewrite(folder, entries.with(300, newEntry())));
    expect(report.findings).toEqual([expect.objectContaining({ code: 'root-differs', index: 300 })]);
  });

  it('a removed entry', async () => {
    expect(codes(await find(() => rewrite(folder, entries.toSpliced(300, 1))))).toEqual(['log-short']);
    const report = await find(() => rewrite(folder, [...entries.toSpliced(300, 1), newEntry()]));
    expect(report.findings).toEqual([expect.objectContaining({ code: 'root-differs', index: 300 })]);
  });

  it('two swapped entries', async () => {
    const report = await find(() => rewrite(folder, entries.with(10, entries[400]!).with(400, entries[10]!)));
    expect(report.findings).toEqual([expect.objectContaining({ code: 'root-differs', index: 10 })]);
  });

  it('an entry put in between', async () => {
    expect(codes(await find(() => rewrite(folder, entries.toSpliced(300, 0, newEntry()))))).toEqual([
      'log-long',
      'root-differs',
    ]);
  });

  it('a truncated log', async () => {
    expect(codes(await find(() => rewrite(folder, entries.slice(0, 599))))).toEqual(['log-short']);
    expect(
      codes(await find(() => writeFileSync(join(folder, 'entries'), frameEntries(entries).subarray(0, -1)))),
    ).toEqual(['log-long', 'log-short']);
    expect(codes(await find(() => rewrite(folder, [])))).toEqual(['log-short']);
  });

  it('bytes and entries that no checkpoint covers', async () => {
    expect(codes(await find(() => rewrite(folder, [...entries, newEntry()])))).toEqual(['log-long']);
    expect(
      codes(
        await find(() => writeFileSync(join(folder, 'entries'), Buffer.concat([frameEntries(entries), Buffer.of(0)]))),
      ),
    ).toEqual(['log-long']);
  });

  it('a missing, foreign or edited checkpoint', async () => {
    expect(codes(await find(() => rmSync(join(folder, 'checkpoint'))))).toContain('checkpoint-missing');
    expect(codes(await find(() => publish(folder, entries, createSigner(ORIGIN, newKey()))))).toContain(
      'checkpoint-forged',
    );
    expect(codes(await find(() => writeFileSync(join(folder, 'checkpoint'), note.replace('600', '599'))))).toContain(
      'checkpoint-forged',
    );
    expect(codes(await find(() => writeFileSync(join(folder, 'checkpoint'), '')))).toContain('checkpoint-forged');
  });

  it('history that the operator rewrote and signed again, by a checkpoint that somebody kept', async () => {
    const forged = entries.with(300, newEntry());
    const both = () => {
      rewrite(folder, forged);
      publish(folder, forged);
    };
    expect(codes(await find(both))).toEqual([]);
    expect(codes(await find(both, { seen: [note] }))).toEqual(['root-differs']);
    const longer = [...forged, newEntry()];
    const more = () => {
      rewrite(folder, longer);
      publish(folder, longer);
    };
    expect(codes(await find(more, { seen: [note] }))).toEqual(['fork']);
  });

  it('a log that the operator cut off and signed again, by a checkpoint that somebody kept', async () => {
    const cut = () => {
      rewrite(folder, entries.slice(0, 400));
      publish(folder, entries.slice(0, 400));
    };
    expect(codes(await find(cut, { seen: [note] }))).toEqual(['log-short']);
  });

  it('a cosigned checkpoint in the folder that the log does not extend', async () => {
    const forged = [...entries.with(300, newEntry()), newEntry()];
    const report = await find(() => {
      writeFileSync(join(folder, 'checkpoint.cosigned'), cosign(note, witness));
      rewrite(folder, forged);
      publish(folder, forged);
    });
    expect(codes(report)).toEqual(['fork']);
  });

  it('too few witnesses, whatever trick makes them look more', async () => {
    const alias = createSigner('alias.example', witness.privateKey, COSIGNATURE);
    const self = createSigner('self.example', signer.privateKey, COSIGNATURE);
    const older = signNote(
      formatCheckpoint({ origin: ORIGIN, size: 500, root: treeRoot(entries.slice(0, 500).map(leafHash)) }),
      signer,
    );
    const keys = [...vkeys, formatVerifier(alias.verifier), formatVerifier(self.verifier)];
    const tricks: [string, string | null][] = [
      [note, null],
      [cosign(note, witness), null],
      [cosign(note, witness, witness), null],
      [cosign(note, witness, alias), null],
      [cosign(note, witness, self), null],
      [cosign(note, witness), cosign(note, witness)],
      [cosign(note, witness), cosign(older, witness, other)],
      [note, cosign(older, witness, other)],
    ];
    for (const [checkpoint, cosigned] of tricks) {
      const report = await find(
        () => {
          writeFileSync(join(folder, 'checkpoint'), checkpoint);
          if (cosigned !== null) writeFileSync(join(folder, 'checkpoint.cosigned'), cosigned);
        },
        { witnessKeys: keys, witnessQuorum: 2 },
      );
      expect(codes(report)).toEqual(['witness-quorum']);
    }
    for (const [checkpoint, cosigned] of [
      [cosign(note, witness, other), ''],
      [cosign(note, witness), cosign(note, other)],
    ] as const) {
      const report = await find(
        () => {
          writeFileSync(join(folder, 'checkpoint'), checkpoint);
          if (cosigned) writeFileSync(join(folder, 'checkpoint.cosigned'), cosigned);
        },
        { witnessKeys: keys, witnessQuorum: 2 },
      );
      expect(codes(report)).toEqual([]);
    }
  });

  it('a forged cosignature', async () => {
    const forged = note + signatureLine('other\n', witness, 7);
    const report = await find(() => writeFileSync(join(folder, 'checkpoint'), forged), {
      witnessKeys: vkeys,
      witnessQuorum: 1,
    });
    expect(codes(report)).toContain('checkpoint-forged');
  });

  it('entries that are sealed and signed and yet none', async () => {
    const bad = entries.with(3, Buffer.from('hello')).with(4, Buffer.alloc(0));
    const report = await find(() => {
      rewrite(folder, bad);
      publish(folder, bad);
    });
    expect(report.findings.map(({ code, index }) => [code, index])).toEqual([
      ['entry-form', 3],
      ['entry-form', 4],
    ]);
  });

  it('an entry that control wrote in the name of the gateway', async () => {
    const forged = sealEntry({
      kind: 'outcome',
      at: 1,
      by: 'gateway',
      tenant: 'acme',
      refs: {},
      body: 0,
      random: (n) => Buffer.alloc(n),
      signWith: newKey(),
    }).entry;
    const stolen = Buffer.from(entries[5]!.toString().replace('"tenant":"acme"', '"tenant":"acne"'));
    const renamed = Buffer.from(entries[5]!.toString().replace('"gateway"', '"verifier"'));
    const bad = entries.with(3, forged).with(6, stolen).with(7, renamed);
    const report = await find(() => {
      rewrite(folder, bad);
      publish(folder, bad);
    });
    const found = report.findings.map(({ code, index }) => [code, index]).sort((a, b) => Number(a[1]) - Number(b[1]));
    expect(found).toEqual([
      ['entry-signature', 3],
      ['entry-signature', 6],
      ['entry-signature', 7],
    ]);
  });

  it('a signed entry whose role has no known key, and accepts a rotated one', async () => {
    reset();
    expect(codes(await checkLedger({ folder, logKey, roleKeys: {} }))).toEqual(['entry-signature']);
    const rotated = { gateway: [createSigner('x', newKey()).verifier.publicKey, gateway.publicKey] };
    expect((await checkLedger({ folder, logKey, roleKeys: rotated })).ok).toBe(true);
  });

  it('the same in a folder that has only bundles', async () => {
    reset();
    rmSync(join(folder, 'entries'));
    expect((await check(folder)).ok).toBe(true);
    const path = join(folder, tilePath('entries', 1));
    const bundle = readFileSync(path);
    writeFileSync(path, bundle.subarray(0, -1));
    expect(codes(await check(folder))).toContain('log-short');
    writeFileSync(path, Buffer.from(bundle).fill(97, 500, 501));
    expect(codes(await check(folder))).toContain('root-differs');
    rmSync(path);
    expect(codes(await check(folder))).toEqual(['log-short']);
    writeFileSync(path, bundle);
  });
});

describe('the checker refuses to begin', () => {
  it.each([
    ['with a quorum of none', { witnessKeys: vkeys, witnessQuorum: 0 }],
    ['with a quorum of none without witnesses', { witnessQuorum: 0 }],
    ['with a quorum without witnesses', { witnessQuorum: 1 }],
    ['with a quorum above the distinct witnesses', { witnessKeys: [vkeys[0]!, vkeys[0]!], witnessQuorum: 2 }],
    ['with half a witness', { witnessKeys: vkeys, witnessQuorum: 0.5 }],
  ])('%s', async (_, keys) => {
    await expect(check(newFolder(), keys)).rejects.toEqual(expect.objectContaining({ code: 'wrong-use' }));
  });

  it('with a log key that is none', async () => {
    await expect(checkLedger({ folder: newFolder(), logKey: 'x', roleKeys })).rejects.toEqual(
      expect.objectContaining({ code: 'ledger-key' }),
    );
  });
});

describe('the proof of one entry', async () => {
  const { log, entries } = await ledger(40);
  const body = { verdict: 'permit' };
  const sealed = sealEntry({
    kind: 'decision',
    at: 1,
    by: 'control',
    tenant: 'acme',
    refs: {},
    body,
    random: (n) => Buffer.alloc(n, 3),
  });
  const { index, checkpoint } = await log.submit(sealed.entry);
  const proof = formatProof({ index, hashes: await log.inclusion(index, index + 1), checkpoint });
  const gatewayProof = formatProof({ index: 5, hashes: await log.inclusion(5, index + 1), checkpoint });
  await log.close();
  const prove = (change: Partial<Parameters<typeof checkProof>[0]> = {}) =>
    checkProof({ entry: sealed.entry, proof, logKey, roleKeys, ...change });

  it('holds on its own, with the body and after its erasure', async () => {
    expect(await prove()).toMatchObject({ ok: true, proven: { index: 40, size: 41, entry: { kind: 'decision' } } });
    expect(await prove({ disclosed: sealed })).toMatchObject({ ok: true });
    expect(await prove({ entry: entries[5]!, proof: gatewayProof })).toMatchObject({ ok: true, proven: { index: 5 } });
  });

  it.each([
    ['another entry', { entry: entries[39]! }, 'not-included'],
    ['what is no entry', { entry: Buffer.from('x') }, 'entry-form'],
    ['another index', { proof: proof.replace('index 40', 'index 39') }, 'not-included'],
    ['a hash less', { proof: proof.replace(/\n[^\n]{44}\n/, '\n') }, 'not-included'],
    [
      'a checkpoint of another key',
      { logKey: formatVerifier(createSigner(ORIGIN, newKey()).verifier) },
      'checkpoint-forged',
    ],
    ['no witness', { witnessKeys: vkeys }, 'witness-quorum'],
    ['another body', { disclosed: { ...sealed, body: '{"verdict":"denied"}' } }, 'body-differs'],
    ['another salt', { disclosed: { ...sealed, salt: Buffer.alloc(16).toString('base64') } }, 'body-differs'],
    ['an unknown gateway', { entry: entries[5]!, proof: gatewayProof, roleKeys: {} }, 'entry-signature'],
    ['no proof at all', { proof: '' }, 'proof-form'],
  ])('does not hold with %s', async (_, change, code) => {
    const report = await prove(change);
    expect(report).toMatchObject({ ok: false, proven: null });
    expect(codes(report)).toContain(code);
  });

  it.each([
    ['another first line', proof.replace('@v1', '@v2')],
    ['no index', proof.replace(/index \d+\n/, '')],
    ['an index with a leading zero', proof.replace('index ', 'index 0')],
    ['an index in words', proof.replace('index 40', 'index forty')],
    ['a hash of 31 bytes', proof.replace(/\n[^\n]{44}\n/, `\n${Buffer.alloc(31).toString('base64')}\n`)],
    ['64 hashes', proof.replace('index 40\n', `index 40\n${`${Buffer.alloc(32).toString('base64')}\n`.repeat(64)}`)],
    ['extra data', proof.replace('index', 'extra AAAA\nindex')],
  ])('is not read with %s', (_, text) => {
    expect(parseProof(text)).toBeNull();
  });

  it('of the only entry of a log has no hashes', async () => {
    const single = await ledger(6);
    const leaves = single.entries.slice(0, 1).map(leafHash);
    const text = formatCheckpoint({ origin: ORIGIN, size: 1, root: buildTree(leaves).root });
    const alone = formatProof({ index: 0, hashes: [], checkpoint: signNote(text, signer) });
    expect(parseProof(alone)).toMatchObject({ index: 0, hashes: [] });
    expect(await prove({ entry: single.entries[0]!, proof: alone })).toMatchObject({ ok: true });
    expect(openEntry(single.entries[0]!).ok).toBe(true);
    await single.log.close();
  });
});

describe('the checker’s own code', () => {
  it('reaches nothing but the standard library, this folder’s pure files, and the ground that is pure as well', () => {
    const reached = new Set<string>();
    const outside = new Set<string>();
    const follow = (path: string) => {
      if (reached.has(path)) return;
      reached.add(path);
      const source = readFileSync(path, 'utf8');
      for (const [, type, from] of source.matchAll(/^(?:import|export)( type)? [^;]*?from '([^']+)'/gms)) {
        if (type) continue;
        if (from!.startsWith('.')) follow(join(path, '..', from!));
        else outside.add(from!);
      }
    };
    const here = import.meta.dirname;
    follow(join(here, 'check.ts'));
    expect([...outside].sort()).toEqual([
      'node:crypto',
      'node:fs',
      'node:fs/promises',
      'node:os',
      'node:path',
      'node:worker_threads',
    ]);
    expect([...reached].map((path) => path.slice(join(here, '..').length + 1)).sort()).toEqual([
      'assert.ts',
      'canonical.ts',
      'errors.ts',
      'ledger/check.ts',
      'ledger/checkpoint.ts',
      'ledger/entry.ts',
      'ledger/examine.ts',
      'ledger/joint.ts',
      'ledger/note.ts',
      'ledger/proof.ts',
      'ledger/tile.ts',
      'ledger/tiled.ts',
      'ledger/tree.ts',
    ]);
    expect(readdirSync(here)).toContain('log.ts');
  });
});
