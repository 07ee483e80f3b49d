/**
 * `npm run bench -- ledger`: how fast entries become durable under signed checkpoints, and how fast they are checked.
 *
 * Three rates, apart. The log alone, on a real file system, every submission waiting for its own acknowledgement: with
 * its head in memory, then in PostgreSQL, whose swap every batch waits for. The domain transactions that feed the outbox,
 * and draining it with the bodies kept. And the check: of unsigned entries, and of entries that the gateway signed,
 * whose cost is that of their signatures, so by how many share one.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemAmbient, systemClock, systemRandom } from '../src/clock.ts';
import { checkLedger } from '../src/ledger/check.ts';
import { openDisk } from '../src/ledger/disk.ts';
import { draftEntry, type Role, sealDrafts } from '../src/ledger/entry.ts';
import { type HeadStore, memoryHead } from '../src/ledger/head.ts';
import { openIntake } from '../src/ledger/intake.ts';
import { LARGEST_JOINT } from '../src/ledger/joint.ts';
import { openLog } from '../src/ledger/log.ts';
import { createSigner, formatVerifier } from '../src/ledger/note.ts';
import { openOutbox } from '../src/ledger/outbox.ts';
import { databaseHead } from '../src/ledger/store-head.ts';
import { type Database, openDatabase, packageFolder } from '../src/store/database.ts';
import { migrate } from '../src/store/migrate.ts';
import { prepareStore } from '../src/store/prepare.ts';

const ENTRIES = 300_000;
const IN_FLIGHT = 8_192;
const SWAPS = 1_000;
const DOMAIN = 20_000;
const CLIENTS = 32;

const ORIGIN = 'writgate.example/bench';
const signer = createSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey);
const gateway = generateKeyPairSync('ed25519');

/** @param together how many share a signature; 1 for a plain one each */
function newEntries(count: number, by: Role, together: number): Buffer[] {
  const entries: Buffer[] = [];
  for (let first = 0; first < count; first += together) {
    const drafts = Array.from({ length: Math.min(together, count - first) }, (_, place) => {
      const index = first + place;
      const plan = `P${Math.floor(index / 50)}`;
      return draftEntry({
        kind: 'change.permitted',
        at: 1767225600000 + index,
        by,
        tenant: 'acme',
        refs: { change: `${plan}.${index % 50}`, plan, person: `hr:${index % 9973}` },
        body: { index },
        random: systemRandom,
      });
    });
    for (const { entry } of sealDrafts(drafts, by === 'control' ? undefined : gateway.privateKey)) entries.push(entry);
  }
  return entries;
}

const rate = (count: number, ms: number): number => Math.round((count / ms) * 1000);
const show = (phase: string, count: number, ms: number, more = ''): void =>
  console.log(
    `${phase.padEnd(40)}${`${rate(count, ms).toLocaleString('en')}/s`.padStart(12)}  ${count.toLocaleString('en')} in ${(ms / 1000).toFixed(2)} s${more}`,
  );

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  return [await work(), performance.now() - start];
}

/** Keeps so many waiting; tells how long each waited, in milliseconds, ascending. */
async function crowd(count: number, atOnce: number, work: (index: number) => Promise<unknown>): Promise<number[]> {
  const waits: number[] = [];
  let next = 0;
  const submitter = async () => {
    while (next < count) {
      const index = next++;
      const start = performance.now();
      await work(index);
      waits.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, submitter));
  return waits.sort((a, b) => a - b);
}

const said = (waits: readonly number[], atOnce: number): string => {
  const wait = (share: number) => waits[Math.floor((waits.length - 1) * share)]!.toFixed(1);
  return `, ${atOnce} in flight, wait p50 ${wait(0.5)} ms, p99 ${wait(0.99)} ms`;
};

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'writgate-bench-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Makes a log of these entries, opens it again, checks it with one thread and with all. */
const benchOne = (name: string, entries: readonly Buffer[], head: HeadStore) =>
  inFolder(async (folder) => {
    const count = entries.length;
    const log = await openLog({ ...systemAmbient, disk: openDisk(systemRandom), folder, origin: ORIGIN, signer, head });
    const [waits, sealing] = await timed(() => crowd(count, IN_FLIGHT, (index) => log.submit(entries[index]!)));
    show(`${name}: sealed`, count, sealing, said(waits, IN_FLIGHT));
    const [, publishing] = await timed(() => log.published());
    console.log(`${`${name}: static files behind by`.padEnd(40)}${`${publishing.toFixed(0)} ms`.padStart(12)}`);
    await log.close();
    const [again, opening] = await timed(() =>
      openLog({ ...systemAmbient, disk: openDisk(systemRandom), folder, origin: ORIGIN, signer, head }),
    );
    show(`${name}: opened again`, count, opening);
    await again.close();
    const keys = { logKey: formatVerifier(signer.verifier), roleKeys: { gateway: [gateway.publicKey] } };
    let checked = 0;
    for (const threads of [0, availableParallelism()]) {
      const before = process.cpuUsage();
      const [report, checking] = await timed(() => checkLedger({ folder, ...keys, threads }));
      const { user, system } = process.cpuUsage(before);
      if (!report.ok || report.size !== count) throw new Error(`the ledger does not hold: ${JSON.stringify(report)}`);
      const cpu = `, ${((user + system) / 1e6).toFixed(2)} s of processors`;
      show(`${name}: checked, ${threads === 0 ? 'this thread' : `${threads} threads`}`, count, checking, cpu);
      checked = rate(count, checking);
    }
    return { sealed: rate(count, sealing), checked };
  });

async function benchHead(database: Database): Promise<void> {
  const head = databaseHead(database, 'swaps');
  const at = (size: number) => ({ size, root: size.toString(16).padStart(64, '0') });
  const [waits, swapping] = await timed(() =>
    crowd(SWAPS, 1, async (index) => head.swap(index === 0 ? null : at(index), at(index + 1))),
  );
  show('PostgreSQL: head swapped', SWAPS, swapping, said(waits, 1));
}

async function benchOutbox(database: Database): Promise<number> {
  const record = openOutbox('acme', systemClock, systemRandom);
  const saying = (index: number) => [
    { kind: 'change.permitted', refs: { change: `P1.${index}`, plan: 'P1' }, body: { index } },
  ];
  const [waits, feeding] = await timed(() =>
    crowd(DOMAIN, CLIENTS, (index) => database.tx((tx) => record(tx, saying(index)))),
  );
  show('outbox: transactions of one entry', DOMAIN, feeding, said(waits, CLIENTS));
  await inFolder(async (folder) => {
    const log = await openLog({
      ...systemAmbient,
      disk: openDisk(systemRandom),
      folder,
      origin: ORIGIN,
      signer,
      head: databaseHead(database, 'acme'),
    });
    const intake = await openIntake({ log, database, tenant: 'acme' });
    const [, draining] = await timed(async () => {
      while ((await intake.drain()) > 0);
    });
    show('outbox: drained, sealed, bodies kept', DOMAIN, draining);
    await log.close();
  });
  return rate(DOMAIN, feeding);
}

export async function benchLedger(): Promise<string> {
  console.log(`files in ${tmpdir()}`);
  const words = { 1: 'signed each', 16: 'signed by 16', [LARGEST_JOINT]: `signed by ${LARGEST_JOINT}` };
  const checked: Record<number, number> = {};
  for (const [together, count] of [
    [1, 20_000],
    [16, 100_000],
    [LARGEST_JOINT, ENTRIES],
  ] as const) {
    const name = words[together]!;
    const [entries, making] = await timed(async () => newEntries(count, 'gateway', together));
    show(`${name}: made`, count, making, `, ${entries[0]!.length} bytes each`);
    checked[together] = (await benchOne(name, entries, memoryHead())).checked;
  }
  const entries = newEntries(ENTRIES, 'control', 1);
  const unsigned = await benchOne('unsigned', entries, memoryHead());

  const store = mkdtempSync(join(tmpdir(), 'writgate-bench-store-'));
  const { control, cluster } = await prepareStore({ ...systemAmbient, folder: store, environment: {} });
  const database = openDatabase(control, { maxConnections: CLIENTS, clock: systemClock });
  try {
    await migrate(database, join(packageFolder(), 'src', 'store', 'control'), 'control');
    await benchHead(database);
    const durable = await benchOne('head in PostgreSQL', entries, databaseHead(database, 'bench'));
    const fed = await benchOutbox(database);
    const figure = (value: number) => value.toLocaleString('en');
    return (
      `ledger: ${figure(durable.sealed)} durable entries/s (goal 100,000) under PostgreSQL’s head, from ${figure(fed)} domain transactions/s; ` +
      `checked ${figure(unsigned.checked)} unsigned entries/s (goal 300,000), signed ${figure(checked[LARGEST_JOINT]!)} by 256, ${figure(checked[16]!)} by 16, ${figure(checked[1]!)} each`
    );
  } finally {
    await database.close();
    await cluster?.stop();
    rmSync(store, { recursive: true, force: true });
  }
}
