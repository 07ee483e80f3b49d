/**
 * `npm run bench -- apply [--people N]`: changes a second through the whole road (plan, decision, writ, gateway, worker,
 * verifier, ledger; each role a process of its own), beside a bare script that sends the same writes and looks at the
 * same things with the same concurrency. Each has an honest SCIM server to itself, a process too.
 *
 * The server copies its world before each write, which both pay alike: where it is the slowest part, the ratio flatters.
 * The road shares a read among those who ask for it at the same time; the script reads for each change by itself. Where
 * other work shares the machine, compare the milliseconds of CPU: they tell more than the clock.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import type { Planned, Ran as RunAnswer } from '../src/api/contract.ts';
import { terminalFace } from '../src/cli/face.ts';
import { withSession } from '../src/cli/session.ts';
import { systemAmbient, systemClock, systemRandom } from '../src/clock.ts';
import { checkConfig } from '../src/config.ts';
import { sealCredential } from '../src/gateway/credential.ts';
import { readPublicBox } from '../src/role/box.ts';
import { supervise } from '../src/role/supervise.ts';
import { stamp } from '../src/source/manifest.ts';
import { demoGenesis } from '../src/trust/genesis.ts';
import { cpuByName, type NameOf } from './cpu.ts';

/** As many changes as `run` has in hand at a target. */
const CONCURRENCY = 96;
const BARE_ROUNDS = 3;
const GOAL = 0.5;
const GROUPS = ['Staff', 'Wiki'];
const DUTIES = ['read', 'grant', 'revoke', 'verify'] as const;
const TOKENS = { writer: 'bench-writer-token', reader: 'bench-reader-token' };

/* ---- the target ------------------------------------------------------------------------------------------------------ */

interface Target {
  readonly pid: number;
  readonly url: string;
  /** Group name to id. */
  readonly groups: ReadonlyMap<string, string>;
  stop(): void;
}

async function startTarget(folder: string): Promise<Target> {
  const tokenFile = join(folder, 'tokens.json');
  await writeFile(tokenFile, JSON.stringify(TOKENS), { mode: 0o600 });
  const script = fileURLToPath(new URL('../examples/company/lying-scim.js', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, '--port', '0', '--token-file', tokenFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { url } = await new Promise<{ url: string }>((resolve, reject) => {
    child.stdout?.once('data', (line) => resolve(JSON.parse(String(line))));
    child.once('exit', (code) => reject(new Error(`the SCIM server ended with ${code} before it was ready`)));
  });
  const groups = new Map<string, string>();
  const headers = { authorization: `Bearer ${TOKENS.writer}`, 'content-type': 'application/scim+json' };
  for (const displayName of GROUPS) {
    const made = await fetch(`${url}/Groups`, { method: 'POST', headers, body: JSON.stringify({ displayName }) });
    groups.set(displayName, ((await made.json()) as { id: string }).id);
  }
  return { pid: child.pid ?? 0, url, groups, stop: () => void child.kill('SIGTERM') };
}

/* ---- the bare script --------------------------------------------------------------------------------------------------- */

interface Ran {
  readonly ms: number;
  /** Milliseconds of CPU, by who spent them. */
  readonly cpu: ReadonlyMap<string, number>;
}

const TARGET = 'the target';

/** What `work` took of the clock, and of whose CPU. */
async function timed(nameOf: NameOf, work: () => Promise<void>): Promise<Ran> {
  const before = cpuByName(nameOf);
  const start = performance.now();
  await work();
  const ms = performance.now() - start;
  return { ms, cpu: new Map([...cpuByName(nameOf)].map(([name, spent]) => [name, spent - (before.get(name) ?? 0)])) };
}

/** Creates everybody, puts everybody into each group, and looks after each write as the verifier does. */
async function bareScript({ pid: server, url, groups }: Target, people: number): Promise<Ran> {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: CONCURRENCY });
  const send = async (method: 'GET' | 'POST' | 'PATCH', path: string, token: string, body?: unknown) => {
    const { statusCode, body: answer } = await pool.request({
      method,
      path: `${pathname}${path}`,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const read = (await answer.json()) as { id: string; Resources: { id: string }[]; members: { value: string }[] };
    if (statusCode >= 300) throw new Error(`${method} ${path} answered ${statusCode}`);
    return read;
  };
  const find = (login: string) =>
    send('GET', `/Users?filter=${encodeURIComponent(`userName eq "${login}"`)}`, TOKENS.reader);
  const one = async (index: number): Promise<void> => {
    const userName = `p${100_000 + index}`;
    const user = {
      userName,
      displayName: `First${index} Last${index}`,
      name: { givenName: `First${index}` },
      active: true,
    };
    const { id } = await send('POST', '/Users', TOKENS.writer, user);
    if ((await find(userName)).Resources[0]?.id !== id) throw new Error(`${userName} is not there`);
    for (const [name, group] of groups) {
      const Operations = [{ op: 'add', path: 'members', value: [{ value: id }] }];
      await send('PATCH', `/Groups/${group}`, TOKENS.writer, { Operations });
      // As the verifier looks at a membership: the user, the group by its name, the group itself.
      await find(userName);
      const filter = encodeURIComponent(`displayName eq "${name}"`);
      await send('GET', `/Groups?filter=${filter}&excludedAttributes=members`, TOKENS.reader);
      const { members } = await send('GET', `/Groups/${group}`, TOKENS.reader);
      if (!members.some(({ value }) => value === id)) throw new Error(`${userName} is no member`);
    }
  };
  let next = 0;
  const worker = async () => {
    while (next < people) await one(next++);
  };
  const nameOf: NameOf = (pid) => (pid === server ? TARGET : pid === process.pid ? 'the script' : null);
  const ran = await timed(nameOf, async () => {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  });
  await pool.close();
  return ran;
}

/* ---- the road ---------------------------------------------------------------------------------------------------------- */

const READS = 'read User, read Group, read configuration';
const SCOPES = {
  read: READS,
  grant: `${READS}, create User, update User, enable User, grant *`,
  revoke: `${READS}, disable User, revoke *`,
  verify: READS,
};

const configOf = (url: string): string => `version: 1
tenant: acme
owner: "100000"
feeds:
  hr:
    csv: people.csv
    asOf: { manifest: people.manifest.json }
    contract: { key: employee_id, maxAge: 26h, count: {} }
    map:
      employeeId: row.employee_id
      givenName: row.first_name
      name: row.first_name + " " + row.last_name
      login: row.login
correlate: [employeeId]
targets:
  crm: { scim: "${url}", match: userName == person.login }
entitlements:
${GROUPS.map((group) => `  ${group.toLowerCase()}: { on: crm, group: ${group}, privilege: low }`).join('\n')}
birthright:
  everyone: { when: person.active, grant: [${GROUPS.map((group) => group.toLowerCase()).join(', ')}] }
profile: separated
connectors:
${DUTIES.map((duty) => `  crm-${duty}: { on: crm, duties: [${duty}], owner: "100001", deputy: "100002", credential: crm-${duty}, scope: [${SCOPES[duty]}], expires: 2027-12-31 }`).join('\n')}
limits: { grants: { count: 100000 }, removals: { count: 100 } }
approvals:
  low: 0
  normal: { people: 1, role: owner }
  high: { people: 2, role: security, within: 24h }
envelope: { grants: { count: 100000 }, removals: { count: 100 }, expires: 2027-12-31 }
local: { data: . }
`;

async function setUp(folder: string, url: string, people: number): Promise<string> {
  const configFile = join(folder, 'writgate.yaml');
  const config = configOf(url);
  await writeFile(configFile, config);
  const rows = Array.from(
    { length: people },
    (_, index) => `${100_000 + index},First${index},Last${index},p${100_000 + index}\n`,
  );
  const path = join(folder, 'people.csv');
  await writeFile(path, `employee_id,first_name,last_name,login\n${rows.join('')}`);
  const members = [1, 2, 3].map((index) => ({ person: `S${index}`, name: `Approver ${index}`, roles: ['security'] }));
  await demoGenesis({ folder, configFile, people: members, clock: systemClock, random: systemRandom });
  const checked = checkConfig(config, configFile);
  const feed = checked.ok ? checked.authority.feeds['hr'] : undefined;
  if (!feed) throw new Error('the configuration of the bench does not hold');
  const manifest = await stamp({ path, feed, asOf: systemClock.now() - 60_000, exportedBy: 'bench' });
  await writeFile(join(folder, 'people.manifest.json'), `${JSON.stringify(manifest)}\n`);
  await mkdir(join(folder, 'secrets'), { mode: 0o700 });
  const [gateway, verifier] = await Promise.all([readPublicBox(folder, 'gateway'), readPublicBox(folder, 'verifier')]);
  for (const duty of DUTIES) {
    const token = duty === 'read' || duty === 'verify' ? TOKENS.reader : TOKENS.writer;
    const address = { url, ca: null, timeoutMs: 10_000 };
    const recipient = duty === 'verify' ? verifier : gateway;
    const sealed = sealCredential(`crm-${duty}`, { kind: 'bearer', token }, address, recipient, systemRandom);
    await writeFile(join(folder, 'secrets', `crm-${duty}.sealed`), sealed, { mode: 0o600 });
  }
  return configFile;
}

interface Road {
  readonly planMs: number;
  readonly run: Ran;
}

const namesIn = (folder: string, target: Target): NameOf => {
  const server = Number.parseInt(
    readFileSync(join(folder, 'store', 'cluster', 'data', 'postmaster.pid'), 'latin1'),
    10,
  );
  return (pid, command, parent) => {
    if (pid === process.pid) return 'the terminal';
    if (pid === target.pid) return TARGET;
    if (pid === server || parent === 'PostgreSQL') return 'PostgreSQL';
    const role = command.includes(folder) ? /role\/main\.js (\w+)/.exec(command)?.[1] : undefined;
    // Whatever else a role starts is a connector's process.
    return role ?? (parent === null || parent === 'the terminal' ? null : 'connectors');
  };
};

/** @throws when not every change ends verified: a rate of what did not happen is none */
async function wholeRoad(folder: string, configFile: string, target: Target, changes: number): Promise<Road> {
  const roles = supervise({
    ...systemAmbient,
    folder,
    configFile,
    environment: process.env,
    onLine: (role, line) => console.error(`${role}: ${line}`),
  });
  try {
    await roles.ready;
    const { signal } = new AbortController();
    const face = { ...terminalFace(signal), err: () => undefined };
    return await withSession({ folder, configFile } as never, face, async (session) => {
      const start = performance.now();
      await session.follow<Planned>('plan', signal);
      const planMs = performance.now() - start;
      let plans: RunAnswer['plans'] = [];
      const run = await timed(namesIn(folder, target), async () => {
        ({ plans } = await session.follow<RunAnswer>('run', signal));
      });
      const verified = plans.reduce((sum, { stages }) => sum + (stages.verified ?? 0), 0);
      if (verified !== changes)
        throw new Error(`${verified} of ${changes} changes were verified: ${JSON.stringify(plans)}`);
      return { planMs, run };
    });
  } finally {
    await roles.stop();
  }
}

export async function benchApply(args: string[]): Promise<string> {
  const { values } = parseArgs({ args, options: { people: { type: 'string', default: '300' } } });
  const people = Number(values.people);
  const changes = people * (1 + GROUPS.length);
  const folder = await mkdtemp(join(tmpdir(), 'writgate-bench-apply-'));
  const onTarget = async <T>(use: (target: Target) => Promise<T>): Promise<T> => {
    const target = await startTarget(folder);
    try {
      return await use(target);
    } finally {
      target.stop();
    }
  };
  const spent = (cpu: Ran['cpu']): string => {
    const each = (ms: number) => (ms / changes).toFixed(2);
    const total = [...cpu.values()].reduce((sum, ms) => sum + ms, 0);
    const parts = [...cpu].sort(([, one], [, other]) => other - one).map(([name, ms]) => `${name} ${each(ms)}`);
    return `${each(total)} ms of CPU a change (${parts.join(', ')})`;
  };
  const rate = (ms: number) => Math.round((changes * 1000) / ms);
  try {
    console.log(`changes   ${changes}: ${people} accounts, ${changes - people} grants, ${CONCURRENCY} at a time`);
    let bareMs = Number.POSITIVE_INFINITY;
    for (let round = 1; round <= BARE_ROUNDS; round++) {
      const { ms, cpu } = await onTarget((target) => bareScript(target, people));
      console.log(`bare ${round}    ${ms.toFixed(0)} ms, ${rate(ms)} changes/s, ${spent(cpu)}`);
      bareMs = Math.min(bareMs, ms);
    }
    const { planMs, run } = await onTarget(async (target) =>
      wholeRoad(folder, await setUp(folder, target.url, people), target, changes),
    );
    console.log(`plan      ${planMs.toFixed(0)} ms`);
    console.log(
      `run       ${run.ms.toFixed(0)} ms, ${rate(run.ms)} changes/s, ratio without planning ${(bareMs / run.ms).toFixed(2)}`,
    );
    console.log(`          ${spent(run.cpu)}`);
    const roadMs = planMs + run.ms;
    return (
      `apply: ${rate(roadMs)} changes/s through the whole road, ${rate(bareMs)} by a bare script (best of ${BARE_ROUNDS}): ` +
      `ratio ${(bareMs / roadMs).toFixed(2)} (goal ≥ ${GOAL})`
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
