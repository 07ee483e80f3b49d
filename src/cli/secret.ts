/**
 * `writgate secret NAME`: seals a connector's credential to the one process that uses it, bound to the address that it
 * may be sent to. It comes from stdin or a prompt: never from an argument, which every process of the machine can read.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Authority, type Protocol, protocolOf, type Target } from '../authority/authority.ts';
import { addressOf } from '../authority/target.ts';
import { Failure, hasCode } from '../errors.ts';
import { SECRETS, sealCredential } from '../gateway/credential.ts';
import type { Secret } from '../gateway/perform/contract.ts';
import { readPublicBox } from '../role/box.ts';
import { placeOf } from '../role/place.ts';
import { readProposal } from '../trust/propose.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { askSecret, askText, type Face } from './face.ts';
import { type GlobalOptions, inForceAt, type Where, whereOf } from './where.ts';

/** What each protocol can present, and how a person is asked for it. */
const FORMS: Readonly<Record<Protocol, { readonly form: z.ZodType<Secret>; readonly ask: () => Promise<Secret> }>> = {
  scim: {
    form: z.discriminatedUnion('kind', [SECRETS.bearer, SECRETS.basic, SECRETS.none]),
    ask: async () => ({ kind: 'bearer', token: await askSecret('Bearer token') }),
  },
  ldap: {
    form: z.discriminatedUnion('kind', [SECRETS.bind, SECRETS.none]),
    ask: async () => ({ kind: 'bind', dn: await askText('Bind DN', ''), password: await askSecret('Password') }),
  },
  postgres: {
    form: z.discriminatedUnion('kind', [SECRETS.basic, SECRETS.none]),
    ask: async () => ({ kind: 'basic', username: await askText('Login', ''), password: await askSecret('Password') }),
  },
};

export interface Recipient {
  readonly system: string;
  readonly target: Target;
  readonly role: 'gateway' | 'verifier';
}

/**
 * Who uses a credential, by the register. One that both the gateway and the verifier would use proves nothing: the
 * same secret would write and check what was written (M7).
 */
export function recipientOf(authority: Authority, credential: string): Recipient {
  const users = Object.entries(authority.connectors).filter(([, entry]) => entry.credential === credential);
  const [first] = users;
  if (!first) {
    const known = [...new Set(Object.values(authority.connectors).map((entry) => entry.credential))];
    throw new Failure(
      'not-found',
      `no connector uses a credential ${credential}; there are ${known.join(', ') || 'none'}`,
    );
  }
  const roles = new Set(
    users.flatMap(([, { duties }]) => duties.map((duty) => (duty === 'verify' ? 'verifier' : 'gateway'))),
  );
  const systems = new Set(users.map(([, { on }]) => on));
  if (roles.size > 1 || systems.size > 1) {
    const names = users.map(([name]) => name).join(', ');
    throw new Failure(
      'wrong-use',
      `${credential} is used by ${names}, of different duties or targets; give each a credential of its own`,
    );
  }
  const system = first[1].on;
  const target = authority.targets[system];
  if (!target) throw new Failure('not-found', `${first[0]} is for ${system}, which is no target`);
  return { system, target, role: roles.has('verifier') ? 'verifier' : 'gateway' };
}

/** @throws Failure `wrong-use` that names the place, and never shows the value */
export function readSecret(text: string, protocol: Protocol): Secret {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failure('wrong-use', `what came on stdin is not JSON; write it as ${EXAMPLES[protocol]}`);
  }
  const parsed = FORMS[protocol].form.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Failure(
    'wrong-use',
    `the secret does not fit ${protocol} at ${issue?.path.join('.') || 'its top'}; write it as ${EXAMPLES[protocol]}`,
  );
}

const EXAMPLES: Readonly<Record<Protocol, string>> = {
  scim: '{"kind":"bearer","token":"…"}',
  ldap: '{"kind":"bind","dn":"…","password":"…"}',
  postgres: '{"kind":"basic","username":"…","password":"…"}',
};

export const addSecret: AddCommand = (program, face) => {
  describe(
    program
      .command('secret')
      .description('Seal a connector’s credential to the process that uses it; asks, or reads JSON from stdin')
      .argument('<credential>', 'its name in writgate.yaml'),
    'writgate secret crm-grant < crm-grant.json',
  ).action(async (credential: string, options: GlobalOptions) => {
    const where = await whereOf(options);
    const { system, target, role } = await recipientAt(where, face, credential);
    const protocol = protocolOf(target);
    const secret = await takeSecret(protocol, face);
    const publicKey = await readPublicBox(where.folder, role).catch((cause) => {
      throw new Failure('authority-invalid', `the ${role} has no key in ${where.folder}; \`writgate init\` makes it`, {
        cause,
      });
    });
    const sealed = sealCredential(credential, secret, addressOf(target), publicKey, face.random);
    const { secrets } = placeOf(where.folder);
    await mkdir(secrets, { recursive: true, mode: 0o700 });
    const path = join(secrets, `${credential}.sealed`);
    await writeFile(`${path}.${process.pid}`, `${sealed}\n`, { mode: 0o600 });
    await rename(`${path}.${process.pid}`, path);
    answer(
      face,
      options,
      { credential, system, role },
      () => `${credential} is sealed to the ${role}, for ${system} at ${addressOf(target).url} and nowhere else.`,
    );
  });
};

/** By what is in force; for a connector that is only proposed yet, by the file. The address is sealed in with it. */
async function recipientAt(where: Where, face: Face, credential: string): Promise<Recipient> {
  try {
    return recipientOf((await inForceAt(where, face)).authority, credential);
  } catch (thrown) {
    if (!hasCode(thrown, 'not-found') && !hasCode(thrown, 'authority-invalid')) throw thrown;
    return recipientOf((await readProposal(where.configFile)).authority, credential);
  }
}

async function takeSecret(protocol: Protocol, face: Face): Promise<Secret> {
  return face.canAsk ? FORMS[protocol].ask() : readSecret(await face.readInput(), protocol);
}
