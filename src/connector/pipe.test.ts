import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure, hasCode } from '../errors.ts';
import { connectPipe, type Handlers, type Listener, listenPipe, MAX_LINE_BYTES, openPipe, type Peer } from './pipe.ts';

let folder: string;
let path: string;
const open: (Listener | Peer)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pipe-'));
  path = join(folder, 'gateway.sock');
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  await rm(folder, { recursive: true });
});

const listen = async (handlers: Handlers): Promise<Listener> => {
  const listener = await listenPipe(path, handlers);
  open.push(listener);
  return listener;
};
const dial = async (handlers: Handlers = {}): Promise<Peer> => {
  const peer = await connectPipe(path, handlers);
  open.push(peer);
  return peer;
};
const echo: Handlers = { echo: (params) => params };

/** A client without manners: sends bytes, and tells what came back before the other side hung up. */
const raw = (bytes: string | Buffer): Promise<string> =>
  new Promise((resolve) => {
    let answer = '';
    const socket: Socket = connect(path, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
  });

describe('garbage ends its own connection and no other', () => {
  const garbage: Record<string, string | Buffer> = {
    'what is not JSON': 'GET / HTTP/1.1\r\n\r\n',
    'an empty line': '\n',
    'a value that is no object': 'null\n',
    'a request without an id': '{"method":"echo","params":1}\n',
    'an id that is no integer': '{"id":"1","method":"echo"}\n',
    'an answer to nothing that was asked': '{"id":1,"result":1}\n',
    'bytes that are not UTF-8': Buffer.from([0x22, 0xc3, 0x28, 0x22, 0x0a]),
    'a deep nest': `${'['.repeat(1_000_000)}\n`,
  };
  for (const [what, bytes] of Object.entries(garbage)) {
    test(what, async () => {
      await listen(echo);
      const bystander = await dial();
      expect(await raw(bytes)).toBe('');
      expect(await bystander.request('echo', 'still here')).toBe('still here');
    });
  }

  test('a line that grows over its bound is cut off before it ends', async () => {
    await listen(echo);
    expect(await raw(Buffer.alloc(MAX_LINE_BYTES + 1, 'x'))).toBe('');
  });

  test('a peer that asks more at once than it may is cut off', async () => {
    await listen({ never: () => new Promise(() => undefined) });
    const lines = Array.from({ length: 1025 }, (_, id) => `{"id":${id},"method":"never"}\n`);
    expect(await raw(lines.join(''))).toBe('');
  });

  test('any bytes at all: the listener survives', async () => {
    await listen(echo);
    const bystander = await dial();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        await raw(Buffer.concat([bytes, Buffer.from('\n')]));
        expect(await bystander.request('echo', 1)).toBe(1);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a request that fails', () => {
  test('carries a Failure with its code and message', async () => {
    await listen({
      find: () => {
        throw new Failure('not-found', 'no plan P9');
      },
    });
    const asked = (await dial()).request('find', {});
    await expect(asked).rejects.toMatchObject({ name: 'Failure', code: 'not-found', message: 'no plan P9' });
  });

  test('conceals any other error from the asker and shows it to the log', async () => {
    const [here, there] = [new PassThrough(), new PassThrough()];
    const logged: unknown[] = [];
    const boom = () => {
      throw new TypeError('password=hunter2');
    };
    const answering = openPipe(here, there, { boom }, (thrown) => logged.push(thrown));
    const asking = openPipe(there, here, {});
    await expect(asking.request('boom', {})).rejects.toMatchObject({
      code: 'internal',
      message: expect.not.stringContaining('hunter2'),
    });
    expect(logged).toEqual([new TypeError('password=hunter2')]);
    asking.close();
    answering.close();
  });

  test('has no method of a prototype', async () => {
    await listen(echo);
    const peer = await dial();
    for (const method of ['constructor', 'toString', '__proto__', 'nothing']) {
      await expect(peer.request(method, {})).rejects.toMatchObject({ code: 'wrong-use' });
    }
  });

  test('is refused on this side when its line is too long, and the connection lives', async () => {
    await listen(echo);
    const peer = await dial();
    await expect(peer.request('echo', 'x'.repeat(MAX_LINE_BYTES))).rejects.toMatchObject({ code: 'wrong-use' });
    await expect(peer.request('echo', '€'.repeat(MAX_LINE_BYTES / 3))).rejects.toMatchObject({ code: 'wrong-use' });
    expect(await peer.request('echo', 1)).toBe(1);
  });

  test('is told when the answer is too long to send', async () => {
    await listen({ much: () => 'x'.repeat(MAX_LINE_BYTES) });
    const peer = await dial();
    await expect(peer.request('much', {})).rejects.toMatchObject({ code: 'wrong-use' });
  });
});

describe('a connection that ends', () => {
  test('rejects all that is in flight, and what comes after, with peer-lost', async () => {
    const listener = await listen({ never: () => new Promise(() => undefined) });
    const peer = await dial();
    // More than may be in flight: those that wait in the queue are lost with the others.
    const asked = Array.from({ length: 1500 }, () => peer.request('never', {}).catch((thrown: unknown) => thrown));
    await listener.close();
    for (const thrown of await Promise.all(asked)) expect(hasCode(thrown, 'peer-lost')).toBe(true);
    await expect(peer.request('never', {})).rejects.toMatchObject({ code: 'peer-lost' });
    expect(await peer.closed).toMatch(/./);
  });

  test('nobody listens: peer-lost with the way out', async () => {
    await expect(connectPipe(path)).rejects.toMatchObject({
      code: 'peer-lost',
      message: expect.stringContaining(path),
    });
  });
});

describe('giving up', () => {
  test('a signal rejects with its reason; a late answer harms nothing', async () => {
    let release = (_: string): void => undefined;
    await listen({
      ...echo,
      slow: () =>
        new Promise<string>((resolve) => {
          release = resolve;
        }),
    });
    const peer = await dial();
    const signal = new AbortController();
    const asked = peer.request('slow', {}, signal.signal);
    expect(await peer.request('echo', 1)).toBe(1);
    signal.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
    release('late');
    expect(await peer.request('echo', 2)).toBe(2);
    await expect(peer.request('echo', 3, signal.signal)).rejects.toThrow('enough');
  });
});

describe('the socket', () => {
  test('has mode 0600 in a folder with mode 0700', async () => {
    path = join(folder, 'run', 'gateway.sock');
    await listen(echo);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'run'))).mode & 0o777).toBe(0o700);
  });

  test('is refused in a folder that others may enter', async () => {
    await chmod(folder, 0o755);
    await expect(listenPipe(path, echo)).rejects.toMatchObject({
      code: 'wrong-use',
      message: expect.stringContaining('chmod 700'),
    });
  });

  test('is not taken from a process that answers', async () => {
    await listen(echo);
    await expect(listenPipe(path, echo)).rejects.toMatchObject({ code: 'already-running' });
    expect(await (await dial()).request('echo', 1)).toBe(1);
  });

  test('is taken over when a killed process left it', async () => {
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect((await stat(path)).isSocket()).toBe(true);
    await listen(echo);
    expect(await (await dial()).request('echo', 1)).toBe(1);
  });

  test('is refused where a file stands, and the file is left alone', async () => {
    await writeFile(path, 'precious');
    await expect(listenPipe(path, echo)).rejects.toMatchObject({ code: 'wrong-use' });
    expect((await stat(path)).size).toBe(8);
  });

  test('is refused with a path that is too long, with the numbers', async () => {
    const long = join(folder, 'x'.repeat(108));
    await expect(listenPipe(long, echo)).rejects.toMatchObject({
      code: 'wrong-use',
      message: expect.stringContaining('107'),
    });
  });
});

describe('many at once', () => {
  test('answers come to those who asked, in whatever order', async () => {
    const releases: (() => void)[] = [];
    await listen({
      hold: (params) => new Promise((resolve) => releases.push(() => resolve(params))),
      go: () => {
        for (const release of releases.reverse()) release();
      },
    });
    const ask = await dial();
    const held = Promise.all(Array.from({ length: 500 }, (_, n) => ask.request('hold', { n, text: 'é\n\u2028' })));
    await ask.request('go', {});
    expect(await held).toEqual(Array.from({ length: 500 }, (_, n) => ({ n, text: 'é\n\u2028' })));
  });

  test('either side may ask the other', async () => {
    const [here, there] = [new PassThrough(), new PassThrough()];
    const left = openPipe(here, there, { who: () => 'left' });
    const right = openPipe(there, here, { who: async () => `right of ${await right.request('who', {})}` });
    expect(await left.request('who', {})).toBe('right of left');
    left.close();
  });

  test('both sides flood each other with long lines and neither waits for ever', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const dialled = connect(path);
    const socket = await accepted;
    const [left, right] = [openPipe(dialled, dialled, echo), openPipe(socket, socket, echo)];
    const long = 'x'.repeat(100_000);
    const flood = (peer: Peer) => Promise.all(Array.from({ length: 300 }, () => peer.request('echo', long)));
    const both = await Promise.all([flood(left), flood(right)]);
    expect(both.flat().every((answer) => answer === long)).toBe(true);
    left.close();
    right.close();
    server.close();
  });

  test('a peer that asks and takes no answers is not read further until it does', async () => {
    let asked = 0;
    const long = 'x'.repeat(100_000);
    await listen({
      much: () => {
        asked++;
        return long;
      },
    });
    const socket = connect(path);
    for (let id = 1; id <= 1000; id++) {
      socket.write(`{"id":${id},"method":"much"}\n`);
      // In turns, so that the listener could read each of them.
      if (id % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(asked).toBeLessThan(500);

    let answers = 0;
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        for (const byte of chunk) if (byte === 0x0a && ++answers === 1000) resolve();
      });
    });
    expect(asked).toBe(1000);
    socket.destroy();
  });
});
