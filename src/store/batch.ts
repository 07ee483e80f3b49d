import type { Clock } from '../clock.ts';

/**
 * Group commit: calls that arrive while a batch is under way form the next one. One caller alone waits for nothing;
 * a thousand callers share one transaction or one fsync.
 *
 * @param gather under load, how long a batch waits for company after the one before: each that comes costs one fsync
 * less
 */
export function groupCommit<In, Out>(
  commit: (items: readonly In[]) => Promise<readonly Out[]>,
  {
    maxBatch = 512,
    gather,
  }: { readonly maxBatch?: number; readonly gather?: { readonly ms: number; readonly clock: Clock } } = {},
): (item: In) => Promise<Out> {
  interface Waiter {
    readonly item: In;
    readonly resolve: (out: Out) => void;
    readonly reject: (cause: unknown) => void;
  }
  let queue: Waiter[] = [];
  let running = false;
  /** A moment after a batch has ended there is load, and company is to be expected. */
  let endedAt = Number.NEGATIVE_INFINITY;

  const drain = async () => {
    running = true;
    for (let first = true; queue.length > 0; first = false) {
      if (!first && gather) await gather.clock.sleep(gather.ms);
      const batch = queue.slice(0, maxBatch);
      queue = queue.slice(maxBatch);
      try {
        const results = await commit(batch.map((waiter) => waiter.item));
        batch.forEach((waiter, index) => {
          waiter.resolve(results[index] as Out);
        });
      } catch (cause) {
        for (const waiter of batch) waiter.reject(cause);
      }
    }
    running = false;
    if (gather) endedAt = gather.clock.now();
  };

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (running) return;
      running = true;
      // The rest of this turn's callers join the first batch; soon after another, it waits as if it had come during it.
      if (gather && gather.clock.now() - endedAt < gather.ms) void gather.clock.sleep(gather.ms).then(drain);
      else setImmediate(drain);
    });
}
