/** What people look at: plans, changes, persons, status, and one change's whole chain. Reads only. */

import { fingerprint, parsePublicKey } from '../approval/key.ts';
import { claimOf } from '../authority/ownership.ts';
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { type Leaf, parseLeaf, type Stage } from '../plan/change.ts';
import type { Queryable } from '../store/database.ts';
import { challengeOf, phraseOf, standingOf } from './approve.ts';
import { findPerson } from './ask.ts';
import { IS_HISTORY } from './retry.ts';
import { type PlanRow, readChanges, readPlans } from './rows.ts';
import type {
  ChangeSummary,
  Lately,
  PersonShown,
  PlanShown,
  PlanSummary,
  Status,
  Trace,
  TraceLine,
  Used,
} from './shown.ts';
import type { World } from './world.ts';

interface StoredChange {
  plan: number;
  seq: number;
  leaf: string;
  stage: Stage;
  updated_at: Date;
  /** As text: it may be `infinity`. */
  next_at: string;
  note: string | null;
  name: string | null;
  decision: ChangeSummary['decision'];
  receipt: ChangeSummary['receipt'];
  verification: ChangeSummary['verification'];
}

/** Stages from which a change goes on at a time, and not when somebody acts. */
const TIMED: readonly Stage[] = ['waiting', 'inconclusive', 'contradicted'];

const CHANGE = `select c.plan, c.seq, c.leaf, c.stage, c.updated_at, c.next_at::text, c.note, c.decision, c.receipt, c.verification, p.attributes ->> 'name' as name
  from change c left join person p on p.tenant = c.tenant and p.id = c.person`;

function summarise(row: StoredChange): ChangeSummary {
  const leaf: Leaf = parseLeaf(row.leaf);
  return {
    change: `P${row.plan}.${row.seq}`,
    system: leaf.system,
    login: leaf.object,
    effect: leaf.effect,
    entitlement: leaf.entitlement,
    person: leaf.person,
    name: row.name,
    subject: leaf.subject === null ? null : `${leaf.subject.feed}:${leaf.subject.key}`,
    cause: leaf.cause,
    until: leaf.until,
    stage: row.stage,
    at: isoTime(row.updated_at.getTime()),
    nextAt: TIMED.includes(row.stage) ? isoTime(Date.parse(row.next_at)) : null,
    note: row.note,
    decision: row.decision,
    receipt: row.receipt,
    verification: row.verification,
  };
}

/** @param most how many changes of each plan */
export async function showPlans(
  db: Queryable,
  world: World,
  numbers: readonly number[],
  most: number,
): Promise<readonly PlanSummary[]> {
  const { tenant } = world.authority;
  const plans = await readPlans(db, tenant, numbers);
  const more = await db.query<{ number: number; refusal: PlanSummary['refusal'] | null; critique: readonly string[] }>(
    'select number, refusal, critique from plan where tenant = $1 and number = any($2)',
    [tenant, numbers],
  );
  const stages = await db.query<{ plan: number; stage: Stage; count: number }>(
    'select plan, stage, count(*)::int as count from change where tenant = $1 and plan = any($2) group by plan, stage',
    [tenant, numbers],
  );
  const changes = await db.query<StoredChange>(
    `${CHANGE} where c.tenant = $1 and c.plan = any($2) and c.seq <= $3 order by c.plan, c.seq`,
    [tenant, numbers, most],
  );
  return plans.map((plan) => {
    const extra = more.find(({ number }) => number === plan.number);
    return {
      plan: plan.header.plan,
      risk: plan.header.risk,
      state: plan.state,
      size: plan.header.size,
      stages: Object.fromEntries(
        stages.filter((row) => row.plan === plan.number).map(({ stage, count }) => [stage, count]),
      ),
      needs: plan.people === 0 || plan.role === null ? null : { role: plan.role, people: plan.people },
      overLimit: plan.header.overLimit,
      refusal: extra?.refusal ?? [],
      critique: extra?.critique ?? [],
      createdAt: plan.header.createdAt,
      changes: changes.filter((row) => row.plan === plan.number).map(summarise),
    };
  });
}

export async function openPlans(db: Queryable, world: World): Promise<readonly number[]> {
  const rows = await db.query<{ number: number }>(
    `select number from plan where tenant = $1 and state in ('open', 'refused') order by number`,
    [world.authority.tenant],
  );
  return rows.map(({ number }) => number);
}

const planNumber = (text: string): number => {
  const found = /^P?(\d{1,9})$/i.exec(text);
  if (!found) throw new Failure('wrong-use', `"${text}" is no plan; plans are named P7`);
  return Number(found[1]);
};

export async function onePlan(db: Queryable, world: World, text: string): Promise<PlanRow> {
  const [plan] = await readPlans(db, world.authority.tenant, [planNumber(text)]);
  if (!plan) throw new Failure('not-found', `there is no plan ${text}; \`writgate status\` lists the open ones`);
  return plan;
}

export async function showPlan(world: World, text: string): Promise<PlanShown> {
  return world.database.tx(async (tx) => {
    const plan = await onePlan(tx, world, text);
    const [summary] = await showPlans(tx, world, [plan.number], Number.MAX_SAFE_INTEGER >>> 1);
    if (!summary) throw new Failure('not-found', `there is no plan ${text}`);
    let request: PlanShown['request'] = null;
    if (plan.people > 0 && plan.state === 'open') {
      const leaves = (await readChanges(tx, world.authority.tenant, plan.number)).map(({ leaf }) => leaf);
      const { stored, approvals, signed, excluded } = await standingOf(tx, world, plan, leaves);
      const candidates = approvals.verdict === 'waiting' ? approvals.candidates : [];
      request = {
        bytes: stored.bytes,
        digest: stored.digest,
        phrase: phraseOf(stored),
        challenge: { approve: challengeOf(stored, 'approve'), refuse: challengeOf(stored, 'refuse') },
        expiresAt: isoTime(stored.request.expiresAt),
        verdict: approvals.verdict,
        reason: approvals.verdict === 'invalid' ? approvals.reason : null,
        signed: signed.map(({ person, verdict, reason }) => ({ person, verdict, reason })),
        candidates: world.roster.people
          .filter(({ person }) => candidates.includes(person))
          .map(({ person, name, keys }) => ({
            person,
            name,
            keys: keys.map((key) => fingerprint(parsePublicKey(key))),
          })),
        excluded,
        need: plan.people,
      };
    }
    const leaves = (await readChanges(tx, world.authority.tenant, plan.number)).map(({ leafText }) => leafText);
    return { summary, leaves, header: plan.header, digest: plan.digest, changes: summary.changes, request };
  });
}

/** What of the limits the open plans use. */
export async function usedLimits(db: Queryable, world: World): Promise<{ grants: Used; removals: Used }> {
  const { tenant, limits } = world.authority;
  const [row] = await db.query<{ grants: number; removals: number }>(
    `select count(*) filter (where effect not in ('revoke', 'disable', 'delete'))::int as grants,
            count(*) filter (where effect in ('revoke', 'disable', 'delete'))::int as removals
       from change c join plan p on p.tenant = c.tenant and p.number = c.plan
      where c.tenant = $1 and p.state = 'open' and c.stage not in ('superseded', 'denied', 'refused')`,
    [tenant],
  );
  return {
    grants: { used: row?.grants ?? 0, of: limits.grants.count },
    removals: { used: row?.removals ?? 0, of: limits.removals.count },
  };
}

const ALARMS_SHOWN = 50;
const LATELY_MS = 86_400_000;

/** Plans by which something happened, or was refused, in the last day. */
async function lately({ database, authority, clock }: World): Promise<Status['lately']> {
  const rows = await database.query<{
    plan: number;
    risk: Lately['risk'];
    cause: string | null;
    people: number;
    systems: string[];
    stages: Lately['stages'];
    began: Date;
    ended: Date;
    note: string | null;
  }>(
    `with recent as (
       select c.plan, c.stage, c.system, coalesce(c.person, c.login) as who, c.cause, c.note, c.updated_at
         from change c where c.tenant = $1 and c.updated_at > $2
          and c.stage in ('waiting', 'applied', 'verified', 'inconclusive', 'contradicted', 'failed', 'refused')),
     tallied as (select plan, jsonb_object_agg(stage, count) as stages
                   from (select plan, stage, count(*)::int as count from recent group by plan, stage) s group by plan)
     select r.plan, p.risk, case when count(distinct r.cause) = 1 then min(r.cause) end as cause,
            count(distinct r.who)::int as people, array_agg(distinct r.system) as systems, t.stages,
            min(r.updated_at) as began, max(r.updated_at) as ended,
            min(r.note) filter (where r.stage in ('refused', 'failed')) as note
       from recent r join tallied t using (plan) join plan p on p.tenant = $1 and p.number = r.plan
      group by r.plan, p.risk, t.stages order by max(r.updated_at) desc, r.plan desc limit 10`,
    [authority.tenant, isoTime(clock.now() - LATELY_MS)],
  );
  return rows.map(({ plan, began, ended, ...row }) => ({
    ...row,
    plan: `P${plan}`,
    from: isoTime(began.getTime()),
    to: isoTime(ended.getTime()),
  }));
}

export async function status(world: World, ledger: Status['ledger'], demo: boolean): Promise<Status> {
  const { database, authority } = world;
  const { tenant } = authority;
  const feeds = await database.query<{
    feed: string;
    verdict: string;
    as_of: Date | null;
    as_of_kind: string;
    received_at: Date;
    records: number;
  }>(
    'select distinct on (feed) feed, verdict, as_of, as_of_kind, received_at, records from snapshot where tenant = $1 order by feed, received_at desc',
    [tenant],
  );
  const systems = await database.query<{ system: string; managed: number; unmanaged: number; protected: number }>(
    `select system, count(*) filter (where management = 'managed')::int as managed,
            count(*) filter (where management = 'unmanaged')::int as unmanaged,
            count(*) filter (where management = 'protected')::int as protected
       from account where tenant = $1 group by system order by system`,
    [tenant],
  );
  const people = await database.query<{ state: string; count: number }>(
    'select state, count(*)::int as count from person where tenant = $1 group by state order by state',
    [tenant],
  );
  const stages = await database.query<{ stage: string; count: number }>(
    'select stage, count(*)::int as count from change where tenant = $1 group by stage order by stage',
    [tenant],
  );
  const alarms = await database.query<StoredChange>(
    `${CHANGE} where c.tenant = $1 and c.stage in ('contradicted', 'failed', 'inconclusive') and not ${IS_HISTORY}
      order by c.stage, c.plan, c.seq limit ${ALARMS_SHOWN}`,
    [tenant],
  );
  const { alarmed } =
    alarms.length < ALARMS_SHOWN
      ? { alarmed: alarms.length }
      : await database.one<{ alarmed: number }>(
          `select count(*)::int as alarmed from change c
            where c.tenant = $1 and c.stage in ('contradicted', 'failed', 'inconclusive') and not ${IS_HISTORY}`,
          [tenant],
        );
  const last = await database.maybe<{ at: Date }>(
    'select at from planning where tenant = $1 order by at desc limit 1',
    [tenant],
  );
  return {
    tenant,
    demo,
    separation: 'none',
    feeds: feeds.map((row) => ({
      feed: row.feed,
      verdict: row.verdict,
      asOf: row.as_of === null ? null : isoTime(row.as_of.getTime()),
      asOfKind: row.as_of_kind,
      receivedAt: isoTime(row.received_at.getTime()),
      records: row.records,
    })),
    systems,
    people: Object.fromEntries(people.map(({ state, count }) => [state, count])),
    stages: Object.fromEntries(stages.map(({ stage, count }) => [stage, count])),
    open: await showPlans(database, world, await openPlans(database, world), 0),
    lately: await lately(world),
    alarms: alarms.map(summarise),
    alarmed,
    limits: await usedLimits(database, world),
    ledger,
    lastPlanning: last === null ? null : isoTime(last.at.getTime()),
  };
}

export function changeOf(text: string): { readonly plan: number; readonly seq: number } {
  const found = /^P?(\d{1,9})\.(\d{1,9})$/i.exec(text);
  if (!found) throw new Failure('wrong-use', `"${text}" is no change; changes are named P7.1`);
  return { plan: Number(found[1]), seq: Number(found[2]) };
}

interface Logged {
  index: number;
  kind: string;
  refs: Record<string, string>;
  body: string | null;
}

const short = (digest: string): string => `${digest.slice(0, 8)}…`;

/** From the raw source line to the read-back, each station with its place in the ledger. */
export async function trace(world: World, text: string): Promise<Trace> {
  const { database, authority } = world;
  const { tenant } = authority;
  const { plan, seq } = changeOf(text);
  const row = await database.maybe<StoredChange & { writ: string | null }>(
    `${CHANGE.replace('select ', 'select c.writ, ')} where c.tenant = $1 and c.plan = $2 and c.seq = $3`,
    [tenant, plan, seq],
  );
  if (!row)
    throw new Failure(
      'not-found',
      `there is no change P${plan}.${seq}; \`writgate plan show P${plan}\` lists those of the plan`,
    );
  const change = summarise(row);
  const leaf = parseLeaf(row.leaf);
  const [planRow] = await readPlans(database, tenant, [plan]);
  const entries = await database.query<Logged>(
    `select index, kind, refs, body from ledger_entry
      where tenant = $1 and (refs @> jsonb_build_object('change', $2::text)
         or (refs @> jsonb_build_object('plan', $3::text) and kind in ('plan.made', 'plan.decided', 'request.made', 'approval.given', 'approval.refused'))
         or refs @> jsonb_build_object('writ', $4::text))
      order by index`,
    [tenant, `P${plan}.${seq}`, `P${plan}`, row.writ ?? '-'],
  );
  const lines: TraceLine[] = [];
  const say = (station: TraceLine['station'], line: string, entry: number | null, at: string | null = null) =>
    lines.push({ station, text: line, entry, at });
  const bodyOf = (entry: Logged): Record<string, unknown> => (entry.body === null ? {} : JSON.parse(entry.body));

  if (leaf.subject !== null) {
    const id = planRow?.header.base.snapshots[leaf.subject.feed] ?? '';
    const snapshot = await database.maybe<{
      raw_digest: string;
      as_of: Date | null;
      as_of_kind: string;
      received_at: Date;
    }>('select raw_digest, as_of, as_of_kind, received_at from snapshot where tenant = $1 and feed = $2 and id = $3', [
      tenant,
      leaf.subject.feed,
      id,
    ]);
    const record = await database.maybe<{ line: number; state: string }>(
      'select line, state from affiliation where tenant = $1 and feed = $2 and key = $3',
      [tenant, leaf.subject.feed, leaf.subject.key],
    );
    const attested = await database.maybe<{ index: number }>(
      `select index from ledger_entry where tenant = $1 and kind = 'gateway.snapshot' and refs @> jsonb_build_object('snapshot', $2::text) limit 1`,
      [tenant, id],
    );
    const where = record && record.state !== 'left' ? `line ${record.line}` : 'not in the snapshot';
    const age = snapshot?.as_of
      ? `as of ${isoTime(snapshot.as_of.getTime()).slice(0, 16)}, ${snapshot.as_of_kind}`
      : 'of unknown age';
    say(
      'trigger',
      `${leaf.subject.feed}:${leaf.subject.key}  ${where}  raw sha256:${short(snapshot?.raw_digest ?? '?')}  ${age}, attested by the gateway`,
      attested?.index ?? null,
      snapshot ? isoTime(snapshot.received_at.getTime()) : null,
    );
  }
  const made = entries.find(({ kind }) => kind === 'plan.made');
  say(
    'cause',
    `${claimOf(leaf.cause)}${leaf.until === null ? '' : `, until ${leaf.until}`}`,
    made?.index ?? null,
    planRow?.header.createdAt ?? null,
  );
  const decided = entries.find(({ kind }) => kind === 'plan.decided');
  if (change.decision) {
    const policy = String((change.decision as { policy?: string }).policy ?? '');
    say(
      'decision',
      `${change.decision.verdict}  ${change.decision.reasons.join(', ')}  policy ${short(policy)}`,
      decided?.index ?? null,
    );
  }
  const signatures = entries.filter(({ kind }) => kind === 'approval.given' || kind === 'approval.refused');
  if (planRow && planRow.people === 0)
    say('approval', `none needed: inside the envelope, roster v${world.roster.version}`, null);
  for (const entry of signatures) {
    say(
      'approval',
      `${entry.kind === 'approval.given' ? 'approved' : 'refused'} by ${entry.refs['person']}, his own SSH key`,
      entry.index,
    );
  }
  if (planRow && planRow.people > 0 && signatures.length === 0)
    say('approval', `waits for ${planRow.people} of ${planRow.role}`, null);
  const own = entries.filter(({ refs }) => refs['change'] === `P${plan}.${seq}`);
  const writs = [...new Set(own.flatMap(({ refs }) => refs['writ'] ?? []))];
  const sealed = await database.query<Logged>(
    `select index, kind, refs, body from ledger_entry where tenant = $1 and kind = 'writ.sealed' and refs ->> 'writ' = any($2) order by index`,
    [tenant, [...writs, row.writ ?? '']],
  );
  for (const entry of [...own, ...sealed].sort((a, b) => a.index - b.index)) {
    if (entry.kind === 'writ.sealed') {
      const what = `(${leaf.system}, ${leaf.object}, ${leaf.effect}${leaf.entitlement === null ? '' : `, ${leaf.entitlement}`})`;
      say('writ', `${what}  ${entry.refs['writ']}`, entry.index);
    }
    const body = bodyOf(entry);
    if (entry.kind === 'gateway.intent') say('call', `${body['connector']}  attempt ${body['attempt']}`, entry.index);
    if (entry.kind === 'gateway.refused') say('call', `REFUSED ${body['code']}: ${body['message']}`, entry.index);
    if (entry.kind === 'gateway.outcome') {
      say('outcome', `${body['result']}  ${body['detail']}, ${body['tookMs']} ms (a receipt only)`, entry.index);
    }
    if (entry.kind === 'verifier.looked') {
      const seen = JSON.parse((body['verification'] as { body: string }).body) as Record<string, string | null>;
      const presented = seen['presented'] === null ? '' : `; old access presented: ${seen['presented']}`;
      say(
        'verified',
        `${seen['mechanism']} ${seen['verdict']}: ${seen['saw']}  ${seen['path']}${presented}`,
        entry.index,
      );
    }
  }
  const note = change.note === null ? '' : `: ${change.note}`;
  say('status', change.stage === 'verified' ? 'PROVEN' : `${change.stage.toUpperCase()}${note}`, null);
  return { change, lines };
}

export async function showPerson(world: World, text: string): Promise<PersonShown> {
  const { database, authority } = world;
  const { tenant } = authority;
  const found = await findPerson(world, text);
  const person = await database.one<{ state: string; attributes: PersonShown['attributes'] }>(
    'select state, attributes from person where tenant = $1 and id = $2',
    [tenant, found.id],
  );
  const affiliations = await database.query<PersonShown['affiliations'][number]>(
    'select feed, key, state, quarantine from affiliation where tenant = $1 and person = $2 order by feed, key',
    [tenant, found.id],
  );
  const accounts = await database.query<{ system: string; login: string; state: string; management: string }>(
    'select system, login, state, management from account where tenant = $1 and person = $2 order by system',
    [tenant, found.id],
  );
  const held = await database.query<{
    system: string;
    login: string;
    entitlement: string;
    observed_at: Date;
    causes: string[] | null;
    until: Date | null;
    plan: number | null;
    seq: number | null;
    approved: string[] | null;
  }>(
    `select h.system, h.login, h.entitlement, h.observed_at,
            (select array_agg(k.kind || ' ' || k.ref order by k.kind, k.ref) from cause k
              where k.tenant = h.tenant and k.person = a.person and k.entitlement = h.entitlement
                and (k.ends_at is null or k.ends_at > $3)) as causes,
            (select case when bool_or(k.ends_at is null) then null else max(k.ends_at) end from cause k
              where k.tenant = h.tenant and k.person = a.person and k.entitlement = h.entitlement) as until,
            c.plan, c.seq,
            (select array_agg(distinct s.person) from approval s where s.tenant = h.tenant and s.plan = c.plan and s.verdict = 'approve') as approved
       from held h join account a using (tenant, system, login)
       left join lateral (select plan, seq from change x
                           where x.tenant = h.tenant and x.system = h.system and x.login = h.login and x.effect = 'grant'
                             and x.entitlement = h.entitlement and x.stage = 'verified' order by plan desc limit 1) c on true
      where h.tenant = $1 and a.person = $2 order by h.system, h.entitlement`,
    [tenant, found.id, isoTime(world.clock.now())],
  );
  const changes = await database.query<StoredChange>(
    `${CHANGE} where c.tenant = $1 and c.person = $2 and c.stage <> 'superseded' order by c.updated_at desc, c.plan desc, c.seq limit 12`,
    [tenant, found.id],
  );
  const terminated = await database.maybe<{ reason: string }>(
    'select reason from termination where tenant = $1 and person = $2',
    [tenant, found.id],
  );
  return {
    person: found.id,
    name: found.name,
    state: person.state,
    attributes: person.attributes,
    affiliations,
    accounts: accounts.map((account) => ({
      ...account,
      holds: held
        .filter(({ system, login }) => system === account.system && login === account.login)
        .map((row) => ({
          entitlement: row.entitlement,
          since: isoTime(row.observed_at.getTime()),
          causes: row.causes ?? [],
          until: row.until === null ? null : isoTime(row.until.getTime()),
          change: row.plan === null ? null : `P${row.plan}.${row.seq}`,
          approvedBy: row.approved ?? [],
        })),
    })),
    terminated: terminated?.reason ?? null,
    lately: changes.map(summarise),
  };
}
