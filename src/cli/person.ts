/** `writgate person X`: what this person has and why; `terminate`; and the first secret of a new account, once. */
import { Argument } from 'commander';
import type { PersonShown } from '../api/contract.ts';
import { Failure } from '../errors.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { deliver } from './delivery.ts';
import { drawPerson } from './draw/person.ts';
import { clean } from './draw/text.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, whereOf } from './where.ts';

interface PersonOptions extends GlobalOptions {
  readonly reason?: string;
  readonly by?: string;
  readonly firstCredential?: string;
  readonly key?: string;
}

export const addPerson: AddCommand = (program, face) => {
  describe(
    program
      .command('person')
      .description('Show what a person has, why, since when and by whose approval')
      .argument('<person>', 'id, HR key, login, e-mail or name')
      .addArgument(
        new Argument('[action]', 'terminate: plan to remove everything now, ahead of HR').choices(['terminate']),
      )
      .option('--reason <text>', 'for terminate: why')
      .option('--by <person>', 'for terminate: who asks; a claim, shown as one; he cannot approve it')
      .option('--first-credential <system>', 'hand out the first secret of a new account there, once')
      .option(
        '--key <file>',
        'for --first-credential: the key of `writgate delivery`; delivery.key beside writgate.yaml',
      ),
    'writgate person sjacobs',
  ).action(async (who: string, action: string | undefined, options: PersonOptions) => {
    const where = await whereOf(options);
    const { reason, by } = options;
    if (action === 'terminate' && (!reason || !by)) {
      throw new Failure('wrong-use', 'a termination says why and who asks: --reason TEXT --by PERSON');
    }
    await withSession(where, face, async (session) => {
      if (action === 'terminate') {
        const done = await session.ask<{ person: string }>('terminate', { person: who, reason, by });
        return answer(
          face,
          options,
          done,
          ({ person }) => `${person} is to lose everything; nothing is changed yet.\nNext: writgate plan`,
        );
      }
      const person = await session.ask<PersonShown>('person', { person: who });
      if (options.firstCredential === undefined)
        return answer(face, options, person, (value) => drawPerson(value, face.paint));
      const system = options.firstCredential;
      const account = person.accounts.find((each) => each.system === system);
      if (!account) throw new Failure('not-found', `${person.name} has no account on ${system}`);
      await deliver(where, { system, login: account.login }, options.key, ({ login, subject, name, secret }) => {
        // Control found the account; whose it is says the gateway, inside what it sealed. A person compares.
        const whose =
          subject === null ? 'nobody’s record' : `${subject.feed}:${subject.key}${name === null ? '' : `, ${name}`}`;
        if (!options.json) face.err(clean(`${login} on ${system}, made for ${whose}; hand it out to nobody else:`));
        answer(face, options, { system, login, subject, name, secret }, (value) => value.secret);
      });
    });
  });
};
