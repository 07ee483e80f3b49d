/** `writgate trace P8.1`: one change's whole chain, from the raw source line to the read-back. */
import type { Trace } from '../api/contract.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { drawTrace } from './draw/trace.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, whereOf } from './where.ts';

export const addTrace: AddCommand = (program, face) => {
  describe(
    program
      .command('trace')
      .description('Show one change’s whole chain, from the raw source line to the read-back')
      .argument('<change>', 'a change, such as P8.1'),
    'writgate trace P8.1',
  ).action(async (change: string, options: GlobalOptions) => {
    const trace = await withSession(await whereOf(options), face, (session) => session.ask<Trace>('trace', { change }));
    answer(face, options, trace, (value) => drawTrace(value, face.paint));
  });
};
