/**
 * One signature over several entries: a role signs the Merkle root over a batch of its entries, and each entry carries
 * that signature with its own place in the batch and its path to the root. So each still proves by itself, offline, who
 * wrote it; and signing and verifying, which cost a hundred times a hash, are paid once a batch.
 *
 *     signature (64) ‖ place (2, big-endian) ‖ size (2, big-endian) ‖ path (32 each, from the sibling upwards)
 *
 * The tree is that of RFC 6962, over the unsigned texts. A batch of one is not joint: it has the plain signature.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import { assert } from '../assert.ts';
import type { Digest } from '../canonical.ts';
import { buildTree, leafHash, nodeHash } from './tree.ts';

export const SIGNATURE_BYTES = 64;
const HEAD_BYTES = SIGNATURE_BYTES + 4;
/** Entries under one signature, so that a path has at most eight hashes. */
export const LARGEST_JOINT = 256;
export const LONGEST_SIGNATURE = HEAD_BYTES + 8 * 32;

/** Size and root; the domain keeps it from being a signature over anything else, a single entry included. */
const signedText = (size: number, root: Digest): Buffer => Buffer.from(`writgate/entries/v1\n${size}\n${root}\n`);

/** One signature for each text, in their order: plain for one text, joint for several. */
export function signTexts(texts: readonly Buffer[], key: KeyObject): Buffer[] {
  assert(texts.length <= LARGEST_JOINT, `at most ${LARGEST_JOINT} entries under one signature, not ${texts.length}`);
  const [only] = texts;
  if (only !== undefined && texts.length === 1) return [sign(null, only, key)];
  const tree = buildTree(texts.map(leafHash));
  const signature = sign(null, signedText(tree.size, tree.root), key);
  return texts.map((_, place) => {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(place);
    head.writeUInt16BE(tree.size, 2);
    return Buffer.concat([signature, head, Buffer.from(tree.prove(place).join(''), 'hex')]);
  });
}

/** Whether a signature can have this many bytes. */
export const isSignatureLength = (bytes: number): boolean =>
  bytes === SIGNATURE_BYTES || (bytes > HEAD_BYTES && bytes <= LONGEST_SIGNATURE && (bytes - HEAD_BYTES) % 32 === 0);

interface Joint {
  readonly place: number;
  readonly size: number;
  /** Hashes from the sibling upwards, 32 bytes each. */
  readonly path: Buffer;
}

function readJoint(bytes: Buffer): Joint | null {
  const place = bytes.readUInt16BE(SIGNATURE_BYTES);
  const size = bytes.readUInt16BE(SIGNATURE_BYTES + 2);
  if (size < 2 || size > LARGEST_JOINT || place >= size) return null;
  return { place, size, path: bytes.subarray(HEAD_BYTES) };
}

/** A node that the batch's signature was seen to cover, and the way from it to the root. */
interface Node {
  readonly hash: Digest;
  readonly sibling: Digest;
  /** The path from its parent's sibling upwards. */
  readonly above: Buffer;
}
/** By level and position. */
type Known = Map<number, Node>;
const nodeId = (level: number, position: number): number => level * (LARGEST_JOINT + 1) + position;

/**
 * Climbs from a leaf (RFC 9162 section 2.1.3.2) and collects what it passes. On a node that is known it hashes no more:
 * from there to the root there is but one way, which must be the one that is claimed.
 * @returns the root, `known` where the way joined one that holds, or null where it leads nowhere.
 */
function climb(leaf: Digest, { place, size, path }: Joint, known: Known, passed: [number, Node][]) {
  let [level, position, last] = [0, place, size - 1];
  let hash = leaf;
  const up = (): void => {
    level += 1;
    position >>= 1;
    last >>= 1;
  };
  for (let at = 0; at < path.length; at += 32) {
    if (last === 0) return null;
    // At the right edge a node without a sibling is its own parent.
    if (position === last) while (position % 2 === 0) up();
    const sibling = path.toString('hex', at, at + 32) as Digest;
    const above = path.subarray(at + 32);
    const seen = known.get(nodeId(level, position));
    if (seen?.hash === hash) return seen.sibling === sibling && seen.above.equals(above) ? 'known' : null;
    const onRight = position % 2 === 1;
    passed.push(
      [nodeId(level, position), { hash, sibling, above }],
      [nodeId(level, onRight ? position - 1 : position + 1), { hash: sibling, sibling: hash, above }],
    );
    hash = onRight ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
    up();
  }
  return last === 0 ? hash : null;
}

/** Batches whose nodes are remembered: the entries of one lie close together, mixed with those of few others. */
const REMEMBERED = 16;

/**
 * Checks signatures over texts, each by itself and wholly; what several entries share is computed once.
 * One for each key.
 */
export function signatureChecker(key: KeyObject): (text: Buffer, signature: Buffer) => boolean {
  const batches = new Map<string, Known>();
  return (text, signature) => {
    const plain = signature.subarray(0, SIGNATURE_BYTES);
    if (signature.length === SIGNATURE_BYTES) return verify(null, text, key, plain);
    const joint = isSignatureLength(signature.length) ? readJoint(signature) : null;
    if (joint === null) return false;
    const batch = `${joint.size} ${plain.toString('latin1')}`;
    const known: Known = batches.get(batch) ?? new Map();
    const passed: [number, Node][] = [];
    const root = climb(leafHash(text), joint, known, passed);
    if (root === null) return false;
    if (root !== 'known') {
      if (!verify(null, signedText(joint.size, root), key, plain)) return false;
      batches.set(batch, known);
      const [oldest] = batches.keys();
      if (batches.size > REMEMBERED && oldest !== undefined) batches.delete(oldest);
    }
    for (const [id, node] of passed) known.set(id, node);
    return true;
  };
}
