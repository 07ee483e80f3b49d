/**
 * Everything that a role touches outside of its own code, passed in from one place: time, randomness, network, storage.
 * A role is a function of this value and of its data folder's path. `main.ts` opens the real one; a test moves its clock
 * by hand; a seeded simulation may stand in for all of it.
 *
 * The small files of the data folder (keys, signed files, sealed credentials, snapshots) are reached by their path: that
 * folder is itself passed in. What `pg` and `undici` time for themselves, connecting above all, stays within limits of
 * theirs; each call as a whole is within ours.
 *
 * Code is loaded with the first use, so that a role loads its own and no other's.
 */
import type { request } from 'undici';
import type { Protocol } from '../authority/authority.ts';
import type { Ambient } from '../clock.ts';
import { type Runner, startRunner } from '../connector/confinement.ts';
import { connectPipe, listenPipe } from '../connector/pipe.ts';
import type { Kind } from '../connectors/table.ts';
import type { Address, Performer } from '../gateway/perform/contract.ts';
import { type Disk, openDisk } from '../ledger/disk.ts';
import type { Connection, Database } from '../store/database.ts';

export interface Network {
  /** The other roles, by the paths of their sockets. */
  readonly listen: typeof listenPipe;
  readonly connect: typeof connectPipe;
  /** A connector in a process of its own. */
  readonly startRunner: (kind: Kind) => Runner;
  /** Targets, by what they speak. */
  readonly performers: Readonly<Record<Protocol, (address: Address) => Promise<Performer>>>;
  /** Feeds over HTTP. */
  readonly request: typeof request;
}

export interface Storage {
  readonly openDatabase: (connection: Connection, options?: { readonly maxConnections?: number }) => Promise<Database>;
  /** Where the ledger lies. */
  readonly disk: Disk;
}

export interface Outside extends Ambient {
  readonly network: Network;
  readonly storage: Storage;
}

/** The machine's own network and storage, in the given time. */
export function openOutside(ambient: Ambient): Outside {
  const { clock, random } = ambient;
  return {
    clock,
    random,
    network: {
      listen: listenPipe,
      connect: connectPipe,
      startRunner: (kind) => startRunner(kind, { clock }),
      performers: {
        scim: async (address) => (await import('../gateway/perform/http.ts')).openHttp(address, ambient),
        ldap: async (address) => (await import('../gateway/perform/ldap.ts')).openLdap(address, ambient),
        postgres: async (address) => (await import('../gateway/perform/sql.ts')).openSql(address, ambient),
      },
      request: async (...asked) => (await import('undici')).request(...asked),
    },
    storage: {
      openDatabase: async (connection, options) =>
        (await import('../store/database.ts')).openDatabase(connection, { ...options, clock }),
      disk: openDisk(random),
    },
  };
}
