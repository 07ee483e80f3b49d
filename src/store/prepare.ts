/**
 * The store: control's database and the gateway's, with two logins of which neither can connect to the other's. What
 * control holds it may lose to an attacker; what was spent, counted and latched is the gateway's and is not for control
 * to rewind.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ambient, Clock, Random } from '../clock.ts';
import { Failure } from '../errors.ts';
import { type Connection, type Database, openDatabase } from './database.ts';
import { type Cluster, type ClusterOptions, startCluster } from './embedded.ts';
import { scramVerifier } from './scram.ts';

export const HOLDERS = ['control', 'gateway'] as const;
/** The roles that have a database. */
export type Holder = (typeof HOLDERS)[number];

export interface Store {
  readonly control: Connection;
  readonly gateway: Connection;
  /** The embedded server, or null when an external one is used. */
  readonly cluster: Cluster | null;
}

export interface StoreOptions extends Ambient {
  /** Writgate's data folder. */
  readonly folder: string;
  /** `process.env`, or what stands for it: WRITGATE_DATABASE_URL, or both of WRITGATE_{CONTROL,GATEWAY}_DATABASE_URL. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cluster?: Omit<ClusterOptions, 'folder' | keyof Ambient>;
}

/**
 * Makes what is missing and changes nothing that is there. Run again, it only looks.
 *
 * Three ways: two URLs of databases that somebody made; one URL of a server on which we may create roles and databases;
 * or neither, and the embedded server in `folder/store`.
 * @returns how each role connects; the same is in `folder/control/database.json` and `folder/gateway/database.json`,
 * mode 0600, for processes that are started later.
 * @throws Failure `store-…`
 */
export async function prepareStore({ folder, environment, cluster, clock, random }: StoreOptions): Promise<Store> {
  const {
    WRITGATE_DATABASE_URL: url,
    WRITGATE_CONTROL_DATABASE_URL: control,
    WRITGATE_GATEWAY_DATABASE_URL: gateway,
  } = environment;
  if (control || gateway) {
    if (!control || !gateway) {
      const missing = control ? 'WRITGATE_GATEWAY_DATABASE_URL' : 'WRITGATE_CONTROL_DATABASE_URL';
      throw new Failure('wrong-use', `control's database and the gateway's are named together: ${missing} is missing`);
    }
    const named = { control: { connectionString: control }, gateway: { connectionString: gateway } };
    return explicitStore(folder, named, clock);
  }
  if (url) {
    const server: Server = { admin: { connectionString: url }, isOurs: false, locate: (login) => located(url, login) };
    return { ...(await prepareServer(folder, server, { clock, random })), cluster: null };
  }
  const started = await startCluster({ ...cluster, folder: join(folder, 'store'), clock, random });
  const { host, port, superuser } = started;
  const server: Server = { admin: superuser, isOurs: true, locate: (login) => ({ host, port, ...login }) };
  return { ...(await prepareServer(folder, server, { clock, random })), cluster: started };
}

/** What a role's process reads at its start. */
export async function readConnection(folder: string, holder: Holder): Promise<Connection> {
  const path = connectionFile(folder, holder);
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new Failure('not-found', `${path} cannot be read; the store was not prepared, or not for this user`, {
      cause,
    });
  });
  return JSON.parse(text) as Connection;
}

/* ---- a server on which we make roles and databases --------------------------------------------------------------- */

interface RoleLogin {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

interface Server {
  readonly admin: Connection;
  /** A private cluster: what is in it is ours to mend, and nobody else's. */
  readonly isOurs: boolean;
  locate(login: RoleLogin): Connection;
}

const nameOf = (holder: Holder): string => `writgate_${holder}`;

/** The server's URL with another login; host, port and TLS settings stay. */
function located(url: string, { user, password, database }: RoleLogin): Connection {
  const changed = new URL(url);
  changed.username = user;
  changed.password = password;
  changed.pathname = `/${database}`;
  return { connectionString: changed.href };
}

async function prepareServer(
  folder: string,
  server: Server,
  { clock, random }: Ambient,
): Promise<Record<Holder, Connection>> {
  const admin = openDatabase(server.admin, { maxConnections: 2, clock });
  try {
    // CREATE DATABASE cannot be in a transaction; the lock is, and holds other starters off until all is made.
    return await admin.tx(async (lock) => {
      await lock.query("select pg_advisory_xact_lock(hashtextextended('writgate store', 0))");
      const control = await prepareLogin(folder, 'control', { admin, server, random });
      const gateway = await prepareLogin(folder, 'gateway', { admin, server, random });
      for (const holder of HOLDERS) await prepareDatabase(admin, nameOf(holder));
      await close(admin, nameOf('control'), nameOf('gateway'));
      await close(admin, nameOf('gateway'), nameOf('control'));
      const others = server.isOurs ? ['postgres', 'template1'] : [];
      for (const database of others) await close(admin, database, nameOf('control'));
      return { control, gateway };
    });
  } finally {
    await admin.close();
  }
}

interface Preparation {
  readonly admin: Database;
  readonly server: Server;
  readonly random: Random;
}

async function prepareLogin(
  folder: string,
  holder: Holder,
  { admin, server, random }: Preparation,
): Promise<Connection> {
  const name = nameOf(holder);
  const kept = await keptPassword(folder, holder, name);
  const password = kept ?? random(32).toString('base64url');
  const connection = server.locate({ user: name, password, database: name });
  const exists = await admin.maybe('select 1 from pg_roles where rolname = $1', [name]);
  if (exists && kept === null && !server.isOurs) {
    throw new Failure(
      'store-taken',
      `the server has a role ${name}, and ${connectionFile(folder, holder)} does not have its password`,
    );
  }
  // The file first: a crash in between leaves a password without a role, which the next start makes.
  await keep(folder, holder, connection);
  if (!exists || kept === null) {
    // Names here are constants of this file and a verifier is base64 and `$:`, so neither can end its quotes.
    await admin.query(
      `${exists ? 'alter' : 'create'} role ${name} login password '${scramVerifier(password, random)}'`,
    );
  }
  return connection;
}

async function prepareDatabase(admin: Database, name: string): Promise<void> {
  if (await admin.maybe('select 1 from pg_database where datname = $1', [name])) return;
  await asMember(admin, name, async () => {
    await admin.query(`create database ${name} owner ${name} template template0 encoding 'UTF8' locale 'C'`);
  });
}

/** PostgreSQL lets everybody connect to a new database; also a start that was killed half-way ends closed. */
async function close(admin: Database, database: string, against: string): Promise<void> {
  const isOpen = async () =>
    (
      await admin.one<{ open: boolean }>(`select has_database_privilege($1, $2, 'connect') as open`, [
        against,
        database,
      ])
    ).open;
  if (!(await isOpen())) return;
  await asMember(admin, database, async () => {
    await admin.query(`revoke connect, temporary on database ${database} from public`);
  });
  if (await isOpen()) {
    throw new Failure('store-shared', `the role ${against} can still connect to the database ${database}`);
  }
}

/** Who gives a database away, or closes it, and is no superuser, must be a member of the role that owns it. */
async function asMember(admin: Database, role: string, work: () => Promise<void>): Promise<void> {
  const { isSuperuser } = await admin.one<{ isSuperuser: boolean }>(
    'select rolsuper as "isSuperuser" from pg_roles where rolname = current_user',
  );
  if (isSuperuser) return work();
  await admin.query(`grant ${role} to current_user`);
  await work();
  await admin.query(`revoke ${role} from current_user`);
}

/* ---- two databases that somebody made ------------------------------------------------------------------------------ */

interface Identity {
  /** Of the cluster, made by `initdb`: the same server behind two names is still one. */
  readonly server: string;
  readonly login: string;
  readonly database: string;
  readonly isSuperuser: boolean;
  /** Whether this login may connect to the other holder's database, or act as its login. */
  readonly reaches: boolean;
}

async function explicitStore(folder: string, connections: Record<Holder, Connection>, clock: Clock): Promise<Store> {
  const seen = {
    control: await identify(connections.control, connections.gateway, clock),
    gateway: await identify(connections.gateway, connections.control, clock),
  };
  for (const holder of HOLDERS) {
    const [mine, other] = holder === 'control' ? [seen.control, seen.gateway] : [seen.gateway, seen.control];
    if (mine.server === other.server && (mine.isSuperuser || mine.reaches)) {
      const how = mine.isSuperuser ? 'is a superuser' : `may connect to ${other.database} or act as ${other.login}`;
      throw new Failure('store-shared', `the login of ${holder}, ${mine.login}, ${how}`);
    }
  }
  for (const holder of HOLDERS) await keep(folder, holder, connections[holder]);
  return { ...connections, cluster: null };
}

async function identify(connection: Connection, other: Connection, clock: Clock): Promise<Identity> {
  const [mine, theirs] = [openDatabase(connection, { clock }), openDatabase(other, { clock })];
  try {
    const { database, login } = await theirs.one<{ database: string; login: string }>(
      'select current_database() as database, current_user as login',
    );
    return await mine.one<Identity>(
      `select (select system_identifier::text from pg_control_system()) as server,
              current_user as login, current_database() as database,
              (select rolsuper from pg_roles where rolname = current_user) as "isSuperuser",
              coalesce((select has_database_privilege(oid, 'connect') from pg_database where datname = $1), false)
                or coalesce((select pg_has_role(oid, 'member') from pg_roles where rolname = $2), false) as reaches`,
      [database, login],
    );
  } finally {
    await Promise.all([mine.close(), theirs.close()]);
  }
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

const connectionFile = (folder: string, holder: Holder): string => join(folder, holder, 'database.json');

async function keptPassword(folder: string, holder: Holder, name: string): Promise<string | null> {
  const text = await readFile(connectionFile(folder, holder), 'utf8').catch(() => null);
  if (text === null) return null;
  const kept = JSON.parse(text) as Connection;
  if (!('connectionString' in kept)) return kept.user === name ? kept.password : null;
  const { username, password } = new URL(kept.connectionString);
  return username === name ? decodeURIComponent(password) : null;
}

/** Whole or not at all, and on disk before the server learns of the password. */
async function keep(folder: string, holder: Holder, connection: Connection): Promise<void> {
  const path = connectionFile(folder, holder);
  const text = `${JSON.stringify(connection, null, 2)}\n`;
  if ((await readFile(path, 'utf8').catch(() => null)) === text) return;
  await mkdir(join(folder, holder), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}`;
  const handle = await open(draft, 'w', 0o600);
  await handle
    .writeFile(text)
    .then(() => handle.sync())
    .finally(() => handle.close());
  await rename(draft, path);
}
