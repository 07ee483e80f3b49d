/** Chance that repeats itself: the same seed chooses the same moments. CRASH_SEED chooses others. */
import { createHash } from 'node:crypto';

export const SEED = process.env['CRASH_SEED'] ?? 'writgate';

/** From 0 up to, not including, 1. */
export const chance = (...of: readonly (string | number)[]): number =>
  createHash('sha256')
    .update([SEED, ...of].join(' '))
    .digest()
    .readUInt32BE() /
  2 ** 32;
