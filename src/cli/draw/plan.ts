/** `writgate plan`: what was read, what would change and under which condition, and what to do next. */
import type { ChangeSummary, Planned, PlanSummary, Used } from '../../api/contract.ts';
import { causeOf, noteOf, paintOf, signOf, whatOf } from './change.ts';
import { clockTime, counted, type Paint, spell, wrap } from './text.ts';

export function drawPlanned({ report, plans, limits }: Planned, now: number, paint: Paint): string {
  const { people, leftAlone } = report;
  const lines = report.feeds.flatMap((feed) => drawFeed(feed, now, paint));
  for (const { system, why } of report.targets) {
    if (why !== null) lines.push(...wrap(paint.warn(`${system} takes no part: ${why}`), '', 2));
  }
  const moved = [
    ['joined', people.joined],
    ['moved', people.moved],
    ['left', people.left],
  ] as const;
  for (const [word, names] of moved) {
    if (names.length > 0) lines.push(...wrap(named(names), `${word.padEnd(6)}  `));
  }
  if (plans.length > 0) lines.push(...drawPlans(plans, paint));
  const unmanaged = report.targets.filter(({ counts }) => counts !== null && counts.unmanaged > 0);
  if (unmanaged.length > 0) {
    const each = unmanaged.map(({ system, counts }) => `${counts?.unmanaged} in ${system}`).join(', ');
    lines.push(
      ...wrap(`unmanaged accounts: ${each} (writgate adopt SYSTEM shows whose they seem to be)`, 'Left alone: '),
    );
  }
  for (const { system, login, person, why } of leftAlone.slice(0, SHOWN)) {
    lines.push(...wrap(`${system}, ${login ?? person}: ${why}`, 'Left alone: '));
  }
  if (leftAlone.length > SHOWN) lines.push(`Left alone: ${leftAlone.length - SHOWN} more`);
  const isWhole =
    report.targets.every(({ counts }) => counts !== null) && report.feeds.every(({ verdict }) => verdict !== 'held');
  const rest = isWhole ? 'every account and grant is as it should be' : 'what could not be read is unknown';
  const nothing = plans.length === 0 ? `Nothing to do: ${rest}.` : 'Nothing changed in any target.';
  lines.push(`${nothing} ${drawLimits(limits)}`, ...drawNext(plans));
  return lines.join('\n');
}

const SHOWN = 5;
const named = (names: readonly string[]): string =>
  names.length <= 8 ? names.join(', ') : `${names.slice(0, 8).join(', ')} and ${names.length - 8} more`;

type FeedReport = Planned['report']['feeds'][number];

function drawFeed(feed: FeedReport, now: number, paint: Paint): string[] {
  const { asOf, maxAge, asOfKind, quarantined, findings } = feed;
  const age =
    asOf === null
      ? 'of no known age'
      : `as of ${clockTime(new Date(asOf).toISOString(), now)} (${spell(Math.max(0, now - asOf))} old, limit ${spell(maxAge)}, ${asOfKind})`;
  const verdict = feed.verdict === 'accepted' ? 'accepted' : paint.warn(feed.verdict.toUpperCase());
  const first = quarantined[0];
  const aside =
    first === undefined
      ? ''
      : `; ${quarantined.length} quarantined: line ${first.line}, ${first.reason}${quarantined.length > 1 ? ' …' : ''}`;
  const head = `${feed.feed}  ${counted(feed.records, 'row')}, ${age}   ${verdict}${aside}`;
  return [...wrap(head, '', 4), ...findings.flatMap(({ message }) => wrap(message, '    '))];
}

/* ---- plans ------------------------------------------------------------------------------------------------------------- */

/** Plans with their first changes, all in the same columns. What is longer pushes and wraps: nothing is cut from what people sign. */
export function drawPlans(plans: readonly PlanSummary[], paint: Paint): string[] {
  const rows = plans.flatMap(({ changes }) => changes.map(cellsOf));
  const widths = MOST.map((most, column) =>
    Math.min(most, Math.max(0, ...rows.map((row) => row[column]?.length ?? 0))),
  );
  return plans.flatMap((plan) => {
    const more = plan.size - plan.changes.length;
    return [
      ...drawHead(plan, paint),
      ...plan.critique.flatMap((note) => wrap(note, '    note: ').map(paint.warn)),
      ...plan.changes.flatMap((change) => drawChange(change, widths, paint)),
      ...(more > 0 ? [paint.dim(`    … ${more} more: writgate plan show ${plan.plan}`)] : []),
      ...drawRefusal(plan),
    ];
  });
}

function drawChange(change: ChangeSummary, widths: readonly number[], paint: Paint): string[] {
  const text = cellsOf(change)
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ');
  const note = noteOf(change);
  return [
    ...wrap(text.trimEnd(), `  ${signOf(change)} `, 10).map(paintOf(change, paint)),
    ...(note === '' ? [] : wrap(note, '       ').map(change.stage === 'verified' ? paint.dim : paint.warn)),
  ];
}

/** Widest that id, system, what and cause may be before they push the rest. */
const MOST = [10, 12, 34, 26];

function cellsOf(change: ChangeSummary): readonly string[] {
  const until = change.until === null ? null : `until ${change.until.slice(0, 16).replace('T', ' ')}`;
  const who = [change.name, change.subject, until].filter((text) => text !== null).join(', ');
  return [change.change, change.system, whatOf(change), causeOf(change), who];
}

export function drawHead(plan: PlanSummary, paint: Paint): string[] {
  if (plan.state === 'refused') {
    const [first] = plan.refusal;
    const [line = '', ...rest] = wrap(first?.message ?? 'beyond its limits', `${plan.plan.padEnd(4)} REFUSED  `, 4);
    return [line.replace('REFUSED', paint.remove('REFUSED')), ...rest];
  }
  const state = plan.state === 'open' ? needOf(plan) : plan.state;
  const [line = '', ...rest] = wrap(
    `${state.padEnd(38)}  ${standing(plan)}`,
    `${plan.plan.padEnd(4)} ${plan.risk.padEnd(9)} `,
    4,
  );
  return [paint.bold(line.slice(0, 15)) + line.slice(15), ...rest];
}

export function needOf({ needs, overLimit }: Pick<PlanSummary, 'needs' | 'overLimit'>): string {
  const over = overLimit ? ', over its limits' : '';
  if (needs === null) return `inside envelope, no signature${over}`;
  const owner = /^owner:(.+)$/.exec(needs.role)?.[1];
  return `needs ${owner === undefined ? `${needs.people} of ${needs.role}` : `the owner, ${owner}`}${over}`;
}

/** `2 changes`, or once they move: `1 verified, 1 waiting`. */
function standing({ size, stages, needs }: PlanSummary): string {
  // What nobody has to approve is approved by itself, and that is no news.
  const still = needs === null ? ['planned', 'decided', 'approved'] : ['planned', 'decided'];
  const moving = Object.entries(stages).filter(([stage]) => !still.includes(stage));
  const told = moving.map(([stage, count]) => `${count} ${stage}`).join(', ');
  return told === '' ? counted(size, 'change') : `${counted(size, 'change')}: ${told}`;
}

function drawRefusal({ state, refusal, plan }: PlanSummary): string[] {
  if (state !== 'refused') return [];
  return [
    ...refusal.slice(1).flatMap(({ message }) => wrap(message, '    also: ')),
    `    way out: writgate plan show ${plan} · writgate approve ${plan} --over-limit`,
  ];
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

export const drawLimits = ({ grants, removals }: { readonly grants: Used; readonly removals: Used }): string => {
  const of = ({ used, of: most }: Used): string => (most === null ? `${used}` : `${used}/${most}`);
  return `Limits used: grants ${of(grants)}, removals ${of(removals)}`;
};

export function drawNext(plans: readonly PlanSummary[]): string[] {
  const open = plans.filter(({ state }) => state === 'open');
  const waits = (plan: PlanSummary): boolean =>
    (plan.stages.planned ?? 0) + (plan.stages.decided ?? 0) + (plan.stages.held ?? 0) > 0;
  const runs = open.filter(({ needs, stages }) => (needs === null && moves(stages)) || (stages.approved ?? 0) > 0);
  const asks = open.filter((plan) => (plan.needs !== null && waits(plan)) || (plan.stages.held ?? 0) > 0);
  const steps = [
    ...(runs.length > 0 ? [`writgate run (${runs.map(({ plan }) => plan).join(', ')})`] : []),
    ...asks.map(({ plan }) => `writgate approve ${plan}`),
  ];
  return steps.length === 0 ? [] : wrap(steps.join(' · '), 'Next: ');
}

const STILL = ['verified', 'denied', 'refused', 'failed', 'expired', 'superseded', 'held'];
const moves = (stages: PlanSummary['stages']): boolean => Object.keys(stages).some((stage) => !STILL.includes(stage));
