/**
 * What a role has believed before. Trust root, roster and authority lie in the data folder, signed; whoever may write
 * there cannot sign, but could put back what was signed once and is no longer meant. So each role keeps the newest that
 * it saw where only itself writes, and after a restart goes on from there.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { canonical, type Digest, digestOf } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { Failure } from '../errors.ts';
import type { Database } from '../store/database.ts';
import { type InForce, readInForce } from './force.ts';

const Head = z.strictObject({
  kind: z.enum(['trust-root', 'roster', 'authority']),
  /** Only ever greater; a trust root is always 1, so that the first one stays. */
  serial: z.number().int().min(1),
  digest: z.string().transform((text) => text as Digest),
});
export type Head = z.output<typeof Head>;

export interface Memory {
  /** Empty before the first start. */
  load(): Promise<readonly Head[]>;
  /** Durable when it resolves. An older serial takes no newer one's place. */
  keep(heads: readonly Head[], tenant: string): Promise<void>;
}

/**
 * Reads what is in force, and never goes back behind what this role believed before.
 * @param accept a last objection, before anything is remembered
 * @throws Failure `authority-invalid`
 */
export async function believe(
  folder: string,
  now: Instant,
  memory: Memory,
  accept: (read: InForce) => void = () => undefined,
): Promise<InForce> {
  const before = new Map((await memory.load()).map((head) => [head.kind, head]));
  const read = await readInForce(folder, now);
  const heads: readonly Head[] = [
    // Pinned at the first start: whoever may write in the data folder later does not become its owner by that.
    { kind: 'trust-root', serial: 1, digest: digestOf(read.trustRoot) },
    { kind: 'roster', serial: read.roster.version, digest: read.roster.digest },
    { kind: 'authority', serial: read.term.serial, digest: read.authorityDigest },
  ];
  for (const { kind, serial, digest } of heads) {
    const known = before.get(kind);
    if (known && (serial < known.serial || (serial === known.serial && digest !== known.digest))) {
      throw new Failure(
        'authority-invalid',
        `${kind} ${serial} in ${folder} is not the ${kind} ${known.serial} that was in force here before: somebody rolls back; put the newest one there again`,
      );
    }
  }
  accept(read);
  if (heads.some(({ kind, serial }) => before.get(kind)?.serial !== serial))
    await memory.keep(heads, read.authority.tenant);
  return read;
}

/** In a role's own database. */
export const databaseMemory = (database: Database): Memory => ({
  load: async () => (await database.query('select kind, serial, digest from head')).map((row) => Head.parse(row)),
  async keep(heads, tenant) {
    await database.query(
      `insert into head (tenant, kind, serial, digest) select $1, k, s, d from unnest($2::text[], $3::int[], $4::text[]) as u(k, s, d)
       on conflict (tenant, kind) do update set serial = excluded.serial, digest = excluded.digest where head.serial < excluded.serial`,
      [tenant, heads.map(({ kind }) => kind), heads.map(({ serial }) => serial), heads.map(({ digest }) => digest)],
    );
  },
});

/** In a file of a role's own folder, where it has no database. */
export const fileMemory = (path: string): Memory => {
  const load = async (): Promise<readonly Head[]> => {
    const text = await readFile(path, 'utf8').catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === 'ENOENT') return null;
      throw thrown;
    });
    if (text === null) return [];
    try {
      return z.array(Head).min(1).parse(JSON.parse(text));
    } catch (cause) {
      throw new Failure(
        'authority-invalid',
        `${path}, which remembers what was in force, cannot be read; take it from a copy, or remove it to begin anew with what lies in the data folder now`,
        { cause },
      );
    }
  };
  return {
    load,
    async keep(heads) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const draft = `${path}.${process.pid}`;
      const file = await open(draft, 'w', 0o600);
      try {
        await file.writeFile(`${canonical(heads)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, path);
    },
  };
};
