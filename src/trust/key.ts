/** Private keys of the roles: PKCS #8 PEM, one file each, mode 0600, read by the one role that owns it. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../errors.ts';

export const KEYS = {
  decision: 'control/decision.key',
  log: 'control/log.key',
  gateway: 'gateway/signing.key',
  witness: 'gateway/witness.key',
  gatewayBox: 'gateway/box.key',
  verifier: 'verifier/signing.key',
  verifierBox: 'verifier/box.key',
  worker: 'worker/signing.key',
} as const;
export type KeyName = keyof typeof KEYS;

export async function readKeyText(folder: string, name: KeyName): Promise<string> {
  return readFile(join(folder, KEYS[name]), 'utf8').catch((cause) => {
    throw new Failure('authority-invalid', `the key ${KEYS[name]} cannot be read; \`writgate init\` makes it`, {
      cause,
    });
  });
}

export const readKey = async (folder: string, name: KeyName): Promise<KeyObject> =>
  createPrivateKey(await readKeyText(folder, name));

/** Makes an Ed25519 key. Never replaces one: what was signed with it could not be checked any more. */
export async function makeSigningKey(folder: string, name: KeyName): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeKeyText(folder, name, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  return privateKey;
}

export async function writeKeyText(folder: string, name: KeyName, pem: string): Promise<void> {
  const path = join(folder, KEYS[name]);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, pem, { mode: 0o600, flag: 'wx' });
}

export const publicKeyOf = (key: KeyObject): KeyObject => createPublicKey(key as never);
