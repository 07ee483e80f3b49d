/**
 * `npm run bench -- ledger`: how fast entries become durable under signed checkpoints, and how fast they are checked.
 *
 * Measured is the log alone, on a real file system, with every submission waiting for its own acknowledgement. The head
 * lies in memory: what PostgreSQL costs for each batch, and the transactions that feed the outbox, are stated elsewhere.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemAmbient, systemRandom } from '../src/clock.ts';
import { checkLedger } from '../src/ledger/check.ts';
import { openDisk } from '../src/ledger/disk.ts';
import { type Role, sealEntry } from '../src/ledger/entry.ts';
import { memoryHead } from '../src/ledger/head.ts';
import { openLog } from '../src/ledger/log.ts';
import { createSigner, formatVerifier } from '../src/ledger/note.ts';

const ENTRIES = 300_000;
const IN_FLIGHT = 8_192;
const SIGNED = 20_000;

const ORIGIN = 'writgate.example/bench';
const signer = createSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey);
const gateway = generateKeyPairSync('ed25519');

const newEntry = (index: number, by: Role): Buffer =>
  sealEntry({
    kind: 'change.permitted',
    at: 1767225600000 + index,
    by,
    tenant: 'acme',
    refs: {
      change: `P${Math.floor(index / 50)}.${index % 50}`,
      plan: `P${Math.floor(index / 50)}`,
      person: `hr:${index % 9973}`,
    },
    body: { index },
    random: systemRandom,
    ...(by === 'control' ? {} : { signWith: gateway.privateKey }),
  }).entry;

const rate = (count: number, ms: number): number => Math.round((count / ms) * 1000);
const show = (phase: string, count: number, ms: number, more = ''): void =>
  console.log(
    `${phase.padEnd(34)}${`${rate(count, ms).toLocaleString('en')}/s`.padStart(12)}  ${count.toLocaleString('en')} in ${(ms / 1000).toFixed(2)} s${more}`,
  );

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  return [await work(), performance.now() - start];
}

/** Keeps `IN_FLIGHT` submissions waiting; tells how long each waited, in milliseconds. */
async function submitAll(entries: readonly Buffer[], submit: (entry: Buffer) => Promise<unknown>): Promise<number[]> {
  const waits: number[] = [];
  let next = 0;
  const submitter = async () => {
    while (next < entries.length) {
      const entry = entries[next++]!;
      const start = performance.now();
      await submit(entry);
      waits.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, submitter));
  return waits.sort((a, b) => a - b);
}

async function benchOne(name: string, by: Role, count: number): Promise<{ sealed: number; checked: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'writgate-bench-'));
  try {
    const [entries, making] = await timed(async () => Array.from({ length: count }, (_, index) => newEntry(index, by)));
    show(`${name}: made`, count, making, `, ${entries[0]!.length} bytes each`);
    const head = memoryHead();
    const log = await openLog({ ...systemAmbient, folder, origin: ORIGIN, signer, head, disk: openDisk(systemRandom) });
    const [waits, sealing] = await timed(() => submitAll(entries, log.submit));
    const wait = (share: number) => waits[Math.floor((waits.length - 1) * share)]!.toFixed(0);
    show(`${name}: sealed`, count, sealing, `, ${IN_FLIGHT} in flight, wait p50 ${wait(0.5)} ms, p99 ${wait(0.99)} ms`);
    const [, publishing] = await timed(() => log.published());
    console.log(`${`${name}: static files behind by`.padEnd(34)}${`${publishing.toFixed(0)} ms`.padStart(12)}`);
    await log.close();
    const [again, opening] = await timed(() =>
      openLog({ ...systemAmbient, folder, origin: ORIGIN, signer, head, disk: openDisk(systemRandom) }),
    );
    show(`${name}: opened again`, count, opening);
    await again.close();
    const keys = { logKey: formatVerifier(signer.verifier), roleKeys: { gateway: [gateway.publicKey] } };
    const [report, checking] = await timed(() => checkLedger({ folder, ...keys }));
    if (!report.ok || report.size !== count) throw new Error(`the ledger does not hold: ${JSON.stringify(report)}`);
    show(`${name}: checked`, count, checking);
    return { sealed: rate(count, sealing), checked: rate(count, checking) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function benchLedger(): Promise<string> {
  console.log(`files in ${tmpdir()}, head in memory`);
  await benchOne('signed by the gateway', 'gateway', SIGNED);
  const { sealed, checked } = await benchOne('control', 'control', ENTRIES);
  const [durable, verified] = [sealed.toLocaleString('en'), checked.toLocaleString('en')];
  return `ledger: ${durable} durable entries/s (goal 100,000), ${verified} checked entries/s (goal 300,000)`;
}
