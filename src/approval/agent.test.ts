import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { agentSigner, listAgentKeys } from './agent.ts';
import { parsePublicKey } from './key.ts';
import { checkSshSignature, signSsh } from './sshsig.ts';
import { describeWithOpenSsh, signerOf } from './testing.ts';
import { wireString, wireUint32 } from './wire.ts';

const NAMESPACE = 'approval@writgate';
const TIMEOUT_MS = 5000;

describeWithOpenSsh('a real ssh-agent', () => {
  const folder = mkdtempSync(join(tmpdir(), 'agent-'));
  const socketPath = join(folder, 'sock');
  const agent = { socketPath, timeoutMs: TIMEOUT_MS, clock: systemClock };
  const KINDS = ['ed25519', 'ecdsa', 'rsa'];
  let process_: ChildProcess;
  const add = (...args: string[]) =>
    execFileSync('ssh-add', args, { env: { ...process.env, SSH_AUTH_SOCK: socketPath }, stdio: 'pipe' });

  beforeAll(async () => {
    process_ = spawn('ssh-agent', ['-D', '-a', socketPath], { stdio: ['ignore', 'pipe', 'ignore'] });
    // It prints its variables once it listens.
    await new Promise((resolve) => process_.stdout?.once('data', resolve));
    expect(existsSync(socketPath)).toBe(true);
    for (const kind of [...KINDS, 'dsa']) {
      const sizes: string[] = kind === 'rsa' ? ['-b', '2048'] : kind === 'ecdsa' ? ['-b', '256'] : [];
      const path = join(folder, kind);
      execFileSync('ssh-keygen', ['-q', '-t', kind, ...sizes, '-N', '', '-C', `my ${kind}`, '-f', path]);
      add('-q', path);
    }
  });
  afterAll(() => {
    process_.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  test('lists keys that can approve and leaves out the others', async () => {
    const keys = await listAgentKeys(agent);
    expect(keys.map((key) => key.comment)).toEqual(['my ed25519', 'my ecdsa', 'my rsa']);
  });

  test('signs with each kind of key', async () => {
    for (const { publicKey } of await listAgentKeys(agent)) {
      const armored = await signSsh({ signer: agentSigner(agent, publicKey), namespace: NAMESPACE, message: 'm' });
      const check = checkSshSignature({ armored, namespace: NAMESPACE, message: 'm' });
      expect(check).toMatchObject({ ok: true, publicKey: { text: publicKey.text } });
    }
  });

  test('fails for a key that the agent does not hold', async () => {
    const signer = agentSigner(agent, signerOf('stranger').publicKey);
    await expect(signer.sign(Buffer.from('m'))).rejects.toMatchObject({
      code: 'ssh-agent',
      message: expect.stringMatching(/ssh-add -l/),
    });
  });

  test('fails while the agent is locked out of its keys', async () => {
    const publicKey = parsePublicKey(readFileSync(join(folder, 'rsa.pub'), 'utf8'));
    add('-q', '-d', join(folder, 'rsa'));
    await expect(agentSigner(agent, publicKey).sign(Buffer.from('m'))).rejects.toMatchObject({ code: 'ssh-agent' });
    expect(await listAgentKeys(agent)).toHaveLength(2);
  });
});

describe('an agent that misbehaves', () => {
  let server: Server | undefined;
  const sockets: Socket[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'agent-'));
  let count = 0;
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function answering(answer: (socket: Socket) => void): Promise<string> {
    count += 1;
    const path = join(folder, `sock${count}`);
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', () => answer(socket));
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return path;
  }
  const list = (socketPath: string | undefined, timeoutMs = TIMEOUT_MS) =>
    listAgentKeys({ socketPath, timeoutMs, clock: systemClock });
  const answerOf = (...parts: Buffer[]) => wireString(Buffer.concat(parts));

  test('no variable, no socket, no agent', async () => {
    await expect(list(undefined)).rejects.toMatchObject({
      code: 'ssh-agent',
      message: expect.stringMatching(/SSH_AUTH_SOCK is not set/),
    });
    await expect(list('')).rejects.toMatchObject({ message: expect.stringMatching(/not set/) });
    await expect(list(join(folder, 'absent'))).rejects.toMatchObject({
      code: 'ssh-agent',
      message: expect.stringMatching(/cannot be reached/),
    });
  });

  test.each([
    ['hangs up', (socket: Socket) => socket.end(), /hung up/],
    ['hangs up in the middle', (socket: Socket) => socket.end(Buffer.of(0, 0, 0, 9, 12)), /hung up/],
    ['says failure', (socket: Socket) => socket.write(answerOf(Buffer.of(5))), /refused/],
    ['announces a gigabyte', (socket: Socket) => socket.write(wireUint32(1 << 30)), /1073741824 bytes/],
    ['announces nothing', (socket: Socket) => socket.write(wireUint32(0)), /0 bytes/],
    [
      'says more than its answer',
      (socket: Socket) => socket.write(Buffer.concat([answerOf(Buffer.of(5)), Buffer.of(1)])),
      /more than/,
    ],
    [
      'counts more keys than it sends',
      (socket: Socket) => socket.write(answerOf(Buffer.of(12), wireUint32(4_000_000_000))),
      /ends early/,
    ],
    [
      'adds bytes to its list',
      (socket: Socket) => socket.write(answerOf(Buffer.of(12), wireUint32(0), Buffer.of(1))),
      /after its end/,
    ],
  ])('an agent that %s', async (_, answer, message) => {
    await expect(list(await answering(answer))).rejects.toMatchObject({
      name: 'Failure',
      message: expect.stringMatching(message),
    });
  });

  test('an agent that says nothing is given up', async () => {
    await expect(list(await answering(() => {}), 20)).rejects.toMatchObject({
      message: expect.stringMatching(/within 20 ms/),
    });
  });

  test('an agent that drips is given up as a whole', async () => {
    const path = await answering((socket) => {
      const timer = setInterval(() => socket.write(Buffer.of(0)), 5);
      socket.on('close', () => clearInterval(timer));
    });
    await expect(list(path, 12)).rejects.toMatchObject({ code: 'ssh-agent' });
  });

  test('an answer in single bytes is put together', async () => {
    const answer = answerOf(Buffer.of(12), wireUint32(0));
    const path = await answering((socket) => {
      for (const byte of answer) socket.write(Buffer.of(byte));
    });
    expect(await list(path)).toEqual([]);
  });
});
