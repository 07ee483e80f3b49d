/**
 * `npm run bench -- feed`: an export of a million people becomes an attested snapshot; then a lookup, a proof, and the
 * same bytes again.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Feed } from '../src/authority/authority.ts';
import { systemClock } from '../src/clock.ts';
import { openSnapshot } from '../src/source/open.ts';
import { takeSnapshot } from '../src/source/snapshot.ts';

const ROWS = 1_000_000;
const LOOKUPS = 2_000;
const GOAL = { seconds: 12, megabytes: 300 };

/** Ten columns, about 130 bytes a row; the same bytes on each run. */
async function writePeople(path: string): Promise<void> {
  const file = await open(path, 'w');
  let text = 'employee_id,first_name,last_name,email,phone,hire_date,job_id,salary,manager_id,department\r\n';
  for (let row = 0; row < ROWS; row += 1) {
    const day = `20${10 + (row % 15)}-0${1 + (row % 9)}-1${row % 10}`;
    text += `${100_000 + row},First${row % 5000},Lastname${row % 70_000},first${row}.last@example.com,`;
    text += `+1.515.${row % 10_000}.${row % 997},${day},IT_PROG_${row % 40},${4000 + (row % 20_000)}.00,`;
    text += `${100_000 + (row >> 3)},${10 * (row % 27)} Finance and Control\r\n`;
    if (text.length > 1 << 20 || row === ROWS - 1) {
      await file.write(text);
      text = '';
    }
  }
  await file.close();
}

export async function benchFeed(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'writgate-bench-feed-'));
  const timed = async <T>(work: () => Promise<T> | T): Promise<[T, number]> => {
    const start = performance.now();
    return [await work(), (performance.now() - start) / 1000];
  };
  try {
    const path = join(folder, 'people.csv');
    await writePeople(path);
    const { size } = await stat(path);
    const feed = Feed.parse({
      csv: 'people.csv',
      asOf: { header: 'last-modified' },
      contract: { key: 'employee_id', maxAge: '26h', count: {} },
      map: {},
    });
    const take = (previous: Parameters<typeof takeSnapshot>[0]['previous']) =>
      takeSnapshot({
        tenant: 'bench',
        name: 'hr',
        feed,
        payload: createReadStream(path, { highWaterMark: 1 << 20 }),
        origin: 'people.csv',
        tlsPeer: null,
        manifest: { kind: 'none' },
        header: new Date(systemClock.now() - 60_000).toISOString(),
        folder: join(folder, 'snapshots'),
        previous,
        clock: systemClock,
        key: generateKeyPairSync('ed25519').privateKey,
      });

    const cpu = process.cpuUsage();
    const [snapshot, seconds] = await timed(() => take(null));
    const { user, system } = process.cpuUsage(cpu);
    const megabytes = process.resourceUsage().maxRSS / 1024;
    const [again, unchanged] = await timed(() => take(snapshot.statement));
    const kept = openSnapshot(join(folder, 'snapshots'), again.statement.id);
    const keys = Array.from({ length: LOOKUPS }, (_, index) => String(100_000 + index * 499));
    const [found, finding] = await timed(() => keys.filter((key) => kept.has(key)).length);
    const [proved, proving] = await timed(() => keys.filter((key) => kept.prove(key)).length);
    kept.close();

    console.log(`payload    ${ROWS} rows × 10 columns, ${(size / 1e6).toFixed(0)} MB`);
    console.log(`snapshot   ${snapshot.statement.verdict}, ${snapshot.statement.records} records`);
    console.log(
      `rate       ${Math.round(ROWS / seconds / 1000)} k records/s, ${((user + system) / 1e6).toFixed(1)} s of CPU`,
    );
    console.log(`unchanged  ${unchanged.toFixed(2)} s (${again.statement.findings.join(', ')})`);
    console.log(`has        ${((finding / found) * 1e6).toFixed(0)} µs a key`);
    console.log(`prove      ${((proving / proved) * 1e6).toFixed(0)} µs a proof`);
    const goal = `goal ≤ ${GOAL.seconds} s, ≤ ${GOAL.megabytes} MB`;
    return `feed: ${seconds.toFixed(1)} s to an attested snapshot, peak ${Math.round(megabytes)} MB (${goal})`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
