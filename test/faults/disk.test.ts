/**
 * The disk is full: under the ledger, under the snapshots, under the database. What was acknowledged stays, what cannot
 * be written down is not done, each says what is full, and everything goes on by itself once there is room.
 */
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Control } from '../../src/role/control.ts';
import { HOUR, PEOPLE, type Row, startWorld, type World } from '../company/world.ts';
import { mountable, type SmallDisk, smallDisk } from './small-disk.ts';

let world: World;
let control: Control;
let ageMs = HOUR;
const disks: Partial<Record<'ledger' | 'snapshots' | 'store', SmallDisk>> = {};
const hr = (rows: readonly Row[]): Promise<void> => world.exportHr(rows, (ageMs -= 30_000));
const moved = (id: string, department: string): readonly Row[] =>
  PEOPLE.map((row) => (row.id === id ? { ...row, department } : row));
const groupsOf = async (login: string): Promise<string> =>
  (await world.crm.picture()).split('\n').find((line) => line.replace('-', '').startsWith(`${login}:`)) ?? 'nobody';
const timePasses = () =>
  world.database.query(`update change set next_at = now() - interval '1 second' where next_at < 'infinity'`);
const open = () =>
  world.database.query<{ effect: string; stage: string; note: string | null }>(
    `select c.effect, c.stage, c.note from change c join plan p on p.tenant = c.tenant and p.number = c.plan
      where p.state = 'open' and c.stage <> 'verified' order by c.plan, c.seq`,
  );
/** Changes that were proven, of which the ledger does not say how the call ended. */
const outcomesMissing = () =>
  world.database.query(
    `select c.plan, c.seq from change c where c.stage = 'verified'
        and not exists (select 1 from ledger_entry e where e.kind = 'gateway.outcome'
                           and e.refs ->> 'change' = 'P' || c.plan || '.' || c.seq)`,
  );
async function until(what: string, holds: () => Promise<boolean>, everyMs = 100): Promise<void> {
  const end = systemClock.now() + 40_000;
  let last: unknown = null;
  while (systemClock.now() < end) {
    const held = await holds().catch((thrown: unknown) => {
      last = thrown;
      return false;
    });
    if (held) return;
    await systemClock.sleep(everyMs);
  }
  throw new Error(`not within 40 s: ${what}`, { cause: last });
}
const carryOn = () =>
  until('all is verified', async () => {
    await timePasses();
    await world.run();
    return (await open()).length === 0;
  });
const saidBy = (work: Promise<unknown>): Promise<{ code: string; message: string } | null> =>
  work.then(
    () => null,
    (thrown) => ({ code: thrown.code, message: thrown.message }),
  );

describe.runIf(await mountable())('a full disk', () => {
  beforeAll(async () => {
    world = await startWorld(
      { grants: 500, removals: 200 },
      'report',
      {},
      {
        prepare: async (folder) => {
          disks.ledger = await smallDisk(join(folder, 'ledger'), 4);
          disks.snapshots = await smallDisk(join(folder, 'snapshots'), 4);
          disks.store = await smallDisk(join(folder, 'store'), 320);
        },
      },
    );
    await world.plan();
    await world.run();
    control = world.control();
  });
  afterEach(async () => {
    for (const disk of Object.values(disks)) await disk.makeRoom();
    await until('the ledger goes on', async () => control.settle().then(() => true));
    expect(world.control(), 'nobody was started again').toBe(control);
    expect(await world.ledger()).toMatchObject({ ok: true, findings: [] });
  });
  afterAll(async () => {
    await world?.halt('worker', 'verifier', 'gateway', 'control');
    await world?.store.stop();
    for (const disk of Object.values(disks)) await disk.remove();
    await world?.stop();
  });

  test('under the ledger: the run stops and says so, and all goes on when there is room', async () => {
    // Three people's worth of entries: fewer could find room in the last page of a file.
    await hr(PEOPLE.map((row) => (['106', '107', '111'].includes(row.id) ? { ...row, department: 'sales' } : row)));
    await world.plan();
    await disks.ledger!.fill();
    const said = await saidBy(world.run());
    expect(said).toMatchObject({ code: 'ledger-stopped', message: expect.stringMatching(/ENOSPC.*no space/i) });
    await disks.ledger!.makeRoom();
    await carryOn();
    expect(await groupsOf('finn')).toBe('finn: Sales,Staff');
    await until('every outcome is in the ledger', async () => (await outcomesMissing()).length === 0);
  });

  test('under the ledger while changes are being made: each was made once, and is sealed', async () => {
    await hr(PEOPLE.map((row) => (['107', '111', '112'].includes(row.id) ? { ...row, department: 'sales' } : row)));
    await world.plan();
    const running = saidBy(world.run());
    const planned = (await open()).length;
    await until('some changes are made', async () => (await open()).length < planned, 1);
    await disks.ledger!.fill();
    await running;
    await disks.ledger!.makeRoom();
    await carryOn();
    for (const login of ['gil', 'kim', 'lou']) expect(await groupsOf(login)).toBe(`${login}: Sales,Staff`);
    expect(await groupsOf('finn')).toBe('finn: Legal,Staff');
    // What happened while nothing could be sealed is said a moment later.
    await until('every outcome is in the ledger', async () => (await outcomesMissing()).length === 0);
  });

  test('under the snapshots: the feed is not attested, access stays, and the next planning takes it', async () => {
    await hr(moved('107', 'sales'));
    await disks.snapshots!.fill();
    const before = await world.crm.picture();
    expect(await saidBy(world.plan())).toMatchObject({
      code: 'feed-store',
      message: expect.stringMatching(/ENOSPC|no space/i),
    });
    await world.run();
    expect(await world.crm.picture()).toBe(before);
    const held = await Promise.all(
      (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
    );
    expect(held.filter((path) => path.endsWith('/hr/people.csv'))).toEqual([]);
    await disks.snapshots!.makeRoom();
    await world.plan();
    await carryOn();
    expect(await groupsOf('gil')).toBe('gil: Sales,Staff');
  });

  test('under the database: the server gives up, and after room and a start nothing that was said is missing', async () => {
    await hr(moved('111', 'sales'));
    await world.plan();
    await disks.store!.fill();
    const sizes = control.log.size;
    // What is written has to go somewhere; sooner or later it does not.
    let said: Awaited<ReturnType<typeof saidBy>> = null;
    for (let turn = 0; turn < 40 && said === null; turn++) {
      said = await saidBy(
        world.database.tx(async (tx) => {
          await tx.query('create table if not exists ballast (bytes text)');
          await tx.query(
            `insert into ballast select string_agg(md5(random()::text), '') from generate_series(1, 40000)`,
          );
        }),
      );
    }
    expect(said).toMatchObject({ code: expect.stringMatching(/^store-(full|unavailable|unknown)$/) });
    await saidBy(world.run());
    expect(control.log.size).toBeGreaterThanOrEqual(sizes);
    await disks.store!.makeRoom();
    await world.store.start();
    await until('the database is there', async () => (await world.database.query('select 1')).length === 1);
    await world.database.query('drop table if exists ballast');
    await carryOn();
    expect(await groupsOf('kim')).toBe('kim: Sales,Staff');
  });
});
