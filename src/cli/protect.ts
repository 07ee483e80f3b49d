/** `writgate protect SYSTEM LOGIN…`: puts accounts out of reach, at once. */

import { type AddCommand, answer, describe } from './command.ts';
import { counted } from './draw/text.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, whereOf } from './where.ts';

export const addProtect: AddCommand = (program, face) => {
  describe(
    program
      .command('protect')
      .description('Put service and break-glass accounts out of reach, at once')
      .argument('<system>', 'a target of writgate.yaml')
      .argument('<login...>', 'which')
      .option('--lift', 'take an earlier protect back'),
    'writgate protect crm svc-backup',
  ).action(async (system: string, logins: readonly string[], options: GlobalOptions & { lift?: true }) => {
    const lift = options.lift ?? false;
    const done = await withSession(await whereOf(options), face, (session) =>
      session.ask<{ protected: number }>('protect', { system, logins, lift }),
    );
    answer(face, options, done, (value) => {
      const told = `${counted(value.protected, 'account')} on ${system} ${value.protected === 1 ? 'is' : 'are'}`;
      if (lift) return `${told} within reach again; nothing is changed yet.\nNext: writgate plan`;
      const keep = `To keep it so in every copy, add to targets.${system}.protected in writgate.yaml: ${logins.join(', ')}`;
      return `${told} out of reach.\n${keep}`;
    });
  });
};
