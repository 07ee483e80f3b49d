/** The two SCIM servers as the demonstration starts them: built, each in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'writgate-scim-'));
const tokenFile = join(folder, 'tokens.json');
writeFileSync(tokenFile, JSON.stringify({ writer: 'the-writer', reader: 'the-reader' }));
afterAll(() => rmSync(folder, { recursive: true }));

const running: ChildProcess[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null) continue;
    child.kill();
    await once(child, 'exit');
  }
});

/** `npm test` builds first; without a build there is no script to start. */
const script = (name: string): string =>
  fileURLToPath(new URL(`../../dist/examples/company/${name}.js`, import.meta.url));

async function start(name: string, ...more: string[]): Promise<{ url: string; lieUrl?: string }> {
  const args = [script(name), '--port', '0', '--token-file', tokenFile, ...more];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  for await (const line of createInterface({ input: child.stdout! })) return JSON.parse(line);
  throw new Error(`${name} ended before it said where it listens`);
}

const ask = async (url: string, token: string, method = 'GET', body?: unknown) => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' };
  const response = await fetch(url, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const text = await response.text();
  return { status: response.status, etag: response.headers.get('etag'), body: text ? JSON.parse(text) : null };
};
const zoe = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName: 'zoe' };

describe.each(['scim-server', 'lying-scim'])('%s', (name) => {
  test('lets nobody in without a token, and the reader only read', async () => {
    const { url } = await start(name);
    expect((await ask(`${url}/Users`, 'somebody')).status).toBe(401);
    expect((await ask(`${url}/Users`, 'the-reader', 'POST', zoe)).status).toBe(403);
    expect((await ask(`${url}/Users`, 'the-reader')).body).toMatchObject({ totalResults: 0 });
    expect((await ask(`${url}/Users`, 'the-writer', 'POST', zoe)).status).toBe(201);
    expect((await ask(`${url}/Users`, 'the-writer', 'POST', { ...zoe, userName: 'ZOE' })).status).toBe(409);
    expect((await ask(`${url}/Users`, 'the-reader')).body).toMatchObject({ totalResults: 1 });
  });
});

test('the company’s server keeps its people from one start to the next, with their versions', async () => {
  const state = join(folder, 'state.json');
  const first = await start('scim-server', '--state', state);
  const { body: made } = await ask(`${first.url}/Users`, 'the-writer', 'POST', zoe);
  const second = await start('scim-server', '--state', state);
  const kept = await ask(`${second.url}/Users/${made.id}`, 'the-reader');
  expect(kept).toMatchObject({ status: 200, etag: made.meta.version, body: { userName: 'zoe' } });
});

test('the liar lies from the start when it is told to, and does not start with a lie that it does not know', async () => {
  const { url, lieUrl } = await start('lying-scim', '--lie', '429-with');
  expect((await ask(`${url}/Users`, 'the-reader')).status).toBe(429);
  expect((await ask(lieUrl!, 'the-writer', 'POST', { lie: null })).status).toBe(204);
  expect((await ask(`${url}/Users`, 'the-reader')).status).toBe(200);

  const child = spawn(process.execPath, [script('lying-scim'), '--lie', 'truth'], { stdio: 'ignore' });
  expect(await once(child, 'exit')).toEqual([1, null]);
});
