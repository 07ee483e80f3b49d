/**
 * From an accepted snapshot to affiliations and persons. Rows stream once through the mapping in JavaScript; everything
 * else is set-based SQL, so that a million people cost a COPY and a few joins.
 */
import type { Authority } from '../authority/authority.ts';
import { sha256 } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import { inBatches } from '../store/cursor.ts';
import type { Queryable } from '../store/database.ts';
import { readAnswers } from './answers.ts';
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
export function copyField(value: string | number | null): string {
  if (value === null) return '\\N';
  if (typeof value === 'number') return String(value);
  // Looking for four characters one by one takes a quarter of one search for any of them.
  if (!value.includes('\\') && !value.includes('\t') && !value.includes('\n') && !value.includes('\r')) return value;
  return value.replace(
    /[\\\t\n\r]/g,
    (char) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' })[char] ?? char,
  );
}

export function copyLine(...fields: readonly (string | number | null)[]): string {
  let line = copyField(fields[0] ?? null);
  for (let index = 1; index < fields.length; index += 1) line += `\t${copyField(fields[index] ?? null)}`;
  return `${line}\n`;
}

/** From so many rows on a statistic that is behind them makes the planner choose a nested loop, which is quadratic. */
const MANY = 1_000;
/** Costs some tens of milliseconds whatever the size, which a delta of a few people need not pay. */
async function analyse(tx: Queryable, table: 'affiliation' | 'person', written: number): Promise<void> {
  if (written >= MANY) await tx.query(`analyze ${table}`);
}

/** Characters of a COPY sent at a time: enough to cost little, and little enough that the database works while we do. */
export const CHUNK = 65_536;

/**
 * @param tx holds the lock of this tenant's identities
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
  const answers = await readAnswers(tx, tenant);

  // `birthright` is for who turns out to be a new person; of the others, `settlePersons` asks the rules.
  await tx.query(`create temporary table arrived (
    key text not null, line integer not null, row_digest text not null, state text not null, state_until date,
    attributes jsonb not null, birthright integer, quarantine text) on commit drop`);
  await tx.copyIn(
    'copy arrived (key, line, row_digest, state, state_until, attributes, birthright, quarantine) from stdin',
    lines(),
  );
  async function* lines(): AsyncGenerator<string> {
    let chunk = '';
    for await (const records of arrived.records()) {
      for (const { line, text } of records) {
        if (chunk.length > CHUNK) {
          yield chunk;
          chunk = '';
        }
        read++;
        const row = JSON.parse(text) as Row;
        const key = row[keyColumn] ?? '';
        const assessed = rules.assess(arrived.feed, row, today);
        if (assessed.ok) {
          const { state, stateUntil, attributes } = assessed;
          const desired = rules.birthright(state, attributes);
          const birthright = desired.ok ? answers.numberOf(desired.desired) : null;
          chunk += copyLine(key, line, sha256(text), state, stateUntil, JSON.stringify(attributes), birthright, null);
        } else {
          quarantined.push({ key, line, reason: assessed.why });
          chunk += copyLine(key, line, sha256(text), 'left', null, '{}', null, assessed.why);
        }
      }
    }
    // Several records under one key are set aside once. None of them is among the accepted.
    const aside = new Map(arrived.quarantined.flatMap((record) => (record.key === null ? [] : [[record.key, record]])));
    for (const [key, { line, reason }] of aside) chunk += copyLine(key, line, '', 'left', null, '{}', null, reason);
    if (chunk !== '') yield chunk;
  }
  await answers.save(tx);
  await tx.query('analyze arrived');
  const joined = await correlate(tx, authority, arrived.feed, now);
  const changed = await merge(tx, tenant, arrived);
  await analyse(tx, 'affiliation', changed);

  let left = 0;
  // With a record in it that nobody can tell whose it is, nobody can tell who is missing either.
  const whole = arrived.quarantined.every(({ key }) => key !== null);
  if (whole && feed.contract.mode === 'full' && feed.absent === 'leaver') {
    const gone = await tx.one<{ count: number }>(
      `with gone as (
         update affiliation set state = 'left', state_until = null, quarantine = null
          where tenant = $1 and feed = $2 and state <> 'left'
            and not exists (select 1 from arrived where arrived.key = affiliation.key)
         returning 1)
       select count(*)::int as count from gone`,
      [tenant, arrived.feed],
    );
    left = gone.count;
  }
  await tx.query('drop table arrived, newcomer');
  return { read, changed, joined, left, quarantined };
}

/**
 * Gives each record without a person his person: the first declared rule with exactly one match wins; two are a
 * quarantine with both shown, never a guess. Who matches nobody is a new person. Leaves the answers in `newcomer`.
 * @returns how many new persons there are
 */
async function correlate(tx: Queryable, authority: Authority, feed: string, now: Instant): Promise<number> {
  const { tenant } = authority;
  await tx.query(
    `create temporary table newcomer on commit drop as
     select r.key, null::text as person, null::text as quarantine, false as made
       from arrived r left join affiliation a on a.tenant = $1 and a.feed = $2 and a.key = r.key
      where a.person is null and r.quarantine is null`,
    [tenant, feed],
  );
  await tx.query('analyze newcomer');
  const known = await tx.one<{ newcomers: boolean; persons: boolean }>(
    `select exists (select 1 from newcomer) as newcomers, exists (select 1 from person where tenant = $1) as persons`,
    [tenant],
  );
  if (!known.newcomers) return 0;
  for (const attribute of known.persons ? authority.correlate : []) {
    await tx.query(
      `with candidate as (
         select n.key, count(distinct p.id) as people, min(p.id) as person, string_agg(distinct p.id, ', ') as listed
           from newcomer n join arrived r using (key)
           join person p on p.tenant = $1 and p.attributes ->> $2 = r.attributes ->> $2
          where n.person is null and n.quarantine is null and r.attributes ->> $2 <> ''
          group by n.key)
       update newcomer n
          set person = case when c.people = 1 then c.person end,
              quarantine = case when c.people > 1 then 'more than one person has this ' || $2 || ': ' || c.listed end
         from candidate c
        where n.key = c.key`,
      [tenant, attribute],
    );
  }
  await tx.query(
    `update newcomer set person = 'p' || nextval('person_number'), made = true where person is null and quarantine is null`,
  );
  const { count } = await tx.one<{ count: number }>(
    `with made as (
       insert into person (tenant, id, state, attributes, birthright, created_at)
       select $1, n.person, r.state, r.attributes, r.birthright, $2 from arrived r join newcomer n using (key) where n.made
       returning 1)
     select count(*)::int as count from made`,
    [tenant, isoTime(now)],
  );
  await analyse(tx, 'person', count);
  return count;
}

/** Brings affiliations up to what arrived. Who is the same as before is not written: on a usual day that is everybody. */
async function merge(tx: Queryable, tenant: string, arrived: Arrived): Promise<number> {
  const { count } = await tx.one<{ count: number }>(
    `with updated as (
       update affiliation a
          set snapshot = $3, line = r.line, person = coalesce(a.person, n.person),
              quarantine = coalesce(r.quarantine, n.quarantine),
              -- A quarantined record keeps what was last believed; its person is frozen.
              row_digest = case when r.quarantine is null then r.row_digest else a.row_digest end,
              state = case when r.quarantine is null then r.state else a.state end,
              state_until = case when r.quarantine is null then r.state_until else a.state_until end,
              attributes = case when r.quarantine is null then r.attributes else a.attributes end
         from arrived r left join newcomer n using (key)
        where a.tenant = $1 and a.feed = $2 and a.key = r.key
          and (a.quarantine is distinct from coalesce(r.quarantine, n.quarantine)
               or n.person is not null
               or (r.quarantine is null
                   and (a.state <> r.state or a.state_until is distinct from r.state_until or a.attributes <> r.attributes)))
       returning 1),
     inserted as (
       insert into affiliation (tenant, feed, key, person, snapshot, line, row_digest, state, state_until, attributes, quarantine)
       select $1, $2, r.key, n.person, $3, r.line, r.row_digest, r.state, r.state_until, r.attributes,
              coalesce(r.quarantine, n.quarantine)
         from arrived r left join newcomer n using (key)
        where not exists (select 1 from affiliation a where a.tenant = $1 and a.feed = $2 and a.key = r.key)
       returning 1)
     select ((select count(*) from updated) + (select count(*) from inserted))::int as count`,
    [tenant, arrived.feed, arrived.id],
  );
  return count;
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

/** Smaller comes first: the strongest affiliation counts; among equals, the feed that is declared first. */
const strength = (of: string): string =>
  `(array_position(array['active', 'notice', 'leave', 'prehire', 'left'], ${of}.state),
    coalesce(array_position($2::text[], ${of}.feed), 10000), ${of}.feed, ${of}.key)`;

/**
 * Brings the touched persons up to what their affiliations say today, and their birthrights up to what the rules give.
 * @param tx holds the lock of this tenant's identities
 * @param everybody after a change of the rules: all persons are touched
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
  if (everybody)
    await tx.query('insert into touched (tenant, person) select $1, id from person where tenant = $1', [tenant]);
  await tx.query(
    `create temporary table looked on commit drop as select distinct person from touched where tenant = $1 and due <= $2`,
    [tenant, isoTime(now)],
  );
  await tx.query('analyze looked');
  await passDates(tx, tenant, rules, today);
  await tx.query(
    `create temporary table settled on commit drop as
     select p.id, a.feed, a.key, p.state as before, a.state as after,
            (p.attributes ->> 'department') is distinct from (a.attributes ->> 'department')
              or (p.attributes ->> 'title') is distinct from (a.attributes ->> 'title')
              or (p.attributes ->> 'manager') is distinct from (a.attributes ->> 'manager') as moved
       from looked l
       join affiliation a on a.tenant = $1 and a.person = l.person
       join person p on p.tenant = $1 and p.id = l.person
      where ($3 or p.birthright is null or p.state <> a.state or p.attributes <> a.attributes)
        and not exists (select 1 from affiliation b
                         where b.tenant = $1 and b.person = a.person and ${strength('b')} < ${strength('a')})`,
    [tenant, Object.keys(authority.feeds), everybody],
  );
  await tx.query('analyze settled');

  const answers = await readAnswers(tx, tenant);
  await tx.query('create temporary table answered (person text not null, birthright integer not null) on commit drop');
  const asked = inBatches<{ id: string; after: State; attributes: PersonAttributes }>(
    tx,
    `select s.id, s.after, a.attributes from settled s
       join affiliation a on a.tenant = $1 and a.feed = s.feed and a.key = s.key`,
    [tenant],
  );
  for await (const rows of asked) {
    const lines = rows.map(({ id, after, attributes }) => {
      const desired = rules.birthright(after, attributes);
      // Where a rule has no answer, its last one stands: "no" would take access away.
      return desired.ok ? copyLine(id, answers.numberOf(desired.desired)) : '';
    });
    await tx.copyIn('copy answered from stdin', [lines.join('')]);
  }
  await answers.save(tx);
  await tx.query('analyze answered');
  await tx.query(
    `update person p set state = s.after, attributes = a.attributes, birthright = coalesce(b.birthright, p.birthright)
       from settled s
       join affiliation a on a.tenant = $1 and a.feed = s.feed and a.key = s.key
       left join answered b on b.person = s.id
      where p.tenant = $1 and p.id = s.id
        and (p.state <> s.after or p.attributes <> a.attributes or p.birthright is distinct from coalesce(b.birthright, p.birthright))`,
    [tenant],
  );
  const changed = await tx.query<{ id: string; before: string; after: string; moved: boolean }>(
    'select id, before, after, moved from settled where before <> after or moved',
  );
  await tx.query('drop table looked, settled, answered');
  return { changed: changed.map((row) => ({ ...row, moved: row.moved && isWorking(row.after as State) })) };
}

/** Dates pass without any feed saying so. */
async function passDates(tx: Queryable, tenant: string, rules: Rules, today: string): Promise<void> {
  const due = await tx.query<{ feed: string; key: string; attributes: PersonAttributes }>(
    `select a.feed, a.key, a.attributes from looked l join affiliation a on a.tenant = $1 and a.person = l.person
      where a.state <> 'left' and a.state_until <= $2 and a.quarantine is null`,
    [tenant, today],
  );
  const states = due.map(({ attributes }) => rules.stateToday(attributes, today));
  await tx.query(
    `update affiliation a set state = u.state, state_until = u.until
       from unnest($2::text[], $3::text[], $4::text[], $5::date[]) as u(feed, key, state, until)
      where a.tenant = $1 and a.feed = u.feed and a.key = u.key`,
    [
      tenant,
      due.map(({ feed }) => feed),
      due.map(({ key }) => key),
      states.map(({ state }) => state),
      states.map(({ stateUntil }) => stateUntil),
    ],
  );
}
