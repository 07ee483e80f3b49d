/** `writgate ledger check`: the whole log against the keys of the trust root. Needs no role and no database. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignedRoster } from '../approval/roster.ts';
import { checkTrustRoot, parseTrustRoot, type TrustRoot } from '../approval/trust-root.ts';
import { Failure } from '../errors.ts';
import { checkLedger } from '../ledger/check.ts';
import { placeOf } from '../role/place.ts';
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
      .option('--roster <file>', 'roster.json, to see that its people signed the trust root')
      .option('--witness <vkey>', 'verifier key of the witness, instead of those that the gateway names in the ledger'),
    'writgate ledger check',
    { 5: 'the ledger does not hold' },
  ).action(async (options: LedgerOptions) => {
    const isCopy = options.ledger !== undefined && options.trustRoot !== undefined;
    const folder = isCopy ? null : (await whereOf(options)).folder;
    const trustText = await readText(options.trustRoot ?? join(folder ?? '', 'trust-root.json'));
    const rosterFile = options.roster ?? (folder === null ? null : join(folder, 'roster.json'));
    const trustRoot =
      rosterFile === null ? parseTrustRoot(trustText).trustRoot : await signedRoot(trustText, rosterFile);
    const { logKey, gatewayKey, verifierKey, controlKey, witnessQuorum, demo } = trustRoot;
    const progress = openProgress(face);
    const report = await checkLedger({
      folder: options.ledger ?? placeOf(folder ?? '').ledger,
      logKey,
      roleKeys: {
        control: [ed25519PublicKey(controlKey)],
        gateway: [ed25519PublicKey(gatewayKey)],
        verifier: [ed25519PublicKey(verifierKey)],
      },
      // Without a witness a log could be shown to one in this form and to another in that: one is always asked for.
      ...(options.witness === undefined
        ? { vouchedWitnesses: Math.max(1, witnessQuorum) }
        : { witnessKeys: [options.witness] }),
      progress: (entries) => progress.say(`${entries} entries checked`),
    })
      .catch(unreadable)
      .finally(progress.end);
    answer(face, options, { ...report, demo }, ({ ok, size, root: hash, findings }) =>
      [
        ...findings.map(({ index, code, message }) =>
          face.paint.remove(`${index === undefined ? '' : `#${index} `}${code}: ${message}`),
        ),
        ok
          ? `${counted(size, 'entry', 'entries')}, root ${hash}: the ledger holds.`
          : `THE LEDGER DOES NOT HOLD: ${counted(findings.length, 'finding')}.`,
        findings.some(({ code }) => code === 'witness-unknown')
          ? 'The way out: --witness VKEY, as you know it; or start the gateway once more, which names its witness at each start.'
          : '',
        rosterFile === null ? 'Whose signatures the trust root bears was not looked at: --roster FILE does.' : '',
        demo ? 'Its trust root is a demo: it proves how this works, and nothing about anybody.' : '',
      ]
        .filter((text) => text !== '')
        .join('\n'),
    );
    if (!report.ok) exitWith(5);
  });
};

/** A file that the system refuses to read is neither a good ledger nor a defect of ours. */
function unreadable(thrown: NodeJS.ErrnoException): never {
  if (thrown.syscall === undefined) throw thrown;
  throw new Failure('wrong-use', `the ledger cannot be read: ${thrown.message}`, { cause: thrown });
}

const readText = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((cause) => {
    throw new Failure('wrong-use', `${path} cannot be read (${cause.code})`, { cause });
  });

/** @throws Failure `authority-invalid` when not everybody of its genesis roster has signed it */
async function signedRoot(trustText: string, rosterFile: string): Promise<TrustRoot> {
  const root = checkTrustRoot(trustText, firstOf(await readText(rosterFile)));
  if (!root.ok) throw new Failure('authority-invalid', `the trust root does not hold: ${root.reason}`);
  return root.trustRoot;
}

/** Text of the genesis roster, with which the chain in `roster.json` begins. */
function firstOf(chain: string): string {
  try {
    return String((JSON.parse(chain) as readonly SignedRoster[])[0]?.text);
  } catch (cause) {
    throw new Failure('authority-invalid', 'the roster is no JSON', { cause });
  }
}
