/**
 * SSH public keys, and whether a key made a signature blob. One table holds all that differs between key types.
 *
 * Sources: RFC 4253 section 6.6, RFC 5656 section 3.1 (ECDSA), RFC 8332 (RSA with SHA-2), RFC 8709 (Ed25519),
 * OpenSSH PROTOCOL.u2f (keys that live in a security key).
 */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { Failure } from '../errors.ts';
import { fromBase64, WireReader } from './wire.ts';

export type KeyType = 'ssh-ed25519' | 'ecdsa-sha2-nistp256' | 'ssh-rsa' | 'sk-ssh-ed25519@openssh.com';

export interface SshPublicKey {
  readonly type: KeyType;
  /** The exact wire bytes: the key's identity. */
  readonly blob: Buffer;
  /** `type base64`, without comment: a comment is whatever its writer liked. */
  readonly text: string;
  readonly handle: KeyObject;
  /** What a security key was enrolled for (`ssh:`); null for keys without one. */
  readonly application: string | null;
}

/** What a security key says about the person at it (PROTOCOL.u2f: flags 0x01 and 0x04). */
export interface Touch {
  readonly present: boolean;
  readonly verified: boolean;
}

/** `touch` is null for keys that cannot know. */
export type BlobCheck = { readonly valid: boolean; readonly touch: Touch | null };

interface Algorithm {
  /** The name inside a signature: RSA keys sign under another name than their own (RFC 8332 section 3). */
  readonly signature: string;
  readonly read: (wire: WireReader) => { handle: KeyObject; application: string | null };
  readonly check: (key: SshPublicKey, message: Buffer, wire: WireReader) => BlobCheck;
}

const ALGORITHMS: Record<KeyType, Algorithm> = {
  'ssh-ed25519': {
    signature: 'ssh-ed25519',
    read: (wire) => ({ handle: readEd25519(wire), application: null }),
    check: (key, message, wire) => {
      const signature = wire.string();
      wire.end();
      return { valid: verify(null, message, key.handle, signature), touch: null };
    },
  },
  'ecdsa-sha2-nistp256': {
    signature: 'ecdsa-sha2-nistp256',
    read: (wire) => {
      if (wire.ascii() !== 'nistp256') throw wire.bad('names another curve than nistp256');
      const point = wire.string();
      if (point.length !== 65 || point[0] !== 4) throw wire.bad('holds a point that is not uncompressed');
      const jwk = { kty: 'EC', crv: 'P-256', x: base64url(point.subarray(1, 33)), y: base64url(point.subarray(33)) };
      return { handle: importKey(jwk, wire), application: null };
    },
    check: (key, message, wire) => {
      const pair = new WireReader(wire.string(), 'signature');
      const [r, s] = [pair.mpint(), pair.mpint()];
      pair.end();
      wire.end();
      if (r.length > 32 || s.length > 32) return { valid: false, touch: null };
      const raw = Buffer.concat([leftPad(r, 32), leftPad(s, 32)]);
      return { valid: verify('sha256', message, { key: key.handle, dsaEncoding: 'ieee-p1363' }, raw), touch: null };
    },
  },
  'ssh-rsa': {
    signature: 'rsa-sha2-512',
    read: (wire) => {
      const [exponent, modulus] = [wire.mpint(), wire.mpint()];
      const bits = modulus.length * 8 - Math.clz32((modulus[0] ?? 0) << 24);
      if (bits < 2048 || bits > 8192) throw wire.bad(`is RSA with ${bits} bits; 2048 to 8192 are taken`);
      // With an exponent of 1 anybody can sign; 65537 is what every current tool writes.
      if (exponent.toString('hex') !== '010001') throw wire.bad('is RSA with another exponent than 65537');
      const jwk = { kty: 'RSA', n: base64url(modulus), e: base64url(exponent) };
      return { handle: importKey(jwk, wire), application: null };
    },
    check: (key, message, wire) => {
      const signature = wire.string();
      wire.end();
      return { valid: verify('sha512', message, key.handle, signature), touch: null };
    },
  },
  'sk-ssh-ed25519@openssh.com': {
    signature: 'sk-ssh-ed25519@openssh.com',
    read: (wire) => {
      const handle = readEd25519(wire);
      const application = wire.ascii();
      // A web site's credential on the same device has the site's name here and must not sign approvals.
      if (!application.startsWith('ssh:')) throw wire.bad(`was enrolled for "${application}", not for ssh:`);
      return { handle, application };
    },
    check: (key, message, wire) => {
      const signature = wire.string();
      const flags = wire.uint8();
      const counter = wire.take(4);
      wire.end();
      const signed = Buffer.concat([
        digest('sha256', key.application ?? ''),
        Buffer.of(flags),
        counter,
        digest('sha256', message),
      ]);
      return {
        valid: verify(null, signed, key.handle, signature),
        touch: { present: (flags & 0x01) !== 0, verified: (flags & 0x04) !== 0 },
      };
    },
  },
};

/** The same few keys come with every signature, and importing a P-256 point costs as much as a verification. */
const MEMO_SIZE = 1024;
const memo = new Map<string, SshPublicKey>();

/** Reads a key's wire bytes. @throws Failure `ssh-format` for other types, weak keys and any second spelling. */
export function readPublicKey(blob: Buffer): SshPublicKey {
  const bytes = blob.toString('latin1');
  const known = memo.get(bytes);
  if (known !== undefined) return known;
  const key = parseBlob(Buffer.from(blob));
  if (memo.size >= MEMO_SIZE) memo.clear();
  memo.set(bytes, key);
  return key;
}

function parseBlob(blob: Buffer): SshPublicKey {
  const wire = new WireReader(blob, 'public key');
  const type = wire.ascii();
  if (!isKeyType(type)) throw wire.bad(`is of type "${type}"; taken are ${Object.keys(ALGORITHMS).join(', ')}`);
  const { handle, application } = ALGORITHMS[type].read(wire);
  wire.end();
  return { type, blob, text: `${type} ${blob.toString('base64')}`, handle, application };
}

/**
 * Reads one line of an OpenSSH `.pub` file: type, base64, and a comment that is ignored. Options as in
 * `authorized_keys` are refused. @throws Failure `ssh-format`
 */
export function parsePublicKey(line: string): SshPublicKey {
  const [, type = '', base64 = ''] = /^(\S+) (\S+)(?: [^\r\n]*)?\r?\n?$/.exec(line) ?? [];
  const blob = fromBase64(base64);
  if (blob === null || blob.length === 0) {
    throw new Failure('ssh-format', 'not an SSH public key; paste one line of a .pub file: `ssh-ed25519 AAAA…`');
  }
  const key = readPublicKey(blob);
  if (key.type !== type) {
    throw new Failure('ssh-format', `the public key says ${type} in its text and ${key.type} in its bytes`);
  }
  return key;
}

/** `SHA256:` and base64 without padding, as `ssh-keygen -l` prints it. */
export const fingerprint = (key: SshPublicKey): string =>
  `SHA256:${digest('sha256', key.blob).toString('base64').replace(/=+$/, '')}`;

/** Whether `key` made this signature blob (RFC 4253 section 6.6) over `message`. @throws Failure `ssh-format` */
export function checkBlob(key: SshPublicKey, message: Buffer, signature: Buffer): BlobCheck {
  const wire = new WireReader(signature, 'signature');
  const algorithm = ALGORITHMS[key.type];
  const name = wire.ascii();
  if (name !== algorithm.signature) throw wire.bad(`is ${name}; a ${key.type} key signs with ${algorithm.signature}`);
  return algorithm.check(key, message, wire);
}

export const digest = (algorithm: 'sha256' | 'sha512', bytes: string | Uint8Array): Buffer =>
  createHash(algorithm).update(bytes).digest();

export const base64url = (bytes: Buffer): string => bytes.toString('base64url');

export const leftPad = (bytes: Buffer, length: number): Buffer =>
  Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);

const isKeyType = (type: string): type is KeyType => Object.hasOwn(ALGORITHMS, type);

/** Ed25519 points of small order by canonical y (RFC 7748 section 7): under such a key a signature proves nothing. */
const SMALL_ORDER = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);

function readEd25519(wire: WireReader): KeyObject {
  const point = wire.string();
  if (point.length !== 32) throw wire.bad(`holds a point of ${point.length} bytes, not 32`);
  const y = Buffer.from(point);
  y.writeUInt8(y.readUInt8(31) & 0x7f, 31);
  if (SMALL_ORDER.has(y.toString('hex'))) throw wire.bad('is a point of small order, under which anybody can sign');
  // y of p = 2^255 - 19 or more is a second spelling of a small y (RFC 8032 section 5.1.3).
  if (y.readUInt8(0) >= 0xed && y.readUInt8(31) === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff)) {
    throw wire.bad('is not in its canonical spelling');
  }
  return importKey({ kty: 'OKP', crv: 'Ed25519', x: base64url(point) }, wire);
}

function importKey(jwk: JsonWebKey, wire: WireReader): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw new Failure('ssh-format', wire.bad('is not a valid point or modulus').message, { cause });
  }
}
