/** `writgate status`: alarms first, then what waits for whom, then the rest. */
import type { Status } from '../../api/contract.ts';
import { causeOf, noteOf, whatOf } from './change.ts';
import { drawHead, drawLimits, drawNext } from './plan.ts';
import { clockTime, counted, type Paint, table, wrap } from './text.ts';

export function drawStatus(status: Status, now: number, paint: Paint): string {
  const {
    tenant,
    demo,
    separation,
    feeds,
    systems,
    people,
    stages,
    open,
    lately,
    alarms,
    alarmed,
    ledger,
    lastPlanning,
  } = status;
  const marks = [demo ? 'DEMO: generated approvers, this machine only' : '', `separation: ${separation}`].filter(
    (mark) => mark !== '',
  );
  const lines = [`${paint.bold(tenant)}  ${paint.dim(marks.join('; '))}`];
  for (const alarm of alarms) {
    const next = alarm.nextAt === null ? '' : `, tried again ${clockTime(alarm.nextAt, now)}`;
    const text = `${alarm.change}  ${alarm.system}  ${whatOf(alarm)}  ${noteOf(alarm)}${next}`;
    lines.push(...wrap(text, '! ').map(alarm.stage === 'inconclusive' ? paint.warn : paint.remove));
  }
  const [first] = alarms;
  if (first && alarmed > alarms.length) {
    const plan = first.change.replace(/\..*/, '');
    lines.push(paint.remove(`! ${alarmed - alarms.length} more; writgate plan show ${plan} has those of its plan`));
  }
  section(
    lines,
    'Lately, in targets',
    lately.flatMap((plan) => drawLately(plan, now, paint)),
  );
  section(
    lines,
    'Feeds',
    table(
      feeds.map((feed) => [
        feed.feed,
        feed.verdict,
        counted(feed.records, 'record'),
        feed.asOf === null ? 'no age' : `as of ${clockTime(feed.asOf, now)}, ${feed.asOfKind}`,
        `read ${clockTime(feed.receivedAt, now)}`,
      ]),
      2,
    ),
  );
  section(
    lines,
    'Systems',
    table(
      systems.map((one) => [
        one.system,
        `${one.managed} managed`,
        `${one.unmanaged} unmanaged`,
        `${one.protected} protected`,
      ]),
      2,
    ),
  );
  section(lines, 'People', tallied(people));
  section(lines, 'Changes', tallied(stages));
  section(
    lines,
    'Plans',
    open.flatMap((plan) => drawHead(plan, paint).map((row) => `  ${row}`)),
  );
  lines.push(
    `${drawLimits(status.limits)}. Ledger: ${counted(ledger.entries, 'entry', 'entries')}. Last planning: ${lastPlanning === null ? 'never' : clockTime(lastPlanning, now)}`,
    ...(lastPlanning === null ? ['Next: writgate plan'] : drawNext(open)),
    ...(first ? [`To look: writgate trace ${first.change} · to try at once: writgate run --retry`] : []),
  );
  return lines.join('\n');
}

/** `P12  removal, left  400 people on crm, corp: 1200 verified  03:02–03:05`. */
function drawLately(one: Status['lately'][number], now: number, paint: Paint): string[] {
  const told = Object.entries(one.stages).map(([stage, count]) => `${count} ${stage}`);
  const why = one.cause === null ? one.risk : `${one.risk}, ${causeOf({ cause: one.cause })}`;
  const [from, to] = [clockTime(one.from, now), clockTime(one.to, now)];
  const head = `${one.plan}  ${why}  ${counted(one.people, 'person', 'people')} on ${one.systems.join(', ')}: ${told.join(', ')}  ${from === to ? to : `${from}–${to}`}`;
  return [
    ...wrap(head, '  ', 6).map(one.risk === 'removal' ? paint.remove : (text) => text),
    ...(one.note === null ? [] : wrap(one.note, '      ').map(paint.warn)),
  ];
}

function section(lines: string[], title: string, rows: readonly string[]): void {
  if (rows.length > 0) lines.push(title, ...rows);
}

function tallied(counts: Readonly<Record<string, number>>): string[] {
  const told = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return told.length === 0 ? [] : wrap(told.join(', '), '  ');
}
