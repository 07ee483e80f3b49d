import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../canonical.ts';
import { phrase } from './phrase.ts';
import { WORDS } from './words.ts';

describe('the words', () => {
  test('are 2048 distinct short lower-case words in alphabetical order', () => {
    expect(WORDS).toHaveLength(2048);
    expect([...new Set(WORDS)].sort()).toEqual(WORDS);
    for (const word of WORDS) expect(word).toMatch(/^[a-z]{4,8}$/);
  });

  test('are this list: another order would be another format', () => {
    expect(sha256(WORDS.join(' '))).toBe('fb34d82480a54ba517899904dfdb60bda89a9c4a4a3bf8ae4af0a44e8478758c');
  });

  test('are never the beginning of one another, nor one letter apart', () => {
    const one = new Set<string>();
    for (const [index, word] of WORDS.entries()) {
      expect(WORDS[index + 1]?.startsWith(word) ?? false).toBe(false);
      // All spellings with one letter left out or blanked: two words that share one are a letter apart.
      const variants = new Set([word]);
      for (let at = 0; at < word.length; at += 1) {
        variants.add(word.slice(0, at) + word.slice(at + 1));
        variants.add(`${word.slice(0, at)}?${word.slice(at + 1)}`);
      }
      for (const variant of variants) {
        if (variant.includes('?') || variant === word)
          expect([word, variant, one.has(variant)]).toEqual([word, variant, false]);
      }
      for (const variant of variants) one.add(variant);
    }
  });
});

describe('the phrase of a digest', () => {
  const zero = '0'.repeat(64) as ReturnType<typeof sha256>;

  test('is eight words, and the same for the same digest', () => {
    const words = phrase(sha256('plan')).split(' ');
    expect(words).toHaveLength(8);
    expect(phrase(sha256('plan'))).toBe(words.join(' '));
  });

  test('reads 11 bits a word, most significant first', () => {
    const at = (index: number) => WORDS[index] as string;
    expect(phrase(zero)).toBe(Array(8).fill(at(0)).join(' '));
    // 11 one-bits, then zeros; and the last of the 88 bits alone.
    expect(phrase(`ffe${zero.slice(3)}` as typeof zero)).toBe([at(2047), ...Array(7).fill(at(0))].join(' '));
    expect(phrase(`${'0'.repeat(21)}1${'f'.repeat(42)}` as typeof zero)).toBe(
      [...Array(7).fill(at(0)), at(1)].join(' '),
    );
  });

  test('differs when any of the first 88 bits does', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(87), (text, bit) => {
        const digest = sha256(text);
        const bytes = Buffer.from(digest, 'hex');
        bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (0x80 >> (bit & 7)), bit >> 3);
        return phrase(bytes.toString('hex') as typeof digest) !== phrase(digest);
      }),
    );
  });
});
