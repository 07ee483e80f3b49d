import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seeded } from '../approval/testing.ts';
import { configTemplate } from '../cli/template.ts';
import { systemAmbient, systemClock } from '../clock.ts';
import { connectPipe } from '../connector/pipe.ts';
import { Failure } from '../errors.ts';
import { generateBoxKey } from '../gateway/box.ts';
import { startCluster } from '../store/embedded.ts';
import { demoGenesis } from '../trust/genesis.ts';
import { placeOf } from './place.ts';
import { isServed, ROLES, type Role, type Supervised, supervise } from './supervise.ts';

let root: string;
let folder: string;
let configFile: string;
const started: Supervised[] = [];

async function begin(name: string): Promise<{ folder: string; configFile: string }> {
  const place = join(root, name);
  const config = join(root, `${name}.yaml`);
  await writeFile(
    config,
    configTemplate({ tenant: 'acme', owner: '100', delivery: generateBoxKey().publicKey, expires: '2099-01-01' }),
  );
  const people = ['901', '902', '903'].map((person) => ({
    person,
    name: `Person ${person}`,
    roles: ['security', 'root'],
  }));
  await demoGenesis({ folder: place, configFile: config, people, clock: systemClock, random: seeded(name) });
  return { folder: place, configFile: config };
}

interface Heard {
  readonly lines: string[];
  /** Resolves when a line is like this; also one that has been. */
  until(like: RegExp): Promise<string>;
  readonly onLine: (role: Role | 'supervisor', line: string) => void;
}
function hear(): Heard {
  const lines: string[] = [];
  const waiting: { like: RegExp; tell: (line: string) => void }[] = [];
  return {
    lines,
    until: (like) =>
      new Promise((tell) => {
        const known = lines.find((line) => like.test(line));
        if (known !== undefined) tell(known);
        else waiting.push({ like, tell });
      }),
    onLine(role, text) {
      const line = `${role}: ${text}`;
      lines.push(line);
      for (const { like, tell } of waiting) if (like.test(line)) tell(line);
    },
  };
}

const start = (heard: Heard): Supervised => {
  const supervised = supervise({ ...systemAmbient, folder, configFile, environment: {}, onLine: heard.onLine });
  started.push(supervised);
  return supervised;
};

async function pingOf(role: Role): Promise<unknown> {
  const peer = await connectPipe(placeOf(folder).socket(role));
  try {
    return await peer.request('ping', {});
  } finally {
    peer.close();
  }
}
/** Process id of a role on our data folder, from the kernel's own list; NaN when there is none. */
async function pidOf(role: Role): Promise<number> {
  for (const pid of await readdir('/proc')) {
    const args = /^\d+$/.test(pid) ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') : '';
    if (args.includes(`\0${role}\0--folder\0${folder}\0`)) return Number(pid);
  }
  return Number.NaN;
}
const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-supervise-'));
  ({ folder, configFile } = await begin('data'));
});
afterAll(async () => {
  await Promise.all(started.map((supervised) => supervised.stop()));
  await rm(root, { recursive: true, force: true });
});

describe('four roles of one data folder', () => {
  test('all listen, a second supervisor is refused, and none is left after the stop', async () => {
    const heard = hear();
    const supervised = start(heard);
    await supervised.ready;
    for (const role of ROLES) expect(await pingOf(role)).toMatchObject({ role });
    expect(await isServed(folder)).toBe(true);
    const pids = await Promise.all(ROLES.map(pidOf));

    await expect(start(hear()).ready).rejects.toMatchObject({ code: 'already-running' });
    expect(await pingOf('gateway'), 'the refused one stopped nothing').toMatchObject({ role: 'gateway' });

    await supervised.stop();
    expect(await supervised.ended).toBeNull();
    expect(pids.every(isGone)).toBe(true);
    expect(await isServed(folder)).toBe(false);
  });

  test('one that is killed is started again, and the others stay', async () => {
    const heard = hear();
    const supervised = start(heard);
    await supervised.ready;
    const [gateway, worker] = [await pidOf('gateway'), await pidOf('worker')];
    process.kill(gateway, 'SIGKILL');
    expect(await heard.until(/gateway ended/)).toContain('SIGKILL');
    await heard.until(/gateway is up again/);
    expect(await pingOf('gateway')).toMatchObject({ role: 'gateway' });
    expect(await pidOf('gateway')).not.toBe(gateway);
    expect(await pidOf('worker')).toBe(worker);
    await supervised.stop();
  });

  test('a role inherits nothing that was in our environment', async () => {
    const supervised = supervise({
      ...systemAmbient,
      folder,
      configFile,
      environment: { PATH: '/usr/bin', WRITGATE_TEST_SECRET: 'x', PGPASSWORD: 'y' },
      onLine() {},
    });
    started.push(supervised);
    await supervised.ready;
    const environment = (await readFile(`/proc/${await pidOf('control')}/environ`, 'utf8'))
      .split('\0')
      .filter((entry) => entry !== '');
    expect(environment).toEqual(['PATH=/usr/bin']);
    await supervised.stop();
  });
});

test('a role that dies whenever it is started stops everything, with a reason', async () => {
  const heard = hear();
  const supervised = start(heard);
  await supervised.ready;
  // From now on the worker cannot start: what is in force does not hold any more.
  const path = join(folder, 'authority.json');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace('\\"tenant\\":\\"acme\\"', '\\"tenant\\":\\"evil\\"'));
  process.kill(await pidOf('worker'), 'SIGKILL');
  const failure = await supervised.ended;
  await writeFile(path, text);
  expect(failure).toMatchObject({ code: 'internal' });
  expect(failure?.message).toMatch(/the worker died \d times in a minute/);
  expect(heard.lines.filter((line) => line.includes('starting it again'))).toHaveLength(5);
  expect(await isServed(folder)).toBe(false);
});

test('one role alone runs without the others, and without a store that it has no login for', async () => {
  const alone = await begin('alone');
  const supervised = supervise({ ...systemAmbient, ...alone, roles: ['worker'], environment: {}, onLine() {} });
  started.push(supervised);
  await supervised.ready;
  expect(await isServed(alone.folder)).toBe(false);
  expect((await readdir(alone.folder)).filter((name) => name === 'store' || name === 'database.json')).toEqual([]);
  await supervised.stop();
});

test('roles that must find something first listen only when it is there', async () => {
  const late = await begin('late');
  const keys = join(late.folder, 'verifier');
  await rename(keys, `${keys}.elsewhere`);
  const supervised = supervise({
    ...systemAmbient,
    ...late,
    roles: ['verifier'],
    environment: {},
    after: systemClock.sleep(300).then(() => rename(`${keys}.elsewhere`, keys)),
    onLine() {},
  });
  started.push(supervised);
  await supervised.ready;
  await supervised.stop();
});

describe('what cannot start says why, and leaves nothing behind', () => {
  test('what the roles were to find first', async () => {
    const supervised = supervise({
      ...systemAmbient,
      folder,
      configFile,
      environment: {},
      after: Promise.reject(new Failure('feed-malformed', 'there is no such thing')),
      onLine() {},
    });
    started.push(supervised);
    await expect(supervised.ready).rejects.toMatchObject({ code: 'feed-malformed' });
    expect(await supervised.ended).toMatchObject({ message: 'there is no such thing' });
    expect(await Promise.all(ROLES.map(pidOf))).toEqual([NaN, NaN, NaN, NaN]);
  });

  test('a trust root that was edited', async () => {
    const path = join(folder, 'trust-root.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"demo":true', '"demo":false'));
    const supervised = start(hear());
    await expect(supervised.ready).rejects.toMatchObject({ code: 'authority-invalid' });
    await writeFile(path, text);
    expect(await supervised.ended).toMatchObject({ code: 'authority-invalid' });
    expect(await Promise.all(ROLES.map(pidOf))).toEqual([NaN, NaN, NaN, NaN]);
  });

  test('a key of a role that is another one', async () => {
    const path = join(folder, 'gateway', 'signing.key');
    const text = await readFile(path, 'utf8');
    await writeFile(path, await readFile(join(folder, 'verifier', 'signing.key'), 'utf8'));
    const supervised = start(hear());
    await expect(supervised.ready).rejects.toMatchObject({
      code: 'authority-invalid',
      message: expect.stringContaining('gateway’s key'),
    });
    await writeFile(path, text);
  });
});

test('the roles end when whoever started them is killed', async () => {
  const script = join(root, 'parent.mjs');
  const module = new URL('../../dist/src/role/supervise.js', import.meta.url).href;
  const clock = new URL('../../dist/src/clock.js', import.meta.url).href;
  await writeFile(
    script,
    `import { supervise } from ${JSON.stringify(module)};
import { systemAmbient } from ${JSON.stringify(clock)};
const supervised = supervise({ ...systemAmbient, folder: ${JSON.stringify(folder)}, configFile: ${JSON.stringify(configFile)}, environment: {}, onLine() {} });
await supervised.ready;
console.log('ready');
setInterval(() => undefined, 1000);
`,
  );
  const parent: ChildProcess = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface({ input: parent.stdout! }), 'line');
  const pids = await Promise.all(ROLES.map(pidOf));
  expect(pids.some(Number.isNaN)).toBe(false);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await expect.poll(() => pids.every(isGone), { timeout: 10_000, interval: 50 }).toBe(true);
  // Its database server is still there; whoever starts next uses it, and stopping it is for whoever started it.
  const next = start(hear());
  await next.ready;
  await next.stop();
  await (await startCluster({ ...systemAmbient, folder: join(folder, 'store') })).stop();
});

describe('one role by hand', () => {
  const main = new URL('../../dist/src/role/main.js', import.meta.url).pathname;
  const run = async (args: readonly string[]): Promise<{ code: number | null; said: string }> => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ['pipe', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said };
  };
  test.each([
    ['no role', []],
    ['an unknown role', ['root', '--folder', 'x', '--config', 'y']],
    ['what every object inherits', ['constructor', '--folder', 'x', '--config', 'y']],
    ['no folder', ['worker']],
  ])('%s is wrong use', async (_, args) => {
    const { code, said } = await run(args);
    expect(code).toBe(2);
    expect(JSON.parse(said)).toMatchObject({ ready: false, code: 'wrong-use' });
  });

  test('a folder in which nothing began', async () => {
    const { code, said } = await run(['worker', '--folder', join(root, 'nowhere'), '--config', configFile]);
    expect(code).toBe(5);
    expect(JSON.parse(said)).toMatchObject({ ready: false, code: 'authority-invalid' });
  });
});
