/** `writgate run`: what came of it; and, when it was interrupted, where things stand. */
import type { Ran, Status } from '../../api/contract.ts';
import { drawNext, drawPlans } from './plan.ts';
import { counted, type Paint, spell, wrap } from './text.ts';

export function drawRan({ retried, report, plans }: Ran, paint: Paint): string {
  const again = retried.length === 0 ? [] : wrap(retried.join(', '), 'Tried again: ');
  if (report.moved === 0 && plans.every(({ state }) => state !== 'open' && state !== 'done')) {
    return ['Nothing to do.', ...drawNext(plans)].join('\n');
  }
  const tally = new Map<string, number>();
  for (const { stages } of plans) {
    for (const [stage, count] of Object.entries(stages)) tally.set(stage, (tally.get(stage) ?? 0) + count);
  }
  const told = [...tally].map(([stage, count]) => `${count} ${stage}`).join(', ');
  const seconds = report.tookMs < 1000 ? `${report.tookMs} ms` : spell(report.tookMs);
  return [
    ...again,
    ...drawPlans(plans, paint),
    `${told === '' ? 'No changes' : told}, in ${seconds}.`,
    ...drawNext(plans),
  ].join('\n');
}

export function drawStanding({ stages, ledger }: Status): string {
  const told = Object.entries(stages)
    .map(([stage, count]) => `${count} ${stage}`)
    .join(', ');
  return `Interrupted. Changes: ${told || 'none'}. The ledger has ${counted(ledger.entries, 'entry', 'entries')}.\nNext: writgate run resumes`;
}
