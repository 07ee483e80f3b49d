/** `writgate feed stamp FILE`: the manifest that gives an exported file its age; signed, it is evidence. */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { parsePrivateKey } from '../approval/private.ts';
import { signSsh } from '../approval/sshsig.ts';
import { resolvePath } from '../config.ts';
import { Failure } from '../errors.ts';
import { NAMESPACE, stamp } from '../source/manifest.ts';
import { readInstant } from '../source/watermark.ts';
import { readProposal } from '../trust/propose.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { counted } from './draw/text.ts';
import { expandHome } from './key.ts';
import type { GlobalOptions } from './where.ts';

interface StampOptions extends GlobalOptions {
  readonly asOf: string;
  readonly key?: string;
  readonly exportedBy?: string;
}

export const addFeed: AddCommand = (program, face) => {
  const feed = program.command('feed').description('Prepare feeds');
  describe(
    feed
      .command('stamp')
      .description('Write the manifest of an exported file: when it was so, how many rows, which bytes')
      .argument('<file>', 'the file of a feed in writgate.yaml')
      .requiredOption('--as-of <time>', 'when the export began: an ISO time with a zone, or now')
      .option('--key <file>', 'the exporter’s OpenSSH private key; signed, the age is evidence and no claim')
      .option('--exported-by <who>', 'who or what exported it'),
    'writgate feed stamp hr/employees.csv --as-of 2027-01-04T06:00:00Z --key hr-export.key',
  ).action(async (file: string, options: StampOptions) => {
    const configFile = resolve(options.config);
    const { authority } = await readProposal(configFile);
    const path = resolve(file);
    const folder = dirname(configFile);
    const found = Object.entries(authority.feeds).find(([, one]) => {
      const payload = one.csv ?? one.ndjson;
      return payload !== undefined && resolvePath(folder, payload) === path;
    });
    if (!found) {
      const files = Object.values(authority.feeds).map((one) => one.csv ?? one.ndjson ?? one.json?.url);
      throw new Failure(
        'wrong-use',
        `${file} is of no feed in ${options.config}; they read ${files.join(', ') || 'nothing'}`,
      );
    }
    const [name, declared] = found;
    const asOf = options.asOf === 'now' ? face.clock.now() : readInstant(options.asOf, 'refused');
    if (asOf === null)
      throw new Failure('wrong-use', `"${options.asOf}" is no time with a zone, such as 2027-01-04T06:00:00Z`);
    const by = options.exportedBy;
    const manifest = await stamp({ path, feed: declared, asOf, ...(by === undefined ? {} : { exportedBy: by }) });
    const target = resolvePath(folder, declared.asOf.manifest ?? `${path}.manifest.json`);
    const text = `${JSON.stringify(manifest, null, 2)}\n`;
    // Signed before anything is written: a key that does not open leaves the old pair whole.
    const signature = options.key === undefined ? null : await signed(options.key, text);
    await writeFile(target, text);
    if (signature !== null) await writeFile(`${target}.sig`, signature);
    answer(face, options, { feed: name, manifest: target, signed: signature !== null, ...manifest }, ({ rows }) =>
      [
        `${basename(target)}: ${counted(rows, 'row')} as of ${manifest.asOf}, ${signature === null ? 'unsigned: a claim' : 'signed'}.`,
        ...(declared.asOf.manifest === undefined
          ? [`Feed ${name} does not look for it: add asOf: { manifest: ${basename(target)} }`]
          : []),
      ].join('\n'),
    );
  });
};

async function signed(key: string, message: string): Promise<string> {
  const text = await readFile(expandHome(key), 'utf8').catch((cause) => {
    throw new Failure('wrong-use', `the key ${key} cannot be read (${cause.code})`, { cause });
  });
  return signSsh({ signer: parsePrivateKey(text), namespace: NAMESPACE, message });
}
