import type { Clock } from '../clock.ts';

/**
 * Group commit: calls that arrive while a batch is under way form the next one. One caller alone waits for nothing;
 * a thousand callers share one transaction or one fsync.
 */
export function groupCommit<In, Out>(
  commit: (items: readonly In[]) => Promise<readonly Out[]>,
  {
    maxBatch = 512,
    gather,
  }: {
    readonly maxBatch?: number;
    /** Waits for company: one fsync less for each that comes. */
    readonly gather?: { readonly ms: number; readonly clock: Clock };
  } = {},
): (item: In) => Promise<Out> {
  interface Waiter {
    readonly item: In;
    readonly resolve: (out: Out) => void;
    readonly reject: (cause: unknown) => void;
  }
  let queue: Waiter[] = [];
  let running = false;

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
  };

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      // The rest of this turn's callers join the first batch.
      if (!running) {
        running = true;
        if (gather) void gather.clock.sleep(gather.ms).then(drain);
        else setImmediate(drain);
      }
    });
}
