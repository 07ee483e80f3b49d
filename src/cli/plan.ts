/** `writgate plan`: reads, compares, stores plans and their decisions; changes no target. `plan show P`: all of one plan. */
import type { Planned, PlanShown } from '../api/contract.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { drawPlanned } from './draw/plan.ts';
import { drawShown } from './draw/show.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, tellDiffering, whereOf } from './where.ts';

export const addPlan: AddCommand = (program, face) => {
  const plan = describe(
    program
      .command('plan')
      .description('Read feeds and targets, compare, and store what would change; changes no target'),
    'writgate plan',
    { 3: 'a plan refused itself by its limits, or a feed is held' },
  ).action(async (options: GlobalOptions) => {
    const where = await whereOf(options);
    await tellDiffering(where, face);
    const planned = await withSession(where, face, (session) => session.follow<Planned>('plan', face.interrupted));
    answer(face, options, planned, (value) => drawPlanned(value, face.clock.now(), face.paint));
    const isHeld = planned.report.feeds.some(({ verdict }) => verdict === 'held');
    if (isHeld || planned.plans.some(({ state }) => state === 'refused')) exitWith(3);
  });

  describe(
    plan
      .command('show')
      .description('Show every change of a plan, who may sign it, and the exact bytes that a signature stands for')
      .argument('<plan>', 'a plan, such as P7'),
    'writgate plan show P7',
  ).action(async (name: string, _options: object, command) => {
    const options = command.optsWithGlobals() as GlobalOptions;
    const shown = await withSession(await whereOf(options), face, (session) =>
      session.ask<PlanShown>('planShow', { plan: name }),
    );
    answer(face, options, shown, (value) => drawShown(value, face.paint));
  });
};
