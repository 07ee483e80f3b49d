/** Where control finds the parts of an evidence file: its database, the log, the signed files, and the gateway. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignedRoster } from '../approval/roster.ts';
import { connectPipe } from '../connector/pipe.ts';
import { Failure } from '../errors.ts';
import { parseCheckpoint } from '../ledger/checkpoint.ts';
import { parseNote } from '../ledger/note.ts';
import { buildTree, leafHash } from '../ledger/tree.ts';
import type { Control } from '../role/control.ts';
import { greet } from '../role/greet.ts';
import type { RecordProof } from '../source/open.ts';
import { keptAuthority } from '../trust/kept.ts';
import type { EvidenceSources, StoredEntry } from './bundle.ts';

/** How long the gateway is given to cosign what it is shown: so many looks, so far apart. */
const LOOKS = 40;
const PAUSE_MS = 50;

const sizeOf = (note: string): number => parseCheckpoint(parseNote(note)?.text ?? '')?.size ?? 0;

export function controlSources(
  control: Pick<Control, 'world' | 'log' | 'place' | 'database' | 'demo' | 'settle'>,
): EvidenceSources {
  const { world, log, place, database, demo } = control;
  const { tenant } = world.authority;
  const file = (name: string): Promise<string> => readFile(join(place.folder, name), 'utf8');
  const cosigned = (): Promise<string> => readFile(join(place.ledger, 'checkpoint.cosigned'), 'utf8').catch(() => '');

  async function askGateway<T>(method: string, params: unknown): Promise<T> {
    const peer = await greet(await connectPipe(place.socket('gateway')), 'control', world.decisionKey);
    try {
      return (await peer.request(method, params)) as T;
    } finally {
      peer.close();
    }
  }

  return {
    async change(name) {
      // What control has recorded and not yet sealed belongs to the evidence, and what the gateway has in its journal.
      await control.settle();
      await askGateway('catchUp', {});
      const [, plan, seq] = /^P(\d{1,9})\.(\d{1,9})$/.exec(name) ?? [];
      const row = await database.maybe<{ header: string }>(
        'select header from plan where tenant = $1 and number = $2',
        [tenant, Number(plan ?? -1)],
      );
      const leaves = await database.query<{ leaf: string }>(
        'select leaf from change where tenant = $1 and plan = $2 order by seq',
        [tenant, Number(plan ?? -1)],
      );
      const index = Number(seq) - 1;
      const leaf = leaves[index]?.leaf;
      if (!row || leaf === undefined) return null;
      return { header: row.header, leaf, proof: buildTree(leaves.map((item) => leafHash(item.leaf))).prove(index) };
    },
    entries: (kinds, refs) =>
      database.query<StoredEntry>(
        `select index, kind, refs, body, salt from ledger_entry
          where tenant = $1 and kind = any($2) and refs @> $3::jsonb order by index`,
        [tenant, kinds, JSON.stringify(refs)],
      ),
    bytes: (index) => log.read(index),
    async checkpoint(size) {
      let note = await cosigned();
      if (sizeOf(note) >= size) return note;
      // The gateway cosigns what it is shown, and the last word, the verifier's, may not have passed by it.
      await askGateway('cosign', { checkpoint: log.checkpoint() });
      for (let look = 0; look < LOOKS; look += 1) {
        note = await cosigned();
        if (sizeOf(note) >= size) return note;
        await world.clock.sleep(PAUSE_MS);
      }
      throw new Failure(
        'ledger-away',
        `the gateway has cosigned ${sizeOf(note)} of the ${size} entries that the evidence needs; ask again in a moment`,
      );
    },
    inclusion: (index, size) => log.inclusion(index, size),
    async record(feed, id, key) {
      try {
        return await askGateway<RecordProof | null>('prove', { feed, id, key });
      } catch (thrown) {
        if (thrown instanceof Failure && thrown.code === 'not-found') return null;
        throw thrown;
      }
    },
    async force(digest) {
      const [trustRoot, rosters] = await Promise.all(['trust-root.json', 'roster.json'].map(file));
      const authority = await keptAuthority(place.folder, digest);
      if (authority === null) {
        throw new Failure(
          'not-found',
          `the authority ${digest.slice(0, 12)}… under which it was planned is not among those kept in authorities/; put it there from a backup of the data folder`,
        );
      }
      return {
        trustRoot: trustRoot as string,
        rosters: JSON.parse(rosters as string) as readonly SignedRoster[],
        authority,
        demo,
      };
    },
  };
}
