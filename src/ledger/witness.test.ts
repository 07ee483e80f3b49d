import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../clock.ts';
import { formatCheckpoint, openCheckpoint } from './checkpoint.ts';
import { type HeadStore, memoryHead } from './head.ts';
import { COSIGNATURE, createSigner, signNote } from './note.ts';
import { buildTree, EMPTY_ROOT, leafHash } from './tree.ts';
import { createWitness } from './witness.ts';

const newKey = () => generateKeyPairSync('ed25519').privateKey;
const log = createSigner('log.example', newKey());
const key = createSigner('witness.example', newKey(), COSIGNATURE);
const clock: Clock = { now: () => 1767225600999, sleep: async () => {} };
const leaves = Array.from({ length: 20 }, (_, index) => leafHash(String(index)));
const tree = (size: number) => buildTree(leaves.slice(0, size));
const note = (size: number, root = tree(size).root, signer = log, origin = 'log.example') =>
  signNote(formatCheckpoint({ origin, size, root }), signer);
const proof = (from: number, to: number) => ({ from, hashes: from === 0 ? [] : tree(to).consistency(from) });
const open = (store: HeadStore = memoryHead()) => createWitness({ key, logKey: log.verifier, store, clock });
const at = async (size: number) => {
  const store = memoryHead();
  const witness = open(store);
  expect(await witness.cosign(note(size), proof(0, size))).toMatchObject({ ok: true });
  return { witness, store };
};
const forked = buildTree(leaves.slice(0, 20).with(2, leafHash('forged')));

describe('a witness refuses', () => {
  it.each<[string, number, string, { from: number; hashes: readonly string[] }]>([
    ['what is no note', 400, 'hello', proof(7, 12)],
    ['what is no checkpoint', 400, signNote('hello\n', log), proof(7, 12)],
    ['another log', 404, note(12, undefined, log, 'other.example'), proof(7, 12)],
    [
      'a checkpoint that another key signed',
      403,
      note(12, undefined, createSigner('log.example', newKey())),
      proof(7, 12),
    ],
    ['a checkpoint changed after signing', 403, note(12).replace('\n12\n', '\n13\n'), proof(7, 12)],
    ['a rollback, though signed', 409, note(5), proof(5, 5)],
    ['a rollback that claims the true old size', 400, note(5), { from: 7, hashes: [] }],
    ['a proof from a size that it did not cosign', 409, note(12), proof(6, 12)],
    ['to begin anew', 409, note(12), proof(0, 12)],
    ['another root at the same size', 409, note(7, forked.root), { from: 7, hashes: [] }],
    ['a fork with its own proof', 422, note(20, forked.root), { from: 7, hashes: forked.consistency(7) }],
    ['an empty proof from a nonzero size', 422, note(12), { from: 7, hashes: [] }],
    ['a proof with a hash too many', 422, note(12), { from: 7, hashes: [...tree(12).consistency(7), EMPTY_ROOT] }],
    ['a proof that is no list of hashes', 422, note(12), { from: 7, hashes: ['x'] }],
    ['the same size with a proof that proves nothing', 422, note(7), { from: 7, hashes: [EMPTY_ROOT] }],
    ['a size that is no number', 409, note(12), { from: Number.NaN, hashes: [] }],
  ])('%s', async (_, status, checkpoint, hashes) => {
    const { witness, store } = await at(7);
    const before = await store.load();
    expect(await witness.cosign(checkpoint, hashes)).toMatchObject({ ok: false, status, size: 7 });
    expect(await store.load()).toEqual(before);
  });

  it('a first checkpoint with a proof from nothing', async () => {
    expect(await open().cosign(note(7), { from: 0, hashes: [EMPTY_ROOT] })).toMatchObject({ ok: false, status: 422 });
  });

  it('a tree of size zero with a root of its own', async () => {
    expect(await open().cosign(note(0, leafHash('x')), proof(0, 0))).toMatchObject({ ok: false, status: 409 });
  });

  it('the second of two forks that arrive at once', async () => {
    const { witness } = await at(7);
    const answers = await Promise.all([witness.cosign(note(20), proof(7, 20)), witness.cosign(note(12), proof(7, 12))]);
    expect(answers.map(({ ok }) => ok)).toEqual([true, false]);
    expect(await witness.size()).toBe(20);
  });

  it('to hand out a signature when its store cannot keep the head', async () => {
    const store: HeadStore = { load: async () => null, swap: () => Promise.reject(new Error('disk full')) };
    await expect(open(store).cosign(note(7), proof(0, 7))).rejects.toThrow('disk full');
  });

  it('to be the log itself, or to sign plain notes', () => {
    const self = createSigner('w', log.privateKey, COSIGNATURE);
    expect(() => createWitness({ key: self, logKey: log.verifier, store: memoryHead(), clock })).toThrow(
      'does not witness itself',
    );
    expect(() =>
      createWitness({ key: createSigner('w', newKey()), logKey: log.verifier, store: memoryHead(), clock }),
    ).toThrow();
  });
});

describe('a witness cosigns', () => {
  it('a log that grows, at the seconds of its clock', async () => {
    const { witness } = await at(7);
    const answer = await witness.cosign(note(20), proof(7, 20));
    if (!answer.ok) throw new Error(answer.reason);
    const opened = openCheckpoint(note(20) + answer.line, log.verifier, [key.verifier]);
    expect(opened).toMatchObject({ ok: true, cosigned: [{ verifier: { name: 'witness.example' }, at: 1767225600 }] });
    expect(await witness.size()).toBe(20);
  });

  it('the same checkpoint again, and an empty log', async () => {
    const { witness } = await at(7);
    expect(await witness.cosign(note(7), proof(7, 7))).toMatchObject({ ok: true });
    const { witness: fresh } = await at(0);
    expect(await fresh.cosign(note(7), proof(0, 7))).toMatchObject({ ok: true });
  });

  it('every step between any two sizes', async () => {
    const { witness } = await at(1);
    for (let size = 2; size <= 20; size += 1)
      expect(await witness.cosign(note(size), proof(size - 1, size))).toMatchObject({ ok: true });
  });
});
