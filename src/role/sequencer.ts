/**
 * The ledger for as long as control lives. A log stops for good at the first write or swap that fails, because what that
 * left behind is unknown; opening it again reads what is there and mends it. So when a disk was full or the database
 * away, the log is opened again here until that succeeds, and nobody has to start control again.
 *
 * It is not opened again when another process has taken it over (`ledger-fenced`), nor when it does not fit its head.
 */
import type { Clock } from '../clock.ts';
import { Failure, hasCode } from '../errors.ts';
import type { Log } from '../ledger/log.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/**
 * @param open opens the log anew
 * @param say told once for each stop, and once it goes on
 */
export async function openSequencer(open: () => Promise<Log>, clock: Clock, say: (line: string) => void): Promise<Log> {
  let log = await open();
  let mending: Promise<void> | null = null;
  let why = '';
  const closing = new AbortController();

  /** Lets the stopped log go and opens another on the same folder, again and again. */
  async function mend(stopped: Failure): Promise<void> {
    why = stopped.message;
    say(why);
    await log.close().catch(() => undefined);
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
      await clock.sleep(pauseMs, closing.signal);
      try {
        const opened = await open();
        if (closing.signal.aborted) return await opened.close();
        log = opened;
        say(`the ledger goes on at entry ${log.size}`);
        return;
      } catch (thrown) {
        if (hasCode(thrown, 'ledger-corrupt') || hasCode(thrown, 'ledger-fenced')) {
          say((thrown as Failure).message);
          throw thrown;
        }
      }
    }
  }

  /** Does it on the log of this moment. What fails because the log has stopped fails, and mends it. */
  async function on<T>(act: (log: Log) => Promise<T>): Promise<T> {
    if (mending) throw new Failure('ledger-stopped', why);
    const used = log;
    try {
      return await act(used);
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === 'ledger-stopped' && used === log && !closing.signal.aborted) {
        mending ??= mend(thrown).then(
          () => {
            mending = null;
          },
          // Not mended, and not to be: everything is refused from here on.
          () => undefined,
        );
      }
      throw thrown;
    }
  }

  return {
    get size() {
      return log.size;
    },
    checkpoint: () => log.checkpoint(),
    submit: (entry) => on((now) => now.submit(entry)),
    submitAll: (entries) => on((now) => now.submitAll(entries)),
    read: (index) => on((now) => now.read(index)),
    entries: (from, to) => log.entries(from, to),
    inclusion: (index, size) => on((now) => now.inclusion(index, size)),
    consistency: (from, to) => on((now) => now.consistency(from, to)),
    publishCosigned: (note) => on((now) => now.publishCosigned(note)),
    published: () => on((now) => now.published()),
    async close() {
      closing.abort();
      if (mending) await mending;
      else await log.close();
    },
  };
}
