/** Public keys that lie beside the trust root: to whom secrets of the roles are sealed, and the worker’s. */
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseTrustRoot, type TrustRoot } from '../approval/trust-root.ts';
import { checkVouched, publicBoxKey, vouchFor } from '../gateway/box.ts';
import { makeSigningKey, publicKeyOf, readKey } from '../trust/key.ts';
import { writeWhole } from '../trust/propose.ts';
import { ed25519PublicKey, rawPublicKey } from '../writ/writ.ts';

const boxPath = (folder: string, role: 'gateway' | 'verifier'): string => join(folder, `${role}.box.pub`);

/**
 * To whom secrets of a role are sealed. The key lies beside the trust root, signed by that role.
 * @param trustRoot the one that the caller believes; else the one in the folder
 */
export async function readPublicBox(
  folder: string,
  role: 'gateway' | 'verifier',
  trustRoot?: TrustRoot,
): Promise<string> {
  const [text, root] = await Promise.all([
    readFile(boxPath(folder, role), 'utf8'),
    trustRoot ?? readFile(join(folder, 'trust-root.json'), 'utf8').then((file) => parseTrustRoot(file).trustRoot),
  ]);
  return checkVouched(text, `${role}.box`, ed25519PublicKey(role === 'gateway' ? root.gatewayKey : root.verifierKey));
}

/** A role says at each start which box is its own: whoever swapped the file, or wrote it before it was signed, is undone. */
export async function publishBox(
  folder: string,
  role: 'gateway' | 'verifier',
  privatePem: string,
  roleKey: KeyObject,
): Promise<void> {
  const text = vouchFor(publicBoxKey(privatePem), `${role}.box`, roleKey);
  if ((await readFile(boxPath(folder, role), 'utf8').catch(() => '')) !== text)
    await writeWhole(boxPath(folder, role), text);
}

const workerPath = (folder: string): string => join(folder, 'worker.pub');

/** The worker's public key. @param key the gateway's own, by which it vouches */
export const readWorkerKey = async (folder: string, key: KeyObject): Promise<KeyObject> =>
  ed25519PublicKey(checkVouched(await readFile(workerPath(folder), 'utf8'), 'worker', publicKeyOf(key)));

/** Where the beginning was before workers had keys. A key that nobody vouches for stays so. */
export async function vouchForWorker(folder: string, key: KeyObject): Promise<void> {
  const path = workerPath(folder);
  if ((await readFile(path, 'utf8').catch(() => null)) !== null) return;
  const own = await readKey(folder, 'worker').catch(() => makeSigningKey(folder, 'worker'));
  await writeWhole(path, vouchFor(rawPublicKey(own), 'worker', key));
}
