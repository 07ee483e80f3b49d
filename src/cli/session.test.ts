import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemAmbient } from '../clock.ts';
import { placeOf } from '../role/place.ts';
import { isServed, type Supervised, supervise } from '../role/supervise.ts';
import { tell } from './testing.ts';

let root: string;
let folder: string;
let config: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-session-'));
  folder = join(root, '.writgate');
  config = join(root, 'writgate.yaml');
  await tell(['init', '--demo', '--folder', root]);
});
afterAll(() => rm(root, { recursive: true, force: true }));
const on = (...args: string[]) => tell([...args, '-c', config]);

describe('without a server a command runs the roles for itself', () => {
  test('plan reads the feed, and nothing runs afterwards', async () => {
    const told = await on('plan');
    expect(told.exit, told.err).toBe(0);
    expect(told.out).toContain('joined  Ada Ashby, Ben Brook, Cleo Croft');
    expect(told.out).toContain('Nothing to do: every account and grant is as it should be.');
    expect(await isServed(folder)).toBe(false);
  });

  test('a failure of the server keeps its code and its words, and nothing runs afterwards', async () => {
    const told = await on('plan', 'show', 'P77');
    expect(told).toMatchObject({ exit: 2 });
    expect(told.err).toContain('there is no plan P77');
    expect(await isServed(folder)).toBe(false);
  });

  test('roles that cannot start say why', async () => {
    const other = join(root, 'ceremony');
    const key = (person: string) => join(folder, 'people', `${person}.key.pub`);
    await tell([
      'init',
      '--folder',
      other,
      ...['901', '902', '903'].flatMap((person) => ['--person', `${person}=${key(person)}`]),
    ]);
    const told = await tell(['plan', '-c', join(other, 'writgate.yaml')]);
    expect(told).toMatchObject({ exit: 5 });
    expect(told.err).toContain('the trust root does not hold');
  });
});

describe('beside a server', () => {
  let served: Supervised;
  beforeAll(async () => {
    served = supervise({ ...systemAmbient, folder, configFile: config, environment: {}, onLine() {} });
    await served.ready;
  });
  afterAll(() => served.stop());

  test('commands use it and leave it running', async () => {
    expect(JSON.parse((await on('status', '--json')).out)).toMatchObject({
      tenant: 'acme',
      demo: true,
      people: { active: 3 },
    });
    expect((await on('person', 'aashby')).out).toContain('Ada Ashby');
    expect(await isServed(folder)).toBe(true);
  });

  test('a second serve is refused', async () => {
    const told = await on('serve', '--listen', '127.0.0.1:0');
    expect(told).toMatchObject({ exit: 2 });
    expect(told.err).toContain('runs on');
    expect(await isServed(folder)).toBe(true);
  });

  test.each([
    ['an unknown person', ['person', 'nobody'], 2, 'nobody is nobody'],
    ['an unknown change', ['trace', 'P1.1'], 2, 'there is no change'],
    ['what is no change', ['trace', 'hello'], 2, 'hello'],
    ['an unknown system', ['adopt', 'sap'], 2, 'no target sap'],
    ['an unknown entitlement', ['request', 'aashby', 'root', '--reason', 'x'], 2, 'no entitlement root'],
    ['an account that is not there', ['protect', 'sap', 'x'], 2, 'x is no account'],
    ['a plan that is not there', ['approve', 'P1', '--yes', '--key', 'x'], 2, 'there is no plan'],
    [
      'a first secret where there is no account',
      ['person', 'aashby', '--first-credential', 'crm'],
      2,
      'no account on crm',
    ],
    ['a path for a plan', ['plan', 'show', '../status'], 2, 'is no plan'],
  ])('%s is told as such', async (_, args, exit, message) => {
    const told = await on(...args);
    expect(told.err).toContain(message);
    expect(told.exit).toBe(exit);
  });

  test('one who was interrupted before he began is told where things stand, and that run resumes', async () => {
    const told = await tell(['run', '-c', config], { interrupted: AbortSignal.abort() });
    expect(told.exit).toBe(130);
    expect(told.out).toMatch(/Interrupted\. Changes: .*\nNext: writgate run resumes/);
    expect((await on('run')).exit).toBe(0);
  });
});

describe('a server that misbehaves', () => {
  let server: Server | null = null;
  const play = async (answer: (response: ServerResponse) => void): Promise<void> => {
    const socket = placeOf(folder).socket('api');
    await mkdir(dirname(socket), { recursive: true });
    await rm(socket, { force: true });
    server = createServer((_request, response) => answer(response));
    await new Promise<void>((resolve) => server?.listen(socket, resolve));
  };
  afterEach(async () => {
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve) ?? resolve(null));
  });
  const ndjson = { 'content-type': 'application/x-ndjson' };

  test('goes away in the middle of an answer: that is no answer', async () => {
    await play((response) => {
      response.writeHead(200, ndjson).write('{"progress":"reading"}\n');
      setImmediate(() => response.destroy());
    });
    const told = await on('plan');
    expect(told).toMatchObject({ exit: 1, out: '' });
    expect(told.err).toContain('went away before it had answered');
    expect(told.err).not.toContain('defect');
  });

  test('ends without a result: that is no answer', async () => {
    await play((response) => response.writeHead(200, ndjson).end('{"progress":"reading"}\n'));
    const told = await on('run');
    expect(told).toMatchObject({ exit: 1, out: '' });
    expect(told.err).toContain('went away before it had answered');
  });

  test('has a problem after it began: its code and words count', async () => {
    const problem = { code: 'store-full', title: '', status: 507, detail: 'the disk is full' };
    await play((response) => response.writeHead(200, ndjson).end(`{"progress":"x"}\n${JSON.stringify({ problem })}\n`));
    const told = await on('run');
    expect(told).toMatchObject({ exit: 1 });
    expect(told.err).toContain('the disk is full');
  });

  test('answers with a code that nobody knows: it failed', async () => {
    await play((response) => response.writeHead(418).end('{"code":"teapot","detail":"short and stout"}'));
    const told = await on('status');
    expect(told).toMatchObject({ exit: 1 });
    expect(told.err).toContain('short and stout');
  });

  test('answers with no problem at all: it failed', async () => {
    await play((response) => response.writeHead(502).end('<html>'));
    expect((await on('status')).exit).toBe(1);
  });

  test('sends a result in pieces: it is put together', async () => {
    const whole = Buffer.from(
      `{"progress":"Zoë"}\n{"result":{"retried":[],"report":{"moved":0,"tookMs":1},"plans":[]}}\n`,
    );
    await play((response) => {
      response.writeHead(200, ndjson);
      // One byte at a time, so that a character and every line are cut.
      for (const byte of whole) response.write(Buffer.of(byte));
      response.end();
    });
    expect(await on('run')).toMatchObject({ exit: 0, out: 'Nothing to do.' });
  });

  test('shows a name that moves the cursor: it is made harmless', async () => {
    await play((response) =>
      response.end(
        JSON.stringify({
          person: 'p1',
          name: 'Ann\u001b[2J',
          state: 'active',
          attributes: {},
          affiliations: [],
          accounts: [],
          terminated: null,
          lately: [],
        }),
      ),
    );
    const told = await on('person', 'p1');
    expect(told.out).toContain('Ann\\u{001b}[2J');
    expect(told.out).not.toContain('\u001b');
  });
});
