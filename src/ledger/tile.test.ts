import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameEntries, packHashes, splitEntries, tilePath, unpackHashes } from './tile.ts';
import { TiledTree } from './tiled.ts';
import { buildTree, leafHash, treeRoot } from './tree.ts';

describe('a tile’s path', () => {
  it.each([
    [0, 0, 256, 'tile/0/000'],
    [0, 999, 256, 'tile/0/999'],
    [0, 1000, 256, 'tile/0/x001/000'],
    [3, 1234067, 256, 'tile/3/x001/x234/067'],
    [0, 1234, 5, 'tile/0/x001/234.p/5'],
    ['entries', 1234067, 255, 'tile/entries/x001/x234/067.p/255'],
    [63, 10 ** 9, 256, 'tile/63/x001/x000/x000/000'],
  ] as const)('at level %s, index %s, width %s is %s', (level, index, width, path) => {
    expect(tilePath(level, index, width)).toBe(path);
  });
});

describe('framed entries', () => {
  it.each([
    ['half a length', Buffer.of(0)],
    ['a length without its entry', Buffer.of(0, 1)],
    ['a part of an entry', Buffer.of(0, 3, 1, 2)],
    ['an entry cut at its last byte', Buffer.of(255, 255, ...new Array(65_534).fill(0))],
  ])('stop before %s', (_, torn) => {
    const whole = frameEntries([Buffer.from('a')]);
    const { entries, used } = splitEntries(Buffer.concat([whole, torn]));
    expect(entries).toEqual([Buffer.from('a')]);
    expect(used).toBe(whole.length);
  });

  it('come back, whatever they hold, as many as wanted', () => {
    const lists = fc.array(
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(lists, fc.nat(20), (list, most) => {
        expect(splitEntries(frameEntries(list)).entries).toEqual(list);
        expect(splitEntries(frameEntries(list), most).entries).toEqual(list.slice(0, most));
      }),
    );
  });

  it('are not made of an entry that has no length', () => {
    expect(() => frameEntries([Buffer.alloc(65_536)])).toThrow();
  });
});

describe('a tree in tiles', () => {
  const leaves = Array.from({ length: 70_000 }, (_, index) => leafHash(String(index)));

  it('has the tiles that tlog-tiles gives as its example of 70,000 entries', async () => {
    const tree = new TiledTree();
    for (let at = 0; at < leaves.length; at += 1999) tree.commit(tree.grow(leaves.slice(at, at + 1999)));
    const full = new Map(tree.unsaved());
    expect([...full.keys()].filter((path) => path.startsWith('tile/0/'))).toHaveLength(273);
    expect([...full.keys()].filter((path) => path.startsWith('tile/1/'))).toEqual(['tile/1/000']);
    expect(tree.partials().map(([path]) => path)).toEqual(['tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1']);
    expect(full.get('tile/0/001')).toEqual(packHashes(leaves.slice(256, 512)));
    expect(unpackHashes(full.get('tile/1/000')!)[1]).toBe(treeRoot(leaves.slice(256, 512)));
    expect(tree.root()).toBe(buildTree(leaves).root);
    const hash = await tree.hashOf({ level: 9, index: 3 }, () => Promise.reject(new Error('not on disk')));
    expect(hash).toBe(treeRoot(leaves.slice(3 * 512, 4 * 512)));
  });

  it('of 256 entries has a full tile and a partial one of width 1 above it', () => {
    const tree = new TiledTree();
    tree.commit(tree.grow(leaves.slice(0, 256)));
    expect(tree.unsaved().map(([path]) => path)).toEqual(['tile/0/000']);
    expect(tree.partials()).toEqual([['tile/1/000.p/1', packHashes([treeRoot(leaves.slice(0, 256))])]]);
  });

  it('does not change by growth that is not committed', () => {
    const tree = new TiledTree();
    tree.commit(tree.grow(leaves.slice(0, 300)));
    const root = tree.root();
    tree.grow(leaves.slice(300, 900));
    expect(tree.size).toBe(300);
    expect(tree.root()).toBe(root);
    expect(tree.unsaved()).toHaveLength(1);
  });
});
