/** `writgate status`: alarms first, then what waits for whom, then the rest. */
import type { Status } from '../../api/contract.ts';
import { noteOf, whatOf } from './change.ts';
import { drawHead, drawLimits, drawNext } from './plan.ts';
import { clockTime, counted, type Paint, table, wrap } from './text.ts';

export function drawStatus(status: Status, now: number, paint: Paint): string {
  const { tenant, demo, separation, feeds, systems, people, stages, open, alarms, ledger, lastPlanning } = status;
  const marks = [demo ? 'DEMO: generated approvers, this machine only' : '', `separation: ${separation}`].filter(
    (mark) => mark !== '',
  );
  const lines = [`${paint.bold(tenant)}  ${paint.dim(marks.join('; '))}`];
  for (const alarm of alarms) {
    const text = `${alarm.change}  ${alarm.system}  ${whatOf(alarm)}  ${noteOf(alarm)}`;
    lines.push(...wrap(text, '! ').map(alarm.stage === 'inconclusive' ? paint.warn : paint.remove));
  }
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
  );
  return lines.join('\n');
}

function section(lines: string[], title: string, rows: readonly string[]): void {
  if (rows.length > 0) lines.push(title, ...rows);
}

function tallied(counts: Readonly<Record<string, number>>): string[] {
  const told = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return told.length === 0 ? [] : wrap(told.join(', '), '  ');
}
