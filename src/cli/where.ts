/** Where a command works: its writgate.yaml, the data folder, and whether the two say the same. */
import { access, readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { resolvePath } from '../config.ts';
import { Failure, hasCode } from '../errors.ts';
import { type InForce, readInForce } from '../trust/force.ts';
import { differences, readProposal } from '../trust/propose.ts';
import { differsLine } from './draw/authority.ts';
import type { Face } from './face.ts';

export interface Where {
  readonly configFile: string;
  /** Data folder, absolute. */
  readonly folder: string;
}

export interface GlobalOptions {
  readonly config: string;
  readonly json?: true;
}

const DEFAULT_FOLDER = '.writgate';

/**
 * Finds the data folder, also by a file that has faults: what is in force is the signed copy, and an unfinished edit of
 * the file keeps nobody from looking.
 * @throws Failure `config-invalid` when there is no file
 */
export async function whereOf({ config }: GlobalOptions): Promise<Where> {
  const configFile = resolve(config);
  const text = await readFile(configFile, 'utf8').catch((cause) => {
    throw new Failure(
      'config-invalid',
      `there is no ${config}; go to its folder, name it with --config, or run \`writgate init\``,
      { cause },
    );
  });
  return { configFile, folder: resolvePath(dirname(configFile), dataOf(text)) };
}

function dataOf(text: string): string {
  try {
    const data: unknown = (parse(text, { maxAliasCount: 0 }) as { local?: { data?: unknown } } | null)?.local?.data;
    return typeof data === 'string' && data !== '' ? data : DEFAULT_FOLDER;
  } catch {
    return DEFAULT_FOLDER;
  }
}

export const hasBegun = (folder: string): Promise<boolean> =>
  access(resolvePath(folder, 'trust-root.json')).then(
    () => true,
    () => false,
  );

/** What is in force here. @throws Failure `authority-invalid`, also where nobody has begun */
export async function inForceAt({ folder }: Where, face: Face): Promise<InForce> {
  if (!(await hasBegun(folder))) {
    throw new Failure('authority-invalid', `nothing is in force in ${folder}; begin with \`writgate init\``);
  }
  return readInForce(folder, face.clock.now());
}

/** One line on stderr where the file and what is in force are not the same. For each command that plans. */
export async function tellDiffering(where: Where, face: Face): Promise<void> {
  const inForce = await inForceAt(where, face);
  try {
    const found = differences(inForce.authority, (await readProposal(where.configFile)).authority);
    if (found.length > 0) face.err(face.paint.warn(differsLine(found)));
  } catch (thrown) {
    if (!hasCode(thrown, 'config-invalid')) throw thrown;
    face.err(face.paint.warn('writgate.yaml has faults (`writgate check`); what is in force is the signed copy'));
  }
}
