/** A growing Merkle tree cut into tiles: keeps in memory only the right edge and the tiles that are not yet on disk. */
import type { Digest } from '../canonical.ts';
import { packHashes, TILE_HEIGHT, TILE_WIDTH, tilePath } from './tile.ts';
import { Frontier, nodeHash, type Subtree } from './tree.ts';

/** Leaves appended but not yet committed. */
export interface Growth {
  readonly frontier: Frontier;
  /** Hashes to add, by tile level: leaves at 0, roots of full tiles above. */
  readonly added: readonly Digest[][];
}

export class TiledTree {
  #frontier = new Frontier();
  /** `#edges[level]`: hashes of the level's incomplete tile. */
  readonly #edges: Digest[][] = [];
  /** Complete subtrees inside tiles that were asked for lately; what is complete never changes. */
  readonly #known = new Map<string, Digest>();
  /** Full tiles that are not yet on disk, by path. */
  readonly #unsaved = new Map<string, Buffer>();

  get size(): number {
    return this.#frontier.size;
  }

  root(): Digest {
    return this.#frontier.root();
  }

  /** What the tree would become; it changes only by `commit`. */
  grow(leaves: readonly Digest[]): Growth {
    const frontier = Frontier.from(this.#frontier.state());
    const added: Digest[][] = [[...leaves]];
    const completed = (level: number, root: Digest) => {
      if (level % TILE_HEIGHT === 0) (added[level / TILE_HEIGHT] ??= []).push(root);
    };
    for (const leaf of leaves) frontier.append(leaf, completed);
    return { frontier, added };
  }

  commit({ frontier, added }: Growth): void {
    for (const [level, hashes] of added.entries()) {
      let index = this.#fullTiles(level);
      const all = (this.#edges[level] ?? []).concat(hashes);
      let start = 0;
      for (; all.length - start >= TILE_WIDTH; start += TILE_WIDTH) {
        this.#unsaved.set(tilePath(level, index), packHashes(all.slice(start, start + TILE_WIDTH)));
        index += 1;
      }
      this.#edges[level] = all.slice(start);
    }
    this.#frontier = frontier;
  }

  #fullTiles(level: number): number {
    return Math.floor(this.size / TILE_WIDTH ** (level + 1));
  }

  /** Full tiles to be written, by path. They stay readable here until `saved`. */
  unsaved(): [path: string, bytes: Buffer][] {
    return [...this.#unsaved];
  }

  saved(path: string): void {
    this.#unsaved.delete(path);
  }

  /** The partial tiles of the present size. */
  partials(): [path: string, bytes: Buffer][] {
    return this.#edges.flatMap((edge, level) =>
      edge.length === 0 ? [] : [[tilePath(level, this.#fullTiles(level), edge.length), packHashes(edge)]],
    );
  }

  /** The hash of a complete subtree; `load` fetches a full tile from disk. */
  async hashOf({ level, index }: Subtree, load: (path: string) => Promise<Buffer>): Promise<Digest> {
    const known = this.#known.get(keyOf(level, index));
    if (known !== undefined) return known;
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const tile = Math.floor((index * 2 ** (level % TILE_HEIGHT)) / TILE_WIDTH);
    const path = tilePath(tileLevel, tile);
    const edge = tile === this.#fullTiles(tileLevel) ? this.#edges[tileLevel] : undefined;
    const full = edge ? undefined : (this.#unsaved.get(path) ?? (await load(path)));
    const read = (at: number) => edge?.[at] ?? (full?.toString('hex', at * 32, at * 32 + 32) as Digest);
    if (this.#known.size > MOST_KNOWN) this.#known.clear();
    return this.#fold(read, level, index);
  }

  #fold(read: (at: number) => Digest, level: number, index: number): Digest {
    if (level % TILE_HEIGHT === 0) return read(index % TILE_WIDTH);
    const key = keyOf(level, index);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const folded = nodeHash(this.#fold(read, level - 1, index * 2), this.#fold(read, level - 1, index * 2 + 1));
    this.#known.set(key, folded);
    return folded;
  }
}

/** The edge of the tree is proved again with each batch, so that its inner nodes are asked for over and over. */
const MOST_KNOWN = 4096;
const keyOf = (level: number, index: number): string => `${level} ${index}`;
