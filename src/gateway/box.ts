/**
 * Sealing to one process: X25519 (RFC 7748) with an ephemeral key, HKDF-SHA-256 (RFC 5869), AES-256-GCM.
 * What is sealed to the gateway or the verifier passes through everybody else unread.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import type { Random } from '../clock.ts';
import { Failure } from '../errors.ts';

const rawOf = (key: KeyObject): Buffer =>
  Buffer.from(
    (key.type === 'public' ? key : createPublicKey(key as never)).export({ format: 'jwk' }).x as string,
    'base64url',
  );
const publicOf = (raw: Buffer): KeyObject =>
  createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', x: raw.toString('base64url') } });

/** PKCS #8 PEM and the raw public key, base64. */
export function generateBoxKey(): { readonly privatePem: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: rawOf(publicKey).toString('base64'),
  };
}

/** The public half, base64, of a private key's PEM. */
export const publicBoxKey = (privatePem: string): string => rawOf(createPublicKey(privatePem)).toString('base64');

/** Raw X25519, base64, one spelling: what may stand as a recipient. */
export const BOX_KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

const claimed = (publicKey: string, role: string): Buffer => Buffer.from(`writgate/box-key/v1\0${role}\0${publicKey}`);

/** A role's public box key as it lies in the data folder: with the signature of the key that the trust root pins. */
export const signBoxKey = (publicKey: string, role: string, roleKey: KeyObject): string =>
  `${publicKey} ${sign(null, claimed(publicKey, role), roleKey).toString('base64')}\n`;

/**
 * What is sealed to a key that somebody swapped is his.
 * @param roleKey the role's public signing key, as the trust root has it
 * @throws Failure `authority-invalid`
 */
export function checkBoxKey(text: string, role: string, roleKey: KeyObject): string {
  const [publicKey = '', signature = ''] = text.trim().split(' ');
  if (!BOX_KEY.test(publicKey) || !verify(null, claimed(publicKey, role), roleKey, Buffer.from(signature, 'base64'))) {
    throw new Failure(
      'authority-invalid',
      `${role}.box.pub does not bear the signature of the ${role} that the trust root pins; start the ${role}, which writes it anew`,
    );
  }
  return publicKey;
}

const keyOf = (shared: Buffer, ephemeral: Buffer, recipient: Buffer): Buffer =>
  Buffer.from(hkdfSync('sha256', shared, Buffer.concat([ephemeral, recipient]), 'writgate/box/v1', 32));

/** @returns base64 of ephemeral public key (32) ‖ nonce (12) ‖ tag (16) ‖ ciphertext. */
export function sealBox(plain: string, recipientPublicKey: string, random: Random): string {
  const recipient = Buffer.from(recipientPublicKey, 'base64');
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const ephemeral = rawOf(publicKey);
  const shared = diffieHellman({ privateKey, publicKey: publicOf(recipient) });
  const nonce = random(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(shared, ephemeral, recipient), nonce);
  const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return Buffer.concat([ephemeral, nonce, cipher.getAuthTag(), body]).toString('base64');
}

/** Reading a key's PEM costs more than opening a box with it. */
const keys = new Map<string, KeyObject>();
function privateKeyOf(pem: string): KeyObject {
  const known = keys.get(pem);
  if (known) return known;
  const key = createPrivateKey(pem);
  keys.set(pem, key);
  return key;
}

/** @throws Failure `credential-missing` when it was sealed to another key, or altered. */
export function openBox(box: string, privatePem: string): string {
  try {
    const bytes = Buffer.from(box, 'base64');
    const privateKey = privateKeyOf(privatePem);
    const ephemeral = bytes.subarray(0, 32);
    const shared = diffieHellman({ privateKey, publicKey: publicOf(ephemeral) });
    const decipher = createDecipheriv(
      'aes-256-gcm',
      keyOf(shared, ephemeral, rawOf(privateKey)),
      bytes.subarray(32, 44),
    );
    decipher.setAuthTag(bytes.subarray(44, 60));
    return Buffer.concat([decipher.update(bytes.subarray(60)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new Failure('credential-missing', 'a sealed secret does not open with this process’s key', { cause });
  }
}
