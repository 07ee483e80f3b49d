/**
 * A clock that a test moves by hand: it stands still until it is told otherwise, and whoever sleeps wakes in order.
 *
 * Roles speak to real servers, which live by the machine's time. So while the test waits for something of theirs, time
 * has to go on; `during` lets it, in small steps of its own.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock, Instant } from '../src/clock.ts';

export interface HandClock extends Clock {
  /** Ahead or back. Who slept until then wakes; back wakes nobody, and sleepers sleep as long as before. */
  move(ms: number): void;
  /** Lets time go on until `work` is done. */
  during<T>(work: Promise<T>): Promise<T>;
  /** Lets time go on until `look` sees something that is not null; at most a minute. */
  until<T>(look: () => Promise<T | null>): Promise<T>;
}

/** A real pause of one, and so much of ours: quick enough for pauses between looks, slow enough for time limits. */
const STEP_MS = { real: 2, ours: 10 };
const MOST_MS = 60_000;

export function handClock(start: Instant): HandClock {
  let now = start;
  /** Since the clock was made, and never back: what sleepers go by, as a machine's timers do. */
  let passed = 0;
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();

  function move(ms: number): void {
    now += ms;
    if (ms <= 0) return;
    passed += ms;
    for (const sleeper of [...sleepers].filter(({ at }) => at <= passed).sort((one, two) => one.at - two.at)) {
      sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  async function during<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const settled = () => {
      isDone = true;
    };
    work.then(settled, settled);
    while (!isDone) {
      await pause(STEP_MS.real);
      if (!isDone) move(STEP_MS.ours);
    }
    return work;
  }

  return {
    now: () => now,
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = {
          at: passed + Math.max(0, delayMs),
          wake() {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        const abort = () => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', abort, { once: true });
        // Nothing to wait for: then not even for a hand.
        if (delayMs <= 0) setImmediate(sleeper.wake);
        else sleepers.add(sleeper);
      }),
    move,
    during,
    async until(look) {
      const until = passed + MOST_MS;
      for (;;) {
        const seen = await during(look());
        if (seen !== null) return seen;
        if (passed > until) throw new Error(`not seen within ${MOST_MS} ms`);
        move(STEP_MS.ours);
      }
    },
  };
}
