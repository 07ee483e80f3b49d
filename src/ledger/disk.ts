/** The few things that the ledger asks of a file system, so that a test can let each of them fail. */
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Random } from '../clock.ts';

/** An open file. All rejections are final: what a failed write or flush left behind is unknown. */
export interface DiskFile {
  /** Length in bytes. */
  size(): Promise<number>;
  /** At most `length` bytes from `position`; fewer only at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  write(position: number, bytes: Buffer): Promise<void>;
  /** Makes what was written survive a power cut. */
  flush(): Promise<void>;
  /** Empties the file. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** Opens for reading and writing, creating the file and its folders; the name itself survives a power cut. */
  open(path: string): Promise<DiskFile>;
  /** The whole file, or null when there is none. */
  read(path: string): Promise<Buffer | null>;
  /** Names in a folder; none when there is no folder. */
  list(folder: string): Promise<string[]>;
  /** Writes a whole file so that readers see the old content or the new, never a part. */
  replace(path: string, bytes: Buffer, durability: 'durable' | 'derived'): Promise<void>;
  /** Removes a file or folder, if there is one. */
  remove(path: string): Promise<void>;
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new folder is itself a name in a folder, and so on up to one that was there. */
async function makeFolder(folder: string): Promise<void> {
  const topmost = await mkdir(folder, { recursive: true });
  for (let made = folder; topmost !== undefined && made.length >= topmost.length; made = dirname(made)) {
    await flushFolder(dirname(made));
  }
}

async function openFile(path: string): Promise<DiskFile> {
  await makeFolder(dirname(path));
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  await flushFolder(dirname(path));
  return {
    size: async () => (await handle.stat()).size,
    read: async (position, length) => {
      const bytes = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    },
    write: async (position, bytes) => {
      for (let written = 0; written < bytes.length; ) {
        written += (await handle.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
      }
    },
    flush: () => handle.datasync(),
    clear: () => handle.truncate(0),
    close: () => handle.close(),
  };
}

/** The disk of this machine. @param random for names that no other process chooses */
export const openDisk = (random: Random): Disk => ({
  open: openFile,
  read: (path) =>
    readFile(path).catch((error) => {
      if (isMissing(error)) return null;
      throw error;
    }),
  list: (folder) =>
    readdir(folder).catch((error) => {
      if (isMissing(error)) return [];
      throw error;
    }),
  replace: async (path, bytes, durability) => {
    // A name of its own: two processes may write the same derived file.
    const temporary = `${path}.${random(6).toString('hex')}.new`;
    const handle = await open(temporary, 'wx', 0o644).catch(async (error) => {
      if (!isMissing(error)) throw error;
      await makeFolder(dirname(path));
      return open(temporary, 'wx', 0o644);
    });
    try {
      await handle.writeFile(bytes);
      if (durability === 'durable') await handle.sync();
    } catch (error) {
      // Where the disk is full, what is left of each try would keep it so.
      await rm(temporary, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    if (durability === 'durable') await flushFolder(dirname(path));
  },
  remove: (path) => rm(path, { recursive: true, force: true }),
});
