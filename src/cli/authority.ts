/** `writgate authority`: what writgate.yaml would change of what is in force; `approve` signs it. */

import { Failure } from '../errors.ts';
import { isServed } from '../role/supervise.ts';
import { approveAuthority, differences, readProposal } from '../trust/propose.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { drawDifferences } from './draw/authority.ts';
import { counted } from './draw/text.ts';
import { askYes } from './face.ts';
import { type KeyOptions, personSigner } from './key.ts';
import { type GlobalOptions, inForceAt, whereOf } from './where.ts';

export const addAuthority: AddCommand = (program, face) => {
  const authority = describe(
    program.command('authority').description('Show what writgate.yaml would change of what is in force'),
    'writgate authority',
    { 4: 'the file differs, and waits for signatures' },
  ).action(async (options: GlobalOptions) => {
    const where = await whereOf(options);
    const inForce = await inForceAt(where, face);
    const found = differences(inForce.authority, (await readProposal(where.configFile)).authority);
    answer(face, options, { serial: inForce.term.serial, differences: found }, ({ serial }) => {
      if (found.length === 0) return `In force: authority ${serial}, as writgate.yaml says.`;
      const { role, people } = inForce.roster.root;
      return [
        `In force: authority ${serial}. writgate.yaml would change ${counted(found.length, 'place')}:`,
        drawDifferences(found, face.paint),
        `It needs ${people} of ${role}.\nNext: writgate authority approve --key FILE`,
      ].join('\n');
    });
    if (found.length > 0) exitWith(4);
  });

  describe(
    authority
      .command('approve')
      .description('Sign what writgate.yaml says; with the root quorum it comes into force')
      .option('--key <file>', 'OpenSSH private key that signs')
      .option('--agent', 'sign with a key in the SSH agent')
      .option('--as <person>', 'whose key is meant, where there are several')
      .option('--yes', 'sign without a question'),
    'writgate authority approve --key ~/.ssh/id_ed25519',
    { 4: 'signed, and it waits for others' },
  ).action(async (_options: object, command) => {
    const options = command.optsWithGlobals() as GlobalOptions & KeyOptions & { yes?: true };
    const where = await whereOf(options);
    const inForce = await inForceAt(where, face);
    const { authority: proposed } = await readProposal(where.configFile);
    const found = differences(inForce.authority, proposed);
    if (!options.json) face.out(drawDifferences(found, face.paint));
    const { person, signer } = await personSigner(options, inForce.roster, null, face);
    if (!options.yes && found.length > 0) {
      if (!face.canAsk)
        throw new Failure('wrong-use', 'nobody sits at this terminal to confirm; --yes signs without a question');
      if (!(await askYes(`Sign these as ${person}?`))) throw new Failure('wrong-use', 'nothing was signed');
    }
    const signing = await approveAuthority(where.folder, inForce, proposed, signer);
    const served = signing.enacted && (await isServed(where.folder));
    answer(face, options, signing, ({ serial, signed, need, enacted }) =>
      enacted
        ? `Authority ${serial} is in force, signed by ${signed.join(', ')}.${served ? '\nThe roles that run still hold the one before: stop `writgate serve` and start it again.' : '\nNext: writgate plan'}`
        : `${person} signed authority ${serial}: ${signed.length} of ${need} have.`,
    );
    if (!signing.enacted) exitWith(4);
  });
};
