/**
 * The systems of the example company, each a process of its own that nobody of us wrote but the liar: a SCIM server
 * (scimmy-routers), a second SCIM server that can lie, PostgreSQL roles in a cluster of their own, and OpenLDAP where
 * slapd is installed. Their data lies in the folder, so that they are found again as they were left.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { systemAmbient, systemClock } from '../../src/clock.ts';
import type { Secret } from '../../src/gateway/perform/contract.ts';
import { openDatabase } from '../../src/store/database.ts';
import { startCluster } from '../../src/store/embedded.ts';
import type { Lie } from './lying-scim.ts';
import { available as openLdapMissing, startOpenLdap } from './openldap.ts';

export interface System {
  readonly name: 'crm' | 'desk' | 'pay' | 'corp';
  readonly url: string;
  /** What the administrator of the system gives to each connector. */
  readonly secrets: { readonly read: Secret; readonly grant: Secret; readonly revoke: Secret; readonly verify: Secret };
}

export interface Systems {
  readonly list: readonly System[];
  /** Why OpenLDAP is not among them, or null. */
  readonly withoutLdap: string | null;
  /** The desk's server answers 204 from now on, and keeps the account. null: honest again. */
  lie(lie: Lie | null): Promise<void>;
  stop(): Promise<void>;
}

const password = (): string => randomBytes(18).toString('base64url');

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });

/** What was chosen at the first start, so that the signed addresses stay true. */
interface Chosen {
  readonly ports: Record<'crm' | 'desk' | 'pay' | 'corp', number>;
  readonly tokens: Record<'crm' | 'desk', { writer: string; reader: string }>;
  readonly pay: Record<'read' | 'grant' | 'revoke' | 'verify', string>;
}

async function choices(folder: string): Promise<Chosen> {
  const path = join(folder, 'systems.json');
  if (existsSync(path)) return JSON.parse(await readFile(path, 'utf8')) as Chosen;
  const [crm, desk, pay, corp] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const tokens = () => ({ writer: password(), reader: password() });
  const chosen: Chosen = {
    ports: { crm, desk, pay, corp },
    tokens: { crm: tokens(), desk: tokens() },
    pay: { read: password(), grant: password(), revoke: password(), verify: password() },
  };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(path, JSON.stringify(chosen), { mode: 0o600 });
  return chosen;
}

/** A server of ours in a process of its own; it prints one line with its address. */
async function startScript(
  name: string,
  args: readonly string[],
): Promise<{ child: ChildProcess; said: Record<string, string> }> {
  const script = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = await new Promise<Record<string, string>>((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (bytes) => {
      text += bytes;
      if (text.includes('\n')) resolve(JSON.parse(text.slice(0, text.indexOf('\n'))));
    });
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code} before it was ready`)));
  });
  return { child, said };
}

const bearer = (token: string): Secret => ({ kind: 'bearer', token });

async function startScim(
  folder: string,
  { name, script, groups }: { name: 'crm' | 'desk'; script: string; groups: readonly string[] },
  chosen: Chosen,
) {
  const tokens = chosen.tokens[name];
  const tokenFile = join(folder, `${name}.tokens.json`);
  await writeFile(tokenFile, JSON.stringify(tokens), { mode: 0o600 });
  const { child, said } = await startScript(script, [
    '--port',
    String(chosen.ports[name]),
    '--token-file',
    tokenFile,
    '--state',
    join(folder, `${name}.state.json`),
    // Who lied yesterday lies today.
    ...(name === 'desk' && existsSync(join(folder, 'lie'))
      ? ['--lie', await readFile(join(folder, 'lie'), 'utf8')]
      : []),
  ]);
  const url = said['url'] ?? '';
  const stop = async () => void child.kill('SIGTERM');
  await makeGroups(url, tokens.writer, groups).catch(async (thrown) => {
    await stop();
    throw thrown;
  });
  const [read, verify] = [bearer(tokens.reader), bearer(tokens.reader)];
  const [grant, revoke] = [bearer(tokens.writer), bearer(tokens.writer)];
  const system: System = { name, url, secrets: { read, grant, revoke, verify } };
  return { stop, system, lieUrl: said['lieUrl'] ?? '' };
}

/** Groups are the administrator's business, not Writgate's: here he makes those that the company uses. */
async function makeGroups(url: string, token: string, groups: readonly string[]): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' };
  const answer = await request(`${url}/Groups?count=100`, { headers });
  const { Resources = [] } = (await answer.body.json()) as { Resources?: { displayName: string }[] };
  for (const displayName of groups) {
    if (Resources.some((group) => group.displayName === displayName)) continue;
    const made = await request(`${url}/Groups`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName }),
    });
    await made.body.dump();
    if (made.statusCode !== 201) throw new Error(`making the group ${displayName} answered ${made.statusCode}`);
  }
}

/** The payroll of an example: what a power cut takes from it is made again. Writgate's own store has none of this. */
const PAY_SETTINGS = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', shared_buffers: '16MB' };

async function startPay(folder: string, chosen: Chosen) {
  const cluster = await startCluster({
    ...systemAmbient,
    folder: join(folder, 'pay'),
    loopbackPort: chosen.ports.pay,
    settings: PAY_SETTINGS,
  });
  const admin = openDatabase(cluster.superuser, { maxConnections: 1, clock: systemClock });
  try {
    const { pay } = chosen;
    const [version] = await admin.query<{ number: number }>(
      `select current_setting('server_version_num')::int as number`,
    );
    const modern = (version?.number ?? 0) >= 160_000;
    const exists = await admin.query(`select 1 from pg_roles where rolname = 'pay_grant'`);
    if (exists.length === 0) {
      // The passwords are our own base64url: nothing in them needs quoting.
      await admin.query(`create role pay_read login password '${pay.read}'`);
      await admin.query(`create role pay_verify login password '${pay.verify}'`);
      await admin.query(`create role pay_grant login createrole password '${pay.grant}'`);
      await admin.query(`create role pay_revoke login createrole password '${pay.revoke}'`);
      await admin.query('grant pg_signal_backend to pay_revoke');
      // From 16 on a role administers what it made: whoever revokes stands beside whoever grants.
      if (modern) await admin.query('grant pay_grant to pay_revoke with inherit true, set false');
      for (const role of ['payroll_read', 'payroll_admin']) {
        await admin.query(`create role ${role} nologin`);
        const how = modern ? 'with admin true, inherit false, set false' : 'with admin option';
        await admin.query(`grant ${role} to pay_grant ${how}`);
        if (!modern) await admin.query(`grant ${role} to pay_revoke ${how}`);
      }
    }
  } finally {
    await admin.close();
  }
  const basic = (duty: keyof Chosen['pay']): Secret => ({
    kind: 'basic',
    username: `pay_${duty}`,
    password: chosen.pay[duty],
  });
  const system: System = {
    name: 'pay',
    url: `postgres://127.0.0.1:${chosen.ports.pay}/postgres`,
    secrets: { read: basic('read'), grant: basic('grant'), revoke: basic('revoke'), verify: basic('verify') },
  };
  return { stop: () => cluster.stop(), system };
}

export async function startSystems(folder: string): Promise<Systems> {
  const chosen = await choices(folder);
  const missing = openLdapMissing();
  const starting = [
    startScim(folder, { name: 'crm', script: 'scim-server', groups: ['Staff', 'Sales'] }, chosen),
    startScim(folder, { name: 'desk', script: 'lying-scim', groups: ['Shipping desk'] }, chosen),
    startPay(folder, chosen),
    missing === null
      ? startOpenLdap({
          folder: join(folder, 'corp'),
          port: chosen.ports.corp,
          groups: ['staff', 'finance', 'purchasing'],
        })
      : null,
  ] as const;
  const [crm, desk, pay, corp] = await Promise.all(starting).catch(async (thrown) => {
    // One that cannot start must not leave the others behind.
    for (const system of await Promise.allSettled(starting)) {
      if (system.status === 'fulfilled') await system.value?.stop();
    }
    throw thrown;
  });
  const list: System[] = [crm.system, desk.system, pay.system];
  if (corp) {
    const writer: Secret = { kind: 'bind', ...corp.writer };
    const reader: Secret = { kind: 'bind', ...corp.reader };
    list.push({
      name: 'corp',
      url: corp.url,
      secrets: { read: reader, grant: writer, revoke: writer, verify: reader },
    });
  }
  return {
    list,
    withoutLdap: missing,
    async lie(lie) {
      const answer = await request(desk.lieUrl, {
        method: 'POST',
        headers: { authorization: `Bearer ${chosen.tokens.desk.writer}`, 'content-type': 'application/json' },
        body: JSON.stringify({ lie }),
      });
      if (answer.statusCode !== 204) throw new Error(`the liar answered ${answer.statusCode}`);
      if (lie !== null) await writeFile(join(folder, 'lie'), lie);
    },
    async stop() {
      await Promise.all([crm, desk, pay, corp].map((system) => system?.stop()));
    },
  };
}
