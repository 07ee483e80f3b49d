/**
 * Migrations: numbered SQL files, applied once each and in order. What was applied is recorded with its digest, so a
 * file that was edited later, a number that is missing, and a database from a newer Writgate are found before anything
 * is changed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Digest, sha256 } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { type Database, packageFolder, type Queryable } from './database.ts';

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly digest: Digest;
  readonly sql: string;
}

/** @param folder below the package's own folder, for example `src/store/control`; an absolute one stays as it is. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const path = resolve(packageFolder(), folder);
  const names = (await readdir(path)).filter((name) => name.endsWith('.sql')).sort();
  const migrations = names.map(async (name, index) => {
    const number = Number(/^(\d{4})-[a-z0-9-]+\.sql$/.exec(name)?.[1] ?? Number.NaN);
    if (number !== index + 1) {
      const expected = String(index + 1).padStart(4, '0');
      throw new Failure('migration-gap', `${folder} has ${name} where ${expected}-….sql belongs`);
    }
    const sql = await readFile(resolve(path, name), 'utf8');
    return { number, name, digest: sha256(sql), sql };
  });
  return Promise.all(migrations);
}

/**
 * Applies what is missing, each file in a transaction of its own, and lets only one process at a time do it. A file
 * that fails leaves the ones before it applied and nothing of itself.
 * @param owner whose tables these are (`control`, `gateway`): numbers count per owner.
 * @returns how many were applied.
 * @throws Failure `migration-gap`, `migration-changed`, `migration-newer`, and those of `query`.
 */
export async function migrate(database: Database, folder: string, owner: string): Promise<number> {
  const migrations = await readMigrations(folder);
  let applied = 0;
  for (let number = 0; number <= migrations.length; number++) {
    const done = await database.tx(async (tx) => {
      await tx.query("select pg_advisory_xact_lock(hashtextextended('writgate migration', 0))");
      if (number === 0) return begin(tx, migrations, owner);
      return apply(tx, migrations[number - 1]!, owner);
    });
    applied += done;
  }
  return applied;
}

/** Everything is compared before anything is applied. */
async function begin(tx: Queryable, migrations: readonly Migration[], owner: string): Promise<number> {
  await tx.query(
    `create table if not exists migration (
       owner      text not null,
       number     integer not null,
       name       text not null,
       digest     text not null,
       applied_at timestamptz not null default now(),
       primary key (owner, number)
     )`,
  );
  const known = await tx.query<{ number: number; name: string; digest: string }>(
    'select number, name, digest from migration where owner = $1 order by number',
    [owner],
  );
  for (const [index, { number, name, digest }] of known.entries()) {
    if (number !== index + 1) {
      throw new Failure('migration-gap', `the database has ${owner} migration ${number} but not ${index + 1}`);
    }
    const ours = migrations[index];
    if (!ours) {
      throw new Failure(
        'migration-newer',
        `the database has ${owner} migration ${name}; this Writgate knows ${migrations.length}`,
      );
    }
    if (ours.digest !== digest) {
      throw new Failure(
        'migration-changed',
        `${owner} migration ${ours.name} was applied with other contents (as ${name})`,
      );
    }
  }
  return 0;
}

async function apply(tx: Queryable, { number, name, digest, sql }: Migration, owner: string): Promise<number> {
  const known = await tx.maybe('select 1 from migration where owner = $1 and number = $2', [owner, number]);
  if (known) return 0;
  await tx.query(sql);
  await tx.query('insert into migration (owner, number, name, digest) values ($1, $2, $3, $4)', [
    owner,
    number,
    name,
    digest,
  ]);
  return 1;
}
