import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ScratchCluster, scratchCluster, servers } from '../../test/scratch.ts';
import { systemAmbient, systemClock, systemRandom } from '../clock.ts';
import { type Database, openDatabase, packageFolder } from '../store/database.ts';
import { migrate } from '../store/migrate.ts';
import { openDisk } from './disk.ts';
import { openEntry, sealEntry } from './entry.ts';
import { type Intake, type Item, openIntake } from './intake.ts';
import { type Log, openLog } from './log.ts';
import { openOutbox } from './outbox.ts';
import { databaseHead } from './store-head.ts';
import { check, gateway, newFolder, ORIGIN, signer } from './testing.ts';

/** A real log under a real head, fed from a real outbox; each test ends with everything in the log exactly once. */
let cluster: ScratchCluster;
let database: Database;
let folder: string;
let log: Log;
let intake: Intake;

const open = async () => {
  log = await openLog({
    ...systemAmbient,
    disk: openDisk(systemRandom),
    folder,
    origin: ORIGIN,
    signer,
    head: databaseHead(database, 'acme'),
  });
  intake = await openIntake({ log, database, tenant: 'acme' });
};
/** What a killed process leaves: files and tables as they are. The log has nothing in memory that is not there. */
const crash = async () => {
  await log.close();
  await open();
};

beforeAll(async () => {
  const [server] = await servers();
  cluster = await scratchCluster(server ? { binaries: server[1] } : {});
  database = openDatabase(cluster.superuser, { clock: systemClock });
  await migrate(database, join(packageFolder(), 'src', 'store', 'control'), 'control');
});
afterAll(async () => {
  await database?.close();
  await cluster?.remove();
});
beforeEach(async () => {
  await log?.close();
  await database.query('truncate outbox, ledger_entry, ledger_head');
  folder = newFolder();
  await open();
  return async () => {
    const inLog: string[] = [];
    for await (const entry of log.entries(0, log.size)) inLog.push(entry.toString());
    expect(new Set(inLog).size).toBe(inLog.length);
    // Bodies stand beside the very entries that commit to them.
    const rows = await database.query<{ index: number; refs: unknown }>('select index, refs from ledger_entry');
    for (const { index, refs } of rows) {
      const opened = openEntry(Buffer.from(inLog[index] ?? ''));
      expect(opened).toMatchObject({ ok: true, entry: { refs } });
    }
    expect(await database.query('select 1 from outbox')).toEqual([]);
    await log.published();
    expect(await check(folder)).toMatchObject({ ok: true, size: inLog.length });
  };
});

const clock = { now: () => 1767225600000, sleep: async () => undefined };
const record = openOutbox('acme', clock, systemRandom);
const put = (count: number, from = 1): Promise<void> =>
  database.tx((tx) =>
    record(
      tx,
      Array.from({ length: count }, (_, position) => ({
        kind: 'plan.made',
        refs: { plan: `P${from + position}` },
        body: { position },
      })),
    ),
  );
const inOutbox = () => database.query<Item>('select entry, body, salt from outbox order by id');
const item = (change: string): Item =>
  sealEntry({
    kind: 'gateway.outcome',
    at: 1767225600000,
    by: 'gateway',
    tenant: 'acme',
    refs: { change },
    body: { result: 'HTTP 204' },
    random: systemRandom,
    signWith: gateway.privateKey,
  });
const kept = async () =>
  (await database.query<{ index: number }>('select index from ledger_entry order by index')).map(({ index }) => index);

describe('what was in the outbox when control died is sealed once', () => {
  it('before anything of it was sealed', async () => {
    await put(3);
    await crash();
    expect(await intake.drain()).toBe(3);
    expect(log.size).toBe(3);
  });

  it('after it was sealed, before its bodies were kept', async () => {
    await put(3);
    await log.submitAll((await inOutbox()).map(({ entry }) => entry));
    await crash();
    expect(await intake.drain()).toBe(3);
    expect([log.size, await kept()]).toEqual([3, [0, 1, 2]]);
  });

  it('after a part of it was sealed', async () => {
    await put(5);
    await log.submitAll((await inOutbox()).slice(0, 2).map(({ entry }) => entry));
    await crash();
    expect(await intake.drain()).toBe(5);
    expect([log.size, await kept()]).toEqual([5, [0, 1, 2, 3, 4]]);
  });

  it('with entries of the gateway sealed and kept after it', async () => {
    await put(2);
    await log.submitAll((await inOutbox()).map(({ entry }) => entry));
    await intake.submit([item('P1.1')], false);
    await crash();
    await put(1, 3);
    expect(await intake.drain()).toBe(3);
    expect([log.size, await kept()]).toEqual([4, [0, 1, 2, 3]]);
  });

  it('and died again before it came to drain', async () => {
    await put(2);
    await log.submitAll((await inOutbox()).map(({ entry }) => entry));
    await crash();
    await crash();
    expect(await intake.drain()).toBe(2);
    expect(log.size).toBe(2);
  });

  it('after everything was done', async () => {
    await put(2);
    await intake.drain();
    await crash();
    expect(await intake.drain()).toBe(0);
    expect(log.size).toBe(2);
  });

  it('when not control but the connection to its database died between sealing and keeping', async () => {
    await put(2);
    const broken: Database = { ...database, tx: () => Promise.reject(new Error('connection lost')) };
    const failing = await openIntake({ log, database: broken, tenant: 'acme' });
    await expect(failing.drain()).rejects.toThrow('connection lost');
    await expect(failing.drain()).rejects.toThrow('connection lost');
    expect(log.size).toBe(2);
    await crash();
    expect(await intake.drain()).toBe(2);
    expect(log.size).toBe(2);
  });
});

describe('what the gateway submits again is sealed once', () => {
  it('when it was sealed and its body kept, and only the answer was lost', async () => {
    const [first, second] = [item('P1.1'), item('P1.2')];
    expect(await intake.submit([first, second], false)).toEqual([0, 1]);
    expect(await intake.submit([second, item('P1.3'), first], true)).toEqual([1, 2, 0]);
    await crash();
    expect(await intake.submit([first], true)).toEqual([0]);
    expect(log.size).toBe(3);
  });

  it('when it was sealed, and control died before it kept the body', async () => {
    const lost = item('P1.1');
    await log.submit(lost.entry);
    await crash();
    expect(await intake.submit([lost], true)).toEqual([0]);
    expect([log.size, await kept()]).toEqual([1, [0]]);
  });

  it('when it was never sealed', async () => {
    expect(await intake.submit([item('P1.1')], true)).toEqual([0]);
    expect(await kept()).toEqual([0]);
  });

  it('when the first try is still under way', async () => {
    const twice = item('P1.1');
    expect(
      await Promise.all([intake.submit([twice], false), intake.submit([twice], true), intake.submit([twice], true)]),
    ).toEqual([[0], [0], [0]]);
    expect(log.size).toBe(1);
  });

  it('though an entry about the same, with the same body, stands beside it', async () => {
    const [one, other] = [item('P1.1'), item('P1.1')];
    expect(await intake.submit([one], false)).toEqual([0]);
    expect(await intake.submit([other], true)).toEqual([1]);
  });
});
