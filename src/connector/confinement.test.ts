import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { openDummyTarget } from '../connectors/dummy/target.ts';
import { Failure } from '../errors.ts';
import { probeConfinement, type Runner, type RunnerOptions, startRunner, type Tier } from './confinement.ts';
import type { Observed, Question, Reply, Sighting, TargetOptions, Task } from './contract.ts';
import { ConnectorFault } from './fault.ts';

const HOSTILE = fileURLToPath(new URL('../../dist/test/fixtures/hostile-runner.js', import.meta.url));
const TIERS: readonly Tier[] = ['bwrap', 'permission', 'process'];
const best = probeConfinement();
const available = TIERS.slice(TIERS.indexOf(best));
if (best !== 'bwrap') console.warn(`NOT TESTED: the tier bwrap; this machine confines connectors by "${best}" only`);

const REPLY: Reply = { kind: 'http', status: 200, headers: {}, body: null };
const QUESTION: Question = { account: { login: 'zoe', id: null } };
const CREATE: Task = { effect: 'create', account: { login: 'zoe', id: null }, attributes: { displayName: 'Zoë' } };

let runner: Runner;
afterEach(async () => runner?.stop());
const hostile = (options: Partial<RunnerOptions> = {}): Runner => {
  runner = startRunner('dummy', { clock: systemClock, entry: HOSTILE, ...options });
  return runner;
};
const honestly = (attack: string, options: TargetOptions = {}) =>
  runner.look({ attack, ...options }, QUESTION, async () => REPLY);

let folder: string;
let secretFile: string;
let port: number;
const server = createServer((socket) => socket.destroy());
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'confinement-'));
  secretFile = join(folder, 'secret');
  writeFileSync(secretFile, 'hunter2');
  process.env.WRITGATE_PLANTED_SECRET = 'hunter2';
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  delete process.env.WRITGATE_PLANTED_SECRET;
  rmSync(folder, { recursive: true });
  server.close();
});

test.runIf(process.env.REQUIRE_COUNTERPARTS)('this machine has bwrap, as CI must', () => {
  expect(best).toBe('bwrap');
});

/** What each tier stops: the truth, also where it is not flattering. */
const STOPPED: readonly (readonly [what: string, attack: string, options: () => TargetOptions, by: readonly Tier[]])[] =
  [
    ['reading another file', 'read', () => ({ path: secretFile }), ['bwrap', 'permission']],
    ['reading /proc', 'read', () => ({ path: '/proc/self/environ' }), ['bwrap', 'permission']],
    ['reading /etc', 'read', () => ({ path: '/etc/passwd' }), ['bwrap', 'permission']],
    ['writing a file', 'write', () => ({ path: join(folder, 'trace') }), ['bwrap', 'permission']],
    ['starting a program', 'spawn', () => ({}), ['bwrap', 'permission']],
    ['starting a thread', 'thread', () => ({}), ['bwrap', 'permission']],
    ['dialling this machine', 'dial', () => ({ port }), ['bwrap']],
    ['signalling another process', 'signal', () => ({ pid: process.pid }), ['bwrap']],
    ['compiling text', 'code', () => ({}), ['bwrap', 'permission', 'process']],
  ];

for (const tier of TIERS) {
  describe.runIf(available.includes(tier))(`tier ${tier}`, () => {
    for (const [what, attack, options, stoppers] of STOPPED) {
      const stopped = stoppers.includes(tier);
      test(`${stopped ? 'stops' : 'does not stop'}: ${what}`, async () => {
        hostile({ tier });
        const paced = async (): Promise<Reply> => new Promise((resolve) => setImmediate(() => resolve(REPLY)));
        const { message } = await runner.look({ attack, ...options() }, QUESTION, paced);
        if (stopped) expect(message).not.toMatch(/^got|^connected/);
        else expect(message).toMatch(/^got|^connected/);
      });
    }

    test('has an empty environment', async () => {
      hostile({ tier });
      const { message } = await honestly('environment');
      expect(message).not.toContain('hunter2');
      expect(Object.keys(JSON.parse(message.slice('got '.length)))).toEqual(tier === 'bwrap' ? ['PWD'] : []);
    });

    test('kills a connector that loops, and the next task finds a new one', async () => {
      hostile({ tier, silenceMs: 500 });
      await expect(honestly('loop')).rejects.toMatchObject({ code: 'connector-bound' });
      expect((await honestly('honest')).message).toContain('200');
    });
  });
}

describe('what a connector says is not believed', () => {
  for (const attack of [
    'giant line',
    'not a line',
    'two calls at once',
    'a call for no task',
    'a call without shape',
    'more in a call',
    'an answer never asked',
    'exit',
  ]) {
    test(`${attack}: connector-lost, nothing performed twice, and the next task finds a new one`, async () => {
      hostile();
      let performed = 0;
      const asked = runner.look({ attack, task: 1 }, QUESTION, async () => {
        performed++;
        return new Promise<Reply>(() => undefined);
      });
      await expect(asked).rejects.toMatchObject({ name: 'Failure', code: 'connector-lost' });
      expect(performed).toBeLessThan(2);
      expect((await honestly('honest')).message).toContain('200');
    });
  }

  test('survives a connector that takes all the memory that it may', async () => {
    hostile();
    await expect(honestly('memory')).rejects.toMatchObject({ code: 'connector-lost' });
    expect((await honestly('honest')).message).toContain('200');
  });

  test('facts out of place end the task', async () => {
    hostile();
    await expect(honestly('facts out of place', { task: 1 })).rejects.toMatchObject({ name: 'Failure' });
  });

  for (const attack of ['verified', 'more', 'nothing', 'soon']) {
    test(`a receipt that is none ("${attack}")`, async () => {
      hostile();
      const asked = runner.apply({ attack }, CREATE, async () => REPLY);
      await expect(asked).rejects.toMatchObject({ name: 'Failure', code: 'connector-lost' });
    });
  }

  test('an observed account in a state that there is none', async () => {
    hostile();
    const taken: unknown[] = [];
    const asked = runner.observe(
      {},
      async () => REPLY,
      (observed) => void taken.push(observed),
    );
    await expect(asked).rejects.toMatchObject({ name: 'Failure', code: 'connector-lost' });
    expect(taken).toEqual([]);
  });

  test('a task without end is a fault of that task', async () => {
    hostile();
    let calls = 0;
    const asked = runner.look({ attack: 'endless' }, QUESTION, async () => {
      calls++;
      return REPLY;
    });
    await expect(asked).rejects.toMatchObject({ name: 'ConnectorFault', code: 'too-many-steps' });
    expect(calls).toBe(50);
  });

  test('an own error is a fault of that task; the process and its other tasks go on', async () => {
    hostile();
    let answer = (_: Reply): void => undefined;
    let other: Promise<Sighting> | null = null;
    await new Promise<void>((performing) => {
      other = runner.look({ attack: 'honest' }, QUESTION, () => {
        performing();
        return new Promise((resolve) => (answer = resolve));
      });
    });
    await expect(honestly('an own error')).rejects.toMatchObject({ name: 'ConnectorFault', code: 'defect' });
    answer(REPLY);
    expect((await other!).message).toContain('200');
  });
});

describe('a runner', () => {
  test('is not started again and again when it only ever dies', async () => {
    let now = 0;
    const clock = { now: () => now, sleep: () => new Promise<void>(() => undefined) };
    hostile({ clock });
    for (let death = 0; death < 5; death++) {
      await expect(honestly('exit')).rejects.toMatchObject({ code: 'connector-lost' });
    }
    await expect(honestly('honest')).rejects.toThrow('5 times');
    now += 30_000;
    expect((await honestly('honest')).message).toContain('200');
  });

  test('that is stopped fails its tasks, and those after, with connector-lost', async () => {
    hostile();
    const asked = runner.look({ attack: 'honest' }, QUESTION, () => new Promise(() => undefined));
    const failed = expect(asked).rejects.toMatchObject({ code: 'connector-lost' });
    await runner.stop();
    await failed;
    await expect(honestly('honest')).rejects.toMatchObject({ code: 'connector-lost' });
  });

  test('that is not built says how to build it', () => {
    expect(() => startRunner('dummy', { clock: systemClock, entry: '/nowhere/runner.js' })).toThrow('npm run build');
  });

  test('that is told of a connector kind which is not in the table says so in its last words', async () => {
    runner = startRunner('constructor' as 'dummy', { clock: systemClock });
    await expect(runner.look({}, QUESTION, async () => REPLY)).rejects.toThrow('scim, ldap, postgres, dummy');
  });

  test('rejects with what the performer threw, as it was', async () => {
    runner = startRunner('dummy', { clock: systemClock });
    const gone = new Failure('peer-lost', 'the gateway is gone');
    await expect(runner.apply({}, CREATE, () => Promise.reject(gone))).rejects.toBe(gone);
  });

  test('rejects with the connector fault of an incomplete read', async () => {
    runner = startRunner('dummy', { clock: systemClock });
    const asked = runner.observe(
      {},
      async () => ({ kind: 'down', message: 'gone' }),
      () => undefined,
    );
    await expect(asked).rejects.toBeInstanceOf(ConnectorFault);
    await expect(asked).rejects.toMatchObject({ code: 'incomplete-read' });
  });

  test('applies, looks and observes, many at once', async () => {
    const target = openDummyTarget(['staff']);
    runner = startRunner('dummy', { clock: systemClock });
    const perform = async (call: Parameters<typeof target.answer>[0]) => target.answer(call);
    const logins = Array.from({ length: 300 }, (_, n) => `login${n}`);
    const receipts = await Promise.all(
      logins.map((login) => runner.apply({}, { ...CREATE, account: { login, id: null } }, perform)),
    );
    expect(receipts.every(({ outcome }) => outcome === 'done')).toBe(true);
    const sighting = await runner.look({}, { account: { login: 'login7', id: null }, entitlement: 'staff' }, perform);
    expect(sighting).toMatchObject({ account: 'active', holds: false, attributes: { displayName: 'Zoë' } });

    const seen: Observed[] = [];
    await runner.observe({ pageSize: 50 }, perform, (observed) => void seen.push(...observed));
    expect(seen.filter(({ type }) => type === 'account')).toHaveLength(300);
  });

  test('looks many at once, and a group that all of them ask for is read a few times', async () => {
    const target = openDummyTarget(['staff']);
    runner = startRunner('dummy', { clock: systemClock });
    const perform = async (call: Parameters<typeof target.answer>[0]) => target.answer(call);
    const logins = Array.from({ length: 200 }, (_, n) => `login${n}`);
    for (const login of logins.slice(0, 100)) {
      await runner.apply({}, { ...CREATE, account: { login, id: null } }, perform);
      await runner.apply({}, { effect: 'grant', account: { login, id: null }, entitlement: 'staff' }, perform);
    }
    const before = target.calls.length;
    const seen = await Promise.all(
      logins.map((login) => runner.look({}, { account: { login, id: null }, entitlement: 'staff' }, perform)),
    );
    expect(seen.map(({ holds }) => holds === true)).toEqual(logins.map((_, n) => n < 100));
    const texts = target.calls.slice(before).map((call) => JSON.stringify(call));
    const repeated = texts.length - new Set(texts).size;
    expect(repeated).toBeLessThan(100);
  });

  test('waits for whoever takes what was observed', async () => {
    const target = openDummyTarget(['staff']);
    runner = startRunner('dummy', { clock: systemClock });
    const perform = async (call: Parameters<typeof target.answer>[0]) => target.answer(call);
    for (let n = 0; n < 6; n++) await runner.apply({}, { ...CREATE, account: { login: `l${n}`, id: null } }, perform);
    const read = target.calls.length;
    await expect(
      runner.observe({ pageSize: 2 }, perform, async () => {
        // The next page has not been asked for while this one is taken.
        expect(target.calls.length).toBe(read + 1);
        throw new Failure('store-full', 'the disk is full');
      }),
    ).rejects.toMatchObject({ code: 'store-full' });
  });
});
