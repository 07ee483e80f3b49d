/**
 * Writes what is sealed as a static tlog-tiles log (c2sp.org/tlog-tiles): any file server can serve the folder.
 *
 * Order matters: first tiles and bundles, then the checkpoint that needs them, and last the partial ones go that full
 * ones have replaced. All but the checkpoint is derived and not flushed; opening compares it with the entries.
 */
import { join } from 'node:path';
import { openCheckpoint } from './checkpoint.ts';
import type { Disk, DiskFile } from './disk.ts';
import type { Verifier } from './note.ts';
import { TILE_WIDTH, tilePath } from './tile.ts';
import type { TiledTree } from './tiled.ts';

export interface Publisher {
  /** The checkpoint that is published. */
  readonly note: string;
  /** Takes over what an earlier process published for this size. */
  adopt(size: number): Promise<void>;
  /** Writes full tiles and bundles; `compare` leaves alone what is already right. */
  saveFull(mode: 'write' | 'compare'): Promise<void>;
  /** Publishes the present size. `end` is where its entries end in the entries file. */
  publish(note: string, end: number): Promise<void>;
  keepCosigned(note: string, size: number, logKey: Verifier): Promise<void>;
}

/** Files written at the same time. */
const AT_ONCE = 4;

export function createPublisher(parts: {
  readonly disk: Disk;
  readonly folder: string;
  readonly file: DiskFile;
  readonly tree: TiledTree;
  readonly bundles: readonly number[];
}): Publisher {
  const { disk, folder, file, tree, bundles } = parts;
  let published = '';
  let savedBundles = 0;
  /** Full paths whose partial predecessors may lie beside them. */
  let partial = new Set<string>();

  async function write(path: string, bytes: Buffer, mode: 'write' | 'compare'): Promise<void> {
    const target = join(folder, path);
    if (mode === 'compare' && (await disk.read(target))?.equals(bytes)) return;
    await disk.replace(target, bytes, 'derived');
  }

  async function saveBundle(bundle: number, mode: 'write' | 'compare'): Promise<void> {
    const start = bundles[bundle]!;
    await write(tilePath('entries', bundle), await file.read(start, bundles[bundle + 1]! - start), mode);
  }

  async function saveFull(mode: 'write' | 'compare'): Promise<void> {
    const tasks = tree.unsaved().map(([path, bytes]) => async () => {
      await write(path, bytes, mode);
      tree.saved(path);
    });
    const full = Math.floor(tree.size / TILE_WIDTH);
    for (let bundle = savedBundles; bundle < full; bundle += 1) tasks.push(() => saveBundle(bundle, mode));
    for (let at = 0; at < tasks.length; at += AT_ONCE) {
      await Promise.all(tasks.slice(at, at + AT_ONCE).map((task) => task()));
    }
    savedBundles = Math.max(savedBundles, full);
  }

  const fullPath = (path: string): string => path.replace(/\.p\/\d+$/, '');

  return {
    get note() {
      return published;
    },
    saveFull,
    adopt: async (size) => {
      if (size % TILE_WIDTH !== 0) partial.add(tilePath('entries', Math.floor(size / TILE_WIDTH)));
      for (let level = 0, count = size; count > 0; level += 1, count = Math.floor(count / TILE_WIDTH)) {
        if (count % TILE_WIDTH !== 0) partial.add(tilePath(level, Math.floor(count / TILE_WIDTH)));
      }
    },
    publish: async (note, end) => {
      // All of this size, before anything else can be sealed.
      const size = tree.size;
      const tiles = tree.partials();
      const start = bundles.at(-1)!;
      await saveFull('write');
      if (size % TILE_WIDTH !== 0) {
        const path = tilePath('entries', Math.floor(size / TILE_WIDTH), size % TILE_WIDTH);
        tiles.push([path, await file.read(start, end - start)]);
      }
      for (const [path, bytes] of tiles) await write(path, bytes, 'write');
      await disk.replace(join(folder, 'checkpoint'), Buffer.from(note), 'durable');
      published = note;

      const now = new Set(tiles.map(([path]) => fullPath(path)));
      for (const path of partial) if (!now.has(path)) await disk.remove(join(folder, `${path}.p`));
      partial = now;
    },
    keepCosigned: async (note, size, logKey) => {
      const path = join(folder, 'checkpoint.cosigned');
      const kept = openCheckpoint((await disk.read(path))?.toString() ?? '', logKey);
      if (!kept.ok || kept.checkpoint.size <= size) await disk.replace(path, Buffer.from(note), 'durable');
    },
  };
}
