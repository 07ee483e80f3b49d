import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { systemAmbient } from '../../clock.ts';
import type { HttpCall, Reply } from '../../connector/contract.ts';
import type { Performer, Secret } from './contract.ts';
import { joinPath, openHttp } from './http.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};
const portOf = async (server: Server & { closeAllConnections?(): void }): Promise<number> => {
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections?.();
      }),
  );
  return listen(server);
};
const open = (url: string, more: { ca?: string; timeoutMs?: number } = {}): Performer => {
  const performer = openHttp({ url, ca: more.ca ?? null, timeoutMs: more.timeoutMs ?? 2000 }, systemAmbient);
  closing.push(() => performer.close());
  return performer;
};
/** A server that answers each request so, and a performer of it. */
const against = async (listener: RequestListener, timeoutMs?: number): Promise<Performer> => {
  const port = await portOf(createServer(listener));
  return open(`http://127.0.0.1:${port}/scim/v2/`, timeoutMs ? { timeoutMs } : {});
};
const json = (response: ServerResponse, body: unknown, headers: Record<string, string | string[]> = {}): void => {
  response.writeHead(200, { 'content-type': 'application/scim+json; charset=utf-8', ...headers });
  response.end(JSON.stringify(body));
};
const bearer: Secret = { kind: 'bearer', token: 'to/ken+secret==' };
const get = (...path: string[]): HttpCall => ({ kind: 'http', method: 'GET', path });

describe('addresses', () => {
  test.each([
    ['http://crm.example/scim', 'over https'],
    ['ftp://crm.example/', 'over https'],
    ['https://user:secret@crm.example/', 'more than'],
    ['https://crm.example/?tenant=1', 'more than'],
    ['https://crm.example/#top', 'more than'],
    ['crm.example', 'no URL'],
  ])('%s is refused, and the message has no secret in it', (url, why) => {
    const opening = () => openHttp({ url, ca: null, timeoutMs: 1000 }, systemAmbient);
    expect(opening).toThrow(why);
    expect(opening).not.toThrow(/secret/);
  });
});

describe('paths', () => {
  test.each([
    ['..'],
    ['.'],
    [''],
    ['a/../b'],
    ['a\\..\\b'],
    ['%2e%2e'],
    ['a%2f..%2Fb'],
    ['%252e%252e'],
    ['a\nb'],
    ['a%0d%0ab'],
    ['a\u0000'],
    ['\ud800'],
  ])('%j is refused, and nothing is sent', async (segment) => {
    let asked = 0;
    const performer = await against((_request, response) => {
      asked++;
      response.end();
    });
    expect(await performer.perform(get('Users', segment), bearer)).toMatchObject({ kind: 'refused' });
    expect(asked).toBe(0);
  });

  test('a segment is one segment, whatever is in it', () => {
    expect(joinPath('/scim/v2/', ['Users', 'a/b?c#d e%;é'])).toBe('/scim/v2/Users/a%2Fb%3Fc%23d%20e%25%3B%C3%A9');
    expect(joinPath('/', ['Users'])).toBe('/Users');
  });
});

describe('requests', () => {
  const echo = async () => {
    const seen: { request?: IncomingMessage; body?: string } = {};
    const performer = await against(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      seen.request = request;
      seen.body = Buffer.concat(chunks).toString();
      json(response, {});
    });
    return { performer, seen };
  };

  test('carry the credential, the rebuilt body and the query, encoded', async () => {
    const { performer, seen } = await echo();
    const call: HttpCall = {
      kind: 'http',
      method: 'PATCH',
      path: ['Users', '1'],
      query: { filter: 'userName eq "a&b=c+d"' },
      headers: { 'if-match': 'W/"7"' },
      body: { a: ['ü'] },
    };
    await performer.perform(call, bearer);
    expect(seen.request?.url).toBe('/scim/v2/Users/1?filter=userName%20eq%20%22a%26b%3Dc%2Bd%22');
    expect(seen.request?.headers).toMatchObject({
      authorization: `Bearer ${(bearer as { token: string }).token}`,
      'if-match': 'W/"7"',
      'content-type': 'application/scim+json',
    });
    expect(seen.body).toBe('{"a":["ü"]}');
  });

  test('basic credentials are one base64 pair, and none is none', async () => {
    const { performer, seen } = await echo();
    await performer.perform(get('Users'), { kind: 'basic', username: 'üser', password: 'p:w' });
    expect(Buffer.from(seen.request!.headers.authorization!.slice(6), 'base64').toString()).toBe('üser:p:w');
    await performer.perform(get('Users'), { kind: 'none' });
    expect(seen.request?.headers).not.toHaveProperty('authorization');
  });

  test.each([
    [{ kind: 'bearer', token: 'a\r\nx: y' }],
    [{ kind: 'bearer', token: '' }],
    [{ kind: 'basic', username: 'a:b', password: 'c' }],
    [{ kind: 'bind', dn: 'cn=a', password: 'b' }],
  ] as [Secret][])('%j does not fit into a header and is refused', async (secret) => {
    const { performer, seen } = await echo();
    expect(await performer.perform(get('Users'), secret)).toMatchObject({ kind: 'refused' });
    expect(seen.request).toBeUndefined();
  });

  test.each(['a', '"a\r\nx: y"', '"a", "b"'])('if-match %j is no entity tag and is refused', async (match) => {
    const { performer, seen } = await echo();
    const call: HttpCall = { ...get('Users', '1'), method: 'DELETE', headers: { 'if-match': match } };
    expect(await performer.perform(call, bearer)).toMatchObject({ kind: 'refused' });
    expect(seen.request).toBeUndefined();
  });

  test('a call of another protocol is refused', async () => {
    const { performer } = await echo();
    expect(await performer.perform({ kind: 'file', path: 'x' }, bearer)).toMatchObject({ kind: 'refused' });
  });
});

describe('replies', () => {
  test('a redirect is an answer: the credential goes nowhere else', async () => {
    let elsewhere = 0;
    const other = await portOf(
      createServer((_request, response) => {
        elsewhere++;
        response.end();
      }),
    );
    const location = `http://127.0.0.1:${other}/`;
    const performer = await against((_request, response) => response.writeHead(307, { location }).end());
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({
      kind: 'http',
      status: 307,
      body: null,
      headers: { location },
    });
    expect(elsewhere).toBe(0);
  });

  test.each([
    ['text/html', '<!doctype html><title>Sign in</title>'],
    ['application/json', '{"a":'],
    ['application/json', '\u0000'],
    ['application/json; charset=utf-16', '{}'],
    ['text/plain', '{"id":"1"}'],
    ['application/jsonp', '{}'],
  ])('%s %j comes back as text, which nobody takes for an answer', async (type, body) => {
    const performer = await against((_request, response) =>
      response.writeHead(200, { 'content-type': type }).end(body),
    );
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({ kind: 'http', status: 200, body });
  });

  test('text is cut at 200 characters, and bytes that are not UTF-8 are not JSON', async () => {
    const long = await against((_request, response) => response.writeHead(500).end('é'.repeat(5000)));
    expect(await long.perform(get('Users'), bearer)).toMatchObject({ body: 'é'.repeat(200) });
    const bytes = Buffer.from([0x22, 0xff, 0x22]);
    const broken = await against((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(bytes),
    );
    expect(await broken.perform(get('Users'), bearer)).toMatchObject({ body: '"\ufffd"' });
  });

  test('nothing is null', async () => {
    const performer = await against((_request, response) => response.writeHead(204).end());
    expect(await performer.perform(get('Users'), bearer)).toEqual({
      kind: 'http',
      status: 204,
      headers: { date: expect.any(String) },
      body: null,
    });
  });

  test('cookies stay here, and the credential is scrubbed wherever it is said back', async () => {
    const { token } = bearer as { token: string };
    const performer = await against((_request, response) => {
      const headers = {
        'set-cookie': 'session=1',
        'x-debug': token,
        location: `https://crm.example/?token=${encodeURIComponent(token)}`,
        etag: `"${token}"`,
        'content-type': 'application/json',
      };
      // Spelt as JSON may spell it, so that only the parsed text can be searched.
      const spelt = token.replaceAll('/', '\\/').replaceAll('t', '\\u0074');
      response.writeHead(200, headers).end(`{"detail":"bad token ${spelt}","${spelt}":["x${spelt}y"]}`);
    });
    const reply = await performer.perform(get('Users'), bearer);
    expect(reply).toMatchObject({
      headers: { location: 'https://crm.example/?token=[scrubbed]', etag: '"[scrubbed]"' },
      body: { detail: 'bad token [scrubbed]', '[scrubbed]': ['x[scrubbed]y'] },
    });
    expect(JSON.stringify(reply)).not.toMatch(/cookie|debug/);
  });

  test('a password is scrubbed by itself and in its pair', async () => {
    const secret: Secret = { kind: 'basic', username: 'u', password: 'pass word' };
    const performer = await against((request, response) =>
      json(response, [request.headers.authorization, 'pass word', 'pass%20word']),
    );
    expect(await performer.perform(get('Users'), secret)).toMatchObject({
      body: ['Basic [scrubbed]', '[scrubbed]', '[scrubbed]'],
    });
  });

  test('an answer that was compressed, which nobody asked for, is lost', async () => {
    const performer = await against((_request, response) => json(response, {}, { 'content-encoding': 'gzip' }));
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({ kind: 'lost' });
  });

  test('an answer over 32 MiB is lost, and the next one is not', async () => {
    const mebibyte = Buffer.alloc(1024 * 1024, 0x20);
    let first = true;
    const performer = await against((_request, response) => {
      if (!first) return json(response, { ok: true });
      first = false;
      response.writeHead(200, { 'content-type': 'application/json' });
      for (let sent = 0; sent < 40; sent++) response.write(mebibyte);
      response.end();
    }, 20_000);
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({
      kind: 'lost',
      message: expect.stringMatching(/longer than 33554432/),
    });
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({ kind: 'http', body: { ok: true } });
  });

  test('nesting deeper than the stack is not an answer, and not a crash', async () => {
    const performer = await against((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('['.repeat(200_000) + ']'.repeat(200_000));
    });
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({ kind: 'http', body: '['.repeat(200) });
  });
});

describe('lost or down', () => {
  const call: HttpCall = { kind: 'http', method: 'POST', path: ['Users'], body: {} };
  /** A raw socket that does this when the request has come. */
  const rude = async (act: (socket: Socket) => void, timeoutMs = 2000) => {
    let requests = 0;
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        requests++;
        act(socket);
      });
    });
    const port = await portOf(server);
    return { performer: open(`http://127.0.0.1:${port}`, { timeoutMs }), requests: () => requests };
  };

  test('nobody listens: down', async () => {
    const server = createTcpServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await open(`http://127.0.0.1:${port}`).perform(call, bearer)).toMatchObject({
      kind: 'down',
      message: expect.stringMatching(/ECONNREFUSED/),
    });
  });

  test('no such name: down', async () => {
    expect(await open('https://nobody.invalid').perform(call, bearer)).toMatchObject({ kind: 'down' });
  });

  test.each<[string, (socket: Socket) => void]>([
    ['reset after the request', (socket) => socket.resetAndDestroy()],
    ['closed without an answer', (socket) => socket.end()],
    ['closed within the headers', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-type: app')],
    ['closed within the body', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"a":')],
    ['no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
  ])('%s: lost, and asked once', async (_what, act) => {
    const { performer, requests } = await rude(act);
    expect(await performer.perform(call, bearer)).toMatchObject({ kind: 'lost' });
    expect(requests()).toBe(1);
  });

  test('never answered: lost after the time-out', async () => {
    const { performer } = await rude(() => undefined, 100);
    expect(await performer.perform(call, bearer)).toMatchObject({ kind: 'lost' });
  });

  test('an answer that drips past the time-out: lost', async () => {
    const { performer } = await rude((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n');
      const drip = setInterval(() => socket.write(' '), 20);
      socket.once('close', () => clearInterval(drip));
    }, 150);
    expect(await performer.perform(call, bearer)).toMatchObject({ kind: 'lost' });
  });

  test('who waited behind others of ours has all his time all the same', async () => {
    let seen = 0;
    // As many as are asked side by side are answered after more than half of the time; the next one begins only then.
    const performer = await against((_request, response) => {
      seen++;
      setTimeout(() => json(response, {}), 1_200);
    }, 2_000);
    const replies = await Promise.all(Array.from({ length: 33 }, () => performer.perform(call, bearer)));
    expect(replies.filter(({ kind }) => kind !== 'http')).toEqual([]);
    expect(seen).toBe(33);
  });

  test('given up before it began: down; given up while it waits for the answer: lost', async () => {
    const before = await rude(() => undefined);
    expect(await before.performer.perform(call, bearer, AbortSignal.abort())).toMatchObject({ kind: 'down' });
    expect(before.requests()).toBe(0);
    const stop = new AbortController();
    const during = await rude(() => stop.abort());
    expect(await during.performer.perform(call, bearer, stop.signal)).toMatchObject({ kind: 'lost' });
  });

  test('a performer that was closed: down', async () => {
    const { performer } = await rude(() => undefined);
    await performer.close();
    expect(await performer.perform(call, bearer)).toMatchObject({ kind: 'down' });
  });
});

describe('TLS', () => {
  const listener: RequestListener = (_request, response) => json(response, { ok: true });
  const secure = async (): Promise<{ port: number; ca: string }> => {
    const { key, cert } = selfSigned('localhost');
    return { port: await portOf(createTlsServer({ key, cert }, listener)), ca: cert };
  };
  const ask = async (url: string, ca?: string): Promise<Reply> =>
    open(url, ca ? { ca } : {}).perform(get('Users'), bearer);

  test('a certificate that nobody vouches for: down, and the credential was not sent', async () => {
    const { port } = await secure();
    expect(await ask(`https://localhost:${port}`)).toMatchObject({
      kind: 'down',
      message: expect.stringMatching(/SELF_SIGNED/),
    });
  });

  test('a certificate of another CA than the pinned one: down', async () => {
    const { port } = await secure();
    expect(await ask(`https://localhost:${port}`, selfSigned('localhost').cert)).toMatchObject({ kind: 'down' });
  });

  test('the pinned CA and another name: down', async () => {
    const { port, ca } = await secure();
    expect(await ask(`https://127.0.0.1:${port}`, ca)).toMatchObject({
      kind: 'down',
      message: expect.stringMatching(/ALTNAME/),
    });
  });

  test('a handshake that never ends: down after the time-out', async () => {
    const port = await portOf(createTcpServer((socket) => closing.push(async () => socket.destroy())));
    const performer = open(`https://localhost:${port}`, { timeoutMs: 100 });
    expect(await performer.perform(get('Users'), bearer)).toMatchObject({ kind: 'down' });
  });

  test('given up before the connection stood: down, and the request does not go out when it stands', async () => {
    const asked: (string | undefined)[] = [];
    const { key, cert } = selfSigned('localhost');
    const server = createTlsServer({ key, cert }, (request, response) => {
      asked.push(request.url);
      json(response, {});
    });
    const behind = await portOf(server);
    const stop = new AbortController();
    const gate = createTcpServer((socket) => {
      closing.push(async () => socket.destroy());
      const pass = (): void => {
        const onward = connect(behind, '127.0.0.1');
        socket.pipe(onward).pipe(socket);
        for (const end of [socket, onward]) end.on('error', () => undefined);
      };
      if (stop.signal.aborted) pass();
      else stop.signal.addEventListener('abort', pass);
      waiting.resolve();
    });
    const waiting = deferred();
    const performer = open(`https://localhost:${await portOf(gate)}`, { ca: cert });
    const given = performer.perform(get('given-up'), bearer, stop.signal);
    await waiting.promise;
    stop.abort();
    expect(await given).toMatchObject({ kind: 'down' });
    expect(await performer.perform(get('next'), bearer)).toMatchObject({ kind: 'http' });
    expect(asked).toEqual(['/next']);
  });

  test('the pinned CA and its name: answered', async () => {
    const { port, ca } = await secure();
    expect(await ask(`https://localhost:${port}`, ca)).toMatchObject({ kind: 'http', body: { ok: true } });
  });
});

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A certificate (RFC 5280 section 4.1) made by hand, so that no key lies in the repository and no tool is needed. */
function selfSigned(name: string): { key: string; cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = (tag: number, ...parts: Uint8Array[]): Buffer => {
    const content = Buffer.concat(parts);
    const length = content.length < 128 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff];
    return Buffer.concat([Buffer.from([tag, ...length]), content]);
  };
  const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts);
  const hex = (text: string) => Buffer.from(text, 'hex');
  const ecdsaWithSha256 = sequence(hex('06082a8648ce3d040302'));
  const subject = sequence(der(0x31, sequence(hex('0603550403'), der(0x0c, Buffer.from(name)))));
  const validity = sequence(der(0x18, Buffer.from('20200101000000Z')), der(0x18, Buffer.from('29990101000000Z')));
  const alternative = sequence(hex('0603551d11'), der(0x04, sequence(der(0x82, Buffer.from(name)))));
  const authority = sequence(hex('0603551d13'), hex('0101ff'), der(0x04, sequence(hex('0101ff'))));
  const body = sequence(
    der(0xa0, hex('020102')),
    hex('020101'),
    ecdsaWithSha256,
    subject,
    validity,
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(alternative, authority)),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = sequence(body, ecdsaWithSha256, der(0x03, hex('00'), signature));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64')}\n-----END CERTIFICATE-----\n`,
  };
}
