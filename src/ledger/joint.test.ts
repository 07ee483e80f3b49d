import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LARGEST_JOINT, LONGEST_SIGNATURE, signatureChecker, signTexts } from './joint.ts';

const key = generateKeyPairSync('ed25519').privateKey;
const publicKey = createPublicKey(key);
const textsOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, index) => Buffer.from(`text ${index} of ${count}`));
/** Each time as somebody who has seen nothing before. */
const fresh = (text: Buffer, signature: Buffer): boolean => signatureChecker(publicKey)(text, signature);

describe('a joint signature', () => {
  it.each([1, 2, 3, 5, 7, 8, 100, 255, LARGEST_JOINT])(
    'over %i texts holds for each, alone and in any order',
    (count) => {
      const texts = textsOf(count);
      const signatures = signTexts(texts, key);
      const remembering = signatureChecker(publicKey);
      const order = texts.map((_, place) => (place * 101 + 7) % count);
      for (const place of order) {
        expect(fresh(texts[place]!, signatures[place]!)).toBe(true);
        expect(remembering(texts[place]!, signatures[place]!)).toBe(true);
      }
      expect(Math.max(...signatures.map(({ length }) => length))).toBeLessThanOrEqual(LONGEST_SIGNATURE);
    },
  );

  it('over one text is the plain one, which everybody can verify', () => {
    expect(signTexts([Buffer.from('one')], key)[0]).toHaveLength(64);
  });

  it('over two texts is not one over the text that the two would sign together', () => {
    const [one, two] = textsOf(2);
    const [signature] = signTexts([one!, two!], key);
    expect(fresh(one!, signature!.subarray(0, 64))).toBe(false);
  });

  it('is refused with any byte changed, for another text, and for another place, also by who has seen the batch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (...drawn) => {
        const [count, where, at, flip] = drawn;
        const texts = textsOf(count);
        const signatures = signTexts(texts, key);
        const remembering = signatureChecker(publicKey);
        for (const [place, text] of texts.entries()) expect(remembering(text, signatures[place]!)).toBe(true);
        const place = where % count;
        const changed = Buffer.from(signatures[place]!);
        changed[at % changed.length]! ^= flip;
        const other = (place + 1 + (at % (count - 1))) % count;
        for (const check of [fresh, remembering]) {
          expect(check(texts[place]!, changed)).toBe(false);
          expect(check(texts[other]!, signatures[place]!)).toBe(false);
          expect(check(Buffer.from('never said'), signatures[place]!)).toBe(false);
          expect(check(texts[place]!, signatures[place]!.subarray(0, -32))).toBe(false);
          expect(check(texts[place]!, Buffer.concat([signatures[place]!, Buffer.alloc(32)]))).toBe(false);
        }
        // What was refused is not remembered as if it held.
        expect(remembering(texts[place]!, signatures[place]!)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('of another key is refused, and refused again', () => {
    const texts = textsOf(4);
    const foreign = signTexts(texts, generateKeyPairSync('ed25519').privateKey);
    const remembering = signatureChecker(publicKey);
    for (const round of [1, 2]) {
      for (const [place, text] of texts.entries())
        expect([round, remembering(text, foreign[place]!)]).toEqual([round, false]);
    }
  });

  it('of a batch of one, or with a place beyond its size, is no form of one', () => {
    const [signature] = signTexts(textsOf(2), key);
    for (const [place, size] of [
      [0, 1],
      [2, 2],
      [0, 0],
      [0, 65535],
    ] as const) {
      const changed = Buffer.from(signature!);
      changed.writeUInt16BE(place, 64);
      changed.writeUInt16BE(size, 66);
      expect(fresh(textsOf(2)[0]!, changed)).toBe(false);
    }
  });

  it.each([0, 1, 63, 65, 67, 68, 99, 101, LONGEST_SIGNATURE + 32])('of %i bytes is none', (length) => {
    expect(fresh(Buffer.from('text'), Buffer.alloc(length))).toBe(false);
  });

  it('holds for more batches than are remembered, mixed with one another', () => {
    const remembering = signatureChecker(publicKey);
    const batches = Array.from({ length: 40 }, (_, batch) => [Buffer.from(`a${batch}`), Buffer.from(`b${batch}`)]);
    const signed = batches.map((texts) => signTexts(texts, key));
    for (const place of [0, 1]) {
      for (const [batch, texts] of batches.entries())
        expect(remembering(texts[place]!, signed[batch]![place]!)).toBe(true);
    }
  });

  it('is given to at most 256 texts', () => {
    expect(() => signTexts(textsOf(257), key)).toThrow('at most 256 entries');
  });
});
