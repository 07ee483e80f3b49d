/**
 * Time and randomness are passed in from one place, so that the whole platform can later run in a seeded simulation.
 * Nothing under `src/` but this file may call `Date.now`, `new Date()` without arguments, or `randomBytes`.
 */
import { randomBytes } from 'node:crypto';

/** Milliseconds since the epoch, UTC. */
export type Instant = number;

export interface Clock {
  now(): Instant;
  /** Resolves after `delayMs`; rejects when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export type Random = (bytes: number) => Buffer;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (delayMs, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', abort);
        resolve();
      }, delayMs);
      signal?.addEventListener('abort', abort, { once: true });
    }),
};

export const systemRandom: Random = (bytes) => randomBytes(bytes);

export const isoTime = (at: Instant): string => new Date(at).toISOString();
