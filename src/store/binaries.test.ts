import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readdir, readlink, rm, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scratchFolder } from '../../test/scratch.ts';
import { systemRandom as random } from '../clock.ts';
import { findBinaries, isTraversable, machineBinaries, npmBinaries, serverUser, usableBinaries } from './binaries.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const NOBODY = { uid: 65534, gid: 65534 };

let folder: string;
beforeAll(async () => {
  folder = await scratchFolder();
  await chmod(folder, 0o755);
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

describe('the user of the server', () => {
  const among = async (...lines: string[]) => {
    await writeFile(join(folder, 'passwd'), lines.join('\n'));
    return serverUser(join(folder, 'passwd'));
  };
  test.runIf(isRoot)('is postgres, else nobody, and never root', async () => {
    const root = 'root:x:0:0::/root:/bin/sh';
    expect(await among(root, 'nobody:x:65534:65534::/:', 'postgres:x:70:71::/:')).toEqual({ uid: 70, gid: 71 });
    expect(await among(root, 'nobody:x:65534:65534::/:')).toEqual(NOBODY);
    await expect(among(root)).rejects.toMatchObject({ code: 'store-binaries' });
    await expect(among('postgres:x:0:0::/:')).rejects.toMatchObject({ code: 'store-binaries' });
  });
  test.runIf(!isRoot)('is ourselves where we are not root', async () => {
    expect(await serverUser()).toBe(null);
  });
});

test('a folder below one of mode 700 is not for everybody', async () => {
  await mkdir(join(folder, 'home/project'), { recursive: true });
  expect(await isTraversable(join(folder, 'home/project'))).toBe(true);
  await chmod(join(folder, 'home'), 0o700);
  expect(await isTraversable(join(folder, 'home/project'))).toBe(false);
  expect(await isTraversable(join(folder, 'home/project/not/yet/there'))).toBe(false);
});

test('finds servers from 15 on, newest first, and no folder of clients alone', async () => {
  const root = join(folder, 'lib');
  for (const [version, programs] of Object.entries({
    '9.6': ['initdb', 'postgres'],
    '14': ['initdb', 'postgres'],
    '15': ['initdb', 'postgres'],
    '16': ['psql'],
    '17': ['initdb', 'postgres'],
    '99': ['initdb', 'postgres'],
  })) {
    await mkdir(join(root, version, 'bin'), { recursive: true });
    for (const program of programs) await writeFile(join(root, version, 'bin', program), '', { mode: 0o755 });
  }
  expect((await machineBinaries(root)).map(({ major }) => major)).toEqual([17, 15]);
  expect(await machineBinaries(join(folder, 'nothing'))).toEqual([]);
});

test('refuses data of a version that this machine has no server for', async () => {
  await expect(findBinaries(null, { major: 12, copies: [], random })).rejects.toMatchObject({
    code: 'store-binaries',
    message: expect.stringContaining('made by PostgreSQL 12'),
  });
});

describe('the npm package', () => {
  /** The package as npm leaves it when install scripts are blocked. */
  const bare = async (place: string) => {
    const [found] = await npmBinaries();
    const native = join(place, 'native');
    await cp(dirname(found!.folder), native, { recursive: true, verbatimSymlinks: true });
    for (const name of await readdir(join(native, 'lib'))) {
      const link = await readlink(join(native, 'lib', name)).catch(() => null);
      if (link !== null) await unlink(join(native, 'lib', name));
    }
    await chmod(join(native, 'bin/initdb'), 0o644);
    return { ...found!, folder: join(native, 'bin') };
  };
  const version = async (program: string) =>
    (await run(program, ['--version'], { cwd: '/', ...(isRoot ? NOBODY : {}) })).stdout;

  test('is mended in place where install scripts were blocked', async () => {
    const found = await bare(join(folder, 'blocked'));
    await expect(version(join(found.folder, 'postgres'))).rejects.toThrow(/shared librar/);
    expect(await usableBinaries(found, isRoot ? NOBODY : null, { copies: [], random })).toEqual(found);
    expect(await version(join(found.folder, 'postgres'))).toContain('PostgreSQL');
    expect(await version(join(found.folder, 'initdb'))).toContain('PostgreSQL');
  });

  test.runIf(isRoot)('is copied once to where its user can run it, and refused where that is nowhere', async () => {
    const home = join(folder, 'root');
    await mkdir(home, { mode: 0o700 });
    const found = await bare(home);
    await expect(version(join(found.folder, 'postgres'))).rejects.toThrow(/EACCES/);
    await expect(usableBinaries(found, NOBODY, { copies: [join(home, 'data')], random })).rejects.toMatchObject({
      code: 'store-binaries',
    });
    const place = join(folder, 'place');
    const copying = () => usableBinaries(found, NOBODY, { copies: [join(home, 'data'), place], random });
    const [first, second] = await Promise.all([copying(), copying()]);
    expect(first).toEqual(second);
    expect(first).toEqual({ ...found, folder: join(place, `postgresql-${found.version}`, 'bin') });
    expect(await version(join(first.folder, 'postgres'))).toContain('PostgreSQL');
    expect(await version(join(first.folder, 'initdb'))).toContain('PostgreSQL');
    expect(await readdir(place)).toEqual([`postgresql-${found.version}`]);
  });
});
