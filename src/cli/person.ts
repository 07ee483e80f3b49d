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

type Action = 'terminate' | 'reinstate';
const NOUN: Readonly<Record<Action, string>> = { terminate: 'termination', reinstate: 'reinstatement' };

export const addPerson: AddCommand = (program, face) => {
  describe(
    program
      .command('person')
      .description('Show what a person has, why, since when and by whose approval')
      .argument('<person>', 'id, HR key, login, e-mail or name')
      .addArgument(
        new Argument(
          '[action]',
          'terminate: plan to remove everything now, ahead of HR; reinstate: plan to give it again',
        ).choices(['terminate', 'reinstate']),
      )
      .option('--reason <text>', 'for terminate and reinstate: why')
      .option(
        '--by <person>',
        'for terminate and reinstate: who asks; a claim, shown as one; a termination he cannot approve',
      )
      .option('--first-credential <system>', 'hand out the first secret of a new account there, once')
      .option(
        '--key <file>',
        'for --first-credential: the key of `writgate delivery`; delivery.key beside writgate.yaml',
      ),
    'writgate person sjacobs',
  ).action(async (who: string, action: string | undefined, options: PersonOptions) => {
    const where = await whereOf(options);
    const { reason, by } = options;
    if (action !== undefined && (!reason || !by)) {
      throw new Failure('wrong-use', `a ${NOUN[action as Action]} says why and who asks: --reason TEXT --by PERSON`);
    }
    await withSession(where, face, async (session) => {
      if (action === 'terminate' || action === 'reinstate') {
        const done = await session.ask<{ person: string }>(action, { person: who, reason, by });
        const what = action === 'terminate' ? 'is to lose everything' : 'is to have again what rules give';
        return answer(
          face,
          options,
          done,
          ({ person }) => `${person} ${what}; nothing is changed yet.\nNext: writgate plan`,
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
