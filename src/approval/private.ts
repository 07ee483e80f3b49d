/**
 * OpenSSH private keys (openssh-key-v1, OpenSSH PROTOCOL.key), which `node:crypto` cannot read: so that no
 * `ssh-keygen` is needed on the machine. Keys with a passphrase stay with the SSH agent.
 */
import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Random } from '../clock.ts';
import { Failure } from '../errors.ts';
import { base64url, leftPad, readPublicKey, type SshPublicKey } from './key.ts';
import type { Signer } from './sshsig.ts';
import { armor, fromBase64, WireReader, wireMpint, wireString, wireUint32 } from './wire.ts';

const LABEL = 'OPENSSH PRIVATE KEY';
const MAGIC = Buffer.from('openssh-key-v1\0');
/** PKCS #8 for Ed25519 (RFC 8410 section 7) up to the 32 bytes of the seed. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** The cipher `none` has a block of 8, to which the private part is padded. */
const BLOCK = 8;

type FileKeyType = Exclude<SshPublicKey['type'], 'sk-ssh-ed25519@openssh.com'>;

interface PrivateForm {
  /** Reads the private fields, after the type name. */
  readonly read: (wire: WireReader) => KeyObject;
  /** The wire signature. */
  readonly sign: (key: KeyObject, message: Buffer) => Buffer;
}

const FORMS: Record<FileKeyType, PrivateForm> = {
  'ssh-ed25519': {
    read: (wire) => {
      wire.string();
      const pair = wire.string();
      if (pair.length !== 64) throw wire.bad(`holds an Ed25519 pair of ${pair.length} bytes, not 64`);
      return ed25519Key(pair.subarray(0, 32));
    },
    sign: (key, message) => named('ssh-ed25519', sign(null, message, key)),
  },
  'ecdsa-sha2-nistp256': {
    read: (wire) => {
      const curve = wire.ascii();
      const point = wire.string();
      const secret = wire.mpint();
      if (curve !== 'nistp256' || point.length !== 65 || secret.length > 32) throw wire.bad('is not a nistp256 key');
      const [x, y, d] = [point.subarray(1, 33), point.subarray(33), leftPad(secret, 32)].map(base64url);
      return createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d } as JsonWebKey, format: 'jwk' });
    },
    sign: (key, message) => {
      const raw = sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' });
      const pair = Buffer.concat([wireMpint(raw.subarray(0, 32)), wireMpint(raw.subarray(32))]);
      return named('ecdsa-sha2-nistp256', pair);
    },
  },
  'ssh-rsa': {
    read: (wire) => {
      const [n, e, d, qi, p, q] = [0, 1, 2, 3, 4, 5].map(() => wire.mpint()) as [
        Buffer,
        Buffer,
        Buffer,
        Buffer,
        Buffer,
        Buffer,
      ];
      // JSON Web Keys want both exponents of RFC 8017 section 3.2, which OpenSSH leaves out.
      const exponent = (prime: Buffer) =>
        Buffer.from(even((asInteger(d) % (asInteger(prime) - 1n)).toString(16)), 'hex');
      const parts = { n, e, d, p, q, dp: exponent(p), dq: exponent(q), qi };
      const jwk = Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, base64url(value)]));
      return createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' });
    },
    sign: (key, message) => named('rsa-sha2-512', sign('sha512', message, key)),
  },
};

/**
 * Reads an unencrypted OpenSSH private key: Ed25519, ECDSA P-256 or RSA.
 * @throws Failure `ssh-key-encrypted` for one with a passphrase, `ssh-format` for anything else.
 */
export function parsePrivateKey(text: string): Signer & { readonly comment: string } {
  const [, label = '', body = ''] = /^-----BEGIN ([A-Z ]+)-----\r?\n([^-]+)-----END \1-----\s*$/.exec(text) ?? [];
  const bytes = label === LABEL ? fromBase64(body.replace(/\r?\n/g, '')) : null;
  if (bytes === null) {
    const other = label === '' || label === LABEL ? '' : ` (it is a ${label}; \`ssh-keygen -p -f FILE\` rewrites it)`;
    throw new Failure('ssh-format', `not an OpenSSH private key${other}`);
  }
  const outer = new WireReader(bytes, 'private key');
  if (!outer.take(MAGIC.length).equals(MAGIC)) throw outer.bad('is not in the openssh-key-v1 format');
  const [cipher, kdf] = [outer.ascii(), outer.ascii()];
  outer.string();
  if (cipher !== 'none' || kdf !== 'none') {
    throw new Failure(
      'ssh-key-encrypted',
      `the private key has a passphrase (${cipher}, ${kdf}); load it with \`ssh-add FILE\` and sign through the SSH agent`,
    );
  }
  const count = outer.uint32();
  if (count !== 1) throw outer.bad(`file holds ${count} keys, not 1`);
  const publicKey = readPublicKey(outer.string());
  const secret = outer.string();
  outer.end();
  return readSecret(publicKey, secret);
}

function readSecret(publicKey: SshPublicKey, secret: Buffer): Signer & { readonly comment: string } {
  const wire = new WireReader(secret, 'private key');
  const [check, again] = [wire.uint32(), wire.uint32()];
  if (check !== again) throw wire.bad('fails its own check numbers');
  const type = wire.ascii();
  if (type !== publicKey.type) throw wire.bad(`is ${type} inside and ${publicKey.type} outside`);
  const form = FORMS[type as FileKeyType] as PrivateForm | undefined;
  if (form === undefined) throw wire.bad(`is ${type}, whose secret is in a security key; sign through the SSH agent`);
  const key = readForm(form, wire);
  const comment = wire.string().toString('utf8');
  const padding = wire.rest();
  if (secret.length % BLOCK !== 0 || padding.length >= BLOCK || padding.some((byte, index) => byte !== index + 1)) {
    throw wire.bad('has wrong padding');
  }
  if (!createPublicKey(key).equals(publicKey.handle)) throw wire.bad('does not belong to the public key beside it');
  return { publicKey, comment, sign: async (message) => form.sign(key, message) };
}

function readForm(form: PrivateForm, wire: WireReader): KeyObject {
  try {
    return form.read(wire);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure('ssh-format', wire.bad('holds numbers that make no key').message, { cause });
  }
}

/** Both files of a key pair, as `ssh-keygen -t ed25519 -N ''` writes them. */
export interface SshKeyFiles {
  readonly privateText: string;
  /** One line with comment and newline. */
  readonly publicText: string;
}

/** Makes an Ed25519 key pair from passed-in randomness. @param comment one line: who, or what for. */
export function generateSshKey(input: { random: Random; comment: string }): SshKeyFiles {
  const { random, comment } = input;
  if (/[\r\n]/.test(comment)) throw new Failure('wrong-use', 'the comment of a key must be one line');
  const seed = random(32);
  const point = Buffer.from(createPublicKey(ed25519Key(seed)).export({ format: 'jwk' }).x as string, 'base64url');
  const blob = named('ssh-ed25519', point);
  const check = random(4);
  const fields = [check, check, blob, wireString(Buffer.concat([seed, point])), wireString(comment)];
  const length = fields.reduce((sum, field) => sum + field.length, 0);
  const padding = Buffer.from(Array.from({ length: (BLOCK - (length % BLOCK)) % BLOCK }, (_, index) => index + 1));
  const outer = [wireString('none'), wireString('none'), wireString(''), wireUint32(1), wireString(blob)];
  return {
    privateText: armor(LABEL, Buffer.concat([MAGIC, ...outer, wireString(Buffer.concat([...fields, padding]))])),
    publicText: `ssh-ed25519 ${blob.toString('base64')} ${comment}\n`,
  };
}

/** Writes `path` (mode 0600) and `path.pub`. Overwrites nothing: an existing file rejects with EEXIST. */
export async function writeSshKey(path: string, files: SshKeyFiles): Promise<void> {
  await writeFile(path, files.privateText, { mode: 0o600, flag: 'wx' });
  await writeFile(`${path}.pub`, files.publicText, { mode: 0o644, flag: 'wx' });
}

const named = (type: string, value: Buffer): Buffer => Buffer.concat([wireString(type), wireString(value)]);
const ed25519Key = (seed: Buffer): KeyObject =>
  createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, seed]), format: 'der', type: 'pkcs8' });
const asInteger = (magnitude: Buffer): bigint => BigInt(`0x${magnitude.toString('hex') || '0'}`);
const even = (hex: string): string => (hex.length % 2 === 0 ? hex : `0${hex}`);
