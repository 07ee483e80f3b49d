/** `writgate check`: configuration, feeds and targets, without changing anything; every fault with its place and way out. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Authority } from '../authority/authority.ts';
import { deadline } from '../clock.ts';
import { formatProblem } from '../config.ts';
import type { Observed } from '../connector/contract.ts';
import { connectPipe } from '../connector/pipe.ts';
import { Failure } from '../errors.ts';
import { connectorFor } from '../gateway/scope.ts';
import { placeOf } from '../role/place.ts';
import type { Database } from '../store/database.ts';
import { readProposal } from '../trust/propose.ts';
import { type AddCommand, answer, describe, exitWith } from './command.ts';
import { counted, table, wrap } from './draw/text.ts';
import type { Face } from './face.ts';
import { withSession } from './session.ts';
import { type GlobalOptions, hasBegun, tellDiffering, type Where, whereOf } from './where.ts';

interface Checked {
  readonly name: string;
  readonly ok: boolean;
  readonly told: string;
  readonly findings: readonly string[];
}

export const addCheck: AddCommand = (program, face) => {
  describe(
    program.command('check').description('Validate configuration, feeds and targets; changes nothing'),
    'writgate check',
    { 3: 'a feed is stale or held, or a target cannot be read' },
  ).action(async (options: GlobalOptions) => {
    const where = await whereOf(options);
    const { authority, warnings, text } = await readProposal(where.configFile);
    for (const warning of warnings) face.err(face.paint.warn(formatProblem(warning, text)));
    const feeds = await checkFeeds(authority, where, face);
    const begun = await hasBegun(where.folder);
    if (begun) await tellDiffering(where, face);
    const targets = begun ? await checkTargets(authority, where, face) : [];
    answer(face, options, { warnings, feeds, targets }, (value) =>
      [
        `${options.config}: no problems${warnings.length > 0 ? `, ${counted(warnings.length, 'warning')}` : ''}.`,
        ...drawChecked('feed', value.feeds, face),
        ...drawChecked('target', value.targets, face),
        ...(begun || Object.keys(authority.targets).length === 0
          ? []
          : ['Targets were not tried: nothing is in force yet (`writgate init`).']),
        'Nothing was changed.',
      ].join('\n'),
    );
    if ([...feeds, ...targets].some(({ ok }) => !ok)) exitWith(3);
  });
};

function drawChecked(what: string, checked: readonly Checked[], face: Face): string[] {
  const rows = table(checked.map(({ name, told }) => [what, name, told]));
  return checked.flatMap(({ ok, findings }, index) => [
    ok ? (rows[index] ?? '') : face.paint.warn(rows[index] ?? ''),
    ...findings.flatMap((finding) => wrap(finding, '    ')),
  ]);
}

/** Nothing was stored before, and nothing will be: a feed is judged by itself, without the snapshots before it. */
const NO_DATABASE = { maybe: async () => null, query: async () => [] } as unknown as Database;

async function checkFeeds(authority: Authority, where: Where, face: Face): Promise<readonly Checked[]> {
  const [{ fetchFeed }, { request }] = await Promise.all([import('../gateway/feed.ts'), import('undici')]);
  const folder = await mkdtemp(join(tmpdir(), 'writgate-check-'));
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const one = async (name: string): Promise<Checked> => {
    try {
      const { statement, judgement } = await fetchFeed(
        {
          authority: () => authority,
          database: NO_DATABASE,
          configFolder: dirname(where.configFile),
          snapshots: folder,
          key: privateKey,
          publicKey,
          clock: face.clock,
          request,
        },
        name,
      );
      const age = statement.asOf === null ? 'of no known age' : `as of ${statement.asOf} (${statement.asOfKind})`;
      const told = `${counted(statement.records, 'record')}, ${age}: ${statement.verdict}`;
      return {
        name,
        ok: statement.verdict === 'accepted',
        told,
        findings: judgement.findings.map(({ message }) => message),
      };
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown;
      return { name, ok: false, told: thrown.message, findings: [] };
    }
  };
  try {
    return await Promise.all(Object.keys(authority.feeds).map(one));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const READ_WITHIN_MS = 60_000;

/** Reads each target whole, through worker and gateway, with the credential that planning uses. */
async function checkTargets(authority: Authority, where: Where, face: Face): Promise<readonly Checked[]> {
  const names = Object.keys(authority.targets);
  if (names.length === 0) return [];
  return withSession(where, face, async () => {
    const counts = new Map<number, number>();
    const worker = await connectPipe(placeOf(where.folder).socket('worker'), {
      observed: (params) => {
        const { id, observed } = params as { id: number; observed: readonly Observed[] };
        counts.set(id, (counts.get(id) ?? 0) + observed.length);
        return null;
      },
    });
    const one = async (name: string, id: number): Promise<Checked> => {
      const reader = connectorFor(authority, name, 'read');
      if (!reader) return { name, ok: false, told: 'no connector may read it', findings: [] };
      const limit = deadline(face.clock, READ_WITHIN_MS, face.interrupted);
      try {
        await worker.request('observe', { connector: reader.name, id }, limit.signal);
        return {
          name,
          ok: true,
          told: `answers to ${reader.name}: ${counted(counts.get(id) ?? 0, 'object')} read`,
          findings: [],
        };
      } catch (thrown) {
        return {
          name,
          ok: false,
          told: `cannot be read by ${reader.name}`,
          findings: [thrown instanceof Error ? thrown.message : String(thrown)],
        };
      } finally {
        limit.over();
      }
    };
    try {
      return await Promise.all(names.map(one));
    } finally {
      worker.close();
    }
  });
}
