/** The key that a person signs with at a terminal: a file, or one that stays in the SSH agent. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { agentSigner, listAgentKeys } from '../approval/agent.ts';
import { fingerprint } from '../approval/key.ts';
import { parsePrivateKey } from '../approval/private.ts';
import type { Roster } from '../approval/roster.ts';
import type { Signer } from '../approval/sshsig.ts';
import { Failure } from '../errors.ts';
import type { Face } from './face.ts';

export interface KeyOptions {
  readonly key?: string;
  readonly agent?: true;
  /** Person id: which of several keys, or whose key is expected. */
  readonly as?: string;
}

export interface PersonSigner {
  readonly person: string;
  readonly name: string;
  readonly signer: Signer;
}

/** Touching a security key or confirming in the agent takes a person a while. */
const AGENT_TIMEOUT_MS = 60_000;

export const expandHome = (path: string): string => (path.startsWith('~/') ? join(homedir(), path.slice(2)) : path);

/**
 * Whose signature this will be, by the roster: a key that it does not know signs nothing.
 * @param candidates person ids that may sign here; null: anybody in the roster
 */
export async function personSigner(
  options: KeyOptions,
  roster: Roster,
  candidates: readonly string[] | null,
  face: Face,
): Promise<PersonSigner> {
  const { key, agent, as } = options;
  if ((key === undefined) === (agent === undefined)) {
    throw new Failure('wrong-use', 'name the key that signs: --key FILE, or --agent for a key in the SSH agent');
  }
  const found = key === undefined ? await agentSigners(roster, face) : [await fileSigner(key, roster)];
  const fitting = found.filter(
    ({ person }) => (as === undefined || person === as) && (candidates?.includes(person) ?? true),
  );
  const [one, other] = fitting;
  if (one && other && one.person !== other.person) {
    const people = [...new Set(fitting.map(({ person, name }) => `${person} ${name}`))].join(', ');
    throw new Failure('wrong-use', `the agent holds keys of ${people}; say which with --as PERSON`);
  }
  if (one) return one;
  const whose = [...new Set(found.map(({ person, name }) => `${person} ${name}`))].join(', ');
  const wanted = candidates === null ? (as ?? 'somebody of the roster') : candidates.join(', ');
  throw new Failure(
    'not-approved',
    `${whose === '' ? 'no key here is in the roster' : `the key is that of ${whose}`}; it may be signed by ${wanted || 'nobody'}`,
  );
}

async function fileSigner(key: string, roster: Roster): Promise<PersonSigner> {
  const path = expandHome(key);
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new Failure('wrong-use', `the key ${key} cannot be read (${cause.code})`, { cause });
  });
  const signer = parsePrivateKey(text);
  const holder = roster.holders.get(signer.publicKey.text);
  if (!holder) throw new Failure('not-approved', `the key ${key} (${fingerprint(signer.publicKey)}) is in no roster`);
  return { person: holder.person, name: holder.name, signer };
}

async function agentSigners(roster: Roster, face: Face): Promise<readonly PersonSigner[]> {
  const agent = { socketPath: face.environment['SSH_AUTH_SOCK'], timeoutMs: AGENT_TIMEOUT_MS, clock: face.clock };
  return (await listAgentKeys(agent)).flatMap(({ publicKey }) => {
    const holder = roster.holders.get(publicKey.text);
    return holder ? [{ person: holder.person, name: holder.name, signer: agentSigner(agent, publicKey) }] : [];
  });
}
