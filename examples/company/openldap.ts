/**
 * A private OpenLDAP for the example company and for tests: its own folder, a free port on loopback, and two service
 * accounts, of which one may write people and groups and the other may only read. Needs Debian's `slapd`.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { systemRandom } from '../../src/clock.ts';

export const BASE = 'dc=acme,dc=example';

export interface Bind {
  readonly dn: string;
  readonly password: string;
}

export interface OpenLdap {
  /** `ldap://127.0.0.1:port`. */
  readonly url: string;
  readonly base: string;
  readonly people: string;
  readonly groups: string;
  readonly writer: Bind;
  readonly reader: Bind;
  /** The directory's own administrator, for tests that need somebody who bypasses every rule. */
  readonly admin: Bind;
  stop(): Promise<void>;
}

export interface OpenLdapOptions {
  /** Kept between starts when given; else a temporary folder that `stop` removes. */
  readonly folder?: string;
  readonly port?: number;
  /** Names of the groups to begin with. Only a new directory gets them. */
  readonly groups?: readonly string[];
}

const SLAPD = '/usr/sbin/slapd';
const SLAPADD = '/usr/sbin/slapadd';
const MODULES = '/usr/lib/ldap';
const SCHEMAS = ['core', 'cosine', 'inetorgperson'].map((name) => `/etc/ldap/schema/${name}.ldif`);

/** Why OpenLDAP cannot run here, or null. */
export function available(): string | null {
  const missing = [SLAPD, SLAPADD, `${MODULES}/back_mdb.so`, `${MODULES}/ppolicy.so`, ...SCHEMAS].find(
    (path) => !existsSync(path),
  );
  return missing ? `${missing} is missing: apt-get install slapd` : null;
}

const run = promisify(execFile);

/** @throws Error with slapd's own words when it does not start. */
export async function startOpenLdap(options: OpenLdapOptions = {}): Promise<OpenLdap> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'writgate-openldap-')));
  const secrets = join(folder, 'secrets.json');
  if (!existsSync(secrets)) await create(folder, secrets, options.groups ?? []);
  const { writer, reader, admin } = JSON.parse(await readFile(secrets, 'utf8'));

  const port = options.port ?? (await freePort());
  const url = `ldap://127.0.0.1:${port}`;
  const server = spawn(SLAPD, ['-d', '0', '-h', `${url}/`, '-F', join(folder, 'config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  server.stderr?.on('data', (bytes) => (said += bytes));
  await answering(server, port, () => said);
  return {
    url,
    base: BASE,
    people: 'ou=people',
    groups: 'ou=groups',
    writer: { dn: `cn=writer,ou=services,${BASE}`, password: writer },
    reader: { dn: `cn=reader,ou=services,${BASE}`, password: reader },
    admin: { dn: `cn=admin,${BASE}`, password: admin },
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      if (server.exitCode === null && server.kill('SIGTERM')) await ended;
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

async function create(folder: string, secrets: string, groups: readonly string[]): Promise<void> {
  const passwords = Object.fromEntries(
    ['writer', 'reader', 'admin'].map((name) => [name, systemRandom(18).toString('base64url')]),
  ) as { writer: string; reader: string; admin: string };
  await mkdir(join(folder, 'config'), { recursive: true, mode: 0o700 });
  await mkdir(join(folder, 'data'), { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'config.ldif'), configuration(join(folder, 'data'), passwords.admin));
  await writeFile(join(folder, 'data.ldif'), content(passwords, groups));
  await run(SLAPADD, ['-n', '0', '-F', join(folder, 'config'), '-l', join(folder, 'config.ldif')]);
  await run(SLAPADD, ['-n', '1', '-F', join(folder, 'config'), '-l', join(folder, 'data.ldif')]);
  // Last: a folder with this file is whole.
  await writeFile(secrets, JSON.stringify(passwords), { mode: 0o600 });
}

const hashed = (password: string): string => {
  const salt = systemRandom(16);
  return `{SSHA}${Buffer.concat([createHash('sha1').update(password).update(salt).digest(), salt]).toString('base64')}`;
};

/** The password policy overlay is there and no policy is in effect: how most directories are found. */
const configuration = (data: string, adminPassword: string): string => `dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=module{0},cn=config
objectClass: olcModuleList
cn: module{0}
olcModulePath: ${MODULES}
olcModuleLoad: back_mdb
olcModuleLoad: memberof
olcModuleLoad: ppolicy

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

${SCHEMAS.map((path) => `include: file://${path}`).join('\n')}

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcAccess: {0}to * by * none

dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: ${BASE}
olcRootDN: cn=admin,${BASE}
olcRootPW: ${hashed(adminPassword)}
olcDbDirectory: ${data}
olcDbMaxSize: 1073741824
olcDbNoSync: TRUE
olcDbIndex: objectClass eq
olcDbIndex: uid eq
olcDbIndex: member eq
olcLimits: {0}dn.onelevel="ou=services,${BASE}" size.prtotal=unlimited
olcAccess: {0}to attrs=userPassword
  by dn.exact="cn=writer,ou=services,${BASE}" write
  by anonymous auth
  by * none
olcAccess: {1}to dn.subtree="ou=people,${BASE}"
  by dn.exact="cn=writer,ou=services,${BASE}" write
  by dn.exact="cn=reader,ou=services,${BASE}" read
  by self read
  by * none
olcAccess: {2}to dn.subtree="ou=groups,${BASE}"
  by dn.exact="cn=writer,ou=services,${BASE}" write
  by dn.exact="cn=reader,ou=services,${BASE}" read
  by * none
olcAccess: {3}to * by * none

dn: olcOverlay={0}memberof,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcMemberOf
olcOverlay: {0}memberof
olcMemberOfRefInt: TRUE

dn: olcOverlay={1}ppolicy,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: {1}ppolicy
`;

const content = (passwords: { writer: string; reader: string }, groups: readonly string[]): string =>
  [
    `dn: ${BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Acme\ndc: acme`,
    ...['people', 'groups', 'services'].map(
      (name) => `dn: ou=${name},${BASE}\nobjectClass: organizationalUnit\nou: ${name}`,
    ),
    ...(['writer', 'reader'] as const).map(
      (name) =>
        `dn: cn=${name},ou=services,${BASE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n` +
        `cn: ${name}\nuserPassword: ${hashed(passwords[name])}`,
    ),
    ...groups.map(
      (name) =>
        `dn: cn=${name},ou=groups,${BASE}\nobjectClass: groupOfNames\ncn: ${name}\nmember: cn=nobody,ou=groups,${BASE}`,
    ),
  ].join('\n\n');

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

const opens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

async function answering(server: ChildProcess, port: number, said: () => string): Promise<void> {
  for (let tries = 0; tries < 250; tries++) {
    if (await opens(port)) return;
    if (server.exitCode !== null) throw new Error(`slapd ended with ${server.exitCode}: ${said()}`);
    await sleep(20);
  }
  server.kill('SIGKILL');
  throw new Error(`slapd does not answer on port ${port}: ${said()}`);
}
