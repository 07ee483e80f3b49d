/**
 * `writgate run`: carries what is permitted to verification. One loop for each stage, so that the first change is being
 * verified while the last one is still being decided; all of them only call `advance`.
 */
import { advance, MOVING } from '../advance.ts';
import { isoTime } from '../clock.ts';
import type { Stage } from '../plan/change.ts';
import { changeId, closePlans, readyChanges } from './rows.ts';
import type { World } from './world.ts';

/** How many changes are at one station at a time: enough to keep targets busy, few enough to stop quickly. */
const AT_ONCE: Readonly<Partial<Record<Stage, number>>> = { permitted: 96, waiting: 96, applied: 96, inconclusive: 96 };
const WIDE = 1000;
/** Where each change waits for somebody else, they go on in small groups, so that a slow one holds up few. */
const GROUP: Readonly<Partial<Record<Stage, number>>> = { permitted: 8, waiting: 8, applied: 8, inconclusive: 8 };

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
  /** Questions that are being asked, and changes that are in somebody's hand: while there are any, more may come. */
  let busy = 0;
  let idleSince = clock.now();

  /** Wakes every station: something has gone a stage further. */
  let wake = (): void => undefined;
  let woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  function bump(): void {
    wake();
    woken = new Promise((resolve) => {
      wake = resolve;
    });
  }

  async function station(stage: Stage): Promise<void> {
    const inHand = new Set<string>();
    const most = AT_ONCE[stage] ?? WIDE;
    const groupOf = GROUP[stage] ?? WIDE;
    let failure: unknown = null;
    for (;;) {
      if (failure !== null) throw failure;
      if (options.signal.aborted && inHand.size === 0) return;
      const news = woken;
      busy++;
      const before = new Set(inHand);
      const full = options.signal.aborted || inHand.size > most / 2;
      const found = full ? [] : await readyChanges(database, tenant, [stage], clock.now(), most);
      // What was in hand when the question was asked may have moved on since.
      const ready = found.filter((change) => !before.has(changeId(change)) && !inHand.has(changeId(change)));
      for (let at = 0; at < ready.length; at += groupOf) {
        const group = ready.slice(at, at + groupOf);
        for (const change of group) inHand.add(changeId(change));
        busy += group.length;
        void advance(world, group)
          .then(
            () => {
              moved += group.length;
              options.progress(moved);
            },
            (thrown) => {
              failure = thrown;
            },
          )
          .finally(() => {
            for (const change of group) inHand.delete(changeId(change));
            busy -= group.length;
            idleSince = clock.now();
            bump();
          });
      }
      busy--;
      if (ready.length > 0 || inHand.size > 0) {
        idleSince = clock.now();
        await Promise.race([news, clock.sleep(100)]);
        continue;
      }
      // Everybody is idle: done, unless something is due in a moment.
      if (busy === 0 && clock.now() - idleSince > 60 && !(await dueSoon())) return bump();
      await Promise.race([news, clock.sleep(30)]);
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
