/** For tests: a ledger in a folder of its own, and a disk that dies at a chosen step. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll } from 'vitest';
import { systemRandom } from '../clock.ts';
import { checkLedger, type LedgerReport, type TrustedKeys } from './check.ts';
import { type Disk, type DiskFile, openDisk } from './disk.ts';
import { type Role, sealEntry } from './entry.ts';
import { createSigner, formatVerifier } from './note.ts';

export const ORIGIN = 'writgate.example/ledger';
export const newKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
export const signer = createSigner(ORIGIN, newKey());
export const logKey = formatVerifier(signer.verifier);
export const gateway = generateKeyPairSync('ed25519');
export const roleKeys = { gateway: [gateway.publicKey] };

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
export function newFolder(): string {
  folders.push(mkdtempSync(join(tmpdir(), 'writgate-ledger-')));
  return folders.at(-1)!;
}

let count = 0;
export function newEntry(by: Role = 'control'): Buffer {
  count += 1;
  return sealEntry({
    kind: 'test',
    at: 1767225600000 + count,
    by,
    tenant: 'acme',
    refs: { change: `P${count}` },
    body: { count },
    random: systemRandom,
    ...(by === 'gateway' ? { signWith: gateway.privateKey } : {}),
  }).entry;
}
export const newEntries = (length: number): Buffer[] => Array.from({ length }, () => newEntry());

export const check = (folder: string, more: Partial<TrustedKeys> & { seen?: string[] } = {}): Promise<LedgerReport> =>
  checkLedger({ folder, logKey, roleKeys, ...more });

/** Checks the ledger by its entries file, and again as a static file server would show it. */
export async function checkBoth(folder: string): Promise<[LedgerReport, LedgerReport]> {
  const served = newFolder();
  cpSync(folder, served, { recursive: true });
  rmSync(join(served, 'entries'), { force: true });
  const reports: [LedgerReport, LedgerReport] = [await check(folder), await check(served)];
  rmSync(served, { recursive: true });
  return reports;
}

/** How a step fails: not done, done by half, done although it says that it failed. */
export type Fault = 'undone' | 'torn' | 'done';
export class Death extends Error {}

/**
 * A disk on which the step number `at`, counted from 0 over everything that changes files, fails; after it nothing works
 * any more, as if the process had died. Without `at` it only counts.
 */
export function mortalDisk(at = Number.POSITIVE_INFINITY, fault: Fault = 'undone') {
  const steps: string[] = [];
  let dead = false;
  const flushed = new Map<string, Buffer>();

  async function step(
    what: string,
    path: string,
    act: () => Promise<void>,
    half: () => Promise<void> = act,
  ): Promise<void> {
    if (dead) throw new Death(`${what} after death`);
    steps.push(`${what} ${basename(path).replace(/^journal.*/, 'journal')}`);
    if (steps.length - 1 !== at) return act();
    dead = true;
    if (fault === 'torn') await half();
    if (fault === 'done') await act();
    throw new Death(`${what} ${path}`);
  }

  const wrap = (path: string, file: DiskFile): DiskFile => ({
    ...file,
    write: (position, bytes) =>
      step(
        'write',
        path,
        () => file.write(position, bytes),
        () => file.write(position, bytes.subarray(0, Math.floor(bytes.length / 2))),
      ),
    flush: () =>
      step('flush', path, async () => {
        await file.flush();
        flushed.set(path, readFileSync(path));
      }),
    clear: () => step('clear', path, () => file.clear()),
  });
  const own = openDisk(systemRandom);
  const disk: Disk = {
    ...own,
    open: async (path) => {
      if (dead) throw new Death('open after death');
      return wrap(path, await own.open(path));
    },
    replace: (path, bytes, durability) =>
      step(
        `replace ${durability}`,
        path,
        () => own.replace(path, bytes, durability),
        async () => {},
      ),
    remove: (path) => step('remove', path, () => own.remove(path)),
  };
  return {
    disk,
    steps,
    die: () => {
      dead = true;
    },
    /** What a power cut leaves of a folder: of open files what was flushed, of derived files the names alone. */
    cutPower: (folder: string) => {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        const path = join(folder, name);
        // A write that was under way may take its own leftovers with it.
        const found = statSync(path, { throwIfNoEntry: false });
        if (!found || found.isDirectory() || /^checkpoint/.test(name)) continue;
        writeFileSync(path, flushed.get(path) ?? Buffer.alloc(name === 'entries' ? 40 : 0));
      }
    },
  };
}
