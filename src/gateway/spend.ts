/**
 * Spending: each change of a plan once, and what is automatic against the envelope's rolling budget.
 *
 * The truth is the gateway's own database, under one lock, so it is exact across replicas. There is no in-memory
 * fallback: a budget that cannot be read is empty (M15).
 */
import type { Authority } from '../authority/authority.ts';
import type { Digest } from '../canonical.ts';
import { type Clock, type Instant, isoTime } from '../clock.ts';
import type { Reply } from '../connector/contract.ts';
import { type Leaf, privilegeOf, tupleOf, WEIGHT } from '../plan/change.ts';
import { groupCommit } from '../store/batch.ts';
import type { Database, Queryable } from '../store/database.ts';
import { openStatistics } from '../store/statistics.ts';
import { storedJson } from '../store/text.ts';
import { ADDING, tupleKey } from '../writ/tuple.ts';

export interface Spending {
  readonly planDigest: Digest;
  readonly leaf: Leaf;
  readonly callDigest: Digest;
  /** Inside the envelope: counts against its budget. */
  readonly automatic: boolean;
  /** People take away what no fresh record asks for. */
  readonly ahead: boolean;
  /** What the attempt is called in the ledger. */
  readonly refs: Readonly<Record<string, string>>;
}

/** An attempt whose outcome the ledger does not have, because the gateway that made it died. */
export interface Untold {
  readonly planDigest: Digest;
  readonly seq: number;
  readonly refs: Readonly<Record<string, string>>;
  /** null: nobody heard it. */
  readonly reply: Reply | null;
  /** False: it certainly did not go out. */
  readonly wasSent: boolean;
  /** Since it began, as far as anybody knows. */
  readonly tookMs: number;
}

export type SpendVerdict =
  | {
      readonly verdict: 'go';
      readonly attempt: number;
      /** An earlier attempt got no answer and may have done it. */
      readonly wasLost: boolean;
    }
  /** The same change is being made at this moment: come again. */
  | { readonly verdict: 'busy' }
  /** Done before, by this very call: the reply of then. */
  | { readonly verdict: 'replay'; readonly reply: Reply }
  | {
      readonly verdict: 'refused';
      readonly code: 'writ-spent' | 'budget-empty';
      readonly message: string;
      /** When the window has rolled so far that there is budget for it; null: never, or it is spent. */
      readonly retryAt: Instant | null;
    };

/** One change is tried at most this often under all its writs; after that a person has to look. */
export const MAX_ATTEMPTS = 8;

/** Company that a statement waits for: each costs more than what is in it. */
const GATHER_MS = 5;

type SpentState = 'reserved' | 'done' | 'refused' | 'lost' | 'down';

interface SpentRow {
  plan_digest: string;
  seq: number;
  state: SpentState;
  attempts: number;
  call_digest: string;
  reply: Reply | null;
}

type Side = 'grants' | 'removals';
const sideOf = (leaf: Leaf): Side => (ADDING.has(leaf.effect) ? 'grants' : 'removals');

interface Totals {
  count: number;
  subjects: number;
  weight: number;
}
interface SideState {
  readonly used: Totals;
  readonly subjects: Set<string>;
}

export interface Settlement {
  readonly planDigest: Digest;
  readonly seq: number;
  readonly state: Exclude<SpentState, 'reserved'>;
  readonly reply: Reply;
  /** The change, where people signed it: what they give ends what they took. */
  readonly gives: Leaf | null;
}

export interface Spender {
  spend(item: Spending): Promise<SpendVerdict>;
  /** The attempt goes out now: whoever dies from here on leaves one that got no answer. */
  sent(item: Pick<Settlement, 'planDigest' | 'seq'>): Promise<void>;
  /** How an attempt ended. What the database cannot take now is kept here, and taken with the next that it can. */
  settle(item: Settlement): Promise<void>;
  /** Its outcome is sealed, or in the journal. Written when there is time: to tell twice harms nobody. */
  told(item: Pick<Settlement, 'planDigest' | 'seq'>): void;
  /** Of gateways before this one: asked before the first attempt. */
  untold(): Promise<readonly Untold[]>;
  /** When this gateway last disabled an account that it has not let in again since, or null. */
  disabledAt(system: string, login: string): Promise<Instant | null>;
  /** Whether people's signatures took from the subject ahead of the record, and gave nothing again since. */
  wasTerminated(leaf: Leaf): Promise<boolean>;
  /** Everybody of whom that is so, as `feed:key`. */
  terminated(): Promise<readonly string[]>;
  /** What of a side's budget is used in the window. */
  used(side: Side): Promise<Totals>;
}

export function openSpender(database: Database, authority: () => Authority, clock: Clock): Spender {
  const tenant = () => authority().tenant;
  const windowStart = () => isoTime(clock.now() - (authority().envelope?.window ?? 0));
  /** What this process is making at this moment. A row that is `reserved` and not in here was left by one that died. */
  const inFlight = new Set<string>();
  const grew = openStatistics(database, ['spent', 'budget', 'binding']);
  /** How attempts ended while the database was away; of a process that dies meanwhile they stay `reserved`. */
  const owed = new Map<string, Settlement>();

  async function usedIn(query: Database['query'], which: Side): Promise<Totals> {
    const [row] = await query<Totals>(
      `select count(*)::int as count, count(distinct subject)::int as subjects, coalesce(sum(weight), 0)::int as weight
         from budget where tenant = $1 and side = $2 and at > $3`,
      [tenant(), which, windowStart()],
    );
    return row ?? { count: 0, subjects: 0, weight: 0 };
  }

  /** What a side has used, and which of those who are asked for count already; read only when something asks. */
  async function stateOf(tx: Queryable, which: Side, items: readonly Spending[]): Promise<SideState> {
    const own = items.filter(({ automatic, leaf }) => automatic && sideOf(leaf) === which);
    if (own.length === 0) return { used: { count: 0, subjects: 0, weight: 0 }, subjects: new Set() };
    const rows = await tx.query<{ subject: string }>(
      'select distinct subject from budget where tenant = $1 and side = $2 and at > $3 and subject = any($4)',
      [tenant(), which, windowStart(), own.map(({ leaf }) => subjectOf(leaf))],
    );
    return { used: { ...(await usedIn(tx.query, which)) }, subjects: new Set(rows.map(({ subject }) => subject)) };
  }

  async function spendAll(
    tx: Queryable,
    items: readonly Spending[],
    begun: string[],
  ): Promise<readonly SpendVerdict[]> {
    await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`budget ${tenant()}`]);
    if (owed.size > 0) await settleAll(tx, [...owed.values()]);
    const known = await tx.query<SpentRow>(
      `select s.*
         from unnest($2::text[], $3::int[]) as k(plan_digest, seq)
        cross join lateral (select o.plan_digest, o.seq, o.state, o.attempts, o.call_digest, o.reply from spent o
                             where o.tenant = $1 and o.plan_digest = k.plan_digest and o.seq = k.seq offset 0) as s`,
      [tenant(), items.map(({ planDigest }) => planDigest), items.map(({ leaf }) => leaf.seq)],
    );
    const spent = new Map(known.map((row) => [`${row.plan_digest} ${row.seq}`, row]));
    const twins = await tx.query<{ plan_digest: string; tuple: Leaf; seq: number }>(
      // Item by item, and not as a join: a planner without statistics would read the whole plan for each batch.
      `select s.*
         from unnest($2::text[], $3::jsonb[]) as k(plan_digest, tuple)
        cross join lateral (select o.plan_digest, o.tuple, o.seq from spent o
                             where o.tenant = $1 and o.plan_digest = k.plan_digest
                               and o.tuple ->> 'object' = k.tuple ->> 'object' and o.tuple = k.tuple offset 0) as s`,
      [tenant(), items.map(({ planDigest }) => planDigest), items.map(({ leaf }) => JSON.stringify(tupleOf(leaf)))],
    );
    const once = new Map(twins.map(({ plan_digest, tuple, seq }) => [`${plan_digest} ${tupleKey(tuple)}`, seq]));
    const sides = { grants: await stateOf(tx, 'grants', items), removals: await stateOf(tx, 'removals', items) };

    const going: Spending[] = [];
    const charged: { readonly item: Spending; readonly attempt: number }[] = [];
    const verdicts = items.map((item): SpendVerdict => {
      const key = keyOf(item);
      if (inFlight.has(key)) return { verdict: 'busy' };
      const own = `${item.planDigest} ${tupleKey(tupleOf(item.leaf))}`;
      const twin = once.get(own) ?? item.leaf.seq;
      if (twin !== item.leaf.seq) {
        return {
          verdict: 'refused',
          code: 'writ-spent',
          message: `change ${item.leaf.seq} repeats change ${twin} of its plan`,
          retryAt: null,
        };
      }
      once.set(own, item.leaf.seq);
      const before = spent.get(key);
      const verdict = before ? again(item, before) : ({ verdict: 'go', attempt: 1, wasLost: false } as const);
      if (verdict.verdict !== 'go') return verdict;
      if (item.automatic) {
        const refusal = overBudget(authority(), item.leaf, sides[sideOf(item.leaf)]);
        if (refusal) return refusal;
        charged.push({ item, attempt: verdict.attempt });
      }
      inFlight.add(key);
      begun.push(key);
      going.push(item);
      return verdict;
    });

    const told = await sayWhen(tx, items, verdicts);

    const at = isoTime(clock.now());
    await tx.query(
      `insert into spent (tenant, plan_digest, seq, tuple, state, call_digest, at, subject, cause, untold)
       select $1, p, s, t, 'reserved', c, $6, b, w, r
         from unnest($2::text[], $3::int[], $4::jsonb[], $5::text[], $7::text[], $8::text[], $9::jsonb[]) as u(p, s, t, c, b, w, r)
       on conflict (tenant, plan_digest, seq) do update
         set state = case spent.state when 'lost' then 'lost' else 'reserved' end,
             attempts = spent.attempts + 1, call_digest = excluded.call_digest, reply = null, at = excluded.at,
             untold = excluded.untold`,
      [
        tenant(),
        going.map(({ planDigest }) => planDigest),
        going.map(({ leaf }) => leaf.seq),
        going.map(({ leaf }) => JSON.stringify(tupleOf(leaf))),
        going.map(({ callDigest }) => callDigest),
        at,
        going.map(({ leaf }) => subjectOf(leaf)),
        going.map(({ leaf, automatic }) => (automatic ? 'automatic' : leaf.cause)),
        going.map(({ refs }) => JSON.stringify(refs)),
      ],
    );
    const taking = going.filter(({ ahead }) => ahead);
    if (taking.length > 0) {
      await tx.query(
        `insert into taken (tenant, subject, account, at)
         select $1, s, bool_or(a), $4 from unnest($2::text[], $3::boolean[]) as u(s, a) group by s
         on conflict (tenant, subject) do update set account = taken.account or excluded.account, at = excluded.at`,
        [tenant(), taking.map(({ leaf }) => subjectOf(leaf)), taking.map(({ leaf }) => stopsAccount(leaf)), at],
      );
    }
    if (charged.length > 0) {
      const column = <T>(pick: (item: Spending) => T) => charged.map(({ item }) => pick(item));
      await tx.query(
        `insert into budget (tenant, side, plan_digest, seq, attempt, subject, weight, at)
         select $1, d, p, s, a, u, w, $8
           from unnest($2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::int[]) as x(d, p, s, a, u, w)`,
        [
          tenant(),
          column(({ leaf }) => sideOf(leaf)),
          column(({ planDigest }) => planDigest),
          column(({ leaf }) => leaf.seq),
          charged.map(({ attempt }) => attempt),
          column(({ leaf }) => subjectOf(leaf)),
          column(({ leaf }) => WEIGHT[privilegeOf(authority(), tupleOf(leaf))]),
          at,
        ],
      );
    }
    return told;
  }

  /** For what found the budget empty: when enough of what was spent has left the window. */
  async function sayWhen(
    tx: Queryable,
    items: readonly Spending[],
    verdicts: readonly SpendVerdict[],
  ): Promise<readonly SpendVerdict[]> {
    const empty = (verdict: SpendVerdict) => verdict.verdict === 'refused' && verdict.code === 'budget-empty';
    if (!verdicts.some(empty)) return verdicts;
    const { window = 0 } = authority().envelope ?? {};
    const rows = await tx.query<{ side: Side; subject: string; weight: number; at: Date }>(
      'select side, subject, weight, at from budget where tenant = $1 and at > $2 order by at',
      [tenant(), windowStart()],
    );
    return verdicts.map((verdict, index) => {
      const item = items[index];
      if (verdict.verdict !== 'refused' || !empty(verdict) || !item) return verdict;
      const spent = rows.filter(({ side }) => side === sideOf(item.leaf));
      // How many of the oldest have to go: the fewest after which there is room.
      let [none, enough] = [0, spent.length];
      if (!fits(authority(), item.leaf, [])) return verdict;
      while (none < enough) {
        const middle = (none + enough) >>> 1;
        if (fits(authority(), item.leaf, spent.slice(middle))) enough = middle;
        else none = middle + 1;
      }
      const last = spent[enough - 1];
      // Nothing has to go: it is the rest of this very batch that took it.
      const retryAt = (last === undefined ? clock.now() : last.at.getTime()) + window + 1;
      return { ...verdict, message: `${verdict.message}: there is room again at ${isoTime(retryAt)}`, retryAt };
    });
  }

  const spend = groupCommit<Spending, SpendVerdict>(
    async (items) => {
      const begun: string[] = [];
      const before = [...owed];
      try {
        const verdicts = await database.tx((tx) => spendAll(tx, items, begun));
        grew(begun.length);
        forget(before);
        return verdicts;
      } catch (thrown) {
        for (const key of begun) inFlight.delete(key);
        throw thrown;
      }
    },
    { gather: { ms: GATHER_MS, clock } },
  );

  /** One statement for all that come together. */
  const marking = (assignment: string, gatherMs: number) =>
    groupCommit<Pick<Settlement, 'planDigest' | 'seq'>, void>(
      async (items) => {
        await database.query(
          `update spent set ${assignment} from unnest($2::text[], $3::int[]) as u(plan_digest, seq)
            where spent.tenant = $1 and spent.plan_digest = u.plan_digest and spent.seq = u.seq`,
          [tenant(), items.map(({ planDigest }) => planDigest), items.map(({ seq }) => seq)],
        );
        return items.map(() => undefined);
      },
      { gather: { ms: gatherMs, clock } },
    );
  const sent = marking(`state = 'lost'`, 2);
  const told = marking('untold = null', 50);

  const forget = (settled: readonly (readonly [string, Settlement])[]): void => {
    // What ended anew in between is owed still.
    for (const [key, settlement] of settled) if (owed.get(key) === settlement) owed.delete(key);
  };

  async function settleAll(tx: Queryable, items: readonly Settlement[]): Promise<void> {
    const column = <T>(pick: (item: Settlement) => T) => items.map(pick);
    await tx.query(
      `update spent set state = u.state, reply = u.reply, at = $6
         from unnest($2::text[], $3::int[], $4::text[], $5::jsonb[]) as u(plan_digest, seq, state, reply)
        where spent.tenant = $1 and spent.plan_digest = u.plan_digest and spent.seq = u.seq`,
      [
        tenant(),
        column(({ planDigest }) => planDigest),
        column(({ seq }) => seq),
        column(({ state }) => state),
        column(({ reply }) => storedJson(JSON.stringify(reply))),
        isoTime(clock.now()),
      ],
    );
    const gifts = items.flatMap(({ state, gives }) => (state === 'done' && gives && givesAgain(gives) ? [gives] : []));
    if (gifts.length > 0) {
      await tx.query(
        `delete from taken t using unnest($2::text[], $3::boolean[]) as u(subject, account)
          where t.tenant = $1 and t.subject = u.subject and (u.account or not t.account)`,
        [tenant(), gifts.map(subjectOf), gifts.map(({ effect }) => effect !== 'grant')],
      );
    }
    const idle = items.filter(({ state }) => state === 'down');
    if (idle.length === 0) return;
    // Certainly nothing was done, so nothing was spent: a target that is away empties no budget.
    await tx.query(
      `delete from budget b using spent s, unnest($2::text[], $3::int[]) as u(plan_digest, seq)
        where b.tenant = $1 and s.tenant = $1 and b.plan_digest = u.plan_digest and b.seq = u.seq
          and s.plan_digest = u.plan_digest and s.seq = u.seq and b.attempt = s.attempts`,
      [tenant(), idle.map(({ planDigest }) => planDigest), idle.map(({ seq }) => seq)],
    );
  }

  const settle = groupCommit<Settlement, void>(
    async (items) => {
      for (const item of items) owed.set(`${item.planDigest} ${item.seq}`, item);
      const all = [...owed];
      const settled = await database
        .tx((tx) =>
          settleAll(
            tx,
            all.map(([, item]) => item),
          ),
        )
        .then(
          () => true,
          () => false,
        );
      if (settled) forget(all);
      // Over, written or owed: the same change may come again, and finds how it ended.
      for (const { planDigest, seq } of items) inFlight.delete(`${planDigest} ${seq}`);
      return items.map(() => undefined);
    },
    { gather: { ms: GATHER_MS, clock } },
  );

  const wasTerminated = groupCommit<string, boolean>(
    async (subjects) => {
      const rows = await database.query<{ subject: string }>(
        'select subject from taken where tenant = $1 and subject = any($2)',
        [tenant(), [...new Set(subjects)]],
      );
      const gone = new Set(rows.map(({ subject }) => subject));
      return subjects.map((subject) => gone.has(subject));
    },
    { gather: { ms: GATHER_MS, clock } },
  );

  return {
    spend,
    sent,
    settle,
    told: (item) => void told(item).catch(() => undefined),
    async untold() {
      const rows = await database.query<{
        plan_digest: Digest;
        seq: number;
        state: SpentState;
        effect: string;
        untold: Record<string, string>;
        reply: Reply | null;
        at: Date;
      }>(
        `select plan_digest, seq, state, tuple ->> 'effect' as effect, untold, reply, at from spent
          where tenant = $1 and untold is not null order by at`,
        [tenant()],
      );
      return rows.map(({ plan_digest, seq, state, effect, untold, reply, at }) => ({
        planDigest: plan_digest,
        seq,
        refs: untold,
        reply,
        wasSent: !(state === 'reserved' && effect === 'create'),
        tookMs: clock.now() - at.getTime(),
      }));
    },
    used: (which) => usedIn(database.query, which),
    wasTerminated: (leaf) => wasTerminated(subjectOf(leaf)),
    async terminated() {
      const rows = await database.query<{ subject: string }>(
        'select subject from taken where tenant = $1 order by subject',
        [tenant()],
      );
      return rows.map(({ subject }) => subject);
    },
    async disabledAt(system, login) {
      // One that got no answer counts from when it was tried: whoever comes again finds it done, and has nothing to ask for.
      // A disable before the account was made or let in again is another story.
      const { at } = await database.one<{ at: Date | null }>(
        `select max(d.at) as at from spent d
          where d.tenant = $1 and d.state in ('done', 'lost') and d.tuple ->> 'effect' = 'disable'
            and d.tuple ->> 'object' = $3 and d.tuple ->> 'system' = $2
            and not exists (select 1 from spent e
                             where e.tenant = $1 and e.at > d.at and e.tuple ->> 'effect' in ('create', 'enable')
                               and e.tuple ->> 'object' = $3 and e.tuple ->> 'system' = $2)`,
        [tenant(), system, login],
      );
      return at === null ? null : at.getTime();
    },
  };
}

const keyOf = ({ planDigest, leaf }: Spending): string => `${planDigest} ${leaf.seq}`;

/** The person counts once, however many accounts of his are touched. */
const subjectOf = (leaf: Leaf): string =>
  leaf.subject ? `${leaf.subject.feed}:${leaf.subject.key}` : `${leaf.system}:${leaf.object}`;

const stopsAccount = ({ effect }: Leaf): boolean => effect === 'disable' || effect === 'delete';
/** To adopt is to take under management, and gives nothing. */
const givesAgain = ({ effect }: Leaf): boolean => effect === 'create' || effect === 'enable' || effect === 'grant';

/** A change that was spent before: may it be tried again? Effects are idempotent, but an old grant must not come back. */
function again(item: Spending, before: SpentRow): SpendVerdict {
  // An attempt that certainly did nothing is no try.
  if (before.attempts >= MAX_ATTEMPTS && before.state !== 'down') {
    return {
      verdict: 'refused',
      code: 'writ-spent',
      message: `change ${item.leaf.seq} was tried ${before.attempts} times; the limit is ${MAX_ATTEMPTS}: make a new plan`,
      retryAt: null,
    };
  }
  if (before.state === 'done' && ADDING.has(item.leaf.effect)) {
    return before.call_digest === item.callDigest && before.reply
      ? { verdict: 'replay', reply: before.reply }
      : {
          verdict: 'refused',
          code: 'writ-spent',
          message: `change ${item.leaf.seq} was done already; a writ is spent once`,
          retryAt: null,
        };
  }
  // Only what was sent and got no answer: a `reserved` that a crash left was not sent, or is no create.
  const wasLost = before.state === 'lost';
  return { verdict: 'go', attempt: before.attempts + 1, wasLost };
}

/** Whether there is budget beside what is spent. */
const fits = (authority: Authority, leaf: Leaf, spent: readonly { subject: string; weight: number }[]): boolean => {
  const subjects = new Set(spent.map(({ subject }) => subject));
  const weight = spent.reduce((sum, row) => sum + row.weight, 0);
  return (
    overBudget(authority, leaf, { used: { count: spent.length, subjects: subjects.size, weight }, subjects }) === null
  );
};

/** Null when there is budget; then it is used up at once, so that the next of the same batch sees it. */
function overBudget(authority: Authority, leaf: Leaf, { used, subjects }: SideState): SpendVerdict | null {
  const which = sideOf(leaf);
  const bound = authority.envelope?.[which];
  const refuse = (what: string): SpendVerdict => ({
    verdict: 'refused',
    code: 'budget-empty',
    message: `the automatic envelope allows ${what} ${which} per window; approve the plan to go beyond it, or wait`,
    retryAt: null,
  });
  if (!bound) return refuse('no');
  const weight = WEIGHT[privilegeOf(authority, tupleOf(leaf))];
  const subject = subjectOf(leaf);
  const newSubject = subjects.has(subject) ? 0 : 1;
  if (used.count + 1 > bound.count) return refuse(`${bound.count}`);
  if (bound.subjects !== undefined && used.subjects + newSubject > bound.subjects) {
    return refuse(`${bound.subjects} people in`);
  }
  if (bound.weight !== undefined && used.weight + weight > bound.weight)
    return refuse(`a weight of ${bound.weight} in`);
  used.count += 1;
  used.weight += weight;
  used.subjects += newSubject;
  subjects.add(subject);
  return null;
}
