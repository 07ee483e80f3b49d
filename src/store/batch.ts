/**
 * Group commit: calls that arrive while a batch is under way form the next one. One caller alone waits for nothing;
 * a thousand callers share one transaction or one fsync.
 */
export function groupCommit<In, Out>(
  commit: (items: readonly In[]) => Promise<readonly Out[]>,
  maxBatch = 512,
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
    while (queue.length > 0) {
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
        setImmediate(drain);
      }
    });
}
