/**
 * The eight-word phrase of a digest, for people who compare two screens aloud. It says that the bytes are the same,
 * never that they are right.
 */
import type { Digest } from '../canonical.ts';
import { WORDS } from './words.ts';

const COUNT = 8;
/** 2048 words carry 11 bits each; 88 bits in all. */
const BITS = 11;

/** Eight words from the first 88 bits of a digest, separated by blanks. */
export function phrase(digest: Digest): string {
  let bits = BigInt(`0x${digest.slice(0, (COUNT * BITS) / 4)}`);
  const words: string[] = [];
  for (let left = COUNT; left > 0; left -= 1) {
    words.unshift(WORDS[Number(bits & 2047n)] as string);
    bits >>= BigInt(BITS);
  }
  return words.join(' ');
}
