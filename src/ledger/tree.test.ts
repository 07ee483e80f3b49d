import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../canonical.ts';
import {
  buildTree,
  checkConsistency,
  checkInclusion,
  consistencyProof,
  coverRange,
  EMPTY_ROOT,
  Frontier,
  foldCover,
  inclusionPath,
  inclusionProof,
  leafHash,
  nodeHash,
  treeRoot,
} from './tree.ts';

/* The definitions of RFC 6962 section 2.1, as written there and on another implementation of SHA-256. */
const mth = (data: Uint8Array[]): Uint8Array => {
  if (data.length === 0) return nobleSha256(new Uint8Array());
  if (data.length === 1) return nobleSha256(concatBytes(Uint8Array.of(0), data[0]!));
  const k = splitAt(data.length);
  return nobleSha256(concatBytes(Uint8Array.of(1), mth(data.slice(0, k)), mth(data.slice(k))));
};
const splitAt = (n: number): number => {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
};
const path = (m: number, data: Uint8Array[]): Uint8Array[] => {
  if (data.length <= 1) return [];
  const k = splitAt(data.length);
  return m < k
    ? [...path(m, data.slice(0, k)), mth(data.slice(k))]
    : [...path(m - k, data.slice(k)), mth(data.slice(0, k))];
};
const subproof = (m: number, data: Uint8Array[], whole: boolean): Uint8Array[] => {
  if (m === data.length) return whole ? [] : [mth(data)];
  const k = splitAt(data.length);
  return m <= k
    ? [...subproof(m, data.slice(0, k), whole), mth(data.slice(k))]
    : [...subproof(m - k, data.slice(k), false), mth(data.slice(0, k))];
};

const MOST = 70;
const data = Array.from({ length: MOST }, (_, index) => utf8ToBytes(`leaf ${index}`));
const leaves = data.map((bytes) => leafHash(bytes));
const trees = Array.from({ length: MOST + 1 }, (_, size) => buildTree(leaves.slice(0, size)));
const other: string = leafHash('something else');

const inclusion = (index: number, size: number): Parameters<typeof checkInclusion>[0] => ({
  leafHash: leaves[index]!,
  index,
  size,
  proof: trees[size]!.prove(index),
  root: trees[size]!.root,
});
const consistency = (from: number, to: number): Parameters<typeof checkConsistency>[0] => ({
  from,
  fromRoot: trees[from]!.root,
  to,
  toRoot: trees[to]!.root,
  proof: trees[to]!.consistency(from),
});

describe('refuses an inclusion proof', () => {
  it.each<[string, Partial<ReturnType<typeof inclusion>>]>([
    ['for another leaf', { leafHash: other }],
    ['at another index', { index: 4 }],
    ['at an index beyond the tree', { index: 7 }],
    ['at a negative index', { index: -1 }],
    ['at half an index', { index: 2.5 }],
    ['at an index that is no number', { index: Number.NaN }],
    ['for another size', { size: 9 }],
    ['for an empty tree', { index: 0, size: 0, proof: [] }],
    ['for an infinite tree', { size: Number.POSITIVE_INFINITY }],
    ['for a size beyond exact numbers', { size: 2 ** 53 }],
    ['under another root', { root: other }],
    ['without hashes', { proof: [] }],
    ['with hashes in upper case', { proof: trees[7]!.prove(3).map((hash) => hash.toUpperCase()) }],
    ['with something that is no hash', { proof: ['', '', ''] }],
    ['that is no list', { proof: 'abc' as unknown as string[] }],
  ])('%s', (_, forged) => {
    expect(checkInclusion(inclusion(3, 7))).toBe(true);
    expect(checkInclusion({ ...inclusion(3, 7), ...forged })).toBe(false);
  });

  it('that is shortened, lengthened or has any hash changed, at any index of any size', () => {
    for (let size = 1; size <= 33; size += 1) {
      for (let index = 0; index < size; index += 1) {
        const claim = inclusion(index, size);
        expect(checkInclusion({ ...claim, proof: [...claim.proof, other] })).toBe(false);
        expect(checkInclusion({ ...claim, proof: [other, ...claim.proof] })).toBe(false);
        for (const at of claim.proof.keys()) {
          expect(checkInclusion({ ...claim, proof: [...claim.proof].toSpliced(at, 1) })).toBe(false);
          expect(checkInclusion({ ...claim, proof: [...claim.proof].with(at, other) })).toBe(false);
        }
      }
    }
  });

  it('that passes off an inner node as a leaf', () => {
    const inner = nodeHash(leaves[0]!, leaves[1]!);
    const content = Buffer.from(`${leaves[0]}${leaves[1]}`, 'hex');
    const { root } = trees[4]!;
    const proof = [nodeHash(leaves[2]!, leaves[3]!)];
    expect(nodeHash(inner, proof[0]!)).toBe(root);
    expect(checkInclusion({ leafHash: leafHash(content), index: 0, size: 2, proof, root })).toBe(false);
  });
});

describe('refuses a consistency proof', () => {
  it.each<[string, Partial<ReturnType<typeof consistency>>]>([
    ['from size zero', { from: 0, fromRoot: EMPTY_ROOT, proof: [] }],
    [
      'between two sizes of zero with an empty proof',
      { from: 0, to: 0, fromRoot: EMPTY_ROOT, toRoot: EMPTY_ROOT, proof: [] },
    ],
    [
      'between two sizes of zero with different roots',
      { from: 0, to: 0, fromRoot: EMPTY_ROOT, toRoot: other, proof: [] },
    ],
    ['between equal sizes with different roots', { to: 6, toRoot: other, proof: [] }],
    ['between equal sizes with a proof', { to: 6, toRoot: trees[6]!.root }],
    ['to a smaller size', { from: 13, fromRoot: trees[13]!.root, to: 6, toRoot: trees[6]!.root }],
    ['from another old root', { fromRoot: other }],
    ['to another new root', { toRoot: other }],
    ['without hashes', { proof: [] }],
    ['from a negative size', { from: -6 }],
    ['to a size that is no number', { to: Number.NaN }],
    ['with something that is no hash', { proof: ['x'] }],
    ['from a root that is no hash', { fromRoot: '' }],
  ])('%s', (_, forged) => {
    expect(checkConsistency(consistency(6, 13))).toBe(true);
    expect(checkConsistency({ ...consistency(6, 13), ...forged })).toBe(false);
  });

  it('that is shortened, lengthened or has any hash changed, between any two sizes', () => {
    for (let to = 2; to <= 33; to += 1) {
      for (let from = 1; from < to; from += 1) {
        const claim = consistency(from, to);
        expect(checkConsistency({ ...claim, proof: [...claim.proof, other] })).toBe(false);
        for (const at of claim.proof.keys()) {
          expect(checkConsistency({ ...claim, proof: [...claim.proof].toSpliced(at, 1) })).toBe(false);
          expect(checkConsistency({ ...claim, proof: [...claim.proof].with(at, other) })).toBe(false);
        }
      }
    }
  });

  it('of a history in which any one leaf was replaced', () => {
    for (let from = 1; from < 33; from += 1) {
      const forged = buildTree(leaves.slice(0, 33).with(from - 1, other as Digest));
      const claim = { ...consistency(from, 33), toRoot: forged.root, proof: forged.consistency(from) };
      expect(checkConsistency(claim)).toBe(false);
    }
  });
});

describe('the tree', () => {
  it('has the roots and proofs of RFC 6962 for all sizes up to 70', () => {
    for (let size = 0; size <= MOST; size += 1) {
      const part = data.slice(0, size);
      const tree = trees[size]!;
      expect(tree.root).toBe(bytesToHex(mth(part)));
      expect(treeRoot(leaves.slice(0, size))).toBe(tree.root);
      for (let index = 0; index < size; index += 1) {
        expect(tree.prove(index)).toEqual(path(index, part).map(bytesToHex));
        expect(checkInclusion(inclusion(index, size))).toBe(true);
      }
      for (let from = 1; from <= size; from += 1) {
        expect(tree.consistency(from)).toEqual(subproof(from, part, true).map(bytesToHex));
        expect(checkConsistency(consistency(from, size))).toBe(true);
      }
    }
  });

  it('has the published roots of the eight test leaves of Certificate Transparency', () => {
    const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
    const hashes = inputs.map((hex) => leafHash(Buffer.from(hex, 'hex')));
    expect(EMPTY_ROOT).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(treeRoot(hashes.slice(0, 1))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    expect(treeRoot(hashes)).toBe('5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328');
  });

  it('hashes leaves of any length like another implementation', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(leafHash(bytes)).toBe(bytesToHex(nobleSha256(concatBytes(Uint8Array.of(0), bytes))));
      }),
    );
    for (const length of [65_534, 65_535, 65_536, 70_000]) {
      const bytes = new Uint8Array(length).fill(7);
      expect(leafHash(bytes)).toBe(bytesToHex(nobleSha256(concatBytes(Uint8Array.of(0), bytes))));
    }
    expect(leafHash('é')).toBe(leafHash(Buffer.from('é')));
  });

  it('hashes nodes like another implementation', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(hash, hash, (left, right) => {
        const expected = bytesToHex(nobleSha256(concatBytes(Uint8Array.of(1), left, right)));
        expect(nodeHash(bytesToHex(left) as Digest, bytesToHex(right) as Digest)).toBe(expected);
        expect(hexToBytes(expected)).toHaveLength(32);
      }),
    );
  });

  it('proves inclusion and consistency at random larger sizes', () => {
    const many = Array.from({ length: 20_000 }, (_, index) => leafHash(String(index)));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: many.length }), fc.nat(), fc.nat(), (size, a, b) => {
        const tree = buildTree(many.slice(0, size));
        const index = a % size;
        const from = (b % size) + 1;
        const { root } = tree;
        expect(checkInclusion({ leafHash: many[index]!, index, size, proof: tree.prove(index), root })).toBe(true);
        expect(
          checkInclusion({
            leafHash: many[index]!,
            index: (index + 1) % (size + 1),
            size,
            proof: tree.prove(index),
            root,
          }),
        ).toBe(false);
        const fromRoot = treeRoot(many.slice(0, from));
        expect(checkConsistency({ from, fromRoot, to: size, toRoot: root, proof: tree.consistency(from) })).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  it('gives one proof without building a tree by hand', () => {
    expect(inclusionProof(leaves, 11)).toEqual(trees[MOST]!.prove(11));
    expect(consistencyProof(leaves, 11)).toEqual(trees[MOST]!.consistency(11));
  });

  it('covers ranges exactly at sizes where floating logarithms fail', () => {
    for (const size of [2 ** 29, 2 ** 48 - 1, 2 ** 49 - 1, 2 ** 53 - 1]) {
      const cover = coverRange(0, size);
      expect(cover.reduce((sum, { level }) => sum + 2 ** level, 0)).toBe(size);
      expect(inclusionPath(size - 1, size).length).toBeLessThanOrEqual(53);
    }
    expect(foldCover([])).toBe(EMPTY_ROOT);
  });

  it('does not prove what it does not hold', () => {
    expect(() => trees[7]!.prove(7)).toThrow('leaf 7 lies in a tree of 7');
    expect(() => trees[7]!.consistency(0)).toThrow();
    expect(() => trees[7]!.consistency(8)).toThrow();
  });
});

describe('the frontier', () => {
  it('refuses a state with too few or too many hashes', () => {
    expect(() => Frontier.from({ size: 3, hashes: [other as Digest] })).toThrow('fit 3');
    expect(() => Frontier.from({ size: 4, hashes: [other, other] as Digest[] })).toThrow('fit 4');
    expect(() => Frontier.from({ size: -1, hashes: [] })).toThrow();
  });

  it('has the root of the tree after each leaf, also when it was stored in between', () => {
    let frontier = new Frontier();
    for (let size = 0; size < MOST; size += 1) {
      expect(frontier.root()).toBe(trees[size]!.root);
      frontier.append(leaves[size]!);
      frontier = Frontier.from(JSON.parse(JSON.stringify(frontier.state())));
      expect(frontier.size).toBe(size + 1);
    }
  });

  it('tells of each complete subtree once, with its root', () => {
    const frontier = new Frontier();
    const told: [number, string][] = [];
    for (const leaf of leaves.slice(0, 8)) frontier.append(leaf, (level, root) => told.push([level, root]));
    expect(told.map(([level]) => level)).toEqual([1, 1, 2, 1, 1, 2, 3]);
    expect(told.at(-1)).toEqual([3, trees[8]!.root]);
  });
});
