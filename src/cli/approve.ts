/** `writgate approve P`, `writgate refuse P`: shows exactly what is signed, then signs with a person's own SSH key. */
import type { Command } from 'commander';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { withSession } from './session.ts';
import { giveVerdict, type VerdictOptions } from './verdict.ts';
import { type GlobalOptions, whereOf } from './where.ts';

const keyed = (command: Command): Command =>
  command
    .argument('<plan>', 'a plan, such as P9')
    .option('--key <file>', 'OpenSSH private key that signs')
    .option('--agent', 'sign with a key in the SSH agent')
    .option('--signature <file>', 'a signature made elsewhere with `ssh-keygen -Y sign`')
    .option('--as <person>', 'whose key is meant, where there are several')
    .option('--yes', 'sign without a question');

export const addApprove: AddCommand = (program, face) => {
  describe(
    keyed(program.command('approve').description('Sign a plan with your SSH key, after looking at all of it')).option(
      '--over-limit',
      'for a plan that refused itself: ask to go over its limits',
    ),
    'writgate approve P9 --key ~/.ssh/id_ed25519',
    { 3: 'the plan refused itself, and --over-limit was not given', 4: 'signed, and it waits for others' },
  ).action(async (plan: string, options: GlobalOptions & VerdictOptions) => {
    const where = await whereOf(options);
    const { person, after } = await withSession(where, face, (session) =>
      giveVerdict(session, where, face, plan, 'approve', options),
    );
    const request = after.request;
    const waits = request?.verdict === 'waiting';
    answer(face, options, after, ({ header }) => {
      const have = request?.signed.filter(({ verdict }) => verdict === 'approve').length ?? 0;
      const rest = waits
        ? `${have} of ${request.need} have signed, and it waits for the others.`
        : 'The quorum is there.\nNext: writgate run';
      return `${person} approved ${header.plan}. ${rest}`;
    });
    if (waits) exitWith(4);
  });
};

export const addRefuse: AddCommand = (program, face) => {
  describe(
    keyed(
      program.command('refuse').description('Refuse a plan with your SSH key; one refusal stops it'),
    ).requiredOption('--reason <text>', 'why; it is sealed with the refusal'),
    'writgate refuse P9 --reason "not before the audit" --key ~/.ssh/id_ed25519',
  ).action(async (plan: string, options: GlobalOptions & VerdictOptions) => {
    const where = await whereOf(options);
    const { person, after } = await withSession(where, face, (session) =>
      giveVerdict(session, where, face, plan, 'refuse', options),
    );
    answer(face, options, after, ({ header }) => `${person} refused ${header.plan}: ${options.reason}`);
  });
};
