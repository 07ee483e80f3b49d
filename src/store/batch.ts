/**
 * Group commit: calls that arrive while a batch is under way form the next one. One caller alone waits for nothing;
 * a thousand callers share one transaction or one fsync.
 *
 * @param gatherMs under load, how long a batch waits for company after the one before: each that comes costs one fsync
 * less
 */
export function groupCommit<In, Out>(
  commit: (items: readonly In[]) => Promise<readonly Out[]>,
  { maxBatch = 512, gatherMs = 0 }: { readonly maxBatch?: number; readonly gatherMs?: number } = {},
): (item: In) => Promise<Out> {
  interface Waiter {
    readonly item: In;
    readonly resolve: (out: Out) => void;
    readonly reject: (cause: unknown) => void;
  }
  let queue: Waiter[] = [];
  let running = false;
  /** A batch has ended a moment ago: there is load, and company is to be expected. */
  let lately: NodeJS.Timeout | null = null;

  const drain = async () => {
    running = true;
    for (let first = true; queue.length > 0; first = false) {
      if (!first && gatherMs > 0) await new Promise((resolve) => setTimeout(resolve, gatherMs));
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
    if (gatherMs === 0) return;
    if (lately) clearTimeout(lately);
    lately = setTimeout(() => {
      lately = null;
    }, gatherMs).unref();
  };

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (running) return;
      running = true;
      // The rest of this turn's callers join the first batch; soon after another, it waits as if it had come during it.
      if (lately) setTimeout(drain, gatherMs);
      else setImmediate(drain);
    });
}
