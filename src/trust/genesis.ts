/**
 * The beginning of trust: keys of the roles, the genesis roster, the trust root that pins them, and the first authority.
 *
 * Two ways to the same files. A ceremony: people bring their public keys, each signs on his own machine, and nothing
 * here ever holds a private key of theirs. A demonstration: three or more generated people whose keys lie in the data
 * folder, which the trust root says for good, so that nothing beyond loopback ever opens.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePublicKey } from '../approval/key.ts';
import { generateSshKey, parsePrivateKey, writeSshKey } from '../approval/private.ts';
import { ROSTER_NAMESPACE, type RosterDocument, rosterText } from '../approval/roster.ts';
import { signSsh } from '../approval/sshsig.ts';
import { TRUST_ROOT_NAMESPACE, type TrustRoot, trustRootFile, trustRootText } from '../approval/trust-root.ts';
import { sha256 } from '../canonical.ts';
import type { Clock, Random } from '../clock.ts';
import { authorityOf, checkConfig, formatProblem } from '../config.ts';
import { Failure } from '../errors.ts';
import { generateBoxKey, signBoxKey } from '../gateway/box.ts';
import { createSigner, formatVerifier } from '../ledger/note.ts';
import { rawPublicKey } from '../writ/writ.ts';
import { AUTHORITY_NAMESPACE, type AuthorityTerm, type SignedAuthority, termText } from './force.ts';
import { makeSigningKey, writeKeyText } from './key.ts';

export interface Member {
  readonly person: string;
  readonly name: string;
  readonly roles: readonly string[];
}

/** How long a roster is good without being renewed by its people. */
const ROSTER_LIFETIME_MS = 365 * 86_400_000;
/** Who changes roster and authority: two of this role. */
const ROOT = { role: 'security', people: 2 } as const;

/** The exact texts that the people of the genesis sign, each in its namespace. */
export interface Unsigned {
  readonly roster: string;
  readonly trustRoot: TrustRoot;
  readonly term: string;
  readonly document: string;
}

/** Makes the keys of the roles and the texts to sign. Refuses a folder that has keys already. */
export async function prepareGenesis(input: {
  readonly folder: string;
  readonly configFile: string;
  readonly people: readonly (Member & { /** `.pub` line */ readonly publicKey: string })[];
  readonly demo: boolean;
  readonly clock: Clock;
}): Promise<Unsigned> {
  const { folder, configFile, people, demo, clock } = input;
  const text = await readFile(configFile, 'utf8');
  const checked = checkConfig(text, configFile);
  if (!checked.ok) {
    throw new Failure('config-invalid', checked.problems.map((problem) => formatProblem(problem, text)).join('\n'));
  }
  const { tenant } = checked.authority;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const [control, log, gateway, verifier] = [
    await makeSigningKey(folder, 'decision'),
    await makeSigningKey(folder, 'log'),
    await makeSigningKey(folder, 'gateway'),
    await makeSigningKey(folder, 'verifier'),
  ];
  await makeSigningKey(folder, 'witness');
  for (const role of ['gateway', 'verifier'] as const) {
    const { privatePem, publicKey } = generateBoxKey();
    await writeKeyText(folder, role === 'gateway' ? 'gatewayBox' : 'verifierBox', privatePem);
    await writeFile(
      join(folder, `${role}.box.pub`),
      signBoxKey(publicKey, role, role === 'gateway' ? gateway : verifier),
    );
  }
  const document: RosterDocument = {
    v: 1,
    tenant,
    version: 1,
    previous: null,
    people: people.map(({ person, name, roles, publicKey }) => ({
      person,
      name,
      roles,
      keys: [parsePublicKey(publicKey).text],
    })),
    root: ROOT,
    expiresAt: clock.now() + ROSTER_LIFETIME_MS,
  };
  const roster = rosterText(document);
  const authority = authorityOf(checked);
  const term: AuthorityTerm = { v: 1, tenant, serial: 1, previous: null, authority: authority.authorityDigest };
  return {
    roster,
    trustRoot: {
      v: 1,
      tenant,
      roster: sha256(roster),
      demo,
      logKey: formatVerifier(createSigner(`writgate.${tenant}`, log).verifier),
      gatewayKey: rawPublicKey(gateway),
      verifierKey: rawPublicKey(verifier),
      controlKey: rawPublicKey(control),
      witnessQuorum: 1,
    },
    term: termText(term),
    document: authority.bytes,
  };
}

/** One person's signatures over the three texts. */
export interface GenesisSignatures {
  readonly roster: string;
  readonly trustRoot: string;
  readonly authority: string;
}

export const genesisTexts = ({ roster, trustRoot, term }: Unsigned) =>
  ({
    roster: { namespace: ROSTER_NAMESPACE, message: roster },
    trustRoot: { namespace: TRUST_ROOT_NAMESPACE, message: trustRootText(trustRoot) },
    authority: { namespace: AUTHORITY_NAMESPACE, message: term },
  }) as const;

/** Puts the signed files into the data folder. */
export async function writeGenesis(
  folder: string,
  unsigned: Unsigned,
  signatures: readonly GenesisSignatures[],
): Promise<void> {
  const authority: SignedAuthority = {
    term: unsigned.term,
    document: unsigned.document,
    signatures: signatures.map((signed) => signed.authority),
  };
  await writeFile(
    join(folder, 'roster.json'),
    `${JSON.stringify([{ text: unsigned.roster, signatures: signatures.map(({ roster }) => roster) }])}\n`,
  );
  await writeFile(
    join(folder, 'trust-root.json'),
    trustRootFile({ trustRoot: unsigned.trustRoot, signatures: signatures.map(({ trustRoot }) => trustRoot) }),
  );
  await writeFile(join(folder, 'authority.json'), `${JSON.stringify(authority)}\n`);
}

/** `--demo`: generated people sign at once. @returns where their private keys lie */
export async function demoGenesis(input: {
  readonly folder: string;
  readonly configFile: string;
  readonly people: readonly Member[];
  readonly clock: Clock;
  readonly random: Random;
}): Promise<readonly (Member & { readonly keyFile: string })[]> {
  const { folder, random } = input;
  await mkdir(join(folder, 'people'), { recursive: true, mode: 0o700 });
  const people = await Promise.all(
    input.people.map(async (member) => {
      const keyFile = join(folder, 'people', `${member.person}.key`);
      const files = generateSshKey({ random, comment: `${member.name} (demo)` });
      await writeSshKey(keyFile, files);
      return { ...member, keyFile, publicKey: files.publicText.trim(), signer: parsePrivateKey(files.privateText) };
    }),
  );
  const unsigned = await prepareGenesis({ ...input, people, demo: true });
  const texts = genesisTexts(unsigned);
  const signatures = await Promise.all(
    people.map(async ({ signer }) => ({
      roster: await signSsh({ signer, ...texts.roster }),
      trustRoot: await signSsh({ signer, ...texts.trustRoot }),
      authority: await signSsh({ signer, ...texts.authority }),
    })),
  );
  await writeGenesis(folder, unsigned, signatures);
  return people.map(({ person, name, roles, keyFile }) => ({ person, name, roles, keyFile }));
}
