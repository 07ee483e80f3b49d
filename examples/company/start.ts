/**
 * `npm start`: sets everything up, takes the example company down the road, and serves the API. `-- --once` exits
 * afterwards; `-- --folder DIR` says where its data lies. Run again, it finds everything as it was left.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { PlanShown, Status } from '../../src/api/contract.ts';
import { generateSshKey, parsePrivateKey, writeSshKey } from '../../src/approval/private.ts';
import { signSsh } from '../../src/approval/sshsig.ts';
import type { Authority, Feed } from '../../src/authority/authority.ts';
import { deliveryKey } from '../../src/cli/delivery.ts';
import { drawStatus } from '../../src/cli/draw/status.ts';
import { COLOURED, PLAIN, wrap } from '../../src/cli/draw/text.ts';
import { openProgress, terminalFace } from '../../src/cli/face.ts';
import { type Session, withSession } from '../../src/cli/session.ts';
import { isoTime, systemAmbient, systemClock, systemRandom } from '../../src/clock.ts';
import { Failure } from '../../src/errors.ts';
import { sealCredential } from '../../src/gateway/credential.ts';
import { readPublicBox } from '../../src/role/box.ts';
import { supervise } from '../../src/role/supervise.ts';
import { NAMESPACE, stamp } from '../../src/source/manifest.ts';
import { packageFolder } from '../../src/store/database.ts';
import type { SignedAuthority } from '../../src/trust/force.ts';
import { demoGenesis } from '../../src/trust/genesis.ts';
import { companyConfig } from './config.ts';
import { csvOf, type Employee } from './exports.ts';
import { type Stage, tell, tellAgain } from './story.ts';
import { type System, startSystems } from './systems.ts';

/** Four people of the company who may approve; in the demonstration their keys lie in the data folder. */
const APPROVERS = [
  { person: '102', name: 'Lex Garcia', roles: ['security'] },
  { person: '103', name: 'Alexander James', roles: ['security'] },
  { person: '108', name: 'Nancy Gruenberg', roles: ['security'] },
  { person: '205', name: 'Shelley Higgins', roles: ['security'] },
];
const DUTIES = ['read', 'grant', 'revoke', 'verify'] as const;

const { values } = parseArgs({ options: { once: { type: 'boolean', default: false }, folder: { type: 'string' } } });
const folder = resolve(values.folder ?? join(packageFolder(), '.writgate', 'company'));
const paint = process.stdout.isTTY && !process.env['NO_COLOR'] ? COLOURED : PLAIN;
const startedAt = systemClock.now();
const times: { readonly title: string; readonly at: number }[] = [];
/** A line of the story: what happened in the first twelve columns, and the rest beside it. */
const say = (text: string): void => {
  const [first = '', ...rest] = wrap(text, '  ', 14);
  console.log([first.replace(/\b(REFUSED|LIED|STALE|HELD)\b/, (word) => paint.warn(word)), ...rest].join('\n'));
};
const chapter = (title: string): void => {
  times.push({ title, at: systemClock.now() });
  console.log(`\n${paint.bold(title)}`);
};

const hrKeyFile = join(folder, 'hr', 'exporter.key');
/** The feed's contract, as it was signed. */
let hrFeed: Feed | undefined;

async function readHrFeed(): Promise<Feed> {
  const { document } = JSON.parse(await readFile(join(folder, 'authority.json'), 'utf8')) as SignedAuthority;
  const feed = (JSON.parse(document) as Authority).feeds['hr'];
  if (!feed) throw new Error('the example’s authority has a feed hr');
  return feed;
}

/** What a HR system does at night: writes the file, stamps it, and signs the stamp with its own key. */
async function exportHr(employees: readonly Employee[], ageMs: number): Promise<void> {
  const path = join(folder, 'hr', 'employees.csv');
  await writeFile(path, csvOf(employees));
  hrFeed ??= await readHrFeed();
  const manifest = await stamp({ path, feed: hrFeed, asOf: systemClock.now() - ageMs, exportedBy: 'hr.acme.example' });
  const bytes = `${JSON.stringify(manifest, null, 2)}\n`;
  const signer = parsePrivateKey(await readFile(hrKeyFile, 'utf8'));
  await writeFile(join(folder, 'hr', 'employees.manifest.json'), bytes);
  await writeFile(
    join(folder, 'hr', 'employees.manifest.json.sig'),
    await signSsh({ signer, namespace: NAMESPACE, message: bytes }),
  );
}

/** First start: the HR system's key, writgate.yaml, roster and trust root, and each connector's sealed credential. */
async function setUp(systems: readonly System[]): Promise<void> {
  await mkdir(join(folder, 'hr'), { recursive: true, mode: 0o700 });
  const hr = generateSshKey({ random: systemRandom, comment: 'hr.acme.example' });
  await writeSshKey(hrKeyFile, hr);
  const expires = isoTime(startedAt + 180 * 86_400_000).slice(0, 10);
  const configFile = join(folder, 'writgate.yaml');
  const exporter = hr.publicText.trim().split(' ').slice(0, 2).join(' ');
  const delivery = await deliveryKey(join(folder, 'delivery.key'));
  await writeFile(configFile, companyConfig(systems, exporter, delivery, expires));
  await demoGenesis({ folder, configFile, people: APPROVERS, clock: systemClock, random: systemRandom });
  await writeFile(join(folder, 'control', 'api.token'), `${systemRandom(32).toString('base64url')}\n`, { mode: 0o600 });
  await mkdir(join(folder, 'secrets'), { recursive: true, mode: 0o700 });
  const [gateway, verifier] = await Promise.all([readPublicBox(folder, 'gateway'), readPublicBox(folder, 'verifier')]);
  for (const { name, url, secrets } of systems) {
    for (const duty of DUTIES) {
      const credential = `${name}-${duty}`;
      // The address as the authority has it: a credential is sealed together with where it may be sent.
      const address = { url, ca: null, timeoutMs: 10_000 };
      const recipient = duty === 'verify' ? verifier : gateway;
      await writeFile(
        join(folder, 'secrets', `${credential}.sealed`),
        sealCredential(credential, secrets[duty], address, recipient, systemRandom),
        { mode: 0o600 },
      );
    }
  }
}

async function main(): Promise<void> {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

  chapter('Setting up');
  // What a first start left half-made is made anew; nothing of it is in force without the trust root.
  const fresh = !existsSync(join(folder, 'trust-root.json'));
  if (fresh)
    for (const name of ['hr', 'people', 'control', 'gateway', 'verifier', 'secrets'])
      await rm(join(folder, name), { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const face = terminalFace(interrupted.signal);
  const progress = openProgress(face);
  progress.say('starting systems, store and roles');
  // All at once: the systems start, the store is made, and the roles load their code until there is what they need.
  const starting = startSystems(join(folder, 'systems'));
  const roles = supervise({
    ...systemAmbient,
    folder,
    configFile: join(folder, 'writgate.yaml'),
    after: starting.then(({ list }) => (fresh ? setUp(list) : undefined)),
    ...(values.once ? {} : { listen: '127.0.0.1:7400' }),
    onLine: (role, line) => console.error(`  ${role}: ${line}`),
  });
  try {
    await roles.ready.finally(progress.end);
    const systems = await starting;
    const without = systems.withoutLdap === null ? '' : ` (no LDAP: ${systems.withoutLdap})`;
    say(`systems     ${systems.list.map(({ name }) => name).join(', ')}, each a process of its own${without}`);
    say('roles       control, gateway, verifier, worker; separation: none (all run as this user: fine for trying out)');
    await withSession({ folder, configFile: join(folder, 'writgate.yaml') } as never, face, async (session) => {
      const stage: Stage = { session, systems, folder, signal: interrupted.signal, exportHr, say, chapter };
      await (fresh ? tell(stage) : tellAgain(stage));
      const status = await session.ask<Status>('status');
      chapter('Where everything stands');
      console.log(drawStatus(status, systemClock.now(), paint));
      await summary(session, status);
    });
    if (!values.once && !interrupted.signal.aborted) {
      console.log(
        `\nThe API listens on http://127.0.0.1:7400 (token: ${join(folder, 'control', 'api.token')}). Ctrl-C stops everything.`,
      );
      await new Promise<void>((done) => interrupted.signal.addEventListener('abort', () => done(), { once: true }));
    }
  } finally {
    await roles.stop();
    await starting.then(
      (systems) => systems.stop(),
      () => undefined,
    );
  }
}

/** How long each chapter took, and where to look next: at the lie, and at what was true beside it. */
async function summary(session: Session, status: Status): Promise<void> {
  const end = systemClock.now();
  const spans = times.map(({ title, at }, index) => ({ title, tookMs: (times[index + 1]?.at ?? end) - at }));
  const told = [...spans, { title: 'in all', tookMs: end - startedAt }]
    .filter(({ tookMs }) => tookMs >= 50)
    .map(({ title, tookMs }) => `${title.toLowerCase()} ${(tookMs / 1000).toFixed(1)} s`);
  console.log(`\n${paint.dim(wrap(told.join(' · ')).join('\n'))}`);
  const lie = status.alarms.find(({ stage }) => stage === 'contradicted')?.change ?? 'P1.1';
  const { changes } = await session.ask<PlanShown>('planShow', { plan: lie.split('.')[0] ?? lie });
  const truth = changes.find(({ stage }) => stage === 'verified')?.change ?? lie;
  const near = relative(process.cwd(), folder);
  const data = near.startsWith('..') ? folder : near;
  console.log(`
Look next
  export WRITGATE_CONFIG=${join(data, 'writgate.yaml')}
  npx writgate status                    where everything stands
  npx writgate person wgietz             what somebody has, why, by whose approval
  ${`npx writgate trace ${lie}`.padEnd(39)}one change, from the raw source line to the read-back
  ${`npx writgate evidence ${truth} -o e.json`.padEnd(39)}the same for an auditor, who checks it without us:
  npx writgate evidence check e.json --trust-root ${join(data, 'trust-root.json')}
  npx writgate ledger check              then edit one byte of ${join(data, 'ledger', 'entries')}, and again`);
}

main().catch((thrown) => {
  console.error(thrown instanceof Failure ? `writgate: ${thrown.message}` : thrown);
  process.exitCode = thrown instanceof Failure ? thrown.exit : 1;
});
