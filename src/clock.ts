/**
 * Time and randomness are passed in from one place, so that the whole platform can later run in a seeded simulation.
 * Nothing under `src/` but this file asks the machine for either, or sets a timer; and nothing but the entry point of a
 * process takes `systemClock` and `systemRandom` from here (`test/tidy.ts`).
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

/** What every program of this machine could take for itself, and ours are given. */
export interface Ambient {
  readonly clock: Clock;
  readonly random: Random;
}

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

export const systemAmbient: Ambient = { clock: systemClock, random: systemRandom };

/** Why a sleeper was woken who is no longer needed; an `AbortError` with its stack costs more than most timers. */
const CALLED_OFF = Symbol('called off');

/** Calls `act` once after `delayMs`. @returns how to call it off */
export function after(clock: Clock, delayMs: number, act: () => void): () => void {
  const calling = new AbortController();
  clock.sleep(delayMs, calling.signal).then(act, (why) => {
    if (why !== CALLED_OFF) throw why;
  });
  return () => calling.abort(CALLED_OFF);
}

/** Calls `act` again and again, `ms` after the call before; it is not waited for. @returns how to stop */
export function every(clock: Clock, ms: number, act: () => void): () => void {
  let stop = (): void => undefined;
  const again = (): void => {
    stop = after(clock, ms, () => {
      again();
      act();
    });
  };
  again();
  return () => stop();
}

/** Aborts after `delayMs` with a `TimeoutError`, or with `signal`. @returns that signal, and how to call it off */
export function deadline(
  clock: Clock,
  delayMs: number,
  signal?: AbortSignal,
): { readonly signal: AbortSignal; readonly over: () => void } {
  const limit = new AbortController();
  const over = after(clock, delayMs, () =>
    limit.abort(new DOMException(`no answer within ${delayMs} ms`, 'TimeoutError')),
  );
  return { signal: signal ? AbortSignal.any([signal, limit.signal]) : limit.signal, over };
}

/** How far two machines' clocks may lie apart. What is from further ahead is refused: one of them is wrong. */
export const MAX_SKEW_MS = 5 * 60_000;

export const isoTime = (at: Instant): string => new Date(at).toISOString();
