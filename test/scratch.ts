/** A real PostgreSQL server in a folder of its own, for tests; the same tests run on each server of this machine. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ambient, systemAmbient } from '../src/clock.ts';
import { type Binaries, machineBinaries, npmBinaries } from '../src/store/binaries.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../src/store/embedded.ts';

/** The machine's own servers and that of the npm package, by name. */
export async function servers(): Promise<readonly (readonly [name: string, binaries: Binaries])[]> {
  const found = [...(await machineBinaries()), ...(await npmBinaries())];
  if (!found.some(({ origin }) => origin === 'machine')) {
    const message = 'counterpart missing: no PostgreSQL server of this machine (Debian package postgresql)';
    if (process.env['REQUIRE_COUNTERPARTS'] === '1') throw new Error(message);
    console.warn(message);
  }
  return found.map((binaries) => [`PostgreSQL ${binaries.major} (${binaries.origin})`, binaries] as const);
}

export async function scratchFolder(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 'writgate-test-')));
}

export interface ScratchCluster extends Cluster {
  readonly folder: string;
  /** Stops the server and removes everything. */
  remove(): Promise<void>;
}

export async function scratchCluster(
  options: Omit<ClusterOptions, 'folder' | keyof Ambient> = {},
): Promise<ScratchCluster> {
  const folder = await scratchFolder();
  const cluster = await startCluster({ ...systemAmbient, ...options, folder });
  return {
    ...cluster,
    folder,
    async remove() {
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
      await rm(cluster.host, { recursive: true, force: true });
    },
  };
}
