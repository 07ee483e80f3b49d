/**
 * From an accepted snapshot to affiliations and persons. Rows stream once through the mapping in JavaScript; everything
 * else is set-based SQL, so that a million people cost a COPY and a few joins.
 */
import type { Authority } from '../authority/authority.ts';
import { sha256 } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import type { Queryable } from '../store/database.ts';
import { isWorking, type PersonAttributes, type State } from './lifecycle.ts';
import type { Row } from './mapping.ts';
import type { Rules } from './rules.ts';

export interface Arrived {
  readonly feed: string;
  /** Id of the snapshot. */
  readonly id: string;
  /** The records that were accepted, each in its normal form, some thousands at a time. */
  readonly records: () => AsyncIterable<readonly { readonly line: number; readonly text: string }[]>;
  readonly quarantined: readonly { readonly key: string | null; readonly line: number; readonly reason: string }[];
}

export interface Ingested {
  readonly read: number;
  readonly changed: number;
  readonly joined: number;
  readonly left: number;
  readonly quarantined: readonly { readonly key: string | null; readonly line: number; readonly reason: string }[];
}

/** A field of COPY's text format: backslash, tab and line ends are escaped, null is \N. */
export const copyField = (value: string | number | null): string =>
  value === null
    ? '\\N'
    : typeof value === 'number'
      ? String(value)
      : value.replace(/[\\\t\n\r]/g, (char) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' })[char] ?? char);

export const copyLine = (...fields: readonly (string | number | null)[]): string =>
  `${fields.map(copyField).join('\t')}\n`;

/** From so many rows on a statistic that is behind them makes the planner choose a nested loop, which is quadratic. */
const MANY = 1_000;
/** Costs some tens of milliseconds whatever the size, which a delta of a few people need not pay. */
async function analyse(tx: Queryable, table: 'affiliation' | 'person' | 'cause', written: number): Promise<void> {
  if (written >= MANY) await tx.query(`analyze ${table}`);
}

/** Joins small lines into chunks, because a COPY of a million one-line buffers is slow. */
async function* inChunks(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let chunk = '';
  for await (const line of lines) {
    chunk += line;
    if (chunk.length > 262_144) {
      yield chunk;
      chunk = '';
    }
  }
  if (chunk !== '') yield chunk;
}

/**
 * @param today `YYYY-MM-DD`
 */
export async function ingest(
  tx: Queryable,
  authority: Authority,
  rules: Rules,
  arrived: Arrived,
  today: string,
  now: Instant,
): Promise<Ingested> {
  const { tenant } = authority;
  const feed = authority.feeds[arrived.feed];
  if (!feed) throw new Error(`assertion failed: feed ${arrived.feed}`);
  const keyColumn = feed.contract.key;
  let read = 0;
  const quarantined = [...arrived.quarantined];

  await tx.query(`create temporary table arrived (
    key text not null, line integer not null, row_digest text not null, state text not null, state_until date,
    attributes jsonb not null, quarantine text) on commit drop`);
  await tx.copyIn(
    'copy arrived (key, line, row_digest, state, state_until, attributes, quarantine) from stdin',
    inChunks(lines()),
  );
  async function* lines(): AsyncGenerator<string> {
    for await (const records of arrived.records()) {
      for (const { line, text } of records) {
        read++;
        const row = JSON.parse(text) as Row;
        const key = row[keyColumn] ?? '';
        const assessed = rules.assess(arrived.feed, row, today);
        if (assessed.ok) {
          const { state, stateUntil, attributes } = assessed;
          yield copyLine(key, line, sha256(text), state, stateUntil, JSON.stringify(attributes), null);
        } else {
          quarantined.push({ key, line, reason: assessed.why });
          yield copyLine(key, line, sha256(text), 'left', null, '{}', assessed.why);
        }
      }
    }
    for (const { key, line, reason } of arrived.quarantined) {
      if (key !== null) yield copyLine(key, line, '', 'left', null, '{}', reason);
    }
  }
  // A duplicated key is quarantined once, whichever of its records came first.
  await tx.query(`delete from arrived a using arrived b where a.key = b.key and a.ctid > b.ctid`);
  await tx.query('create unique index on arrived (key)');
  await tx.query('analyze arrived');

  const [changed] = await tx.query<{ count: number }>(
    `with merged as (
       insert into affiliation (tenant, feed, key, snapshot, line, row_digest, state, state_until, attributes, quarantine)
       select $1, $2, key, $3, line, row_digest, state, state_until, attributes, quarantine from arrived
       on conflict (tenant, feed, key) do update
         set snapshot = excluded.snapshot, line = excluded.line,
             quarantine = excluded.quarantine,
             -- A quarantined record keeps what was last believed; its person is frozen.
             row_digest = case when excluded.quarantine is null then excluded.row_digest else affiliation.row_digest end,
             state = case when excluded.quarantine is null then excluded.state else affiliation.state end,
             state_until = case when excluded.quarantine is null then excluded.state_until else affiliation.state_until end,
             attributes = case when excluded.quarantine is null then excluded.attributes else affiliation.attributes end
         where affiliation.row_digest is distinct from excluded.row_digest
            or affiliation.state is distinct from excluded.state
            or affiliation.attributes is distinct from excluded.attributes
            or affiliation.quarantine is distinct from excluded.quarantine
            or affiliation.line is distinct from excluded.line
       returning 1)
     select count(*)::int as count from merged`,
    [tenant, arrived.feed, arrived.id],
  );
  await analyse(tx, 'affiliation', changed?.count ?? 0);

  let left = 0;
  // With a record in it that nobody can tell whose it is, nobody can tell who is missing either.
  const whole = arrived.quarantined.every(({ key }) => key !== null);
  if (whole && feed.contract.mode === 'full' && feed.absent === 'leaver') {
    const gone = await tx.query<{ key: string }>(
      `update affiliation set state = 'left', state_until = null, quarantine = null
        where tenant = $1 and feed = $2 and state <> 'left'
          and not exists (select 1 from arrived where arrived.key = affiliation.key)
       returning key`,
      [tenant, arrived.feed],
    );
    left = gone.length;
  }
  const joined = await correlate(tx, authority, arrived.feed, now);
  return { read, changed: changed?.count ?? 0, joined, left, quarantined };
}

/**
 * Gives each new affiliation its person: the first declared rule with exactly one match wins; two are a quarantine with
 * both shown, never a guess. Who matches nobody is a new person.
 */
async function correlate(tx: Queryable, authority: Authority, feed: string, now: Instant): Promise<number> {
  const { tenant } = authority;
  for (const attribute of authority.correlate) {
    await tx.query(
      `with candidate as (
         select a.key, count(distinct p.id) as people, min(p.id) as person, string_agg(distinct p.id, ', ') as listed
           from affiliation a
           join person p on p.tenant = a.tenant and p.attributes ->> $3 = a.attributes ->> $3
          where a.tenant = $1 and a.feed = $2 and a.person is null and a.quarantine is null and a.attributes ->> $3 <> ''
          group by a.key)
       update affiliation a
          set person = case when c.people = 1 then c.person end,
              quarantine = case when c.people > 1 then 'more than one person has this ' || $3 || ': ' || c.listed end
         from candidate c
        where a.tenant = $1 and a.feed = $2 and a.key = c.key`,
      [tenant, feed, attribute],
    );
  }
  const created = await tx.query<{ id: string }>(
    `with fresh as (
       select key, 'p' || nextval('person_number') as id, state, attributes
         from affiliation where tenant = $1 and feed = $2 and person is null and quarantine is null),
     made as (
       insert into person (tenant, id, state, attributes, created_at) select $1, id, state, attributes, $3 from fresh)
     update affiliation a set person = fresh.id from fresh where a.tenant = $1 and a.feed = $2 and a.key = fresh.key
     returning fresh.id`,
    [tenant, feed, isoTime(now)],
  );
  await analyse(tx, 'person', created.length);
  // Whose person was null a moment ago has one now.
  await analyse(tx, 'affiliation', created.length);
  return created.length;
}

export interface Settled {
  /** Persons whose state or attributes changed, with what they were. */
  readonly changed: readonly {
    readonly id: string;
    readonly before: string | null;
    readonly after: string;
    readonly moved: boolean;
  }[];
}

/**
 * Brings persons up to what their affiliations say today, and their birthrights up to what the rules give.
 * @param everybody also those whose affiliations did not change: after a change of the rules
 */
export async function settlePersons(
  tx: Queryable,
  authority: Authority,
  rules: Rules,
  today: string,
  now: Instant,
  everybody: boolean,
): Promise<Settled> {
  const { tenant } = authority;
  const feeds = Object.keys(authority.feeds);
  // Dates pass without any feed saying so.
  const due = await tx.query<{ feed: string; key: string; attributes: PersonAttributes }>(
    `select feed, key, attributes from affiliation where tenant = $1 and state <> 'left' and state_until <= $2 and quarantine is null`,
    [tenant, today],
  );
  for (const row of due) {
    const state = rules.stateToday(row.attributes, today);
    await tx.query('update affiliation set state = $4, state_until = $5 where tenant = $1 and feed = $2 and key = $3', [
      tenant,
      row.feed,
      row.key,
      state.state,
      state.stateUntil,
    ]);
  }

  // The strongest affiliation counts; among equals, the feed that is declared first.
  await tx.query(
    `create temporary table settled on commit drop as
     select distinct on (a.person) a.person as id, a.state, a.attributes
       from affiliation a
      where a.tenant = $1 and a.person is not null
      order by a.person, array_position(array['active', 'notice', 'leave', 'prehire', 'left'], a.state), array_position($2::text[], a.feed)`,
    [tenant, feeds],
  );
  const changed = await tx.query<{
    id: string;
    before: string;
    after: string;
    moved: boolean;
    attributes: PersonAttributes;
  }>(
    `select s.id, p.state as before, s.state as after, s.attributes,
            (p.attributes ->> 'department') is distinct from (s.attributes ->> 'department')
              or (p.attributes ->> 'title') is distinct from (s.attributes ->> 'title')
              or (p.attributes ->> 'manager') is distinct from (s.attributes ->> 'manager') as moved
       from settled s join person p on p.tenant = $1 and p.id = s.id
      where $2 or p.state <> s.state or p.attributes <> s.attributes
         or not exists (select 1 from cause c where c.tenant = $1 and c.person = s.id and c.kind = 'birthright')`,
    [tenant, everybody],
  );
  await tx.query(
    `update person p set state = s.state, attributes = s.attributes from settled s
      where p.tenant = $1 and p.id = s.id and (p.state <> s.state or p.attributes <> s.attributes)`,
    [tenant],
  );

  async function* births(): AsyncGenerator<string> {
    for (const { id, after, attributes } of changed) {
      const desired = rules.birthright(after as State, attributes);
      if (!desired.ok) continue;
      for (const { entitlement, rule } of desired.desired) yield copyLine(id, entitlement, rule);
    }
  }
  await tx.query('create temporary table born (person text, entitlement text, rule text) on commit drop');
  await tx.copyIn('copy born from stdin', inChunks(births()));
  await tx.query('create temporary table touched (person text primary key) on commit drop');
  await tx.copyIn(
    'copy touched from stdin',
    inChunks(
      (async function* () {
        for (const { id } of changed) yield copyLine(id);
      })(),
    ),
  );
  await tx.query(
    `delete from cause c using touched t
      where c.tenant = $1 and c.kind = 'birthright' and c.person = t.person
        and not exists (select 1 from born b where b.person = c.person and b.entitlement = c.entitlement and b.rule = c.ref)`,
    [tenant],
  );
  await tx.query(
    `insert into cause (tenant, person, entitlement, kind, ref, starts_at)
     select $1, person, entitlement, 'birthright', rule, $2 from born on conflict do nothing`,
    [tenant, isoTime(now)],
  );
  await analyse(tx, 'cause', changed.length);
  return {
    changed: changed
      .filter((row) => row.before !== row.after || row.moved)
      .map(({ id, before, after, moved }) => ({ id, before, after, moved: moved && isWorking(after as State) })),
  };
}
