/**
 * From `writgate.yaml` to what is in force: the file proposes, people of the root role sign, and with enough of them
 * the next authority takes the place of the last. Nothing here needs a running role.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { parseRoster, type Roster, type SignedRoster } from '../approval/roster.ts';
import { checkSshSignature, type Signer, signSsh } from '../approval/sshsig.ts';
import { type SignedTrustRoot, TRUST_ROOT_NAMESPACE, trustRootText } from '../approval/trust-root.ts';
import type { Authority } from '../authority/authority.ts';
import { canonical, sha256 } from '../canonical.ts';
import { authorityOf, checkConfig, formatProblem, type Local, type Problem, resolvePath } from '../config.ts';
import { Failure } from '../errors.ts';
import {
  AUTHORITY_NAMESPACE,
  type AuthorityTerm,
  checkAuthority,
  type InForce,
  type SignedAuthority,
  termText,
} from './force.ts';

export interface Proposal {
  readonly authority: Authority;
  readonly local: Local;
  /** Data folder, absolute. */
  readonly folder: string;
  readonly warnings: readonly Problem[];
  readonly text: string;
}

/** @throws Failure `config-invalid` with every problem, its line and its way out */
export async function readProposal(configFile: string): Promise<Proposal> {
  const shown = relative(process.cwd(), configFile);
  const text = await readFile(configFile, 'utf8').catch((cause) => {
    throw new Failure('config-invalid', `${shown} cannot be read (${cause.code}); \`writgate init\` writes one`, {
      cause,
    });
  });
  const checked = checkConfig(text, shown);
  if (!checked.ok) {
    const count = checked.problems.length;
    const told = checked.problems.map((problem) => formatProblem(problem, text)).join('\n\n');
    throw new Failure('config-invalid', `${shown} has ${count} problem${count === 1 ? '' : 's'}\n\n${told}`);
  }
  const { authority, local, warnings } = checked;
  return { authority, local, warnings, text, folder: resolvePath(dirname(configFile), local.data) };
}

/* ---- what differs ---------------------------------------------------------------------------------------------------- */

export interface Difference {
  /** `limits.grants.count` */
  readonly path: string;
  /** Undefined where it was not, or is not any more. */
  readonly before: unknown;
  readonly after: unknown;
}

/** Every place at which two documents differ, as deep as both have maps. */
export function differences(before: unknown, after: unknown, path = ''): readonly Difference[] {
  if (isMap(before) && isMap(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => differences(before[key], after[key], path === '' ? key : `${path}.${key}`));
  }
  const same = before === undefined || after === undefined ? before === after : canonical(before) === canonical(after);
  return same ? [] : [{ path, before, after }];
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/* ---- signatures ------------------------------------------------------------------------------------------------------- */

const NEXT = 'authority.next.json';

export interface Signing {
  readonly file: string;
  readonly what: 'trust root' | 'authority';
  /** Who signed just now. */
  readonly by: string;
  /** Everybody whose signature is there. */
  readonly signed: readonly string[];
  /** How many must have signed; for a trust root, everybody in the genesis roster. */
  readonly need: number;
}

/** Whole or not at all: a reader never sees half a file. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, text, { mode: 0o644 });
  await rename(draft, path);
}

export const writeSigned = (path: string, signed: SignedTrustRoot | SignedAuthority): Promise<void> =>
  writeWhole(path, `${canonical(signed)}\n`);

/** The newest roster in the data folder, as it is written; `readInForce` is what checks its chain. */
export async function readRoster(folder: string): Promise<Roster> {
  const chain = JSON.parse(await readText(join(folder, 'roster.json'))) as readonly SignedRoster[];
  return parseRoster(chain.at(-1)?.text ?? '');
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const readText = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((cause) => {
    throw new Failure('not-found', `${path} cannot be read (${cause.code}); \`writgate init\` makes it`, { cause });
  });

/**
 * Adds one person's signature to a trust root or an authority that waits for it. The rest of the file stays as it is.
 * @throws Failure `not-approved` for a key that the roster does not know, `approval-form` for another file
 */
export async function addSignature(file: string, signer: Signer, roster: Roster): Promise<Signing> {
  const holder = roster.holders.get(signer.publicKey.text);
  if (!holder || holder.suspended) {
    const people = roster.people.map(({ person, name }) => `${person} ${name}`).join(', ');
    throw new Failure('not-approved', `this key belongs to nobody who may sign; the roster has ${people}`);
  }
  const content = readJson(await readText(file));
  if (!isMap(content) || !Array.isArray(content['signatures']) || !('trustRoot' in content || 'term' in content)) {
    throw new Failure('approval-form', `${file} is neither a trust root nor an authority`);
  }
  const isTrustRoot = 'trustRoot' in content;
  const [namespace, message] = isTrustRoot
    ? [TRUST_ROOT_NAMESPACE, trustRootText((content as unknown as SignedTrustRoot).trustRoot)]
    : [AUTHORITY_NAMESPACE, String(content['term'])];
  const armored = await signSsh({ signer, namespace, message });
  // The same person again: his new signature takes the place of the old one.
  const others = (content['signatures'] as string[]).filter((other) => {
    const check = checkSshSignature({ armored: other, namespace, message });
    return check.ok && roster.holders.get(check.publicKey.text)?.person !== holder.person;
  });
  const signatures = [...others, armored];
  await writeSigned(file, { ...(content as unknown as SignedAuthority), signatures });
  const signed = signatures.map((each) => {
    const check = checkSshSignature({ armored: each, namespace, message });
    return (check.ok && roster.holders.get(check.publicKey.text)?.person) || '?';
  });
  return {
    file,
    what: isTrustRoot ? 'trust root' : 'authority',
    by: holder.person,
    signed: [...signed].sort(),
    need: isTrustRoot ? roster.people.length : roster.root.people,
  };
}

/** The first authority, or the one that follows what is in force. Nobody has signed it yet. */
export function unsignedAuthority(authority: Authority, before: InForce | null): SignedAuthority {
  const { bytes, authorityDigest } = authorityOf({ authority });
  const term: AuthorityTerm = {
    v: 1,
    tenant: authority.tenant,
    serial: (before?.term.serial ?? 0) + 1,
    previous: before === null ? null : sha256(termText(before.term)),
    authority: authorityDigest,
  };
  return { term: termText(term), document: bytes, signatures: [] };
}

/**
 * Signs what the file proposes, and puts it in force when the root quorum is there. Signatures over another proposal
 * are worth nothing and are dropped.
 */
export async function approveAuthority(
  folder: string,
  inForce: InForce,
  proposed: Authority,
  signer: Signer,
): Promise<Signing & { readonly serial: number; readonly enacted: boolean }> {
  const next = unsignedAuthority(proposed, inForce);
  const serial = inForce.term.serial + 1;
  if (sha256(next.document) === inForce.authorityDigest) {
    throw new Failure('wrong-use', `writgate.yaml says what is in force already (authority ${inForce.term.serial})`);
  }
  const path = join(folder, NEXT);
  const waiting = await readFile(path, 'utf8').catch(() => null);
  if (waiting === null || (JSON.parse(waiting) as SignedAuthority).term !== next.term) await writeSigned(path, next);
  const signing = await addSignature(path, signer, inForce.roster);
  const signed = JSON.parse(await readText(path)) as SignedAuthority;
  const { people, need } = checkAuthority(signed, inForce.roster);
  const enacted = people.length >= need;
  if (enacted) await rename(path, join(folder, 'authority.json'));
  return { ...signing, signed: people, need, serial, enacted };
}
