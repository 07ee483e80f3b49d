/**
 * A company whose Writgate runs as it does at work: control, gateway, verifier and worker as processes of their own, the
 * embedded PostgreSQL, and targets that nobody of us wrote (scimmy, PostgreSQL, OpenLDAP where slapd is installed). The
 * test is its service manager: it starts each role, tells it at which effect to die, and starts it again.
 *
 * Its days are alike, so that one with a death in it can be compared with one without. Each day somebody joins, the one
 * who joined yesterday leaves, the one who left yesterday is deleted; somebody moves; somebody asks for a privileged
 * entitlement that two people sign, and yesterday's ends. Each day's joiner is somebody new.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client as LdapClient } from 'ldapts';
import type { System, Systems } from '../../examples/company/systems.ts';
import { ROUTES } from '../../src/api/contract.ts';
import { generateSshKey, parsePrivateKey } from '../../src/approval/private.ts';
import { signVerdict } from '../../src/approval/request.ts';
import { signSsh } from '../../src/approval/sshsig.ts';
import { parseTrustRoot } from '../../src/approval/trust-root.ts';
import { deliver, deliveryKey } from '../../src/cli/delivery.ts';
import { systemAmbient, systemClock, systemRandom } from '../../src/clock.ts';
import { checkConfig } from '../../src/config.ts';
import { connectPipe } from '../../src/connector/pipe.ts';
import type { Planned, PlanShown, PlanSummary, Ran, Status } from '../../src/control/shown.ts';
import { type Code, Failure, hasCode } from '../../src/errors.ts';
import { checkEvidence } from '../../src/evidence/check.ts';
import { sealCredential } from '../../src/gateway/credential.ts';
import { openSql } from '../../src/gateway/perform/sql.ts';
import { checkLedger, type LedgerReport } from '../../src/ledger/check.ts';
import { openEntry } from '../../src/ledger/entry.ts';
import { COSIGNATURE, createSigner, formatVerifier, parseVerifier } from '../../src/ledger/note.ts';
import { splitEntries } from '../../src/ledger/tile.ts';
import { readPublicBox } from '../../src/role/box.ts';
import { greet } from '../../src/role/greet.ts';
import { type Place, placeOf } from '../../src/role/place.ts';
import { ROLES, type Role } from '../../src/role/supervise.ts';
import { NAMESPACE, stamp } from '../../src/source/manifest.ts';
import { type Connection, type Database, openDatabase } from '../../src/store/database.ts';
import { startCluster } from '../../src/store/embedded.ts';
import { prepareStore, type Store } from '../../src/store/prepare.ts';
import { demoGenesis } from '../../src/trust/genesis.ts';
import { readKey } from '../../src/trust/key.ts';
import { ed25519PublicKey } from '../../src/writ/writ.ts';
import type { Point } from './effects.ts';

const DIST = new URL('../../dist/', import.meta.url);
const built = (path: string): string => fileURLToPath(new URL(path, DIST));
export const EFFECTS = new URL('test/crash/effects.js', DIST).href;

/* ---- who works here ---------------------------------------------------------------------------------------------------- */

interface Row {
  readonly id: string;
  readonly name: string;
  readonly login: string;
  readonly department: string;
}
const row = (id: number, name: string, login: string, department: string): Row => ({
  id: String(id),
  name,
  login,
  department,
});

const STAFF: readonly Row[] = [
  row(101, 'Ada Abel', 'ada', 'board'),
  row(102, 'Ben Baker', 'ben', 'audit'),
  row(103, 'Cleo Carr', 'cleo', 'audit'),
  row(104, 'Dan Dorn', 'dan', 'board'),
  row(105, 'Eve Ernst', 'eve', 'audit'),
  row(106, 'Finn Falk', 'finn', 'legal'),
  row(107, 'Gil Gross', 'gil', 'sales'),
  row(108, 'Hana Holm', 'hana', 'board'),
  row(109, 'Ivo Iller', 'ivo', 'board'),
  row(110, 'Jo Jansen', 'jo', 'board'),
];
const APPROVERS = ['102', '103', '104', '105'];
const joiner = (day: number): Row => row(1000 + day, `Joiner ${day}`, `j${day}`, 'payroll');
/** Kim moves to and fro. */
const rowsOf = (day: number): readonly Row[] => [
  ...STAFF,
  row(111, 'Kim Kerr', 'kim', day % 2 === 0 ? 'sales' : 'legal'),
  ...(day > 0 ? [joiner(day)] : []),
];
/** Who asks for the privileged entitlement: yesterday's loses it when the other gains it. */
const privileged = (day: number): string => (day % 2 === 0 ? '110' : '108');
/** By whose name a day’s facts are told, so that days can be compared. */
const aliases = (day: number): ReadonlyMap<string, string> =>
  new Map([
    [`j${day}`, 'joiner'],
    [`j${day - 1}`, 'leaver'],
    [`j${day - 2}`, 'long gone'],
    [privileged(day) === '110' ? 'jo' : 'hana', 'asker'],
    [privileged(day) === '110' ? 'hana' : 'jo', 'asker of yesterday'],
    [day % 2 === 0 ? 'finn' : 'gil', 'stays in the old'],
    [day % 2 === 0 ? 'gil' : 'finn', 'stays in the new'],
    [day % 2 === 0 ? 'legal' : 'sales', 'old department'],
    [day % 2 === 0 ? 'sales' : 'legal', 'new department'],
    [day % 2 === 0 ? 'Legal' : 'Sales', 'Old department'],
    [day % 2 === 0 ? 'Sales' : 'Legal', 'New department'],
  ]);

const EXPIRES = '2099-01-01';
const READS: Readonly<Record<string, string>> = {
  crm: 'read User, read Group, read configuration',
  pay: 'read User, read Role, read Connections',
  corp: 'read User, read Group',
};
const connectorsOf = (system: string): string => {
  const line = (duty: string, scope: string): string =>
    `  ${system}-${duty}: { on: ${system}, duties: [${duty}], owner: "105", deputy: "106", credential: ${system}-${duty}, scope: [${READS[system]}${scope}], expires: ${EXPIRES} }`;
  return [
    line('read', ''),
    line('grant', ', create User, update User, enable User, grant *'),
    line('revoke', ', disable User, delete User, revoke *'),
    line('verify', ''),
  ].join('\n');
};

const configText = (urls: Readonly<Record<string, string>>, exporter: string, delivery: string): string => `version: 1
tenant: acme
owner: "104"
delivery: ${delivery}
feeds:
  hr:
    csv: hr/people.csv
    asOf: { manifest: hr/people.manifest.json }
    exporter: ${exporter}
    contract: { mode: full, key: id, maxAge: 26h, count: { min: 5, maxDrop: 50% }, required: [login] }
    absent: leaver
    map:
      employeeId: row.id
      name: row.name
      login: row.login
      email: row.login + "@acme.example"
      department: row.department
targets:
  crm: { scim: "${urls['crm']}", match: userName == person.login, leaver: { disable: now, delete: now } }
  pay:
    postgres: ${urls['pay']}
    match: rolname == person.login
    mechanisms: [account, membership, connections]
    protected: [postgres, writgate_*, pay_*]
    leaver: { disable: now, delete: now }
${
  urls['corp'] === undefined
    ? ''
    : `  corp: { ldap: "${urls['corp']}", flavour: openldap, base: "dc=acme,dc=example", people: ou=people, groups: ou=groups, match: uid == person.login, leaver: { disable: now, delete: now } }\n`
}entitlements:
  staff: { on: crm, group: Staff, privilege: low }
  sales: { on: crm, group: Sales, privilege: low }
  legal: { on: crm, group: Legal, privilege: low }
  admins: { on: crm, group: Admins, privilege: high, maxFor: 8h, owner: "101" }
  payroll: { on: pay, role: payroll_read, privilege: low }
${urls['corp'] === undefined ? '' : '  directory: { on: corp, group: "cn=staff,ou=groups", privilege: low }\n'}birthright:
  everyone: { when: person.active, grant: [staff] }
  sales: { when: person.department == "sales", grant: [sales] }
  legal: { when: person.department == "legal", grant: [legal] }
  payroll: { when: person.department == "payroll", grant: [payroll${urls['corp'] === undefined ? '' : ', directory'}] }
profile: separated
connectors:
${Object.keys(urls).map(connectorsOf).join('\n')}
limits:
  grants: { count: 100, subjects: 30, weight: 200 }
  removals: { count: 40, share: 60%, subjects: 6 }
approvals:
  low: 0
  normal: { people: 1, role: owner }
  high: { people: 2, role: security, within: 24h }
envelope:
  window: 24h
  grants: { count: 100000, subjects: 50000 }
  removals: { count: 100000, subjects: 50000 }
  expires: ${EXPIRES}
local: { data: ., listen: 127.0.0.1:7400 }
`;

/* ---- what is compared ---------------------------------------------------------------------------------------------------- */

/** A day in words that are the same on every day: what was so in the end, and what had been done for it. */
export interface Facts {
  /** Each account of each target: its state and what it holds. */
  readonly targets: readonly string[];
  /** Each change that was planned: whose, what, and where it ended. */
  readonly changes: readonly string[];
  /** Each change that was spent, and each that used the envelope's budget. */
  readonly spent: readonly string[];
  readonly budget: readonly string[];
  /** Each write that the SCIM target answered with success. */
  readonly written: readonly string[];
  /** Whose first secrets were delivered, and let in. */
  readonly secrets: readonly string[];
}

/** What is otherwise on this day than usually, in words. */
export const differences = (facts: Facts, usual: Facts): string[] =>
  (Object.keys(usual) as (keyof Facts)[]).flatMap((what) => [
    ...without(facts[what], usual[what]).map((line) => `${what}: also ${line}`),
    ...without(usual[what], facts[what]).map((line) => `${what}: not ${line}`),
  ]);

/** Lines that stand more often in the first. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const rest = [...others];
  return lines.filter((line) => {
    const at = rest.indexOf(line);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

interface Write {
  readonly tuple: string;
  readonly status: number;
  /** How many intents were sealed when it came in, and what the gateway's journal held then. */
  readonly sealed: number;
  readonly journalled: readonly string[];
}

export interface Company {
  readonly folder: string;
  readonly configFile: string;
  readonly place: Place;
  readonly store: () => Store;
  readonly database: Database;
  readonly gatewayDatabase: Database;
  readonly withoutLdap: string | null;
  /** What roles said or did that they should not: each a sentence. */
  readonly surprises: string[];
  /** How often each role was killed since the start. */
  readonly deaths: ReadonlyMap<Role, number>;
  /** Starts a role, to die at a point when one is given, and again whenever it dies. */
  start(role: Role): Promise<void>;
  /** Ends roles in order. */
  halt(...roles: readonly Role[]): Promise<void>;
  pidOf(role: Role): number;
  /** Resolves when the SCIM target is given its n-th write of this day. */
  write(n: number): Promise<void>;
  /** Everything of Writgate's on this machine dies at once, the database server too; and is started again. */
  powerCut(): Promise<void>;
  /** Its database server ends so, at once or with an immediate shutdown; then everything is started anew, as `run` does. */
  loseStore(how: 'SIGKILL' | 'SIGQUIT'): Promise<void>;
  /** From now on its effects are counted, and it dies at the point; started again, at the next one. */
  arm(role: Role, ...points: readonly Point[]): Promise<void>;
  /** Whether it has died at all points; counting and dying end. @returns effects since it was armed or started */
  disarm(role: Role): Promise<{ readonly hasDied: boolean; readonly effects: number }>;
  /**
   * @param options.evening when the work is done, before everything is looked at
   * @param options.others of how many changes the evidence is checked, besides those that a death has left a trace on
   */
  day(options?: {
    readonly morning?: () => Promise<void>;
    readonly evening?: () => Promise<void>;
    readonly others?: number;
    /** Carries the plans before people do it over the API. */
    readonly carry?: () => Promise<void>;
  }): Promise<Facts>;
  ledger(): Promise<LedgerReport>;
  /** The effects at which a role was killed last. */
  lastWords(role: Role): Promise<string>;
  stop(): Promise<void>;
}

const nothing = async (): Promise<void> => undefined;
const sleep = (ms: number): Promise<void> => systemClock.sleep(ms);
/** A person who is told that control went away tries again for so long. */
const PATIENCE_MS = 60_000;

interface RoleProcess {
  readonly child: ChildProcess;
  readonly ready: Promise<void>;
  readonly gone: Promise<void>;
}

const crashFolder = async (): Promise<string> => realpath(await mkdtemp(join(tmpdir(), 'writgate-crash-')));

const companies = new Set<Pick<Company, 'stop'>>();
/** Also those of tests that ran out of time. */
export const stopCompanies = async (): Promise<void> => {
  await Promise.all([...companies].map((company) => company.stop()));
};

export async function startCompany(): Promise<Company> {
  const folder = await crashFolder();
  const place = placeOf(folder);
  const configFile = join(folder, 'writgate.yaml');
  const { startSystems } = (await import(new URL('examples/company/systems.js', DIST).href)) as {
    startSystems(folder: string): Promise<Systems>;
  };
  const [systems, prepared] = await Promise.all([
    startSystems(join(folder, 'systems')),
    prepareStore({ ...systemAmbient, folder, environment: {} }),
  ]);
  const store = prepared;
  const half = {
    async stop() {
      await Promise.all([systems.stop(), store.cluster?.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
  companies.add(half);
  const used = systems.list.filter(({ name }) => name !== 'desk');
  const systemOf = (name: System['name']): System => {
    const found = used.find((system) => system.name === name);
    if (!found) throw new Error(`no system ${name}`);
    return found;
  };
  const crm = await openTap(systemOf('crm').url);
  await makeGroups(systemOf('crm'), ['Legal', 'Admins']);

  /* ---- HR and trust ---- */
  await mkdir(join(folder, 'hr'));
  const hrKey = generateSshKey({ random: systemRandom, comment: 'hr' });
  const exporter = hrKey.publicText.trim().split(' ').slice(0, 2).join(' ');
  const urls = Object.fromEntries(used.map(({ name, url }) => [name, name === 'crm' ? crm.url : url]));
  const helpDesk = join(folder, 'delivery.key');
  const yaml = configText(urls, exporter, await deliveryKey(helpDesk));
  await writeFile(configFile, yaml);
  const config = checkConfig(yaml, configFile);
  if (!config.ok) throw new Error(config.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'));
  const feed = config.authority.feeds['hr'] as NonNullable<(typeof config.authority.feeds)['hr']>;
  let ageMs = 3_600_000;
  async function exportHr(rows: readonly Row[]): Promise<void> {
    const csv = join(folder, 'hr', 'people.csv');
    const line = ({ id, name, login, department }: Row) => `${id},${name},${login},${department}\r\n`;
    await writeFile(csv, `id,name,login,department\r\n${rows.map(line).join('')}`);
    // Each export is a little younger than the one before.
    ageMs -= 100;
    const text = JSON.stringify(await stamp({ path: csv, feed, asOf: Date.now() - ageMs }));
    const signer = parsePrivateKey(hrKey.privateText);
    await writeFile(join(folder, 'hr', 'people.manifest.json'), text);
    await writeFile(
      join(folder, 'hr', 'people.manifest.json.sig'),
      await signSsh({ signer, namespace: NAMESPACE, message: text }),
    );
  }
  await exportHr(rowsOf(0));
  const approvers = await demoGenesis({
    folder,
    configFile,
    people: APPROVERS.map((person) => ({ person, name: person, roles: ['security'] })),
    clock: systemClock,
    random: systemRandom,
  });
  const signers = new Map(
    await Promise.all(
      approvers.map(async ({ person, keyFile }) => [person, parsePrivateKey(await readFile(keyFile, 'utf8'))] as const),
    ),
  );
  await mkdir(place.secrets, { mode: 0o700 });
  for (const { name, secrets } of used) {
    for (const duty of ['read', 'grant', 'revoke', 'verify'] as const) {
      const box = await readPublicBox(folder, duty === 'verify' ? 'verifier' : 'gateway');
      const address = { url: urls[name] as string, ca: null, timeoutMs: 10_000 };
      const sealed = sealCredential(`${name}-${duty}`, secrets[duty], address, box, systemRandom);
      await writeFile(join(place.secrets, `${name}-${duty}.sealed`), sealed);
    }
  }
  const trustRootText = await readFile(join(folder, 'trust-root.json'), 'utf8');
  const { trustRoot } = parseTrustRoot(trustRootText);
  const witnessName = `${parseVerifier(trustRoot.logKey).name}/witness`;
  const witness = formatVerifier(createSigner(witnessName, await readKey(folder, 'witness'), COSIGNATURE).verifier);
  const decisionKey = await readKey(folder, 'decision');

  /* ---- the roles, as a service manager has them ---- */
  await mkdir(join(folder, 'log'), { recursive: true });
  const running = new Map<Role, RoleProcess>();
  const halting = new Set<Role>();
  const deaths = new Map<Role, number>();
  const surprises: string[] = [];

  /** What a role that is started again shall die of. */
  const next = new Map<Role, Point[]>();

  async function start(role: Role): Promise<void> {
    const point = next.get(role)?.shift();
    const log = await open(join(folder, 'log', `${role}.log`), 'a');
    const args = ['--import', EFFECTS, built('src/role/main.js'), role, '--folder', folder, '--config', configFile];
    const child = spawn(process.execPath, args, {
      env: {
        PATH: process.env['PATH'],
        WRITGATE_EFFECTS: join(folder, 'log', `${role}.effects`),
        ...(point ? { WRITGATE_CRASH: `${point.at} ${point.when}` } : {}),
      },
      stdio: ['pipe', 'pipe', log.fd, 'ipc'],
    });
    await log.close();
    child.stdin?.on('error', () => undefined);
    child.on('error', () => undefined);
    const gone = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        running.delete(role);
        resolve();
        if (halting.has(role)) return;
        if (signal === 'SIGKILL') deaths.set(role, (deaths.get(role) ?? 0) + 1);
        else surprises.push(`the ${role} ended by itself with ${signal ?? code}`);
        void start(role).catch(() => undefined);
      });
    });
    const ready = new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on('line', (line) => {
        const said = JSON.parse(line) as { ready: boolean; message?: string };
        if (said.ready) resolve();
        else surprises.push(`the ${role} cannot start: ${said.message}`);
      });
      void gone.then(() => reject(new Error(`the ${role} ended before it was ready`)));
    });
    ready.catch(() => undefined);
    running.set(role, { child, ready, gone });
    await ready;
  }

  async function upAgain(role: Role): Promise<void> {
    for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += 20) {
      const process = running.get(role);
      if (
        process &&
        (await process.ready.then(
          () => true,
          () => false,
        ))
      )
        return;
      await sleep(20);
    }
    throw new Error(`the ${role} does not come up again`);
  }

  async function halt(...roles: readonly Role[]): Promise<void> {
    for (const role of roles) {
      halting.add(role);
      const process = running.get(role);
      process?.child.stdin?.end();
      process?.child.kill('SIGTERM');
      await process?.gone;
      halting.delete(role);
    }
  }

  const asked = <T>(role: Role, message: object): Promise<T | null> =>
    new Promise((resolve) => {
      const child = running.get(role)?.child;
      if (!child?.connected) return resolve(null);
      const tell = (answer: T | null) => {
        child.off('message', told).off('exit', died);
        resolve(answer);
      };
      const told = (answer: unknown) => tell(answer as T);
      const died = () => tell(null);
      child.on('message', told).on('exit', died);
      child.send(message, () => undefined);
    });

  const armed = new Map<Role, number>();
  async function disarm(role: Role) {
    const hasDied = (deaths.get(role) ?? 0) === armed.get(role);
    next.delete(role);
    await upAgain(role);
    const { count } = (await asked<{ count: number }>(role, { count: true })) ?? { count: 0 };
    await asked(role, { arm: { at: 0, when: 'before' } });
    return { hasDied, effects: count };
  }

  /* ---- what a person does: again, when control went away ---- */
  async function insist<T>(work: () => Promise<T>, codes: readonly Code[] = AGAIN): Promise<T> {
    for (const until = Date.now() + PATIENCE_MS; ; ) {
      try {
        return await work();
      } catch (thrown) {
        if (!codes.some((code) => hasCode(thrown, code)) || Date.now() > until) throw thrown;
        await sleep(50);
      }
    }
  }
  const api = place.socket('api');
  const ask = async <T>(route: keyof typeof ROUTES, input: Readonly<Record<string, unknown>> = {}): Promise<T> =>
    JSON.parse(await askText(api, route, input)) as T;

  let day = 0;
  const database = openDatabase(store.control as Connection, { clock: systemClock, maxConnections: 3 });
  const gatewayDatabase = openDatabase(store.gateway as Connection, { clock: systemClock, maxConnections: 2 });
  const sealed = openSealed(join(place.ledger, 'entries'));
  crm.onWrite = async () => {
    // Looked at in this order: an entry leaves the journal when it is sealed.
    const rows = await insist(() => gatewayDatabase.query<{ entry: Buffer }>('select entry from journal'));
    return { journalled: rows.flatMap(({ entry }) => intentOf(entry) ?? []), sealed: (await sealed()).length };
  };

  /** Everything that a person holds control to once it has said so. */
  const acknowledged = { asked: new Set<string>(), made: new Set<number>(), signed: new Set<string>() };

  async function askFor(person: string): Promise<void> {
    const held = () =>
      database.query<{ ref: string }>(
        `select c.ref from cause c join affiliation a on a.tenant = c.tenant and a.person = c.person
          where a.key = $1 and c.entitlement = 'admins' and c.ends_at > now()`,
        [person],
      );
    await insist(async () => {
      // Whoever got no answer looks before he asks again.
      if ((await held()).length > 0) return;
      const { request } = await ask<{ request: string }>('ask', {
        person,
        entitlement: 'admins',
        for: '1h',
        reason: 'month end',
        by: '109',
      });
      acknowledged.asked.add(request);
    });
  }

  /** A target that could not be read takes no part, and is said aloud: then people plan again. */
  async function planAll(): Promise<void> {
    for (;;) {
      const { report } = await insist(() => ask<Planned>('plan'));
      for (const number of report.made) acknowledged.made.add(number);
      if (report.targets.every(({ counts }) => counts !== null)) return;
      await sleep(100);
    }
  }

  async function signAll(): Promise<void> {
    const open = await insist(() => ask<readonly PlanSummary[]>('plans'));
    for (const { plan } of open.filter(({ needs, state }) => needs !== null && state === 'open')) {
      for (const person of ['102', '103']) {
        await insist(async () => {
          const { request } = await ask<PlanShown>('planShow', { plan });
          if (!request || request.signed.some((signed) => signed.person === person)) return;
          const signer = signers.get(person);
          if (!signer) throw new Error(`${person} has no key`);
          const armored = await signVerdict(signer, 'approve', request.bytes);
          await ask('sign', { plan, person, verdict: 'approve', armored });
          acknowledged.signed.add(`${plan} ${person}`);
        });
      }
    }
  }

  /** Pauses between attempts are over. */
  const timePasses = () =>
    database.query(`update change set next_at = now() - interval '1 second' where next_at < 'infinity'`);
  const unfinished = (since: number) =>
    database.query<{ plan: number; seq: number; stage: string; note: string | null }>(
      `select plan, seq, stage, note from change where plan > $1 and stage not in ('verified', 'superseded', 'denied', 'refused', 'failed', 'expired')
        order by plan, seq`,
      [since],
    );

  async function runThrough(since: number): Promise<void> {
    for (let again = 0; again < 12; again++) {
      await insist(() => ask<Ran>('run'));
      if ((await insist(() => unfinished(since))).length === 0) return;
      for (const role of ROLES) await upAgain(role);
      await insist(timePasses);
    }
  }

  const delivered = new Set<string>();
  /** The help desk fetches it, and again when it could not say that it has it. null: none was there. */
  async function handOut(system: string, login: string): Promise<string | null> {
    let given: string | null = null;
    const account = `${system} ${login}`;
    await insist(() =>
      deliver({ folder, configFile }, { system, login }, helpDesk, ({ secret }) => {
        if (delivered.has(account)) surprises.push(`the first secret of ${account} was delivered twice`);
        if (given !== null && given !== secret) surprises.push(`${account} was given two first secrets`);
        given = secret;
      }),
    ).catch((thrown) => {
      if (!hasCode(thrown, 'not-found')) throw thrown;
    });
    delivered.add(account);
    return given;
  }

  /* ---- what the targets show to somebody who is not Writgate ---- */
  async function crmNow(): Promise<string[]> {
    const { kind, token } = systemOf('crm').secrets.read as { kind: string; token: string };
    if (kind !== 'bearer') throw new Error(`the crm takes no ${kind}`);
    const list = async <T>(path: string): Promise<T[]> => {
      const url = `${systemOf('crm').url}/${path}?count=10000`;
      const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
      return ((await answer.json()) as { Resources: T[] }).Resources ?? [];
    };
    const users = await list<{ id: string; userName: string; active: boolean }>('Users');
    const groups = await list<{ displayName: string; members?: { value: string }[] }>('Groups');
    return users
      .filter(({ userName }) => userName !== 'administrator')
      .map(({ id, userName, active }) => {
        const held = groups.filter(({ members = [] }) => members.some(({ value }) => value === id));
        return `crm ${userName} ${active ? 'active' : 'disabled'} ${held.map(({ displayName }) => displayName).sort()}`;
      });
  }
  const payCluster = await startCluster({ ...systemAmbient, folder: join(folder, 'systems', 'pay') });
  const payAdmin = openDatabase(payCluster.superuser, { clock: systemClock, maxConnections: 1 });
  const payNow = async (): Promise<string[]> =>
    (
      await payAdmin.query<{ login: string; active: boolean; holds: string[] }>(
        `select r.rolname::text as login, r.rolcanlogin as active,
                array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
                       where m.member = r.oid) as holds
           from pg_roles r where r.rolname ~ '^j[0-9]+$'`,
      )
    ).map(({ login, active, holds }) => `pay ${login} ${active ? 'active' : 'disabled'} ${holds}`);
  async function corpNow(): Promise<string[]> {
    if (systems.withoutLdap !== null) return [];
    const { url, secrets } = systemOf('corp');
    const { dn, password } = secrets.grant as { dn: string; password: string };
    const client = new LdapClient({ url });
    try {
      await client.bind(dn, password);
      const found = async (base: string, filter: string) =>
        (await client.search(`${base},dc=acme,dc=example`, { scope: 'one', filter, attributes: ['*', '+'] }))
          .searchEntries;
      const people = await found('ou=people', '(uid=*)');
      const groups = await found('ou=groups', '(cn=*)');
      return people.map((person) => {
        const held = groups.filter(({ member }) => [member].flat().map(String).includes(person.dn));
        const stopped =
          person['pwdAccountLockedTime'] !== undefined && [person['pwdAccountLockedTime']].flat().length > 0;
        return `corp ${String(person['uid'])} ${stopped ? 'disabled' : 'active'} ${held.map(({ cn }) => String(cn))}`;
      });
    } finally {
      await client.unbind();
    }
  }
  async function letsIn(system: System['name'], login: string, secret: string): Promise<boolean> {
    if (system === 'pay') {
      const performer = openSql({ url: systemOf('pay').url, ca: null, timeoutMs: 5_000 }, systemAmbient);
      return (await performer.present?.(login, secret)) === 'accepted';
    }
    const client = new LdapClient({ url: systemOf('corp').url });
    return client.bind(`uid=${login},ou=people,dc=acme,dc=example`, secret).then(
      () => client.unbind().then(() => true),
      () => false,
    );
  }

  async function facts(since: number, secrets: readonly string[]): Promise<Facts> {
    const known = aliases(day);
    const plain = (text: string): string => text.replace(/[\w.@-]+/g, (word) => known.get(word) ?? word);
    const told = (lines: readonly string[]): string[] => lines.map(plain).sort();
    const changes = await database.query<
      Record<'system' | 'login' | 'effect' | 'entitlement' | 'stage' | 'note', string>
    >(`select system, login, effect, entitlement, stage, note from change where plan > $1 and stage <> 'superseded'`, [
      since,
    ]);
    const digests = await database.query<{ digest: string }>('select digest from plan where number > $1', [since]);
    const of = digests.map(({ digest }) => digest);
    const spent = await gatewayDatabase.query<{ tuple: Record<string, string>; budget: boolean }>(
      `select tuple, exists (select 1 from budget b where b.tenant = s.tenant and b.plan_digest = s.plan_digest and b.seq = s.seq) as budget
         from spent s where plan_digest = any($1)`,
      [of],
    );
    const named = ({ effect, entitlement, object, system }: Record<string, string | null>) =>
      `${effect} ${entitlement ?? 'account'} ${object} on ${system}`;
    return {
      targets: told([...(await crmNow()), ...(await payNow()), ...(await corpNow())]),
      changes: told(
        changes.map(
          ({ login, stage, note, ...rest }) =>
            `${named({ ...rest, object: login })}: ${stage}${stage === 'verified' ? '' : ` (${note})`}`,
        ),
      ),
      spent: told(spent.map(({ tuple }) => named(tuple))),
      budget: told(spent.filter(({ budget }) => budget).map(({ tuple }) => named(tuple))),
      written: told(crm.writes.filter(({ status }) => status < 300).map(({ tuple }) => tuple)),
      secrets: told(secrets),
    };
  }

  /** What was promised to whoever asked, and must be so whatever died meanwhile. */
  async function checkPromises(since: number): Promise<void> {
    const causes = await database.query<{ ref: string }>('select ref from cause');
    for (const ref of acknowledged.asked)
      if (!causes.some((cause) => cause.ref === ref)) surprises.push(`the request ${ref} was acknowledged and is lost`);
    const plans = await database.query<{ number: number }>('select number from plan');
    for (const number of acknowledged.made)
      if (!plans.some((plan) => plan.number === number)) surprises.push(`P${number} was shown as made and is lost`);
    const signed = await database.query<{ plan: number; person: string }>('select plan, person from approval');
    for (const name of acknowledged.signed)
      if (!signed.some(({ plan, person }) => name === `P${plan} ${person}`))
        surprises.push(`the signature ${name} was acknowledged and is lost`);
    const twice = await database.query<{ key: string }>(
      `select encode(sha256(convert_to(kind || refs::text || coalesce(body, ''), 'UTF8')), 'hex') as key from ledger_entry
        where body is not null and salt is not null group by kind, refs, body, salt having count(*) > 1`,
    );
    if (twice.length > 0) surprises.push(`${twice.length} entries are sealed twice`);
    // Every write came after its intent; a removal's may wait in the gateway's journal.
    const intents = await sealed();
    const changes = await database.query<{ id: string; tuple: string }>(
      `select 'P' || plan || '.' || seq as id, effect || ' ' || coalesce(entitlement, 'account') || ' ' || login || ' on ' || system as tuple
         from change where plan > $1`,
      [since],
    );
    for (const write of crm.writes) {
      const own = changes.filter(({ tuple }) => tuple === write.tuple).map(({ id }) => id);
      const before = [...intents.slice(0, write.sealed), ...write.journalled];
      if (!own.some((id) => before.includes(id)))
        surprises.push(`${write.tuple} was written before its intent was sealed`);
    }
  }

  /** Of changes on which a death has left a trace, and of `others` that it has not. */
  async function checkAllEvidence(since: number, others: number): Promise<void> {
    const changes = await database.query<{ id: string; plain: boolean }>(
      `select id, (select count(*) filter (where kind = 'gateway.intent') = 1 and count(*) filter (where kind = 'gateway.outcome') = 1
                      and count(*) filter (where kind = 'verifier.looked') = 1
                     from ledger_entry e where e.refs @> jsonb_build_object('change', c.id)) as plain
         from (select 'P' || plan || '.' || seq as id, random() as chance from change where plan > $1 and stage = 'verified') c
        order by plain, chance`,
      [since],
    );
    const touched = changes.filter(({ plain }) => !plain).length;
    for (const { id } of changes.slice(0, touched + others)) {
      const text = await insist(() => askText(api, 'evidence', { change: id }));
      const report = checkEvidence(text, { trustRoot: trustRootText, genesisRoster: null });
      if (!report.ok || report.verdict !== 'verified')
        surprises.push(
          `the evidence of ${id} does not hold: ${report.verdict}, ${report.findings.map(({ message }) => message).join('; ')}`,
        );
    }
  }

  async function ledger(): Promise<LedgerReport> {
    let report: LedgerReport | null = null;
    for (let look = 0; look < 40 && !report?.ok; look++) {
      if (report) await sleep(100);
      const { checkpoint } = (await insist(() => ask<Status>('status'))).ledger;
      await insist(async () => {
        const gateway = await greet(await connectPipe(place.socket('gateway')), 'control', decisionKey);
        await gateway.request('cosign', { checkpoint }).finally(() => gateway.close());
      });
      report = await checkLedger({
        folder: place.ledger,
        logKey: trustRoot.logKey,
        roleKeys: {
          control: [ed25519PublicKey(trustRoot.controlKey)],
          gateway: [ed25519PublicKey(trustRoot.gatewayKey)],
          verifier: [ed25519PublicKey(trustRoot.verifierKey)],
        },
        witnessKeys: [witness],
        witnessQuorum: 1,
      });
    }
    return report as LedgerReport;
  }

  async function startStoreAgain(): Promise<void> {
    await insist(() => prepareStore({ ...systemAmbient, folder, environment: {} }), ['store-start']);
  }

  const newestPlan = async (): Promise<number> =>
    (await insist(() => database.one<{ number: number }>('select coalesce(max(number), 0)::int as number from plan')))
      .number;

  await start('control');
  await Promise.all([start('gateway'), start('worker'), start('verifier')]);
  await ask<Planned>('plan');
  await runThrough(0);

  const company: Company = {
    folder,
    configFile,
    place,
    store: () => store,
    database,
    gatewayDatabase,
    withoutLdap: systems.withoutLdap,
    surprises,
    deaths,
    start,
    halt,
    pidOf: (role) => running.get(role)?.child.pid ?? Number.NaN,
    async write(n) {
      while (crm.writes.length < n) await sleep(5);
    },
    async loseStore(how) {
      process.kill(await postmasterOf(folder), how);
      // Whoever is in the middle of something finds that it is gone.
      await sleep(200);
      await startStoreAgain();
      await halt('worker', 'verifier', 'gateway', 'control');
      await Promise.all(ROLES.map(start));
    },
    async powerCut() {
      const server = await postmasterOf(folder);
      const backends = await childrenOf(server);
      const dying = [...running.entries()];
      for (const [role] of dying) halting.add(role);
      const families = await Promise.all(dying.map(([, { child }]) => childrenOf(child.pid ?? 0)));
      for (const pid of [...dying.map(([, { child }]) => child.pid ?? 0), server, ...backends, ...families.flat()]) {
        killIfThere(pid);
      }
      await Promise.all(dying.map(([, { gone }]) => gone));
      for (const [role] of dying) halting.delete(role);
      await startStoreAgain();
      await Promise.all(ROLES.map(start));
    },
    async arm(role, point, ...after) {
      await upAgain(role);
      next.set(role, [...after]);
      deaths.set(role, 0);
      if ((await asked(role, { arm: point })) === null) throw new Error(`the ${role} could not be armed`);
      armed.set(role, 1 + after.length);
    },
    disarm,
    async day({ morning = nothing, evening = nothing, carry = nothing, others = Number.MAX_SAFE_INTEGER } = {}) {
      day += 1;
      const since = await newestPlan();
      crm.writes.length = 0;
      await exportHr(rowsOf(day));
      await insist(() =>
        database.query(`update cause set ends_at = now() - interval '1 minute' where entitlement = 'admins'`),
      );
      await morning();
      await askFor(privileged(day));
      await planAll();
      await signAll();
      await carry();
      await runThrough(since);
      const secrets: string[] = [];
      for (const system of ['pay', 'corp'] as const) {
        if (system === 'corp' && systems.withoutLdap !== null) continue;
        const { login } = joiner(day);
        const secret = await handOut(system, login);
        if (secret === null) secrets.push(`${system} ${login} was given nothing`);
        else
          secrets.push(`${system} ${login} ${(await letsIn(system, login, secret)) ? 'is let in' : 'is NOT let in'}`);
      }
      await evening();
      for (const role of ROLES) await upAgain(role);
      await checkAllEvidence(since, others);
      await checkPromises(since);
      return facts(since, secrets);
    },
    ledger,
    async lastWords(role) {
      const told = await readFile(join(folder, 'log', `${role}.effects`), 'utf8');
      const lines = told.split('\n');
      const killed = lines.flatMap((line, index) => (line.startsWith('KILLED') ? [index] : [])).slice(-2);
      return killed.map((index) => lines.slice(Math.max(0, index - 3), index + 1).join('\n')).join('\n…\n');
    },
    async stop() {
      companies.delete(company);
      await halt('worker', 'verifier', 'gateway', 'control');
      await Promise.all([database.close(), gatewayDatabase.close(), payAdmin.close()]);
      await crm.close();
      await Promise.all([systems.stop(), store.cluster?.stop()]);
      for (const path of [folder, join(api, '..'), ...(store.cluster ? [store.cluster.host] : [])]) {
        await rm(path, { recursive: true, force: true });
      }
    },
  };
  companies.delete(half);
  companies.add(company);
  return company;
}

/* ---- processes --------------------------------------------------------------------------------------------------------------- */

async function postmasterOf(folder: string): Promise<number> {
  const text = await readFile(join(folder, 'store', 'cluster', 'data', 'postmaster.pid'), 'utf8');
  return Number.parseInt(text, 10);
}

export async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return tasks.split(' ').flatMap((word) => (word === '' ? [] : [Number(word)]));
}

export function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown;
  }
}

/**
 * Groups are the administrator’s of the target; some are made by `startSystems`. He is in them: a group without members
 * is shown by no server, and whoever revokes there cannot see that it is done.
 */
async function makeGroups({ url, secrets }: System, names: readonly string[]): Promise<void> {
  const { token } = secrets.grant as { token: string };
  const post = async (path: string, body: object): Promise<string> => {
    const answer = await fetch(`${url}/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
      body: JSON.stringify(body),
    });
    if (answer.status !== 201) throw new Error(`making ${JSON.stringify(body)} answered ${answer.status}`);
    return ((await answer.json()) as { id: string }).id;
  };
  const administrator = await post('Users', {
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
    userName: 'administrator',
  });
  for (const displayName of names) {
    const schemas = ['urn:ietf:params:scim:schemas:core:2.0:Group'];
    await post('Groups', { schemas, displayName, members: [{ value: administrator }] });
  }
}

/** After these a person tries again. */
const AGAIN: readonly Code[] = [
  ...(['peer-lost', 'already-running', 'store-unavailable', 'store-unknown', 'ledger-away', 'ledger-stopped'] as const),
];

/* ---- the API, over its socket ------------------------------------------------------------------------------------------- */

/** @throws Failure with the server's code; `peer-lost` when the answer did not come whole */
export function askText(
  socketPath: string,
  route: keyof typeof ROUTES,
  input: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { method, path } = ROUTES[route];
  const rest: Record<string, unknown> = { ...input };
  const filled = path.replace(/:([a-z]+)/g, (_, name: string) => {
    const value = String(rest[name]);
    delete rest[name];
    return encodeURIComponent(value);
  });
  return new Promise((resolve, reject) => {
    const lost = (cause: unknown) => reject(new Failure('peer-lost', 'control went away', { cause }));
    const asking = httpRequest(
      { socketPath, method, path: filled, headers: { 'content-type': 'application/json' } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('error', lost);
        answer.on('end', () => {
          if (!answer.complete) return lost(null);
          const last = text.trim().split('\n').at(-1) ?? '';
          const problem = JSON.parse(last) as {
            problem?: { code: never; detail: string };
            code?: never;
            detail?: string;
          };
          // It is on its way out, and takes nothing more.
          if (answer.statusCode === 503 && problem.code === undefined) return lost(null);
          if ((answer.statusCode ?? 500) >= 400)
            return reject(new Failure(problem.code as never, problem.detail ?? last));
          if (problem.problem) return reject(new Failure(problem.problem.code, problem.problem.detail));
          // A long answer's last line is its result.
          const isStream = route === 'plan' || route === 'run';
          if (isStream && !('result' in problem)) return lost(null);
          resolve(isStream ? JSON.stringify((problem as { result?: unknown }).result) : text);
        });
      },
    );
    asking.on('error', lost);
    asking.end(method === 'POST' ? JSON.stringify(rest) : undefined);
  });
}

/* ---- the ledger, as a file on disk --------------------------------------------------------------------------------------- */

/** The change that an entry says is about to be made, or null for another entry. */
function intentOf(bytes: Buffer): string | null {
  const entry = openEntry(bytes);
  return entry.ok && entry.entry.kind === 'gateway.intent' ? (entry.entry.refs['change'] ?? null) : null;
}

/** Intents in the order of the ledger; reads on from where it was. */
function openSealed(path: string): () => Promise<readonly string[]> {
  const intents: string[] = [];
  let from = 0;
  let reading: Promise<void> = Promise.resolve();
  const read = async (): Promise<void> => {
    const bytes = (await readFile(path).catch(() => Buffer.alloc(0))).subarray(from);
    const { entries, used } = splitEntries(bytes);
    from += used;
    intents.push(...entries.flatMap((entry) => intentOf(entry) ?? []));
  };
  return async () => {
    reading = reading.then(read);
    await reading;
    return [...intents];
  };
}

/* ---- a tap on the line to the SCIM target --------------------------------------------------------------------------------- */

interface Tap {
  readonly url: string;
  readonly writes: Write[];
  onWrite: () => Promise<Pick<Write, 'sealed' | 'journalled'>>;
  close(): Promise<void>;
}

/** Passes on whatever comes, also when whoever asked is dead by then, and notes each write before it goes on. */
async function openTap(target: string): Promise<Tap> {
  const base = new URL(target);
  const names = new Map<string, string>();
  const learn = (text: string): void => {
    const said = JSON.parse(text || 'null') as { Resources?: unknown[] } | null;
    for (const item of said?.Resources ?? [said]) {
      const { id, userName, displayName } = (item ?? {}) as Record<string, string | undefined>;
      if (id !== undefined) names.set(id, (userName ?? displayName) as string);
    }
  };
  const tap: Tap = {
    url: '',
    writes: [],
    onWrite: async () => ({ sealed: 0, journalled: [] }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const server: Server = createServer((request, response) => {
    void (async () => {
      const body = await textOf(request);
      const { method = 'GET', url: path = '/' } = request;
      const before = method === 'GET' ? null : await tap.onWrite();
      const passed = httpRequest(
        { host: base.hostname, port: base.port, method, path, headers: request.headers },
        (answer) => {
          void textOf(answer).then((text) => {
            const tuple = method === 'GET' ? null : tupleOf(method, path, body, names);
            if (text !== '') learn(text);
            const { statusCode: status = 0 } = answer;
            if (before !== null) tap.writes.push({ tuple: tuple ?? `${method} ${path}`, status, ...before });
            response.writeHead(status, answer.headers);
            response.end(text);
          });
        },
      );
      passed.on('error', () => response.destroy());
      passed.end(body);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(tap, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${base.pathname}` });
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of message.setEncoding('utf8')) text += chunk;
  return text;
}

/** What a SCIM write does, in the words of a change. */
function tupleOf(method: string, path: string, body: string, names: ReadonlyMap<string, string>): string {
  const [resource = '', id = ''] = path.replace(/^.*\/v2\//, '').split('/');
  const sent = JSON.parse(body || '{}') as {
    userName?: string;
    Operations?: { op: string; path?: string; value?: unknown }[];
  };
  const name = (key: string): string => names.get(decodeURIComponent(key)) ?? key;
  const [operation] = sent.Operations ?? [];
  if (resource === 'Users') {
    const effect =
      method === 'POST'
        ? 'create'
        : method === 'DELETE'
          ? 'delete'
          : operation?.path === 'active'
            ? operation.value === true
              ? 'enable'
              : 'disable'
            : 'update';
    return `${effect} account ${method === 'POST' ? sent.userName : name(id)} on crm`;
  }
  const inPath = /"([^"]+)"/.exec(operation?.path ?? '')?.[1];
  const member = inPath ?? (operation?.value as { value: string }[] | undefined)?.[0]?.value ?? '';
  const effect = operation?.op.toLowerCase() === 'add' ? 'grant' : 'revoke';
  return `${effect} ${name(id).toLowerCase()} ${name(member)} on crm`;
}
