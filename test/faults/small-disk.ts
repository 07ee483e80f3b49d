/** A disk of a few megabytes that a test can fill and empty: a tmpfs of its own, where we may mount one. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface SmallDisk {
  /** Leaves no byte free. */
  fill(): Promise<void>;
  /** Takes away what `fill` put there. */
  makeRoom(): Promise<void>;
  remove(): Promise<void>;
}

/** Whether a disk can be mounted here; why not is said aloud, and in CI it is an error. */
export async function mountable(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'writgate-mount-'));
  try {
    await (await smallDisk(folder, 1)).remove();
    return true;
  } catch (thrown) {
    const why = `NOT TESTED: a full disk; this machine mounts no tmpfs for us (${(thrown as Error).message.split('\n')[0]})`;
    if (process.env['REQUIRE_COUNTERPARTS'] === '1') throw new Error(why, { cause: thrown });
    console.warn(why);
    return false;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Mounts one over `folder`, which is made where it is missing. */
export async function smallDisk(folder: string, megabytes: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', folder]);
  const filler = join(folder, '.filler');
  return {
    async fill() {
      const { bavail, bsize } = await statfs(folder);
      await writeFile(filler, Buffer.alloc(bavail * bsize)).catch((thrown) => {
        if (thrown.code !== 'ENOSPC') throw thrown;
      });
    },
    makeRoom: () => rm(filler, { force: true }),
    async remove() {
      await run('umount', ['-l', folder]);
    },
  };
}
