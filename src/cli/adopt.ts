/** `writgate adopt SYSTEM`: shows accounts that nobody wrote down; with logins or `--all`, plans to take them under management. */
import type { Adoptable, PlanSummary } from '../api/contract.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { drawAdoptable } from './draw/adopt.ts';
import { drawNext, drawPlans } from './draw/plan.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, whereOf } from './where.ts';

export const addAdopt: AddCommand = (program, face) => {
  describe(
    program
      .command('adopt')
      .description('Show unmanaged accounts and whose they seem to be; with logins or --all, plan to adopt them')
      .argument('<system>', 'a target of writgate.yaml')
      .argument('[login...]', 'which')
      .option('--all', 'all that belong to exactly one person'),
    'writgate adopt crm --all',
  ).action(async (system: string, logins: readonly string[], options: GlobalOptions & { all?: true }) => {
    await withSession(await whereOf(options), face, async (session) => {
      if (logins.length === 0 && !options.all) {
        const found = await session.ask<readonly Adoptable[]>('adoptable', { system });
        return answer(face, options, found, (value) => drawAdoptable(system, value, face.paint));
      }
      const plans = await session.ask<readonly PlanSummary[]>('adopt', { system, logins: options.all ? null : logins });
      return answer(face, options, plans, (value) =>
        [...drawPlans(value, face.paint), 'Nothing is changed yet.', ...drawNext(value)].join('\n'),
      );
    });
  });
};
