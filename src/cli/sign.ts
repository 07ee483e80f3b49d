/** `writgate sign FILE…`: adds one person's SSH signature to the files of a ceremony, on whatever machine his key is. */
import { dirname } from 'node:path';
import { addSignature, readRoster, type Signing } from '../trust/propose.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { type KeyOptions, personSigner } from './key.ts';
import type { GlobalOptions } from './where.ts';

export const addSign: AddCommand = (program, face) => {
  describe(
    program
      .command('sign')
      .description('Add your SSH signature to a trust root or authority; roster.json lies beside it')
      .argument('<file...>', 'trust-root.json, authority.json')
      .option('--key <file>', 'OpenSSH private key that signs')
      .option('--agent', 'sign with a key in the SSH agent')
      .option('--as <person>', 'whose key is meant, where there are several'),
    'writgate sign .writgate/trust-root.json .writgate/authority.json --key ~/.ssh/id_ed25519',
    { 4: 'signed, and it waits for others' },
  ).action(async (files: readonly string[], options: GlobalOptions & KeyOptions) => {
    const signings: Signing[] = [];
    for (const file of files) {
      const roster = await readRoster(dirname(file));
      const { signer } = await personSigner(options, roster, null, face);
      signings.push(await addSignature(file, signer, roster));
    }
    answer(face, options, signings, (all) =>
      all
        .map(
          ({ what, by, signed, need }) =>
            `${what}: signed by ${by}; ${signed.length} of ${need} have (${signed.join(', ')})`,
        )
        .join('\n'),
    );
    if (signings.some(({ signed, need }) => signed.length < need)) exitWith(4);
  });
};
