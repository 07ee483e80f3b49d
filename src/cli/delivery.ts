/**
 * `writgate delivery FILE`: the key pair of whoever hands out first passwords of new accounts. The public half goes into
 * writgate.yaml and is signed with it; the private half belongs on the help desk's own machine and is needed nowhere else.
 */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { connectPipe } from '../connector/pipe.ts';
import { Failure } from '../errors.ts';
import { generateBoxKey, publicBoxKey } from '../gateway/box.ts';
import { type Delivery, openDelivery } from '../gateway/first-secret.ts';
import { placeOf } from '../role/place.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { expandHome } from './key.ts';
import type { Where } from './where.ts';

const NAME = 'delivery.key';

/** Makes the key where there is none. @returns its public half, base64 */
export async function deliveryKey(path: string): Promise<string> {
  const known = await readFile(path, 'utf8').catch(() => null);
  if (known !== null) return publicOf(known, path);
  const { privatePem, publicKey } = generateBoxKey();
  await writeFile(path, privatePem, { mode: 0o600, flag: 'wx' }).catch((cause) => {
    throw new Failure('wrong-use', `${path} cannot be written (${cause.code})`, { cause });
  });
  await chmod(path, 0o600);
  return publicKey;
}

function publicOf(pem: string, path: string): string {
  try {
    return publicBoxKey(pem);
  } catch (cause) {
    throw new Failure('wrong-use', `${path} holds no key that \`writgate delivery\` made`, { cause });
  }
}

export const addDelivery: AddCommand = (program, face) => {
  describe(
    program
      .command('delivery')
      .description('Make the key that opens first passwords of new accounts, or show its public half')
      .argument('[file]', 'where the private key is kept', NAME),
    'writgate delivery ~/delivery.key',
  ).action(async (file: string, options: { json?: true }) => {
    const path = expandHome(file);
    answer(face, options, { file: path, delivery: await deliveryKey(path) }, ({ delivery }) =>
      [
        `delivery: ${delivery}`,
        `That line belongs into writgate.yaml (then: writgate authority approve); ${path} to whoever hands out passwords.`,
      ].join('\n'),
    );
  });
};

/**
 * Fetches the first secret of an account from the gateway, opens it here, and hands it to `give`; then the gateway hears
 * that it was delivered, and forgets it. Control takes no part.
 * @param key file of the private key; undefined: `delivery.key` beside writgate.yaml
 */
export async function deliver(
  { folder, configFile }: Where,
  account: { readonly system: string; readonly login: string },
  key: string | undefined,
  give: (delivery: Delivery) => void,
): Promise<void> {
  const path = key === undefined ? join(dirname(configFile), NAME) : expandHome(key);
  const pem = await readFile(path, 'utf8').catch((cause) => {
    throw new Failure(
      'credential-missing',
      `first passwords open only with the key of whoever delivers them, and ${path} cannot be read (${cause.code}); name it with --key`,
      { cause },
    );
  });
  publicOf(pem, path);
  const gateway = await connectPipe(placeOf(folder).socket('gateway'));
  try {
    const { sealed } = (await gateway.request('firstSecret', account)) as { sealed: string };
    const delivery = openDelivery(sealed, pem, account);
    give(delivery);
    await gateway.request('delivered', { ...account, receipt: delivery.receipt });
  } finally {
    gateway.close();
  }
}
