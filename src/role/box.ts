/** The public box keys of the roles: to whom secrets are sealed. */
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseTrustRoot, type TrustRoot } from '../approval/trust-root.ts';
import { checkBoxKey, publicBoxKey, signBoxKey } from '../gateway/box.ts';
import { writeWhole } from '../trust/propose.ts';
import { ed25519PublicKey } from '../writ/writ.ts';

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
  return checkBoxKey(text, role, ed25519PublicKey(role === 'gateway' ? root.gatewayKey : root.verifierKey));
}

/** A role says at each start which box is its own: whoever swapped the file, or wrote it before it was signed, is undone. */
export async function publishBox(
  folder: string,
  role: 'gateway' | 'verifier',
  privatePem: string,
  roleKey: KeyObject,
): Promise<void> {
  const text = signBoxKey(publicBoxKey(privatePem), role, roleKey);
  if ((await readFile(boxPath(folder, role), 'utf8').catch(() => '')) !== text)
    await writeWhole(boxPath(folder, role), text);
}
