/** `writgate status`: where everything stands. */
import type { Status } from '../api/contract.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { drawStatus } from './draw/status.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, tellDiffering, whereOf } from './where.ts';

export const addStatus: AddCommand = (program, face) => {
  describe(program.command('status').description('Show where everything stands, alarms first'), 'writgate status', {
    5: 'a change is contradicted by what its target shows',
  }).action(async (options: GlobalOptions) => {
    const where = await whereOf(options);
    await tellDiffering(where, face);
    const status = await withSession(where, face, (session) => session.ask<Status>('status'));
    answer(face, options, status, (value) => drawStatus(value, face.clock.now(), face.paint));
    if (status.alarms.some(({ stage }) => stage === 'contradicted')) exitWith(5);
  });
};
