import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { systemAmbient, systemRandom } from '../clock.ts';
import { hasCode } from '../errors.ts';
import { openCheckpoint } from './checkpoint.ts';
import { type Disk, openDisk } from './disk.ts';
import { sealEntry } from './entry.ts';
import { type HeadStore, memoryHead } from './head.ts';
import { type Log, openLog, type Sealed } from './log.ts';
import { COSIGNATURE, createSigner, signatureLine } from './note.ts';
import {
  check,
  checkBoth,
  Death,
  type Fault,
  mortalDisk,
  newEntries,
  newEntry,
  newFolder,
  newKey,
  ORIGIN,
  signer,
} from './testing.ts';
import { tilePath } from './tile.ts';
import { buildTree, checkConsistency, checkInclusion, leafHash } from './tree.ts';

const ownDisk = openDisk(systemRandom);
const open = (folder: string, head: HeadStore, disk: Disk = ownDisk) =>
  openLog({ ...systemAmbient, folder, origin: ORIGIN, signer, head, disk });
const sizeOf = (note: string) => {
  const opened = openCheckpoint(note, signer.verifier);
  if (!opened.ok) throw new Error(opened.reason);
  return opened.checkpoint;
};
const code = (expected: string) => expect.objectContaining({ code: expected });

async function sealedLog(size: number) {
  const folder = newFolder();
  const head = memoryHead();
  const entries = newEntries(size);
  const log = await open(folder, head);
  await log.submitAll(entries);
  await log.close();
  return { folder, head, entries };
}

const BATCHES = [1, 258, 3, 1].map(newEntries);

/** Seals batches, and remembers what was acknowledged. Ends quietly where the process dies. */
async function live(folder: string, head: HeadStore, disk: Disk, acknowledged: Map<number, Buffer>): Promise<void> {
  let log: Log | null = null;
  try {
    log = await open(folder, head, disk);
    for (const batch of BATCHES) {
      const sealed = await log.submitAll(batch);
      for (const [at, { index }] of sealed.entries()) acknowledged.set(index, batch[at]!);
    }
    await log.published();
    await log.close();
    log = null;
  } catch (error) {
    if (!(error instanceof Death) && !hasCode(error, 'ledger-stopped') && !hasCode(error, 'ledger-fenced')) throw error;
  } finally {
    await log?.close().catch(() => {});
  }
}

/** What must hold after whatever happened: everything acknowledged is there, the log goes on, and the world checks. */
async function recover(folder: string, head: HeadStore, acknowledged: ReadonlyMap<number, Buffer>): Promise<void> {
  const log = await open(folder, head);
  for (const [index, entry] of acknowledged) expect(await log.read(index)).toEqual(entry);
  await log.published();
  expect(sizeOf(readFileSync(join(folder, 'checkpoint'), 'utf8')).size).toBe(log.size);
  await log.submit(newEntry());
  await log.close();
  for (const report of await checkBoth(folder))
    expect(report).toMatchObject({ ok: true, size: log.size, findings: [] });
  expect(readdirSync(folder).filter((name) => name.startsWith('journal'))).toEqual([]);
}

describe('when the process dies', async () => {
  // A first life in which nothing fails, to learn the steps.
  const counting = mortalDisk();
  await live(newFolder(), memoryHead(), counting.disk, new Map());
  const { steps } = counting;

  it('the steps are the ones that the text at the top of log.ts tells', () => {
    const seal = steps.slice(steps.indexOf('write journal'));
    expect(seal.slice(0, 3)).toEqual(['write journal', 'flush journal', 'write entries']);
    expect(steps).toContain('replace derived 000');
    expect(steps).toContain('replace durable checkpoint');
    expect(steps.length).toBeGreaterThan(20);
  });

  for (const fault of ['undone', 'torn', 'done'] as Fault[]) {
    it.concurrent.each(steps.map((step, at) => [at, step] as const))(
      `at step %i (%s), ${fault}, nothing acknowledged is lost`,
      async (at) => {
        const folder = newFolder();
        const head = memoryHead();
        const acknowledged = new Map<number, Buffer>();
        await live(folder, head, mortalDisk(at, fault).disk, acknowledged);
        await recover(folder, head, acknowledged);
      },
    );
  }

  it.concurrent.each(steps.map((step, at) => [at, step] as const))(
    'at step %i (%s) by a power cut, nothing acknowledged is lost',
    async (at) => {
      const folder = newFolder();
      const head = memoryHead();
      const acknowledged = new Map<number, Buffer>();
      const mortal = mortalDisk(at, 'torn');
      await live(folder, head, mortal.disk, acknowledged);
      mortal.cutPower(folder);
      await recover(folder, head, acknowledged);
    },
  );

  it('again while it recovers, at any step, nothing acknowledged is lost', async () => {
    for (let at = 0; at < 12; at += 1) {
      const folder = newFolder();
      const head = memoryHead();
      const acknowledged = new Map<number, Buffer>();
      await live(folder, head, mortalDisk(steps.indexOf('write entries') + 2, 'torn').disk, acknowledged);
      await live(folder, head, mortalDisk(at, 'torn').disk, acknowledged);
      await recover(folder, head, acknowledged);
    }
  });
});

describe('when the head cannot be swapped', () => {
  const faults: [string, (inner: HeadStore) => HeadStore['swap'], string, number][] = [
    ['because another process did', () => async () => false, 'ledger-fenced', 3],
    [
      'and the store says so before it stored anything',
      () => () => Promise.reject(new Error('connection refused')),
      'ledger-stopped',
      3,
    ],
    [
      'as far as is known, though it was',
      (inner) => async (previous, next) => {
        await inner.swap(previous, next);
        throw new Error('connection lost');
      },
      'ledger-stopped',
      5,
    ],
  ];
  it.each(faults)(
    '%s, every waiter is refused, the log stops, and a new process goes on',
    async (_, swap, failure, size) => {
      const { folder, head, entries } = await sealedLog(3);
      const broken = { load: head.load, swap: vi.fn(swap(head)) };
      const log = await open(folder, broken);
      const waiting = await Promise.allSettled([log.submit(newEntry()), log.submit(newEntry())]);
      expect(waiting).toEqual([
        { status: 'rejected', reason: code(failure) },
        { status: 'rejected', reason: code(failure) },
      ]);
      await expect(log.submit(newEntry())).rejects.toEqual(code(failure));
      expect(broken.swap).toHaveBeenCalledTimes(1);
      expect(sizeOf(log.checkpoint()).size).toBe(3);
      await log.close();

      const again = await open(folder, head);
      expect(again.size).toBe(size);
      await again.close();
      await recover(folder, head, new Map(entries.entries()));
    },
  );

  it('what waits behind the batch is refused too', async () => {
    const { folder, head } = await sealedLog(3);
    let fail: (error: Error) => void = () => {};
    let swapping: () => void = () => {};
    const reached = new Promise<void>((resolve) => {
      swapping = resolve;
    });
    const log = await open(folder, {
      load: head.load,
      swap: () =>
        new Promise((_, reject) => {
          fail = reject;
          swapping();
        }),
    });
    const first = log.submit(newEntry());
    await reached;
    const behind = log.submit(newEntry());
    fail(new Error('gone'));
    await expect(first).rejects.toEqual(code('ledger-stopped'));
    await expect(behind).rejects.toEqual(code('ledger-stopped'));
    await log.close();
  });
});

describe('a failed flush', () => {
  it('is never tried again: the log stops though the disk works again', async () => {
    const { folder, head, entries } = await sealedLog(3);
    let flushes = 0;
    const disk: Disk = {
      ...ownDisk,
      open: async (path) => {
        const file = await ownDisk.open(path);
        return /journal/.test(path)
          ? { ...file, flush: async () => Promise.reject(new Error(`EIO ${(flushes += 1)}`)) }
          : file;
      },
    };
    const log = await open(folder, head, disk);
    await expect(log.submit(newEntry())).rejects.toEqual(code('ledger-stopped'));
    await expect(log.submit(newEntry())).rejects.toThrow('EIO 1');
    expect(flushes).toBe(1);
    await log.close();
    expect((await head.load())?.size).toBe(3);
    await recover(folder, head, new Map(entries.entries()));
  });

  it('a full disk while publishing stops the log, and what was acknowledged stays', async () => {
    const { folder, head } = await sealedLog(3);
    const full: Disk = { ...ownDisk, replace: () => Promise.reject(new Error('ENOSPC')) };
    const log = await open(folder, head, full);
    await expect(log.published()).rejects.toEqual(code('ledger-stopped'));
    await expect(log.submit(newEntry())).rejects.toThrow('ENOSPC');
    await log.close();
    await recover(folder, head, new Map());
  });
});

describe('two processes on one folder', () => {
  it('cannot fork it: the second to swap stops and has destroyed nothing', async () => {
    const { folder, head } = await sealedLog(3);
    const one = await open(folder, head);
    const two = await open(folder, head);
    const kept = newEntries(40);
    await two.submitAll(kept);
    await expect(one.submit(newEntry())).rejects.toEqual(code('ledger-fenced'));
    await two.submit(newEntry());
    await one.close();
    await two.close();
    expect((await check(folder)).size).toBe(44);
    await recover(folder, head, new Map(kept.map((entry, at) => [at + 3, entry])));
  });

  it('at once leave one winner, whose entries survive the other’s late writes', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { folder, head } = await sealedLog(3);
      const logs: Log[] = [await open(folder, head), await open(folder, head), await open(folder, head)];
      const batches = logs.map(() => newEntries(30));
      const results = await Promise.allSettled(logs.map((log, at) => log.submitAll(batches[at]!)));
      const winner = results.findIndex(({ status }) => status === 'fulfilled');
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      await Promise.all(logs.map((log) => log.close()));
      await recover(folder, head, new Map(batches[winner]!.map((entry, at) => [at + 3, entry])));
    }
  });

  it('where one opens while the other has swapped and not yet copied, both see the entry', async () => {
    const { folder, head } = await sealedLog(3);
    const mortal = mortalDisk();
    let other: Log | null = null;
    const entry = newEntry();
    const log = await open(
      folder,
      {
        load: head.load,
        swap: async (previous, next) => {
          const swapped = await head.swap(previous, next);
          other = await open(folder, head);
          return swapped;
        },
      },
      mortal.disk,
    );
    await log.submit(entry);
    expect(await other!.read(3)).toEqual(entry);
    await log.close();
    await other!.close();
    await recover(folder, head, new Map([[3, entry]]));
  });
});

describe('opening refuses', () => {
  it('entries that are short of the head', async () => {
    const { folder, head } = await sealedLog(300);
    truncateSync(join(folder, 'entries'), 5000);
    await expect(open(folder, head)).rejects.toEqual(code('ledger-corrupt'));
  });

  it('an edited entry', async () => {
    const { folder, head } = await sealedLog(300);
    const bytes = readFileSync(join(folder, 'entries'));
    bytes[4000]! ^= 1;
    writeFileSync(join(folder, 'entries'), bytes);
    await expect(open(folder, head)).rejects.toEqual(code('ledger-corrupt'));
  });

  it('a head that went back behind the published checkpoint, and forgets nothing', async () => {
    const { folder, head } = await sealedLog(3);
    const before = await head.load();
    const log = await open(folder, head);
    await log.submit(newEntry());
    await log.close();
    const bytes = readFileSync(join(folder, 'entries'));
    await expect(open(folder, memoryHead(before))).rejects.toThrow('was an older database restored?');
    await expect(open(folder, memoryHead())).rejects.toEqual(code('ledger-corrupt'));
    expect(readFileSync(join(folder, 'entries'))).toEqual(bytes);
  });

  it('a head that went back, when the checkpoint is gone as well', async () => {
    const { folder, head } = await sealedLog(3);
    await (await open(folder, head)).close();
    const log = await open(folder, head);
    const before = await head.load();
    await log.submit(newEntry());
    await log.close();
    rmSync(join(folder, 'checkpoint'));
    await expect(open(folder, memoryHead(before))).rejects.toThrow('was an older database restored?');
  });

  it('a checkpoint that another key published', async () => {
    const { folder, head } = await sealedLog(3);
    const impostor = createSigner(ORIGIN, newKey());
    await expect(
      openLog({ ...systemAmbient, folder, origin: ORIGIN, signer: impostor, head, disk: ownDisk }),
    ).rejects.toEqual(code('ledger-corrupt'));
  });

  it('a published checkpoint with another history', async () => {
    const { folder, head } = await sealedLog(3);
    const other = await sealedLog(2);
    copyFileSync(join(other.folder, 'checkpoint'), join(folder, 'checkpoint'));
    await expect(open(folder, head)).rejects.toThrow('the published checkpoint says');
  });

  it.each([
    { size: -1, root: 'a'.repeat(64) },
    { size: 1.5, root: 'a'.repeat(64) },
    { size: 3, root: 'no root' },
  ])('a head that is none: %o', async (head) => {
    await expect(open(newFolder(), memoryHead(head))).rejects.toEqual(code('ledger-corrupt'));
  });

  it('a key with another name than the origin', async () => {
    await expect(
      openLog({ ...systemAmbient, folder: newFolder(), origin: 'other', signer, head: memoryHead(), disk: ownDisk }),
    ).rejects.toEqual(code('ledger-key'));
  });
});

describe('the log refuses', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['what is no entry', Buffer.from('hello')],
    ['an entry that is too long', Buffer.alloc(65_536, 97)],
  ])('to seal %s, and goes on', async (_, bytes) => {
    const log = await open(newFolder(), memoryHead());
    await expect(log.submit(bytes)).rejects.toEqual(code('ledger-entry'));
    expect((await log.submit(newEntry())).index).toBe(0);
    await log.close();
  });

  it('to seal after it was closed', async () => {
    const log = await open(newFolder(), memoryHead());
    await log.close();
    await expect(log.submit(newEntry())).rejects.toEqual(code('ledger-stopped'));
  });

  it('to read or prove what it does not have', async () => {
    const log = await open(newFolder(), memoryHead());
    await log.submitAll(newEntries(5));
    const asked = [
      log.read(5),
      log.read(-1),
      log.read(0.5),
      log.inclusion(5, 5),
      log.inclusion(0, 6),
      log.consistency(0, 5),
      log.consistency(4, 6),
      log.consistency(4, 3),
      log.entries(0, 6).next(),
    ];
    for (const answer of asked) await expect(answer).rejects.toEqual(code('ledger-range'));
    await log.close();
  });

  it('to publish a cosigned checkpoint of another history', async () => {
    const { folder, head } = await sealedLog(3);
    const other = await sealedLog(3);
    const log = await open(folder, head);
    await expect(log.publishCosigned(readFileSync(join(other.folder, 'checkpoint'), 'utf8'))).rejects.toEqual(
      code('ledger-corrupt'),
    );
    await expect(log.publishCosigned('hello')).rejects.toEqual(code('ledger-corrupt'));
    expect(existsSync(join(folder, 'checkpoint.cosigned'))).toBe(false);
    await log.close();
  });
});

describe('the log', () => {
  it('seals what is submitted together in one batch, in order, under one checkpoint', async () => {
    const head = memoryHead();
    const swap = vi.fn(head.swap);
    const log = await open(newFolder(), { load: head.load, swap });
    const entries = newEntries(500);
    const sealed = await Promise.all(entries.map((entry) => log.submit(entry)));
    expect(swap).toHaveBeenCalledTimes(1);
    expect(sealed.map(({ index }) => index)).toEqual(entries.map((_, index) => index));
    expect(new Set(sealed.map(({ checkpoint }) => checkpoint)).size).toBe(1);
    expect(sizeOf(log.checkpoint())).toMatchObject({
      origin: ORIGIN,
      size: 500,
      root: buildTree(entries.map(leafHash)).root,
    });
    await log.close();
  });

  it('proves inclusion and consistency at all its sizes, from tiles on disk and in memory', async () => {
    const { folder, head, entries } = await sealedLog(700);
    const log = await open(folder, head);
    const more = newEntries(90);
    for (const entry of more) await log.submit(entry);
    const leaves = [...entries, ...more].map(leafHash);
    for (const size of [1, 2, 255, 256, 257, 511, 512, 699, 700, 768, 769, 790]) {
      const tree = buildTree(leaves.slice(0, size));
      for (const index of [0, Math.floor(size / 2), size - 1]) {
        const proof = await log.inclusion(index, size);
        expect(checkInclusion({ leafHash: leaves[index]!, index, size, proof, root: tree.root })).toBe(true);
      }
      for (const from of [1, Math.ceil(size / 3), size]) {
        const proof = await log.consistency(from, size);
        const fromRoot = buildTree(leaves.slice(0, from)).root;
        expect(checkConsistency({ from, fromRoot, to: size, toRoot: tree.root, proof })).toBe(true);
      }
    }
    const read: Buffer[] = [];
    for await (const entry of log.entries(250, 781)) read.push(entry);
    expect(read).toEqual([...entries, ...more].slice(250, 781));
    await log.close();
  });

  it('is a valid tlog-tiles folder after any number of batches, and keeps no partial tile that a full one replaced', async () => {
    const folder = newFolder();
    const log = await open(folder, memoryHead());
    const sealed: Sealed[] = [];
    for (let round = 0; round < 60; round += 1) {
      sealed.push(...(await log.submitAll(newEntries(9))));
      if (round % 5 === 0) {
        await log.published();
        const [whole, served] = await checkBoth(folder);
        expect(whole).toMatchObject({ ok: true, findings: [] });
        expect(served).toEqual(whole);
      }
    }
    await log.close();
    expect(sealed.map(({ index }) => index)).toEqual(sealed.map((_, index) => index));
    expect(existsSync(join(folder, `${tilePath(0, 1)}.p`))).toBe(false);
    expect(existsSync(join(folder, `${tilePath('entries', 0)}.p`))).toBe(false);
    expect(existsSync(join(folder, tilePath(0, 2, 540 - 512)))).toBe(true);
  });

  it('mends edited and missing tiles when it opens', async () => {
    const { folder, head } = await sealedLog(600);
    writeFileSync(join(folder, tilePath(0, 0)), Buffer.alloc(8192));
    writeFileSync(join(folder, tilePath('entries', 1)), '');
    rmSync(join(folder, tilePath(0, 1)));
    expect((await checkBoth(folder))[1].ok).toBe(false);
    await (await open(folder, head)).close();
    expect((await checkBoth(folder))[1]).toMatchObject({ ok: true, size: 600 });
  });

  it('empties its journal when that grows long, and loses nothing by it', async () => {
    const folder = newFolder();
    const head = memoryHead();
    const mortal = mortalDisk();
    const log = await open(folder, head, mortal.disk);
    const large = sealEntry({
      kind: 'test',
      at: 1,
      by: 'control',
      tenant: 'acme',
      refs: { x: 'x'.repeat(65_000) },
      body: 0,
      random: (n) => Buffer.alloc(n),
    }).entry;
    for (let round = 0; round < 10; round += 1) await log.submitAll(new Array(130).fill(large));
    const cleared = mortal.steps.indexOf('clear journal');
    const sealing = mortal.steps.slice(0, cleared).filter((step) => /^(write|flush) /.test(step));
    expect(sealing.at(-1)).toBe('flush entries');
    await log.published();
    mortal.die();
    mortal.cutPower(folder);
    await recover(folder, head, new Map([[1299, large]]));
  });

  it('keeps the newest cosigned checkpoint', async () => {
    const { folder, head } = await sealedLog(3);
    const witness = createSigner('w.example', newKey(), COSIGNATURE);
    const cosign = (note: string) => note + signatureLine(note.slice(0, note.lastIndexOf('\n\n') + 1), witness, 7);
    const log = await open(folder, head);
    const older = cosign(log.checkpoint());
    const { checkpoint } = await log.submit(newEntry());
    const newer = cosign(checkpoint);
    await log.publishCosigned(older);
    await log.publishCosigned(newer);
    await log.publishCosigned(older);
    expect(readFileSync(join(folder, 'checkpoint.cosigned'), 'utf8')).toBe(newer);
    await log.close();
  });
});
