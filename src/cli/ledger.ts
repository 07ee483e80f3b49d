/** `writgate ledger check`: the whole log against the keys of the trust root. Needs no role and no database. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignedRoster } from '../approval/roster.ts';
import { checkTrustRoot } from '../approval/trust-root.ts';
import { Failure } from '../errors.ts';
import { checkLedger } from '../ledger/check.ts';
import { COSIGNATURE, createSigner, formatVerifier, parseVerifier } from '../ledger/note.ts';
import { placeOf } from '../role/place.ts';
import { readKey } from '../trust/key.ts';
import { ed25519PublicKey } from '../writ/writ.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { counted } from './draw/text.ts';
import { openProgress } from './face.ts';
import { type GlobalOptions, whereOf } from './where.ts';

interface LedgerOptions extends GlobalOptions {
  readonly ledger?: string;
  readonly trustRoot?: string;
  readonly roster?: string;
  readonly witness?: string;
}

export const addLedger: AddCommand = (program, face) => {
  const ledger = program.command('ledger').description('Look at the ledger');
  describe(
    ledger
      .command('check')
      .description('Check the whole ledger against the keys of the trust root; no role has to run')
      .option('--ledger <folder>', 'a copy of the ledger, instead of the one in the data folder')
      .option('--trust-root <file>', 'your own copy of trust-root.json')
      .option('--roster <file>', 'your own copy of roster.json')
      .option('--witness <vkey>', 'verifier key of the witness, as you know it'),
    'writgate ledger check',
    { 5: 'the ledger does not hold' },
  ).action(async (options: LedgerOptions) => {
    const isCopy = options.ledger !== undefined && options.trustRoot !== undefined && options.roster !== undefined;
    const folder = isCopy ? null : (await whereOf(options)).folder;
    const trustText = await readText(options.trustRoot ?? join(folder ?? '', 'trust-root.json'));
    const chain = JSON.parse(
      await readText(options.roster ?? join(folder ?? '', 'roster.json')),
    ) as readonly SignedRoster[];
    const root = checkTrustRoot(trustText, chain[0]?.text ?? '');
    if (!root.ok) throw new Failure('authority-invalid', `the trust root does not hold: ${root.reason}`);
    const { logKey, gatewayKey, verifierKey, controlKey, witnessQuorum, demo } = root.trustRoot;
    const witness = options.witness ?? (folder === null ? null : await ownWitness(folder, logKey));
    const progress = openProgress(face);
    const report = await checkLedger({
      folder: options.ledger ?? placeOf(folder ?? '').ledger,
      logKey,
      roleKeys: {
        control: [ed25519PublicKey(controlKey)],
        gateway: [ed25519PublicKey(gatewayKey)],
        verifier: [ed25519PublicKey(verifierKey)],
      },
      ...(witness === null ? {} : { witnessKeys: [witness], witnessQuorum: Math.min(1, witnessQuorum) || 1 }),
      progress: (entries) => progress.say(`${entries} entries checked`),
    }).finally(progress.end);
    answer(face, options, { ...report, demo }, ({ ok, size, root: hash, findings }) =>
      [
        ...findings.map(({ index, code, message }) =>
          face.paint.remove(`${index === undefined ? '' : `#${index} `}${code}: ${message}`),
        ),
        ok
          ? `${counted(size, 'entry', 'entries')}, root ${hash}: the ledger holds.`
          : `THE LEDGER DOES NOT HOLD: ${counted(findings.length, 'finding')}.`,
        witness === null ? 'No witness was asked for: name its key with --witness.' : '',
        demo ? 'Its trust root is a demo: it proves how this works, and nothing about anybody.' : '',
      ]
        .filter((text) => text !== '')
        .join('\n'),
    );
    if (!report.ok) exitWith(5);
  });
};

const readText = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((cause) => {
    throw new Failure('wrong-use', `${path} cannot be read (${cause.code})`, { cause });
  });

/** On the machine where Writgate runs, its own witness; an auditor names the key that he knows. */
async function ownWitness(folder: string, logKey: string): Promise<string | null> {
  const key = await readKey(folder, 'witness').catch(() => null);
  return key && formatVerifier(createSigner(`${parseVerifier(logKey).name}/witness`, key, COSIGNATURE).verifier);
}
