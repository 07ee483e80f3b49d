/** A foreign implementation reads our ledger: Go's `golang.org/x/mod/sumdb`, built from `sumdb/` beside this file. */
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemAmbient, systemRandom } from '../../src/clock.ts';
import { openDisk } from '../../src/ledger/disk.ts';
import { draftEntry, sealDrafts } from '../../src/ledger/entry.ts';
import { memoryHead } from '../../src/ledger/head.ts';
import { openLog } from '../../src/ledger/log.ts';
import { createSigner, formatVerifier } from '../../src/ledger/note.ts';
import { tilePath } from '../../src/ledger/tile.ts';

const work = mkdtempSync(join(tmpdir(), 'writgate-go-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const program = join(work, 'sumdb');
/** Why the counterpart cannot be had here, or null. */
function build(): string | null {
  try {
    // Static, because cgo would want a C compiler; the sums in go.sum say which module code is meant.
    const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' };
    execFileSync('go', ['build', '-o', program, '.'], { cwd: join(import.meta.dirname, 'sumdb'), stdio: 'pipe', env });
    return null;
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Buffer };
    return code === 'ENOENT' ? 'Go is not installed' : `Go could not build the program: ${String(stderr).trim()}`;
  }
}
const missing = build();
// Hooks do not run where every test is skipped.
if (missing !== null) rmSync(work, { recursive: true });
if (missing !== null && process.env['REQUIRE_COUNTERPARTS'] === '1') throw new Error(`counterpart missing: ${missing}`);
if (missing !== null) console.warn(`SKIPPED test/interop/ledger-go: ${missing}`);

const ORIGIN = 'writgate.example/ledger';
const signer = createSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey);
const vkey = formatVerifier(signer.verifier);

/** As control and the gateway write them: unsigned, signed alone, and signed a batch at once. */
function newEntries(from: number, to: number): Buffer[] {
  const gateway = generateKeyPairSync('ed25519').privateKey;
  const entries: Buffer[] = [];
  for (let batch = 0; entries.length < to - from; batch += 1) {
    const by = batch % 3 === 0 ? 'control' : 'gateway';
    const drafts = Array.from({ length: Math.min(batch % 3 === 1 ? 1 : 100, to - from - entries.length) }, (_, place) =>
      draftEntry({
        kind: 'test',
        at: 1767225600000 + from + entries.length + place,
        by,
        tenant: 'acme',
        refs: { change: `P${from + entries.length + place}`, subject: 'hr:é' },
        body: place,
        random: systemRandom,
      }),
    );
    for (const { entry } of sealDrafts(drafts, by === 'control' ? undefined : gateway)) entries.push(entry);
  }
  return entries;
}

/** A ledger of `size` entries, and a checkpoint from when it had `older`. */
async function ledger(older: number, size: number): Promise<{ folder: string; earlier: string }> {
  const folder = mkdtempSync(join(work, 'ledger-'));
  const log = await openLog({
    ...systemAmbient,
    folder,
    origin: ORIGIN,
    signer,
    head: memoryHead(),
    disk: openDisk(systemRandom),
  });
  await log.submitAll(newEntries(0, older));
  const earlier = join(work, `${older}-${size}.checkpoint`);
  writeFileSync(earlier, log.checkpoint());
  await log.published();
  await log.submitAll(newEntries(older, size));
  await log.close();
  // What Go gets is what a static file server would show.
  rmSync(join(folder, 'entries'));
  return { folder, earlier };
}

function read(folder: string, earlier: string, key = vkey): { ok: boolean; said: string } {
  const { status, stdout, stderr } = spawnSync(program, [folder, key, earlier], { encoding: 'utf8' });
  return { ok: status === 0, said: status === 0 ? stdout : stderr };
}

describe.skipIf(missing !== null)('Go’s sumdb', () => {
  it.each([
    [1, 1],
    [1, 2],
    [5, 255],
    [255, 256],
    [256, 257],
    [100, 700],
    [40_000, 65_900],
  ])('reads a ledger that grew from %i to %i entries, and proves each of them', async (older, size) => {
    const { folder, earlier } = await ledger(older, size);
    const { ok, said } = read(folder, earlier);
    expect(said).toBe(`${JSON.stringify({ older, records: size, size })}\n`);
    expect(ok).toBe(true);
  });

  it('refuses one edited byte, in a bundle, a tile or the checkpoint', async () => {
    const { folder, earlier } = await ledger(100, 700);
    expect(read(folder, earlier).ok).toBe(true);
    for (const [name, says] of [
      [tilePath('entries', 1), 'record'],
      [tilePath('entries', 2, 188), 'record'],
      [tilePath(0, 0), 'record'],
      [tilePath(1, 0, 2), 'record'],
      ['checkpoint', 'checkpoint'],
    ] as const) {
      const path = join(folder, name);
      const bytes = readFileSync(path);
      const edited = Buffer.from(bytes);
      edited[40]! ^= 1;
      writeFileSync(path, edited);
      const { ok, said } = read(folder, earlier);
      expect([name, ok]).toEqual([name, false]);
      expect(said).toContain(says);
      writeFileSync(path, bytes);
    }
  });

  it('refuses a ledger that does not extend the earlier checkpoint, and one of another key', async () => {
    const one = await ledger(100, 300);
    const two = await ledger(100, 300);
    expect(read(one.folder, two.earlier)).toMatchObject({ ok: false, said: expect.stringContaining('consistency') });
    const other = formatVerifier(createSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey).verifier);
    expect(read(one.folder, one.earlier, other)).toMatchObject({ ok: false });
  });
});
