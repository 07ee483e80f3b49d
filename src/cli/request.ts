/** `writgate request PERSON ENTITLEMENT`: asks for access with an end; it becomes a plan, and nothing else. */
import { parseDuration } from '../authority/authority.ts';
import { Failure } from '../errors.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, whereOf } from './where.ts';

interface RequestOptions extends GlobalOptions {
  readonly for?: string;
  readonly reason: string;
  readonly by?: string;
}

export const addRequest: AddCommand = (program, face) => {
  describe(
    program
      .command('request')
      .description('Ask for an entitlement for a person; it becomes a plan that people approve')
      .argument('<person>', 'id, HR key, login, e-mail or name')
      .argument('<entitlement>', 'its name in writgate.yaml')
      .option('--for <duration>', 'how long, such as 8h')
      .requiredOption('--reason <text>', 'why')
      .option('--by <person>', 'who asks, where it is not the person; a claim, shown as one; he cannot approve it'),
    'writgate request shiggins payroll-admin --for 8h --reason "month end"',
  ).action(async (person: string, entitlement: string, options: RequestOptions) => {
    if (options.for !== undefined && !parseDuration(options.for)) {
      throw new Failure('wrong-use', `"${options.for}" is no duration; write 30m, 8h or 2d`);
    }
    const asked = await withSession(await whereOf(options), face, (session) =>
      session.ask<{ request: string }>('ask', {
        person,
        entitlement,
        for: options.for ?? null,
        reason: options.reason,
        by: options.by ?? person,
      }),
    );
    answer(
      face,
      options,
      asked,
      ({ request }) => `Request ${request} is noted; nothing is changed yet.\nNext: writgate plan`,
    );
  });
};
