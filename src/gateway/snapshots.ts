/** The snapshots that this gateway attested, opened from its own records: what evidence is read from. */
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Authority } from '../authority/authority.ts';
import { canonical } from '../canonical.ts';
import type { Clock } from '../clock.ts';
import { Failure } from '../errors.ts';
import { checkInclusion, leafHash } from '../ledger/tree.ts';
import { type OpenSnapshot, openSnapshot, type RecordProof } from '../source/open.ts';
import type { Database } from '../store/database.ts';
import { lastAccepted } from './feed.ts';
import type { Attested } from './subject.ts';

export interface Snapshots {
  /** The newest accepted snapshot of a feed, or null. */
  (feed: string): Promise<Attested | null>;
  /** A newer one has come. */
  forget(feed: string): void;
  prove(feed: string, id: string, key: string): RecordProof | null;
}

export function openSnapshots(
  database: Database,
  folder: string,
  authority: () => Authority,
  key: KeyObject,
  clock: Clock,
): Snapshots {
  const open = new Map<string, Promise<{ attested: Attested; snapshot: OpenSnapshot } | null>>();

  async function load(feed: string) {
    const statement = await lastAccepted(database, authority().tenant, feed, key, clock.now());
    if (statement === null) return null;
    const snapshot = openSnapshot(join(folder, feed), statement.id);
    // What it is held against is what this gateway's own database says that it signed, and not what lies beside the rows.
    if (snapshot.signed.body !== canonical(statement)) {
      snapshot.close();
      throw new Failure(
        'snapshot-damaged',
        `snapshot ${statement.id} of ${feed} lies under another statement than was signed`,
      );
    }
    const attested: Attested = {
      id: statement.id,
      verdict: statement.verdict,
      // Where an exporter is named, an age that he did not sign is none.
      asOf:
        statement.asOf === null || (authority().feeds[feed]?.exporter !== undefined && statement.asOfKind !== 'signed')
          ? null
          : Date.parse(statement.asOf),
      find: async (record) => {
        const found = snapshot.find(record);
        if (found === null || found === 'quarantined') return found;
        // The row is held against the root that was signed when it came: files can be edited.
        const proof = snapshot.prove(record);
        const holds =
          proof !== null &&
          proof.text === found.text &&
          checkInclusion({
            leafHash: leafHash(found.text),
            index: proof.index,
            size: proof.size,
            proof: proof.proof,
            root: statement.recordsRoot,
          });
        if (!holds)
          throw new Failure('snapshot-damaged', `the record ${record} of ${feed} is not the one that was attested`);
        return { row: found.row };
      },
    };
    return { attested, snapshot };
  }

  const newest = async (feed: string): Promise<Attested | null> => {
    let loading = open.get(feed);
    if (!loading) {
      loading = load(feed);
      open.set(feed, loading);
      loading.catch(() => open.delete(feed));
    }
    return (await loading)?.attested ?? null;
  };
  return Object.assign(newest, {
    forget(feed: string) {
      const old = open.get(feed);
      open.delete(feed);
      // Whoever is reading it still has it; it is closed when nobody can be.
      void old?.then((entry) => setImmediate(() => entry?.snapshot.close())).catch(() => undefined);
    },
    prove(feed: string, id: string, record: string) {
      const snapshot = openSnapshot(join(folder, feed), id);
      try {
        return snapshot.prove(record);
      } finally {
        snapshot.close();
      }
    },
  });
}
