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
import type { Database } from '../store/database.ts';
import { ADDING } from '../writ/tuple.ts';

export interface Spending {
  readonly planDigest: Digest;
  readonly leaf: Leaf;
  readonly callDigest: Digest;
  /** Inside the envelope: counts against its budget. */
  readonly automatic: boolean;
}

export type SpendVerdict =
  | { readonly verdict: 'go'; readonly attempt: number }
  /** Done before, by this very call: the reply of then. */
  | { readonly verdict: 'replay'; readonly reply: Reply }
  | { readonly verdict: 'refused'; readonly code: 'writ-spent' | 'budget-empty'; readonly message: string };

/** One change is tried at most this often under all its writs; after that a person has to look. */
export const MAX_ATTEMPTS = 8;

type SpentState = 'reserved' | 'done' | 'refused' | 'lost' | 'down';

interface SpentRow {
  plan_digest: string;
  seq: number;
  state: SpentState;
  attempts: number;
  call_digest: string;
  reply: Reply | null;
}

const side = (leaf: Leaf): 'grants' | 'removals' => (ADDING.has(leaf.effect) ? 'grants' : 'removals');

export interface Spender {
  spend(item: Spending): Promise<SpendVerdict>;
  settle(item: {
    planDigest: Digest;
    seq: number;
    state: Exclude<SpentState, 'reserved'>;
    reply: Reply;
  }): Promise<void>;
  /** When this gateway last did `disable` on an account, or null. */
  disabledAt(system: string, login: string): Promise<Instant | null>;
  /** What of each side's budget is used in the window. */
  used(side: 'grants' | 'removals'): Promise<{ count: number; subjects: number; weight: number }>;
}

export function openSpender(database: Database, authority: () => Authority, clock: Clock): Spender {
  const tenant = () => authority().tenant;
  const windowStart = () => isoTime(clock.now() - (authority().envelope?.window ?? 0));

  async function usedIn(query: Database['query'], which: 'grants' | 'removals') {
    const [row] = await query<{ count: number; subjects: number; weight: number }>(
      `select count(*)::int as count, count(distinct subject)::int as subjects, coalesce(sum(weight), 0)::int as weight
         from budget where tenant = $1 and side = $2 and at > $3`,
      [tenant(), which, windowStart()],
    );
    return row ?? { count: 0, subjects: 0, weight: 0 };
  }

  const spend = groupCommit<Spending, SpendVerdict>(
    (items) =>
      database.tx(async (tx) => {
        await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`budget ${tenant()}`]);
        const known = await tx.query<SpentRow>(
          `select s.plan_digest, s.seq, s.state, s.attempts, s.call_digest, s.reply
           from spent s join unnest($2::text[], $3::int[]) as k(plan_digest, seq) using (plan_digest, seq)
          where s.tenant = $1`,
          [tenant(), items.map((item) => item.planDigest), items.map((item) => item.leaf.seq)],
        );
        const spent = new Map(known.map((row) => [`${row.plan_digest} ${row.seq}`, row]));
        const automatic = items.filter((item) => item.automatic && !spent.has(`${item.planDigest} ${item.leaf.seq}`));
        const sides = { grants: await stateOf('grants'), removals: await stateOf('removals') };

        async function stateOf(which: 'grants' | 'removals') {
          const own = automatic.some((item) => side(item.leaf) === which);
          return own
            ? { used: await usedIn(tx.query, which), subjects: await knownSubjects(which) }
            : { used: { count: 0, subjects: 0, weight: 0 }, subjects: new Set<string>() };
        }

        async function knownSubjects(which: 'grants' | 'removals'): Promise<Set<string>> {
          const asked = automatic.filter((item) => side(item.leaf) === which).map((item) => subjectOf(item.leaf));
          if (asked.length === 0) return new Set();
          const rows = await tx.query<{ subject: string }>(
            'select distinct subject from budget where tenant = $1 and side = $2 and at > $3 and subject = any($4)',
            [tenant(), which, windowStart(), asked],
          );
          return new Set(rows.map((row) => row.subject));
        }

        const verdicts: SpendVerdict[] = [];
        const going: Spending[] = [];
        const counted: Spending[] = [];
        for (const item of items) {
          const key = `${item.planDigest} ${item.leaf.seq}`;
          const before = spent.get(key);
          if (before) {
            const verdict = again(item, before);
            if (verdict.verdict === 'go') {
              going.push(item);
              spent.set(key, { ...before, state: 'reserved', attempts: verdict.attempt, reply: null });
            }
            verdicts.push(verdict);
            continue;
          }
          if (item.automatic) {
            const refusal = overBudget(authority(), item.leaf, sides[side(item.leaf)]);
            if (refusal) {
              verdicts.push(refusal);
              continue;
            }
            counted.push(item);
          }
          going.push(item);
          spent.set(key, {
            plan_digest: item.planDigest,
            seq: item.leaf.seq,
            state: 'reserved',
            attempts: 1,
            call_digest: item.callDigest,
            reply: null,
          });
          verdicts.push({ verdict: 'go', attempt: 1 });
        }
        const at = isoTime(clock.now());
        await tx.query(
          `insert into spent (tenant, plan_digest, seq, tuple, state, call_digest, at)
         select $1, p, s, t, 'reserved', c, $6 from unnest($2::text[], $3::int[], $4::jsonb[], $5::text[]) as u(p, s, t, c)
         on conflict (tenant, plan_digest, seq)
         do update set state = 'reserved', attempts = spent.attempts + 1, call_digest = excluded.call_digest, reply = null, at = excluded.at`,
          [
            tenant(),
            going.map((item) => item.planDigest),
            going.map((item) => item.leaf.seq),
            going.map((item) => JSON.stringify(tupleOf(item.leaf))),
            going.map((item) => item.callDigest),
            at,
          ],
        );
        if (counted.length > 0)
          await tx.query(
            `insert into budget (tenant, side, plan_digest, seq, subject, weight, at)
         select $1, d, p, s, u, w, $7 from unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::int[]) as x(d, p, s, u, w)`,
            [
              tenant(),
              counted.map((item) => side(item.leaf)),
              counted.map((item) => item.planDigest),
              counted.map((item) => item.leaf.seq),
              counted.map((item) => subjectOf(item.leaf)),
              counted.map((item) => WEIGHT[privilegeOf(authority(), tupleOf(item.leaf))]),
              at,
            ],
          );
        return verdicts;
      }),
    { gatherMs: 2 },
  );

  const settle = groupCommit<Parameters<Spender['settle']>[0], void>(
    async (items) => {
      await database.query(
        `update spent set state = u.state, reply = u.reply, at = $6
         from unnest($2::text[], $3::int[], $4::text[], $5::jsonb[]) as u(plan_digest, seq, state, reply)
        where spent.tenant = $1 and spent.plan_digest = u.plan_digest and spent.seq = u.seq`,
        [
          tenant(),
          items.map((item) => item.planDigest),
          items.map((item) => item.seq),
          items.map((item) => item.state),
          items.map((item) => JSON.stringify(item.reply)),
          isoTime(clock.now()),
        ],
      );
      return items.map(() => undefined);
    },
    { gatherMs: 2 },
  );

  return {
    spend,
    settle,
    used: (which) => usedIn(database.query, which),
    async disabledAt(system, login) {
      const [row] = await database.query<{ at: Date | null }>(
        `select max(at) as at from spent
          where tenant = $1 and state = 'done' and tuple @> jsonb_build_object('system', $2::text, 'object', $3::text, 'effect', 'disable')`,
        [tenant(), system, login],
      );
      return row?.at ? row.at.getTime() : null;
    },
  };
}

/** The person counts once, however many accounts of his are touched. */
const subjectOf = (leaf: Leaf): string =>
  leaf.subject ? `${leaf.subject.feed}:${leaf.subject.key}` : `${leaf.system}:${leaf.object}`;

/** A change that was spent before: may it be tried again? Effects are idempotent, but an old grant must not come back. */
function again(item: Spending, before: SpentRow): SpendVerdict {
  if (before.attempts >= MAX_ATTEMPTS) {
    return {
      verdict: 'refused',
      code: 'writ-spent',
      message: `change ${item.leaf.seq} was tried ${before.attempts} times; the limit is ${MAX_ATTEMPTS}: make a new plan`,
    };
  }
  const removing = !ADDING.has(item.leaf.effect);
  if (before.state === 'done' && !removing) {
    return before.call_digest === item.callDigest && before.reply
      ? { verdict: 'replay', reply: before.reply }
      : {
          verdict: 'refused',
          code: 'writ-spent',
          message: `change ${item.leaf.seq} was done already; a writ is spent once`,
        };
  }
  return { verdict: 'go', attempt: before.attempts + 1 };
}

function overBudget(
  authority: Authority,
  leaf: Leaf,
  state: { used: { count: number; subjects: number; weight: number }; subjects: Set<string> },
): SpendVerdict | null {
  const which = side(leaf);
  const bound = authority.envelope?.[which];
  const refuse = (what: string): SpendVerdict => ({
    verdict: 'refused',
    code: 'budget-empty',
    message: `the automatic envelope allows ${what} ${which} per window; approve the plan to go beyond it, or wait`,
  });
  if (!bound) return refuse('no');
  const { used, subjects } = state;
  const weight = WEIGHT[privilegeOf(authority, tupleOf(leaf))];
  const subject = subjectOf(leaf);
  const newSubject = subjects.has(subject) ? 0 : 1;
  if (used.count + 1 > bound.count) return refuse(`${bound.count}`);
  if (bound.subjects !== undefined && used.subjects + newSubject > bound.subjects)
    return refuse(`${bound.subjects} people in`);
  if (bound.weight !== undefined && used.weight + weight > bound.weight)
    return refuse(`a weight of ${bound.weight} in`);
  used.count += 1;
  used.weight += weight;
  used.subjects += newSubject;
  subjects.add(subject);
  return null;
}
