/**
 * `writgate run`: carries what is permitted to verification. One question finds everything that may move; what waits for
 * somebody else goes on in small groups side by side, so that the first change is being verified while the last one is
 * still being applied. All of it only calls `advance`.
 */
import { advance, MOVING } from '../advance.ts';
import { type Instant, isoTime } from '../clock.ts';
import type { Stage } from '../plan/change.ts';
import { openStatistics } from '../store/statistics.ts';
import { changeId, closePlans, readyChanges } from './rows.ts';
import type { World } from './world.ts';

/** How many changes may be in hand at one stage, and how many go together. */
interface Width {
  readonly most: number;
  readonly group: number;
}
/** Where each change waits for a target: enough to keep targets busy, few enough to stop quickly. */
const NARROW: Width = { most: 96, group: 1 };
const WIDE: Width = { most: 1000, group: 1000 };
const WIDTH: Readonly<Partial<Record<Stage, Width>>> = {
  permitted: NARROW,
  waiting: NARROW,
  applied: NARROW,
  inconclusive: NARROW,
};
const widthOf = (stage: Stage): Width => WIDTH[stage] ?? WIDE;

export interface RunReport {
  /** Steps made: a change that goes from decided to verified makes four. */
  readonly moved: number;
  readonly tookMs: number;
}

/** What is done for many at once waits so long for as many, while others are busy enough: each writ is sealed by itself. */
const COMPANY_MS = 250;
const COMPANY = 48;

/** How long `run` waits for a change that is due soon, before it leaves it to the next run. */
const PATIENCE_MS = 5_000;
/** Longest time between two questions while much is in hand: what becomes ready in between is found by one. */
const GATHER_MS = 100;

interface RunOptions {
  readonly signal: AbortSignal;
  readonly progress: (done: number) => void;
}

/** One run at a time: a second one starts when the first is done, and finds what is left. */
const running = new WeakMap<World, Promise<unknown>>();

export function run(world: World, options: RunOptions): Promise<RunReport> {
  const before = running.get(world) ?? Promise.resolve();
  const turn = before.catch(() => undefined).then(() => carry(world, options));
  running.set(world, turn);
  return turn;
}

async function carry(world: World, options: RunOptions): Promise<RunReport> {
  const { database, authority, clock } = world;
  const { tenant } = authority;
  const startedAt = clock.now();
  const inHand = new Map<Stage, Set<string>>(MOVING.map((stage) => [stage, new Set()]));
  const held = () => [...inHand.values()].reduce((sum, set) => sum + set.size, 0);
  const grew = openStatistics(database, ['change', 'account', 'held', 'login']);
  let moved = 0;
  let failure: unknown = null;
  let wake = (): void => undefined;
  /** Since when a stage has had something that waits for company. */
  const lonely = new Map<Stage, Instant>();
  /** With no more than so much in hand, it is time to ask for more. */
  let few = 0;
  let hurry = new AbortController();

  function take(stage: Stage, group: Awaited<ReturnType<typeof readyChanges>>): void {
    const hand = inHand.get(stage);
    for (const change of group) hand?.add(changeId(change));
    void advance(world, group)
      .then(
        () => {
          moved += group.length;
          grew(group.length);
          options.progress(moved);
        },
        (thrown) => {
          failure ??= thrown;
        },
      )
      .finally(() => {
        for (const change of group) hand?.delete(changeId(change));
        wake();
        if (held() <= few) hurry.abort();
      });
  }

  for (;;) {
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (failure !== null || options.signal.aborted) {
      if (held() === 0) break;
      await woken;
      continue;
    }
    // What is in hand when the question is asked may have moved on when the answer comes, and is not taken twice.
    const before = new Set([...inHand.values()].flatMap((set) => [...set]));
    const open = MOVING.filter((stage) => (inHand.get(stage)?.size ?? 0) <= widthOf(stage).most / 2);
    const found = await readyChanges(database, tenant, open, clock.now(), WIDE.most, before);
    for (const stage of open) {
      const { most, group } = widthOf(stage);
      const ready = found.filter((change) => change.stage === stage).slice(0, most);
      if (ready.length > 0 && group > 1 && ready.length < COMPANY && held() >= COMPANY) {
        lonely.set(stage, lonely.get(stage) ?? clock.now());
        if (clock.now() - (lonely.get(stage) ?? 0) < COMPANY_MS) continue;
      }
      if (ready.length > 0) lonely.delete(stage);
      for (let at = 0; at < ready.length; at += group) take(stage, ready.slice(at, at + group));
    }
    if (held() === 0) {
      // What was in hand when the question was asked was not in the answer, and may have somewhere to go now.
      if (before.size > 0) continue;
      const soon = await dueSoon(world, Math.max(startedAt + PATIENCE_MS, clock.now() + 1_000));
      if (soon === null) break;
      await clock.sleep(Math.max(20, soon - clock.now()));
      continue;
    }
    few = Math.floor(held() / 2);
    hurry = new AbortController();
    await (lonely.size === 0 ? woken : Promise.race([woken, clock.sleep(COMPANY_MS)]));
    await clock.sleep(GATHER_MS, hurry.signal).catch(() => undefined);
  }
  await database.tx((tx) => closePlans(tx, tenant));
  if (failure !== null) throw failure;
  return { moved, tookMs: clock.now() - startedAt };
}

/** When the next change is due that is worth waiting for, or null. */
async function dueSoon({ database, authority, clock }: World, until: number): Promise<number | null> {
  const { at } = await database.one<{ at: Date | null }>(
    `select min(c.next_at) as at from change c join plan p on p.tenant = c.tenant and p.number = c.plan
      where c.tenant = $1 and p.state = 'open' and c.stage in ('waiting', 'inconclusive') and c.next_at between $3 and $2`,
    [authority.tenant, isoTime(until), isoTime(clock.now())],
  );
  return at === null ? null : at.getTime();
}
