/** `writgate evidence CHANGE` writes one change's evidence file; `evidence check FILE` checks such a file anywhere. */
import { readFile, writeFile } from 'node:fs/promises';
import type { SignedRoster } from '../approval/roster.ts';
import { Failure } from '../errors.ts';
import { checkEvidence } from '../evidence/check.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { drawReport } from './draw/evidence.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, whereOf } from './where.ts';

interface CheckOptions extends GlobalOptions {
  readonly trustRoot: string;
  readonly roster?: string;
}

export const addEvidence: AddCommand = (program, face) => {
  const evidence = describe(
    program
      .command('evidence')
      .description('Write one change’s evidence file, for somebody who has neither Writgate nor its database')
      .argument('<change>', 'a change, such as P8.1')
      .option('-o, --output <file>', 'where to write it; stdout otherwise'),
    'writgate evidence P8.1 -o P8.1.evidence.json',
  ).action(async (change: string, options: GlobalOptions & { output?: string }) => {
    const text = await withSession(await whereOf(options), face, (session) => session.askText('evidence', { change }));
    if (options.output === undefined) return face.out(text.trimEnd());
    await writeFile(options.output, text, { flag: 'wx' }).catch((cause) => {
      throw new Failure(
        'wrong-use',
        `${options.output} cannot be written (${cause.code}); a file that is there stays`,
        { cause },
      );
    });
    answer(
      face,
      options,
      { file: options.output, bytes: Buffer.byteLength(text) },
      ({ file, bytes }) =>
        `${file}: ${bytes} bytes.\nCheck it anywhere: writgate evidence check ${file} --trust-root trust-root.json`,
    );
  });

  describe(
    evidence
      .command('check')
      .description('Check an evidence file against your own copy of the trust root; needs no role and no database')
      .argument('<file>', 'an evidence file')
      .requiredOption('--trust-root <file>', 'trust-root.json, from somewhere else than the file')
      .option('--roster <file>', 'roster.json; the trust root pins the one in the file otherwise'),
    'writgate evidence check P8.1.evidence.json --trust-root trust-root.json',
    { 5: 'the evidence does not hold, or it proves that the change is contradicted' },
  ).action(async (file: string, _options: object, command) => {
    const options = command.optsWithGlobals() as CheckOptions;
    const [text, trustRoot, roster] = await Promise.all([
      readText(file),
      readText(options.trustRoot),
      options.roster === undefined ? null : readText(options.roster),
    ]);
    const chain = roster === null ? null : (JSON.parse(roster) as readonly SignedRoster[]);
    const report = checkEvidence(text, { trustRoot, genesisRoster: chain?.[0]?.text ?? null });
    answer(face, options, report, (value) => drawReport(value, face.paint));
    if (!report.ok || report.verdict === 'contradicted') exitWith(5);
  });
};

const readText = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((cause) => {
    throw new Failure('wrong-use', `${path} cannot be read (${cause.code})`, { cause });
  });
