/**
 * `writgate run`: carries what is permitted to verification. One loop for each stage, so that the first change is being
 * verified while the last one is still being decided; all of them only call `advance`.
 */
import { advance, MOVING } from '../advance.ts';
import { isoTime } from '../clock.ts';
import type { Stage } from '../plan/change.ts';
import { closePlans, readyChanges } from './rows.ts';
import type { World } from './world.ts';

/** How many changes one station takes at a time: enough to keep targets busy, few enough to stop quickly. */
const BATCH: Readonly<Partial<Record<Stage, number>>> = { permitted: 64, waiting: 64, applied: 64, inconclusive: 64 };
const WIDE_BATCH = 500;

export interface RunReport {
  /** Changes by the stage in which they are now, of plans that were touched. */
  readonly moved: number;
  readonly tookMs: number;
}

/** How long `run` waits for a change that is due soon, before it leaves it to the next run. */
const PATIENCE_MS = 5_000;

export async function run(
  world: World,
  options: { readonly signal: AbortSignal; readonly progress: (done: number) => void },
): Promise<RunReport> {
  const { database, authority, clock } = world;
  const { tenant } = authority;
  const startedAt = clock.now();
  let moved = 0;
  let busy = 0;
  let idleSince = clock.now();

  async function station(stage: Stage): Promise<void> {
    for (;;) {
      if (options.signal.aborted) return;
      busy++;
      const ready = await readyChanges(database, tenant, [stage], clock.now(), BATCH[stage] ?? WIDE_BATCH);
      if (ready.length > 0) {
        await advance(world, ready);
        moved += ready.length;
        options.progress(moved);
        idleSince = clock.now();
        busy--;
        continue;
      }
      busy--;
      // Everybody is idle: done, unless something is due in a moment.
      if (busy === 0 && clock.now() - idleSince > 40 && !(await dueSoon())) return;
      await clock.sleep(15);
    }
  }

  async function dueSoon(): Promise<boolean> {
    const [row] = await database.query<{ soon: boolean }>(
      `select exists (select 1 from change c join plan p on p.tenant = c.tenant and p.number = c.plan
                       where c.tenant = $1 and p.state = 'open' and c.stage in ('waiting', 'inconclusive')
                         and c.next_at <= $2 and c.next_at > $3) as soon`,
      [tenant, isoTime(Math.max(startedAt + PATIENCE_MS, clock.now() + 1_000)), isoTime(clock.now())],
    );
    return row?.soon ?? false;
  }

  await Promise.all(MOVING.map(station));
  await database.tx((tx) => closePlans(tx, tenant));
  return { moved, tookMs: clock.now() - startedAt };
}
