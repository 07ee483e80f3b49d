/**
 * A private Samba Active Directory domain controller, serving LDAP alone.
 *
 * Its LDAP ports cannot be configured (389, 636), so it takes a loopback address of its own, where they are free
 * whatever else runs; being below 1024 they need root. LDAPS has its own CA, made here, which clients pin.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Attribute, Change, Client } from 'ldapts';
import { systemRandom } from '../../src/clock.ts';

export const BASE = 'dc=acme,dc=example';

export interface Samba {
  /** `ldaps://127.x.y.z:636`; plain LDAP with StartTLS is on 389. */
  readonly url: string;
  readonly host: string;
  /** PEM of the CA that signed its certificate. */
  readonly ca: string;
  /** PEM of a CA that signed nothing here. */
  readonly strangerCa: string;
  readonly base: string;
  readonly people: string;
  readonly groups: string;
  /** An Account Operator: may manage users and groups, and is no domain administrator. */
  readonly writer: { readonly dn: string; readonly password: string };
  /** A plain user: may read. */
  readonly reader: { readonly dn: string; readonly password: string };
  readonly admin: { readonly dn: string; readonly password: string };
  stop(): Promise<void>;
}

const PACKAGES = 'samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind openssl';

/** Why Samba cannot run here, or null. */
export function available(): string | null {
  if (process.platform !== 'linux') return 'it takes a second loopback address, which only Linux has ready';
  const missing = ['/usr/sbin/samba', '/usr/bin/samba-tool', '/usr/share/samba/setup', '/usr/bin/openssl'].find(
    (path) => !existsSync(path),
  );
  if (missing) return `${missing} is missing: apt-get install ${PACKAGES}`;
  return process.getuid?.() === 0 ? null : 'its ports are below 1024, which needs root';
}

const run = promisify(execFile);
/** Long and mixed, as the domain's password policy wants it. */
const password = (): string => `Aa1-${systemRandom(18).toString('base64url')}`;

/** Takes some 8 s. @throws Error with Samba's own words. */
export async function startSamba(groups: readonly string[]): Promise<Samba> {
  const folder = await mkdtemp(join(tmpdir(), 'writgate-samba-'));
  const [a = 0, b = 0, c = 0] = systemRandom(3);
  const host = `127.${64 + (a % 128)}.${b}.${1 + (c % 254)}`;
  const adminPassword = password();
  await run('samba-tool', [
    ...['domain', 'provision', '--realm=ACME.EXAMPLE', '--domain=ACME', '--server-role=dc', '--dns-backend=NONE'],
    ...[`--targetdir=${folder}`, '--host-name=dc1', `--host-ip=${host}`, `--adminpass=${adminPassword}`],
    ...[`--option=interfaces=${host}/8`, '--option=bind interfaces only=yes'],
  ]);
  const { ca, strangerCa } = await certify(join(folder, 'private', 'tls'), host);
  await mkdir(join(folder, 'run'), { recursive: true });
  await writeFile(join(folder, 'smb.conf'), configuration(folder, host));

  const server = spawn('samba', ['-i', '--debug-stdout', '--model=single', '-s', join(folder, 'smb.conf')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (bytes) => (said += bytes));
  const stop = async (): Promise<void> => {
    const ended = new Promise((resolve) => server.once('exit', resolve));
    if (server.exitCode === null && server.kill('SIGTERM')) await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (let tries = 0; !(await opens(host, 636)); tries++) {
      if (server.exitCode !== null || tries > 500) throw new Error(`samba does not answer: ${said}`);
      await sleep(20);
    }
    const url = `ldaps://${host}:636`;
    const admin = { dn: `cn=Administrator,cn=Users,${BASE}`, password: adminPassword };
    const [writer, reader] = await populate(url, ca, admin, groups);
    return {
      url,
      host,
      ca,
      strangerCa,
      base: BASE,
      people: 'ou=people',
      groups: 'ou=groups',
      writer,
      reader,
      admin,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A CA of its own and a certificate for the address, in the files that Samba reads. @returns PEM. */
async function certify(folder: string, host: string): Promise<{ ca: string; strangerCa: string }> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const at = (name: string): string => join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = async (name: string): Promise<string> => {
    const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    await run('openssl', ['req', '-x509', ...key, ...files, '-days', '2', '-subj', '/CN=writgate test CA']);
    return readFile(at(`${name}.pem`), 'utf8');
  };
  const ca = await authority('ca');
  // The second spelling is how a test makes the address look like another machine's.
  await writeFile(at('names'), `subjectAltName=IP:${host},IP:::ffff:${host}`);
  await run('openssl', ['req', ...key, '-keyout', at('key.pem'), '-out', at('request.pem'), '-subj', '/CN=dc1']);
  await run('openssl', [
    ...['x509', '-req', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'],
    ...['-days', '2', '-extfile', at('names'), '-out', at('cert.pem')],
  ]);
  return { ca, strangerCa: await authority('stranger') };
}

/** LDAP alone, and no fsync: nothing here outlives the test. */
const configuration = (folder: string, host: string): string => `[global]
netbios name = DC1
workgroup = ACME
realm = ACME.EXAMPLE
server role = active directory domain controller
server services = ldap
interfaces = ${host}/8
bind interfaces only = yes
ldb:nosync = yes
private dir = ${folder}/private
state directory = ${folder}/state
cache directory = ${folder}/cache
lock directory = ${folder}
pid directory = ${folder}/run
ncalrpc dir = ${folder}/run/ncalrpc
tls enabled = yes
tls certfile = ${folder}/private/tls/cert.pem
tls keyfile = ${folder}/private/tls/key.pem
tls cafile = ${folder}/private/tls/ca.pem
`;

/** Containers, groups, and the two service accounts. */
async function populate(
  url: string,
  ca: string,
  admin: { dn: string; password: string },
  groups: readonly string[],
): Promise<[Samba['writer'], Samba['reader']]> {
  const client = new Client({ url, timeout: 10_000, connectTimeout: 5000, tlsOptions: { ca } });
  try {
    await client.bind(admin.dn, admin.password);
    for (const ou of ['people', 'groups', 'services']) {
      await client.add(`ou=${ou},${BASE}`, { objectClass: 'organizationalUnit' });
    }
    for (const name of groups) {
      await client.add(`cn=${name},ou=groups,${BASE}`, { objectClass: 'group', sAMAccountName: name });
    }
    const account = (name: string) => ({ name, dn: `cn=${name},ou=services,${BASE}`, password: password() });
    const [writer, reader] = [account('svc-writer'), account('svc-reader')];
    for (const { name, dn, password } of [writer, reader]) {
      await client.add(dn, [
        new Attribute({ type: 'objectClass', values: ['user'] }),
        new Attribute({ type: 'sAMAccountName', values: [name] }),
        new Attribute({ type: 'userAccountControl', values: ['512'] }),
        new Attribute({ type: 'unicodePwd', values: [Buffer.from(`"${password}"`, 'utf16le')] }),
      ]);
    }
    const member = new Attribute({ type: 'member', values: [writer.dn] });
    await client.modify(
      `cn=Account Operators,cn=Builtin,${BASE}`,
      new Change({ operation: 'add', modification: member }),
    );
    return [writer, reader];
  } finally {
    await client.unbind();
  }
}

const opens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
