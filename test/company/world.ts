/**
 * A small company for tests that attack the whole: real roles in this process, a real store, a real SCIM server that can
 * be told to lie. One world per test file.
 *
 * Twelve people (101 to 112), four approvers with keys (102, 103, 104 and 105), one target. 104 answers for Writgate
 * itself, 105 owns the connector that grants.
 */
import type { KeyObject } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type LIES, startLyingScim } from '../../examples/company/lying-scim.ts';
import { generateSshKey, parsePrivateKey } from '../../src/approval/private.ts';
import { signVerdict, type Verdict } from '../../src/approval/request.ts';
import { type Signer, signSsh } from '../../src/approval/sshsig.ts';
import { parseTrustRoot } from '../../src/approval/trust-root.ts';
import { type Ambient, systemAmbient, systemClock } from '../../src/clock.ts';
import { checkConfig } from '../../src/config.ts';
import { connectPipe, type Listener, type Peer } from '../../src/connector/pipe.ts';
import { addMember } from '../../src/connectors/scim/attributes.ts';
import { openPlans, showPlan, showPlans } from '../../src/control/inspect.ts';
import { type PlanningReport, plan as planning } from '../../src/control/planning.ts';
import { type RunReport, run as running } from '../../src/control/run.ts';
import { sign } from '../../src/control/sign.ts';
import { generateBoxKey } from '../../src/gateway/box.ts';
import { sealCredential } from '../../src/gateway/credential.ts';
import { checkLedger, type LedgerReport } from '../../src/ledger/check.ts';
import { readPublicBox } from '../../src/role/box.ts';
import { type Control, startControl } from '../../src/role/control.ts';
import { startGateway } from '../../src/role/gateway.ts';
import { greet } from '../../src/role/greet.ts';
import { openOutside } from '../../src/role/outside.ts';
import { type Place, placeOf } from '../../src/role/place.ts';
import { startVerifier } from '../../src/role/verifier.ts';
import { startWorker } from '../../src/role/worker.ts';
import { NAMESPACE, stamp } from '../../src/source/manifest.ts';
import { type Connection, type Database, openDatabase } from '../../src/store/database.ts';
import { prepareStore } from '../../src/store/prepare.ts';
import { demoGenesis } from '../../src/trust/genesis.ts';
import { readKey } from '../../src/trust/key.ts';
import { ed25519PublicKey } from '../../src/writ/writ.ts';
import { scratchFolder } from '../scratch.ts';

export interface Row {
  readonly id: string;
  readonly name: string;
  readonly login: string;
  readonly department: string;
}

const person = (id: number, name: string, login: string, department: string): Row => ({
  id: String(id),
  name,
  login,
  department,
});

/** The export of the first day. */
export const PEOPLE: readonly Row[] = [
  person(101, 'Ada Abel', 'ada', 'board'),
  person(102, 'Ben Baker', 'ben', 'audit'),
  person(103, 'Cleo Carr', 'cleo', 'audit'),
  person(104, 'Dan Dorn', 'dan', 'board'),
  person(105, 'Eve Ernst', 'eve', 'audit'),
  person(106, 'Finn Falk', 'finn', 'legal'),
  person(107, 'Gil Gross', 'gil', 'legal'),
  person(108, 'Hana Holm', 'hana', 'sales'),
  person(109, 'Ivo Iller', 'ivo', 'sales'),
  person(110, 'Jo Jansen', 'jo', 'sales'),
  person(111, 'Kim Kerr', 'kim', 'legal'),
  person(112, 'Lou Lang', 'lou', 'legal'),
];
export const APPROVERS = ['102', '103', '104', '105'] as const;
export const JOINER: Row = person(113, 'Mia Moll', 'mia', 'sales');
export const HOUR = 3_600_000;

const EXPIRES = '2099-01-01';

const configText = (
  url: string,
  exporter: string,
  delivery: string,
  bounds: Bounds,
  unmanaged: Unmanaged,
): string => `version: 1
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
  crm:
    scim: "${url}"
    match: userName == person.login
    signIn: { url: "${url.replace('/scim/v2', '/sign-in')}" }
    leaver: { disable: now, delete: 30d }
    unmanaged: ${unmanaged}
    protected: [svc-*]
entitlements:
  staff: { on: crm, group: Staff, privilege: low }
  sales: { on: crm, group: Sales, privilege: low }
  legal: { on: crm, group: Legal, privilege: low }
  admins: { on: crm, group: Admins, privilege: high, maxFor: 8h, owner: "101" }
birthright:
  everyone: { when: person.active, grant: [staff] }
  sales: { when: person.department == "sales", grant: [sales] }
  legal: { when: person.department == "legal", grant: [legal] }
profile: separated
connectors:
  crm-read: { on: crm, duties: [read], owner: "106", deputy: "107", credential: crm-read, scope: [read User, read Group, read configuration], expires: ${EXPIRES} }
  crm-grant: { on: crm, duties: [grant], owner: "105", deputy: "106", credential: crm-grant, scope: [read User, read Group, read configuration, create User, update User, enable User, grant *], expires: ${EXPIRES} }
  crm-revoke: { on: crm, duties: [revoke], owner: "106", deputy: "107", credential: crm-revoke, scope: [read User, read Group, read configuration, disable User, delete User, revoke *], expires: ${EXPIRES} }
  crm-verify: { on: crm, duties: [verify], owner: "107", deputy: "106", credential: crm-verify, scope: [read User, read Group, read configuration], expires: ${EXPIRES} }
limits:
  grants: { count: 40, subjects: 15, weight: 60 }
  removals: { count: 8, share: 60%, subjects: 3 }
approvals:
  low: 0
  normal: { people: 1, role: owner }
  high: { people: 2, role: security, within: 24h }
envelope:
  window: 24h
  grants: { count: ${bounds.grants}, subjects: 30 }
  removals: { count: ${bounds.removals}, subjects: 10 }
  expires: ${EXPIRES}
local: { data: ., listen: 127.0.0.1:7400 }
`;

/** What becomes of accounts in the target that nobody wrote down. */
export type Unmanaged = 'report' | 'adopt' | 'revert';

/** The envelope's budget. */
export interface Bounds {
  readonly grants: number;
  readonly removals: number;
}

export interface ScimUser {
  readonly id: string;
  readonly userName: string;
  readonly active: boolean;
  readonly [attribute: string]: unknown;
}
interface ScimState {
  users: ScimUser[];
  groups: { id: string; displayName: string; members: { value: string }[] }[];
}

/** What stands before the target. `pass` asks the target and gives its whole answer. */
export type Between = (
  request: { readonly method: string; readonly url: string },
  response: ServerResponse,
  pass: () => Promise<{ readonly status: number; readonly body: Buffer }>,
) => void | Promise<void>;

export type RoleName = 'gateway' | 'worker' | 'verifier' | 'control';

export interface World {
  readonly folder: string;
  readonly place: Place;
  /** Of this moment: `restart('control')` makes another. */
  control(): Control;
  /** Control's own database, as whoever broke into it has it. */
  readonly database: Database;
  /** The gateway's database: for looking, never for a test's own forging. */
  readonly gatewayDatabase: Database;
  readonly keys: { readonly decision: KeyObject; readonly log: KeyObject };
  /** Of the help desk, which hands out first secrets: nowhere in the data folder. */
  readonly deliveryKey: string;
  signer(person: string): Signer;
  exportHr(rows: readonly Row[], ageMs?: number): Promise<void>;
  plan(): Promise<PlanningReport>;
  run(): Promise<RunReport>;
  /** Plans that are open or refused, as people see them. */
  plans(): ReturnType<typeof showPlans>;
  signAs(plan: string, person: string, verdict?: Verdict): Promise<void>;
  restart(...roles: readonly RoleName[]): Promise<void>;
  /** Stops roles only; `restart` starts them again. */
  halt(...roles: readonly RoleName[]): Promise<void>;
  /** The offline checker over the whole ledger. */
  ledger(): Promise<LedgerReport>;
  /** The PostgreSQL server under both databases. */
  readonly store: {
    readonly superuser: Connection;
    /** As an administrator ends it: every session is cut. */
    stop(): Promise<void>;
    start(): Promise<void>;
  };
  /** The gateway's socket for whoever holds the keys of control and of the worker. */
  door(): Promise<Peer>;
  readonly crm: {
    lie(lie: keyof typeof LIES | null): Promise<void>;
    /** Everything that the server holds, not through Writgate. */
    state(): Promise<ScimState>;
    /** Logins, with `-` before those that are disabled, and their groups: one text to compare. */
    picture(): Promise<string>;
    user(login: string): Promise<ScimUser | undefined>;
    group(name: string): Promise<string>;
    members(group: string): Promise<readonly string[]>;
    /** A hand at the console of the target. */
    post(path: string, body: unknown): Promise<void>;
    /** Something else stands at the target's address, with the target behind it; null: the target itself again. */
    front(between: Between | null): Promise<void>;
    /** The same hand puts an account into a group. */
    join(login: string, group: string): Promise<void>;
    /** The administrator of the target changes what he likes. */
    edit(change: (state: ScimState) => void): Promise<void>;
  };
  stop(): Promise<void>;
}

/**
 * @param bounds the envelope's budget, where a test wants it small
 * @param environment names the store's server, where it is not to be an embedded one
 * @param setting `ambient`: by which the roles live; the store's own server and the target live by the machine's.
 * `prepare`: what has to be in the data folder before anything begins in it
 */
export async function startWorld(
  bounds: Bounds = { grants: 80, removals: 20 },
  unmanaged: Unmanaged = 'report',
  environment: Readonly<Record<string, string>> = {},
  setting: { readonly ambient?: Ambient; readonly prepare?: (folder: string) => Promise<void> } = {},
): Promise<World> {
  const { ambient = systemAmbient, prepare = async () => {} } = setting;
  const { clock, random } = ambient;
  const outside = openOutside(ambient);
  const folder = await scratchFolder();
  await prepare(folder);
  const place = placeOf(folder);
  const tokens = { writer: random(12).toString('hex'), reader: random(12).toString('hex') };
  const stateFile = join(folder, 'crm.json');
  const storing = prepareStore({ folder, ...systemAmbient, environment });
  let scim = await startLyingScim(tokens, 0, null, stateFile);
  let standing: Server | null = null;
  const { url } = scim;

  /* ---- HR ---- */
  const hrKey = generateSshKey({ random, comment: 'hr' });
  const exporter = hrKey.publicText.trim().split(' ').slice(0, 2).join(' ');
  const configFile = join(folder, 'writgate.yaml');
  const helpDesk = generateBoxKey();
  const yaml = configText(url, exporter, helpDesk.publicKey, bounds, unmanaged);
  await writeFile(configFile, yaml);
  const config = checkConfig(yaml, configFile);
  if (!config.ok) throw new Error(config.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'));
  const feed = config.authority.feeds['hr'];
  if (!feed) throw new Error('the configuration has no feed');
  await mkdir(join(folder, 'hr'));
  const csv = join(folder, 'hr', 'people.csv');
  async function exportHr(rows: readonly Row[], ageMs = HOUR): Promise<void> {
    const line = ({ id, name, login, department }: Row) => `${id},${name},${login},${department}\r\n`;
    await writeFile(csv, `id,name,login,department\r\n${rows.map(line).join('')}`);
    const text = JSON.stringify(await stamp({ path: csv, feed: feed!, asOf: clock.now() - ageMs }));
    const signature = await signSsh({
      signer: parsePrivateKey(hrKey.privateText),
      namespace: NAMESPACE,
      message: text,
    });
    await writeFile(join(folder, 'hr', 'people.manifest.json'), text);
    await writeFile(join(folder, 'hr', 'people.manifest.json.sig'), signature);
  }
  await exportHr(PEOPLE);

  /* ---- trust ---- */
  const approvers = await demoGenesis({
    folder,
    configFile,
    people: APPROVERS.map((id) => ({
      person: id,
      name: PEOPLE.find((row) => row.id === id)?.name ?? id,
      roles: ['security'],
    })),
    clock,
    random,
  });
  const signers = new Map<string, Signer>();
  for (const { person: id, keyFile } of approvers) signers.set(id, parsePrivateKey(await readFile(keyFile, 'utf8')));
  const signer = (id: string): Signer => {
    const found = signers.get(id);
    if (!found) throw new Error(`${id} has no key`);
    return found;
  };
  await mkdir(place.secrets, { mode: 0o700 });
  const [gatewayBox, verifierBox] = await Promise.all([
    readPublicBox(folder, 'gateway'),
    readPublicBox(folder, 'verifier'),
  ]);
  for (const duty of ['read', 'grant', 'revoke', 'verify']) {
    const reads = duty === 'read' || duty === 'verify';
    const secret = { kind: 'bearer', token: reads ? tokens.reader : tokens.writer } as const;
    const box = duty === 'verify' ? verifierBox : gatewayBox;
    const sealed = sealCredential(`crm-${duty}`, secret, { url, ca: null, timeoutMs: 10_000 }, box, random);
    await writeFile(join(place.secrets, `crm-${duty}.sealed`), sealed);
  }

  /* ---- the roles ---- */
  let store = await storing;
  let control: Control | null = null;
  const roles = new Map<RoleName, Listener>();
  async function start(role: RoleName): Promise<void> {
    if (role === 'control') roles.set(role, (control = await startControl(folder, outside)));
    else if (role === 'gateway') roles.set(role, await startGateway(folder, folder, outside));
    else if (role === 'worker') roles.set(role, await startWorker(folder, outside));
    else roles.set(role, await startVerifier(folder, outside));
  }
  async function halt(...names: readonly RoleName[]): Promise<void> {
    for (const name of names) {
      await roles.get(name)?.close();
      roles.delete(name);
    }
  }
  await start('control');
  await Promise.all([start('gateway'), start('worker'), start('verifier')]);
  const held = (): Control => {
    if (!control) throw new Error('control is not running');
    return control;
  };
  const database = openDatabase(store.control as Connection, { maxConnections: 3, clock: systemClock });
  const gatewayDatabase = openDatabase(store.gateway as Connection, { maxConnections: 2, clock: systemClock });
  const keys = { decision: await readKey(folder, 'decision'), log: await readKey(folder, 'log') };

  /* ---- the target, looked at directly ---- */
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { ...init, headers: { authorization: `Bearer ${tokens.writer}`, connection: 'close' } });
  const send = async (method: 'POST' | 'PATCH', path: string, body: unknown): Promise<void> => {
    const answer = await ask(path, { method, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`the target answered ${answer.status}`);
    await answer.arrayBuffer();
  };
  const list = async <T>(resource: string): Promise<T[]> =>
    ((await (await ask(`/${resource}?count=500`)).json()) as { Resources: T[] }).Resources;
  const state = async (): Promise<ScimState> => ({ users: await list('Users'), groups: await list('Groups') });
  const lie = async (name: keyof typeof LIES | null): Promise<void> => {
    await fetch(scim.lieUrl, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens.writer}` },
      body: JSON.stringify({ lie: name }),
    });
  };
  for (const displayName of ['Staff', 'Sales', 'Legal', 'Admins']) await send('POST', '/Groups', { displayName });

  const trustRoot = parseTrustRoot(await readFile(join(folder, 'trust-root.json'), 'utf8')).trustRoot;

  return {
    folder,
    place,
    control: held,
    database,
    gatewayDatabase,
    keys,
    deliveryKey: helpDesk.privatePem,
    signer,
    exportHr,
    plan: () => planning(held().world, { progress: () => {} }),
    run: () => running(held().world, { signal: new AbortController().signal, progress: () => {} }),
    async plans() {
      const { world } = held();
      return showPlans(database, world, await openPlans(database, world), 100);
    },
    async signAs(name, id, verdict = 'approve') {
      const { world } = held();
      const { request } = await showPlan(world, name);
      if (request === null) throw new Error(`${name} asks for no signature`);
      const armored = await signVerdict(signer(id), verdict, request.bytes);
      await sign(world, Number(name.slice(1)), { person: id, verdict, armored, reason: null });
    },
    store: {
      get superuser() {
        if (store.cluster === null) throw new Error('somebody else’s server has no superuser for us');
        return store.cluster.superuser;
      },
      stop: async () => store.cluster?.stop(),
      async start() {
        store = await prepareStore({ folder, ...systemAmbient, environment: {} });
      },
    },
    halt,
    async restart(...names) {
      await halt(...names);
      for (const name of names) await start(name);
    },
    async ledger() {
      await held().settle();
      await held().log.published();
      let report: LedgerReport | null = null;
      // The newest entries are published a moment after they were sealed.
      for (let look = 0; look < 40 && !report?.ok; look++) {
        if (report) await clock.sleep(50);
        report = await checkLedger({
          folder: place.ledger,
          logKey: trustRoot.logKey,
          roleKeys: {
            control: [ed25519PublicKey(trustRoot.controlKey)],
            gateway: [ed25519PublicKey(trustRoot.gatewayKey)],
            verifier: [ed25519PublicKey(trustRoot.verifierKey)],
          },
        });
      }
      return report as LedgerReport;
    },
    async door() {
      const [asControl, asWorker] = await Promise.all([
        greet(await connectPipe(place.socket('gateway')), 'control', keys.decision),
        greet(await connectPipe(place.socket('gateway')), 'worker', await readKey(folder, 'worker')),
      ]);
      return {
        request: (method, params, signal) =>
          (method === 'token' || method === 'call' ? asWorker : asControl).request(method, params, signal),
        closed: asControl.closed,
        close(reason) {
          asControl.close(reason);
          asWorker.close(reason);
        },
      };
    },
    crm: {
      lie,
      state,
      async picture() {
        const { users, groups } = await state();
        return users
          .map(({ id, userName, active }) => {
            const held = groups.filter(({ members }) => members.some(({ value }) => value === id));
            return `${active ? '' : '-'}${userName}: ${held.map(({ displayName }) => displayName).sort()}`;
          })
          .sort()
          .join('\n');
      },
      user: async (login) => (await state()).users.find(({ userName }) => userName === login),
      async group(name) {
        const found = (await state()).groups.find(({ displayName }) => displayName === name);
        if (!found) throw new Error(`no group ${name}`);
        return found.id;
      },
      async members(name) {
        const { users, groups } = await state();
        const ids = groups.find(({ displayName }) => displayName === name)?.members.map(({ value }) => value) ?? [];
        return users.filter(({ id }) => ids.includes(id)).map(({ userName }) => userName);
      },
      post: (path, body) => send('POST', path, body),
      async front(between) {
        await new Promise<void>((resolve) => {
          if (!standing) return resolve();
          standing.close(() => resolve());
          standing.closeAllConnections();
        });
        standing = null;
        await scim.close();
        const port = Number(new URL(url).port);
        if (!between) {
          scim = await startLyingScim(tokens, port, null, stateFile);
          return;
        }
        scim = await startLyingScim(tokens, 0, null, stateFile);
        const behind = new URL(scim.url).origin;
        standing = createServer(async (request, response) => {
          const chunks: Buffer[] = [];
          for await (const chunk of request) chunks.push(chunk as Buffer);
          const { method = 'GET', url: asked = '/' } = request;
          await between({ method, url: asked }, response, async () => {
            const answer = await fetch(`${behind}${asked}`, {
              method,
              headers: { authorization: request.headers.authorization ?? '' },
              ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
            });
            return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) };
          });
        });
        await new Promise<void>((resolve) => standing?.listen(port, '127.0.0.1', resolve));
      },
      async join(login, name) {
        const { users, groups } = await state();
        const value = users.find(({ userName }) => userName === login)?.id ?? '';
        const group = groups.find(({ displayName }) => displayName === name)?.id ?? '';
        await send('PATCH', `/Groups/${group}`, addMember(value));
      },
      async edit(change) {
        const kept = JSON.parse(await readFile(stateFile, 'utf8')) as ScimState;
        change(kept);
        await writeFile(stateFile, JSON.stringify(kept));
        const { port } = new URL(url);
        await scim.close();
        scim = await startLyingScim(tokens, Number(port), null, stateFile);
      },
    },
    async stop() {
      await halt('worker', 'verifier', 'gateway', 'control');
      await Promise.all([database.close(), gatewayDatabase.close()]);
      standing?.closeAllConnections();
      standing?.close();
      await scim.close();
      await store.cluster?.stop();
      await rm(folder, { recursive: true, force: true });
      await rm(join(place.socket('api'), '..'), { recursive: true, force: true });
      if (store.cluster) await rm(store.cluster.host, { recursive: true, force: true });
    },
  };
}
