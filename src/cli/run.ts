/** `writgate run`: carries what is permitted to verification, and resumes after any interruption. */
import type { PlanSummary, Ran, Status } from '../api/contract.ts';
import { type AddCommand, answer, describe, exitWith, INTERRUPTED } from './command.ts';
import { drawRan, drawStanding } from './draw/run.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, tellDiffering, whereOf } from './where.ts';

export const addRun: AddCommand = (program, face) => {
  describe(
    program
      .command('run')
      .description('Carry what is permitted to verification; resumes after any interruption')
      .option('--retry', 'try at once what was contradicted, has failed, or waits for its time'),
    'writgate run --retry',
    {
      1: 'a change failed',
      3: 'a change was refused by a guard',
      4: 'something waits for signatures, or for a target',
      5: 'a target says one thing and shows another',
      130: 'interrupted; the next run resumes',
    },
  ).action(async (options: GlobalOptions & { retry?: true }) => {
    const where = await whereOf(options);
    await tellDiffering(where, face);
    await withSession(where, face, async (session) => {
      try {
        const ran = await session.follow<Ran>('run', face.interrupted, { retry: options.retry ?? false });
        answer(face, options, ran, (value) => drawRan(value, face.paint));
        exitWith(exitOf(ran.plans));
      } catch (thrown) {
        if (!face.interrupted.aborted) throw thrown;
        const status = await session.ask<Status>('status');
        answer(face, options, status, (value) => drawStanding(value));
        exitWith(INTERRUPTED);
      }
    });
  });
};

/** The gravest that happened. */
export function exitOf(plans: readonly PlanSummary[]): number {
  const has = (...stages: (keyof PlanSummary['stages'])[]): boolean =>
    plans.some((plan) => stages.some((stage) => (plan.stages[stage] ?? 0) > 0));
  if (has('contradicted')) return 5;
  if (has('failed', 'expired')) return 1;
  if (has('refused', 'denied') || plans.some(({ state }) => state === 'refused')) return 3;
  const open = has('planned', 'decided', 'held', 'approved', 'permitted', 'waiting', 'applied', 'inconclusive');
  return open ? 4 : 0;
}
