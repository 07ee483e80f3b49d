/** The head of a ledger: its size and root, in a store that compares and swaps. */

export interface Head {
  /** Number of entries. */
  readonly size: number;
  /** Merkle root over them, hex. */
  readonly root: string;
}

/**
 * Where the newest head is kept: the one place that decides which of two sequencers goes on.
 *
 * `swap` stores `next` durably if and only if what is stored is exactly `previous` (null: nothing yet), and tells
 * whether it did. When it cannot tell (connection lost in the middle) it rejects; callers take that for unknown, stop,
 * and load again. Sizes only grow, so that an overtaken caller can never win again.
 */
export interface HeadStore {
  load(): Promise<Head | null>;
  swap(previous: Head | null, next: Head): Promise<boolean>;
}

/** A head in memory, for tests and benchmarks: it survives nothing. */
export function memoryHead(initial: Head | null = null): HeadStore {
  let head = initial;
  return {
    load: async () => head,
    swap: async (previous, next) => {
      if (head?.size !== previous?.size || head?.root !== previous?.root) return false;
      head = { size: next.size, root: next.root };
      return true;
    },
  };
}
