/**
 * `npm run bench -- reconcile [--people N]`: an export of N people becomes stored plans; then the same people again, with
 * everything in place, from a new export; then a delta in which one of them changed. A tenth of them goes before, for the ratio.
 *
 * Everything but the targets is real: the snapshot is attested, the store is PostgreSQL. What the targets would show
 * after a run is written into the store as an observation would; that is not counted.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Authority } from '../src/authority/authority.ts';
import { isoTime, systemAmbient, systemClock, systemRandom } from '../src/clock.ts';
import { loginsOf, storePlans } from '../src/control/planning.ts';
import type { World } from '../src/control/world.ts';
import { ingest, settlePersons } from '../src/identity/ingest.ts';
import { dateOf } from '../src/identity/lifecycle.ts';
import { compileRules, type Rules } from '../src/identity/rules.ts';
import { openOutbox } from '../src/ledger/outbox.ts';
import { diff } from '../src/plan/diff.ts';
import { draft, makePlans } from '../src/plan/make.ts';
import { openSnapshot } from '../src/source/open.ts';
import { takeSnapshot } from '../src/source/snapshot.ts';
import type { Statement } from '../src/source/statement.ts';
import { type Database, openDatabase, packageFolder } from '../src/store/database.ts';
import { migrate } from '../src/store/migrate.ts';
import { prepareStore } from '../src/store/prepare.ts';
import { type InForce, readInForce } from '../src/trust/force.ts';
import { demoGenesis } from '../src/trust/genesis.ts';

const GOAL = { people: 1_000_000, seconds: 60, megabytes: 512, unchangedSeconds: 30, tenfold: 11, deltaMs: 200 };
const SEED = 7;

const GRANTS = ['mail', 'wiki', 'chat', 'vpn', 'desk'];
const CONFIG = `version: 1
tenant: acme
owner: "100000"
feeds:
  hr:
    csv: people.csv
    asOf: { header: last-modified }
    contract: { key: employee_id, maxAge: 26h, count: {} }
    map:
      employeeId: row.employee_id
      givenName: row.first_name
      familyName: row.last_name
      name: row.first_name + " " + row.last_name
      login: row.email.lowerAscii()
      email: row.email.lowerAscii() + "@acme.example"
      department: row.department_id
      title: row.job_id
      manager: row.manager_id
      startsOn: row.hire_date
correlate: [employeeId]
targets:
  crm: { scim: "http://127.0.0.1:1/scim/v2", match: userName == person.login }
entitlements:
${GRANTS.map((name) => `  ${name}: { on: crm, group: ${name}, privilege: low }`).join('\n')}
birthright:
  everyone: { when: person.active, grant: [${GRANTS.slice(0, 4).join(', ')}] }
  inside: { when: person.department != "999", grant: [${GRANTS[4]}] }
profile: separated
connectors:
  crm-read: { on: crm, duties: [read], owner: "100001", deputy: "100002", credential: crm-read, scope: [read User, read Group, read configuration], expires: 2027-12-31 }
  crm-grant: { on: crm, duties: [grant], owner: "100001", deputy: "100002", credential: crm-grant, scope: [read User, read Group, read configuration, create User, update User, enable User, grant *], expires: 2027-12-31 }
  crm-revoke: { on: crm, duties: [revoke], owner: "100001", deputy: "100002", credential: crm-revoke, scope: [read User, read Group, read configuration, disable User, revoke *], expires: 2027-12-31 }
  crm-verify: { on: crm, duties: [verify], owner: "100001", deputy: "100002", credential: crm-verify, scope: [read User, read Group, read configuration], expires: 2027-12-31 }
limits: { grants: { count: 100000000 }, removals: { count: 100000000 } }
approvals:
  low: 0
  normal: { people: 1, role: owner }
  high: { people: 2, role: security, within: 24h }
envelope:
  grants: { count: 100000000 }
  removals: { count: 100000000 }
  expires: 2027-12-31
local: { data: . }
`;

/* ---- the export ---------------------------------------------------------------------------------------------------- */

/** Marsaglia's xorshift32: the same people on each run. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const HEADER = 'employee_id,first_name,last_name,email,hire_date,job_id,manager_id,department_id,salary,exported\r\n';

/** @param exported a column that nobody maps and that every export has anew, so that no export repeats another's bytes */
async function writePeople(path: string, people: number, exported: string): Promise<void> {
  const next = seeded(SEED);
  const file = await open(path, 'w');
  let text = HEADER;
  for (let row = 0; row < people; row += 1) {
    const day = `20${10 + next(15)}-0${1 + next(9)}-1${next(10)}`;
    text += `${100_000 + row},First${next(5000)},Last${next(70_000)},P${100_000 + row},${day},JOB_${next(40)},`;
    text += `${100_000 + (row >> 3)},${10 * next(27)},${4000 + next(20_000)}.00,${exported}\r\n`;
    if (text.length > 1 << 20 || row === people - 1) {
      await file.write(text);
      text = '';
    }
  }
  await file.close();
}

/** The first person alone, in another department that takes a grant from him. */
const writeOne = (path: string): Promise<void> =>
  writeFile(path, `${HEADER}100000,First1,Last1,P100000,2010-01-10,JOB_1,100000,999,4000.00,third\r\n`);

/* ---- the road, as far as stored plans -------------------------------------------------------------------------------- */

interface Bench {
  readonly folder: string;
  readonly database: Database;
  readonly inForce: InForce;
  readonly authority: Authority;
  readonly rules: Rules;
  readonly key: ReturnType<typeof generateKeyPairSync>['privateKey'];
}

/** Times phases one by one, and prints each with what the process had needed at most until then. */
function stopwatch(title: string) {
  let total = 0;
  const phase = async <T>(
    name: string,
    work: () => Promise<T> | T,
    says: (result: T) => string = () => '',
  ): Promise<T> => {
    const start = performance.now();
    const result = await work();
    const ms = performance.now() - start;
    total += ms;
    const peak = `${Math.round(process.resourceUsage().maxRSS / 1024)} MB`;
    const took = ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
    console.log(`${title.padEnd(10)}${name.padEnd(10)}${took.padStart(9)}${peak.padStart(10)}  ${says(result)}`);
    return result;
  };
  return { phase, total: () => total };
}

/** From the file to stored plans. @returns how long it took, in milliseconds, and the snapshot */
async function reconcile(title: string, bench: Bench, file: string, authority: Authority, previous: Statement | null) {
  const { folder, database, inForce, rules, key } = bench;
  const { phase, total } = stopwatch(title);
  const now = systemClock.now();
  const today = dateOf(now);
  const feed = authority.feeds['hr']!;
  const { statement } = await phase(
    'snapshot',
    () =>
      takeSnapshot({
        tenant: authority.tenant,
        name: 'hr',
        feed,
        payload: createReadStream(join(folder, file), { highWaterMark: 1 << 20 }),
        origin: file,
        tlsPeer: null,
        manifest: { kind: 'none' },
        header: isoTime(now - 60_000),
        folder: join(folder, 'snapshots'),
        previous,
        clock: systemClock,
        key,
      }),
    (taken) => `${taken.statement.verdict}, ${taken.statement.records} records`,
  );
  await database.tx(async (tx) => {
    const snapshot = openSnapshot(join(folder, 'snapshots'), statement.id);
    const arrived = { feed: 'hr', id: statement.id, records: () => snapshot.records(), quarantined: [] };
    await phase(
      'ingest',
      () => ingest(tx, authority, rules, arrived, today, now),
      ({ read, changed, joined, left }) => `${read} read, ${changed} changed, ${joined} joined, ${left} left`,
    );
    snapshot.close();
    await phase(
      'settle',
      () => settlePersons(tx, authority, rules, today, now, false),
      ({ changed }) => `${changed.length} persons changed`,
    );
  });
  await database.tx(async (tx) => {
    const differences = await phase(
      'diff',
      () => diff(tx, authority, ['crm'], now),
      (found) => `${found.length} differences`,
    );
    const { drafts } = await phase(
      'draft',
      async () => draft(differences, rules, await loginsOf(tx, authority)),
      (drafted) => `${drafted.drafts.length} drafts, ${drafted.leftAlone.length} left alone`,
    );
    const { next } = await tx.one<{ next: number }>('select coalesce(max(number), 0)::int + 1 as next from plan');
    let number = next;
    const plans = await phase(
      'freeze',
      () =>
        makePlans({
          authority,
          roster: inForce.roster,
          base: {
            authorityDigest: inForce.authorityDigest,
            snapshots: { hr: statement.id },
            observedAt: now,
            policy: inForce.authorityDigest,
          },
          drafts,
          existing: { things: 0 },
          terminated: new Set(),
          now,
          numberFor: () => number++,
        }),
      (made) => `${made.length} plans`,
    );
    const world = { authority, record: openOutbox(authority.tenant, systemClock, systemRandom) } as unknown as World;
    await phase('store', () => storePlans(tx, world, plans, now));
  });
  return { ms: total(), statement };
}

/** What observations would say once all of the first plans had been applied. */
async function carryOut(database: Database): Promise<void> {
  await database.query(
    `insert into account (tenant, system, login, id, person, management, state, attributes, observed_at)
     select tenant, system, login, 'id-' || login, person, 'managed', 'active', leaf::jsonb -> 'value', updated_at
       from change where effect = 'create'`,
  );
  await database.query(
    `insert into held (tenant, system, login, entitlement, observed_at)
     select tenant, system, login, entitlement, updated_at from change where effect = 'grant'`,
  );
  await database.query(`update change set stage = 'verified'`);
  // What autovacuum does soon after a first load.
  await database.query('vacuum analyze');
}

/* ---- the bench ------------------------------------------------------------------------------------------------------- */

interface Figures {
  readonly first: number;
  readonly again: number;
  readonly delta: number;
}

async function benchPopulation(people: number): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), 'writgate-bench-reconcile-'));
  const store = await prepareStore({ folder, ...systemAmbient, environment: {} });
  const database = openDatabase(store.control, { maxConnections: 2, clock: systemClock });
  try {
    await migrate(database, join(packageFolder(), 'src', 'store', 'control'), 'control');
    const configFile = join(folder, 'writgate.yaml');
    await writeFile(configFile, CONFIG);
    const members = [1, 2, 3].map((index) => ({ person: `S${index}`, name: `Approver ${index}`, roles: ['security'] }));
    await demoGenesis({ folder, configFile, people: members, clock: systemClock, random: systemRandom });
    const inForce = await readInForce(folder, systemClock.now());
    const { authority } = inForce;
    const rules = compileRules(authority);
    const bench = { folder, database, inForce, authority, rules, key: generateKeyPairSync('ed25519').privateKey };

    await writePeople(join(folder, 'first.csv'), people, 'first');
    await writePeople(join(folder, 'again.csv'), people, 'again');
    await writeOne(join(folder, 'delta.csv'));
    const { size } = await stat(join(folder, 'first.csv'));
    console.log(
      `\npeople    ${people.toLocaleString('en')} × 10 attributes, 5 grants each, ${Math.round(size / 1e6)} MB of CSV`,
    );
    const first = await reconcile('first', bench, 'first.csv', authority, null);
    await carryOut(database);
    const again = await reconcile('unchanged', bench, 'again.csv', authority, first.statement);
    const { hr } = authority.feeds;
    const changes = { ...authority, feeds: { hr: { ...hr!, contract: { ...hr!.contract, mode: 'delta' as const } } } };
    const delta = await reconcile('one', bench, 'delta.csv', changes, again.statement);
    return { first: first.ms, again: again.ms, delta: delta.ms };
  } finally {
    await database.close();
    await store.cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

export async function benchReconcile(args: string[]): Promise<string> {
  const { values } = parseArgs({ args, options: { people: { type: 'string', default: '100000' } } });
  const people = Number(values.people);
  const tenth = await benchPopulation(Math.round(people / 10));
  const whole = await benchPopulation(people);
  const megabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const { people: million, ...goal } = GOAL;
  return (
    `reconcile: ${people.toLocaleString('en')} people in ${seconds(whole.first)}, ${megabytes} MB, ` +
    `unchanged ${seconds(whole.again)}, ×${(whole.first / tenth.first).toFixed(1)} for ten times the people, ` +
    `one changed ${Math.round(whole.delta)} ms (goal for ${million.toLocaleString('en')}: ≤ ${goal.seconds} s, ` +
    `≤ ${goal.megabytes} MB, ≤ ${goal.unchangedSeconds} s, ≤ ×${goal.tenfold}, < ${goal.deltaMs} ms)`
  );
}
