import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fingerprint, parsePublicKey, readPublicKey } from './key.ts';
import { generateSshKey, parsePrivateKey, writeSshKey } from './private.ts';
import { checkSshSignature, type Signer, signSsh } from './sshsig.ts';
import { describeWithOpenSsh, seeded, signerOf } from './testing.ts';
import { armor, wireMpint, wireString, wireUint32 } from './wire.ts';

const NAMESPACE = 'approval@writgate';
const MESSAGE = 'the bytes that will be done';
const alice = signerOf('alice');

/** A signature with any part replaced: what an attacker without limits of format can write. */
interface Parts {
  magic: string;
  version: number;
  blob: Buffer;
  namespace: string;
  reserved: string;
  hash: string;
  signature: Buffer;
  tail: Buffer;
}
async function forge(over: Partial<Parts>, signer: Signer = alice): Promise<string> {
  const { magic, version, blob, namespace, reserved, hash, tail, signature } = {
    magic: 'SSHSIG',
    version: 1,
    blob: signer.publicKey.blob,
    namespace: NAMESPACE,
    reserved: '',
    hash: 'sha512',
    tail: Buffer.alloc(0),
    signature: null,
    ...over,
  };
  const digest = createHash(hash).update(MESSAGE).digest();
  const bound = Buffer.concat([Buffer.from('SSHSIG'), ...[namespace, reserved, hash, digest].map(wireString)]);
  const made = signature ?? (await signer.sign(bound));
  const fields = [blob, namespace, reserved, hash, made].map(wireString);
  return armor('SSH SIGNATURE', Buffer.concat([Buffer.from(magic), wireUint32(version), ...fields, tail]));
}
const check = (armored: string, namespace = NAMESPACE, message: string | Uint8Array = MESSAGE) =>
  checkSshSignature({ armored, namespace, message });

describe('SSH signatures', () => {
  let armored: string;
  beforeAll(async () => {
    armored = await signSsh({ signer: alice, namespace: NAMESPACE, message: MESSAGE });
  });

  test('accepts what it signed, and tells whose key verified', () => {
    expect(check(armored)).toMatchObject({ ok: true, publicKey: { text: alice.publicKey.text }, touch: null });
  });

  test('rejects another message and another namespace', () => {
    expect(check(armored, NAMESPACE, `${MESSAGE} `)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/does not verify/),
    });
    expect(check(armored, 'file')).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/is for "approval@writgate", not for "file"/),
    });
    expect(check(armored, `${NAMESPACE}x`)).toMatchObject({ ok: false });
  });

  test('rejects an empty namespace, though both sides agree on it', async () => {
    expect(check(await forge({ namespace: '' }), '')).toMatchObject({ ok: false });
  });

  test('rejects a signature whose key was exchanged', async () => {
    const { blob } = signerOf('mallory').publicKey;
    expect(check(await forge({ blob }))).toMatchObject({ ok: false, reason: expect.stringMatching(/does not verify/) });
  });

  test.each([
    ['another magic', { magic: 'SSHSIK' }, /begin with SSHSIG/],
    ['another version', { version: 2 }, /version 2/],
    ['a reserved part', { reserved: 'x' }, /reserved/],
    ['SHA-1', { hash: 'sha1' }, /another hash/],
    ['SHA-384', { hash: 'sha384' }, /another hash/],
    ['bytes after the end', { tail: Buffer.of(0) }, /after its end/],
  ] as const)('rejects %s, though the key signed it', async (_, over, reason) => {
    expect(check(await forge(over))).toMatchObject({ ok: false, reason: expect.stringMatching(reason) });
  });

  test('accepts both hashes of the format', async () => {
    expect(check(await forge({ hash: 'sha256' }))).toMatchObject({ ok: true });
  });

  test('rejects an algorithm that is not the key’s, and bytes after the inner signature', async () => {
    const inner = (name: string, value: Buffer, tail = '') =>
      Buffer.concat([wireString(name), wireString(value), Buffer.from(tail)]);
    const genuine = check(await forge({}));
    expect(genuine.ok).toBe(true);
    for (const signature of [
      inner('ssh-rsa', Buffer.alloc(64)),
      inner('ssh-ed25519', Buffer.alloc(63)),
      inner('ssh-ed25519', Buffer.alloc(64)),
      inner('ssh-ed25519', Buffer.alloc(65)),
      Buffer.alloc(0),
    ]) {
      expect(check(await forge({ signature }))).toMatchObject({ ok: false });
    }
    const signed = await alice.sign(Buffer.from('x'));
    expect(check(await forge({ signature: Buffer.concat([signed, Buffer.of(0)]) }))).toMatchObject({
      reason: expect.stringMatching(/after its end/),
    });
  });

  test('rejects RSA with SHA-1 or SHA-256, which the table does not name', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { n, e } = publicKey.export({ format: 'jwk' });
    const [modulus, exponent] = [n, e].map((part) => wireMpint(Buffer.from(part as string, 'base64url')));
    const blob = Buffer.concat([wireString('ssh-rsa'), exponent as Buffer, modulus as Buffer]);
    for (const [name, hash, ok] of [
      ['rsa-sha2-512', 'sha512', true],
      ['rsa-sha2-256', 'sha256', false],
      ['ssh-rsa', 'sha1', false],
    ] as const) {
      const signer: Signer = {
        publicKey: readPublicKey(blob),
        sign: async (message) => Buffer.concat([wireString(name), wireString(sign(hash, message, privateKey))]),
      };
      expect(check(await forge({}, signer)).ok).toBe(ok);
    }
  });

  test.each([
    ['text before', (text: string) => `x${text}`],
    ['text after', (text: string) => `${text}x`],
    ['a second signature after it', (text: string) => text + text],
    ['a blank line', (text: string) => text.replace('\n', '\n\n')],
    ['blanks in the base64', (text: string) => text.replace(/\n(.)/, '\n $1')],
    ['carriage returns', (text: string) => text.replaceAll('\n', '\r\n')],
    ['another label', (text: string) => text.replaceAll('SSH SIGNATURE', 'SSH SIGNATURES')],
    ['no end line', (text: string) => text.slice(0, text.indexOf('-----END'))],
    ['no base64', (text: string) => text.replace(/\n[^-]+/, '\n')],
    ['url-safe base64', (text: string) => text.replaceAll('A', '-')],
    ['padding in the middle', (text: string) => text.replace('\nU1NI', '\nU1N=')],
    ['a megabyte', (text: string) => text.replace('\n', `\n${'A'.repeat(1 << 20)}\n`)],
    ['nothing', () => ''],
  ])('rejects armor with %s', (_, change) => {
    expect(check(change(armored))).toMatchObject({ ok: false });
  });

  test('rejects every change of one character', () => {
    const character = fc.integer({ min: 0, max: 0x7f }).map((code) => String.fromCharCode(code));
    fc.assert(
      fc.property(fc.nat(armored.length - 1), character, (at, other) => {
        fc.pre(armored[at] !== other);
        return !check(armored.slice(0, at) + other + armored.slice(at + 1)).ok;
      }),
      { numRuns: 2000 },
    );
  });

  test('rejects every single bit flipped inside the signature', () => {
    const bytes = Buffer.from(armored.split('\n').slice(1, -2).join(''), 'base64');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(check(armor('SSH SIGNATURE', flipped)).ok).toBe(false);
    }
  });

  test('never throws on bytes that are no signature', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        const bytes = Buffer.concat([Buffer.from('SSHSIG\0\0\0\x01'), noise]);
        return !check(armor('SSH SIGNATURE', bytes)).ok;
      }),
    );
  });

  test('does not hand out what a faulty signer made', async () => {
    const faulty: Signer = { ...alice, sign: (message) => alice.sign(Buffer.concat([message, Buffer.of(0)])) };
    await expect(signSsh({ signer: faulty, namespace: NAMESPACE, message: MESSAGE })).rejects.toMatchObject({
      code: 'ssh-key',
    });
  });
});

describe('private keys', () => {
  const { privateText } = generateSshKey({ random: seeded('alice'), comment: 'alice key' });
  const bytes = Buffer.from(privateText.split('\n').slice(1, -2).join(''), 'base64');
  const change = (at: number, length: number, by: string) => {
    const copy = Buffer.concat([bytes.subarray(0, at), Buffer.from(by, 'latin1'), bytes.subarray(at + length)]);
    return () => parsePrivateKey(armor('OPENSSH PRIVATE KEY', copy));
  };

  test('of ours read back', () => {
    expect(change(0, 0, '')()).toMatchObject({ comment: 'alice key' });
  });

  test.each([
    ['another magic', 0, 1, 'O', /openssh-key-v1/],
    ['two keys', 38, 1, '\x02', /holds 2 keys/],
    ['unequal check numbers', 98, 1, '\0', /check numbers/],
    ['wrong padding', bytes.length - 1, 1, '\0', /wrong padding/],
    ['a seed that is not the public key’s', 161, 1, '\0', /does not belong to the public key/],
    ['another type inside', 110, 1, 'x', /inside and ssh-ed25519 outside/],
    ['bytes after the end', bytes.length, 0, '\0', /after its end/],
  ])('are refused with %s', (_, at, length, by, message) => {
    expect(change(at, length, by)).toThrow(message);
  });

  test('are refused when a security key holds the secret', () => {
    const blob = securityKey(0).publicKey.blob;
    const secret = Buffer.concat([Buffer.alloc(8), wireString('sk-ssh-ed25519@openssh.com')]);
    const outer = [
      wireString('none'),
      wireString('none'),
      wireString(''),
      wireUint32(1),
      wireString(blob),
      wireString(secret),
    ];
    const text = armor('OPENSSH PRIVATE KEY', Buffer.concat([Buffer.from('openssh-key-v1\0'), ...outer]));
    expect(() => parsePrivateKey(text)).toThrow(/sign through the SSH agent/);
  });

  test('are not made with a comment of two lines', () => {
    expect(() => generateSshKey({ random: seeded('x'), comment: 'a\nb' })).toThrow(/one line/);
  });
});

/** A security key in software: PROTOCOL.u2f with a key that the test holds. */
function securityKey(flags: number, application = 'ssh:'): Signer {
  const seed = createHash('sha256').update('security key').digest();
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key: KeyObject = createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' });
  const point = Buffer.from(key.export({ format: 'jwk' }).x as string, 'base64url');
  const type = 'sk-ssh-ed25519@openssh.com';
  const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest();
  const publicKey = readPublicKey(Buffer.concat([wireString(type), wireString(point), wireString(application)]));
  return {
    publicKey,
    sign: async (message) => {
      const tail = Buffer.concat([Buffer.of(flags), wireUint32(7)]);
      const signature = sign(null, Buffer.concat([sha256(application), tail, sha256(message)]), key);
      return Buffer.concat([wireString(type), wireString(signature), tail]);
    },
  };
}

describe('security keys', () => {
  test('tells presence and verification apart', async () => {
    const touched = await signSsh({ signer: securityKey(0x01), namespace: NAMESPACE, message: MESSAGE });
    expect(check(touched)).toMatchObject({ ok: true, touch: { present: true, verified: false } });
    const verified = await signSsh({ signer: securityKey(0x05), namespace: NAMESPACE, message: MESSAGE });
    expect(check(verified)).toMatchObject({ ok: true, touch: { present: true, verified: true } });
  });

  test('rejects a signature that was made without anybody present', async () => {
    const silent = await signSsh({ signer: securityKey(0x00), namespace: NAMESPACE, message: MESSAGE });
    expect(check(silent)).toMatchObject({ ok: false, reason: expect.stringMatching(/without anybody present/) });
    const odd = await signSsh({ signer: securityKey(0x04), namespace: NAMESPACE, message: MESSAGE });
    expect(check(odd)).toMatchObject({ ok: false });
  });

  test('rejects flags that were set afterwards', async () => {
    const signer = securityKey(0x00);
    const lying: Signer = {
      publicKey: signer.publicKey,
      sign: async (message) => {
        const made = await signer.sign(message);
        made.writeUInt8(0x05, made.length - 5);
        return made;
      },
    };
    expect(check(await forge({}, lying))).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/does not verify/),
    });
  });

  test('rejects the device’s plain Ed25519 key under the same point', async () => {
    const signer = securityKey(0x01);
    const point = signer.publicKey.blob.subarray(30, 66);
    const blob = Buffer.concat([wireString('ssh-ed25519'), point]);
    expect(check(await forge({ blob }, signer))).toMatchObject({ ok: false });
  });
});

describeWithOpenSsh('SSH signatures against ssh-keygen', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const keygen = (args: string[], input?: string | Buffer) =>
    execFileSync('ssh-keygen', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  const KINDS = ['ed25519', 'ecdsa', 'rsa'] as const;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sshsig-'));
    const sizes = { ed25519: [], ecdsa: ['-b', '256'], rsa: ['-b', '2048'] };
    for (const kind of KINDS) keygen(['-q', '-t', kind, ...sizes[kind], '-N', '', '-C', `${kind} key`, '-f', at(kind)]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const publicKeyOf = (kind: string) => parsePublicKey(readFileSync(at(`${kind}.pub`), 'utf8'));
  const theirs = (kind: string, message: string | Buffer = MESSAGE) =>
    keygen(['-Y', 'sign', '-q', '-f', at(kind), '-n', NAMESPACE], message);
  const ours = (kind: string, message = MESSAGE) =>
    signSsh({ signer: parsePrivateKey(readFileSync(at(kind), 'utf8')), namespace: NAMESPACE, message });

  /** Both of OpenSSH's checks; they must agree with each other. */
  function theyAccept(
    armored: string,
    line: string,
    namespace = NAMESPACE,
    message: string | Buffer = MESSAGE,
  ): boolean {
    writeFileSync(at('signature'), armored);
    writeFileSync(at('allowed'), `alice ${line}\n`);
    const common = ['-n', namespace, '-s', at('signature')];
    const run = (args: string[]) =>
      spawnSync('ssh-keygen', ['-Y', ...args, ...common], { input: message }).status === 0;
    const verified = run(['verify', '-f', at('allowed'), '-I', 'alice']);
    expect(run(['check-novalidate'])).toBe(verified);
    return verified;
  }

  test.each(KINDS)('accepts the signatures of ssh-keygen, and it accepts ours: %s', async (kind) => {
    const key = publicKeyOf(kind);
    expect(check(theirs(kind))).toMatchObject({ ok: true, publicKey: { text: key.text } });
    expect(theyAccept(await ours(kind), key.text)).toBe(true);
  });

  test('writes the very bytes that ssh-keygen writes, where the algorithm has only one signature', async () => {
    expect(await ours('ed25519')).toBe(theirs('ed25519'));
    expect(await ours('rsa')).toBe(theirs('rsa'));
  });

  test('agrees on messages of any bytes and length', async () => {
    for (const message of [Buffer.alloc(0), Buffer.of(0), Buffer.from([0xff, 0x0a]), Buffer.alloc(100_000, 7)]) {
      expect(check(theirs('ed25519', message), NAMESPACE, message).ok).toBe(true);
    }
  });

  test.each(KINDS)(
    'both refuse another namespace, an altered message, a truncation and a flipped byte: %s',
    async (kind) => {
      const { text } = publicKeyOf(kind);
      const armored = theirs(kind);
      const bytes = Buffer.from(armored.split('\n').slice(1, -2).join(''), 'base64');
      const flip = (index: number) => {
        const copy = Buffer.from(bytes);
        copy.writeUInt8(copy.readUInt8(index) ^ 1, index);
        return armor('SSH SIGNATURE', copy);
      };
      const refusals: [string, string, string][] = [
        [armored, 'file@writgate', MESSAGE],
        [armored, NAMESPACE, `${MESSAGE}!`],
        [armored.slice(0, armored.indexOf('-----END')), NAMESPACE, MESSAGE],
        [armor('SSH SIGNATURE', bytes.subarray(0, -1)), NAMESPACE, MESSAGE],
        [flip(0), NAMESPACE, MESSAGE],
        [armor('SSH SIGNATURE', Buffer.concat([bytes, Buffer.of(0)])), NAMESPACE, MESSAGE],
        [flip(bytes.length - 1), NAMESPACE, MESSAGE],
        [flip(bytes.length - 40), NAMESPACE, MESSAGE],
      ];
      for (const [signature, namespace, message] of refusals) {
        expect(check(signature, namespace, message).ok).toBe(false);
        expect(theyAccept(signature, text, namespace, message)).toBe(false);
      }
    },
  );

  test('is stricter than ssh-keygen, which takes version 0 and blanks in the armor', () => {
    const armored = theirs('ed25519');
    const bytes = Buffer.from(armored.split('\n').slice(1, -2).join(''), 'base64');
    bytes.writeUInt32BE(0, 6);
    const { text } = publicKeyOf('ed25519');
    for (const variant of [
      armor('SSH SIGNATURE', bytes),
      armored.replace('\n', '\n\n'),
      armored.replace('\n', '\n '),
    ]) {
      expect(theyAccept(variant, text)).toBe(true);
      expect(check(variant).ok).toBe(false);
    }
  });

  test('ssh-keygen accepts the signatures of our software security key', async () => {
    const signer = securityKey(0x01);
    const armored = await signSsh({ signer, namespace: NAMESPACE, message: MESSAGE });
    expect(theyAccept(armored, signer.publicKey.text)).toBe(true);
  });

  test('prints the fingerprints that ssh-keygen prints', () => {
    for (const kind of KINDS) expect(keygen(['-l', '-f', at(kind)])).toContain(fingerprint(publicKeyOf(kind)));
  });

  test('makes key files that ssh-keygen reads, with comment, for its owner alone', async () => {
    const path = at('made');
    const files = generateSshKey({ random: seeded('made'), comment: 'Demo Person 1' });
    await writeSshKey(path, files);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(keygen(['-y', '-f', path])).toBe(files.publicText);
    expect(check(keygen(['-Y', 'sign', '-q', '-f', path, '-n', NAMESPACE], MESSAGE)).ok).toBe(true);
    await expect(writeSshKey(path, files)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  test('made key files are well-formed whatever the length of the comment', () => {
    for (let length = 0; length < 9; length += 1) {
      const comment = 'c'.repeat(length);
      const { privateText, publicText } = generateSshKey({ random: seeded('x'), comment });
      expect(parsePrivateKey(privateText)).toMatchObject({ comment, publicKey: parsePublicKey(publicText) });
      writeFileSync(at(`length${length}`), privateText, { mode: 0o600 });
      expect(keygen(['-y', '-f', at(`length${length}`)]).trim()).toBe(publicText.trim());
    }
  });

  test('refuses a private key with a passphrase and says that the agent is the way out', () => {
    keygen(['-q', '-t', 'ed25519', '-N', 'secret', '-f', at('locked')]);
    const read = () => parsePrivateKey(readFileSync(at('locked'), 'utf8'));
    expect(read).toThrow(
      expect.objectContaining({ code: 'ssh-key-encrypted', message: expect.stringMatching(/ssh-add/) }),
    );
  });

  test('refuses a PEM private key and says how to rewrite it', () => {
    keygen(['-q', '-t', 'rsa', '-b', '2048', '-m', 'PEM', '-N', '', '-f', at('pem')]);
    expect(() => parsePrivateKey(readFileSync(at('pem'), 'utf8'))).toThrow(/RSA PRIVATE KEY; `ssh-keygen -p/);
  });

  test.each(KINDS)(
    'refuses every truncation of a private key and never takes a flipped byte for another key: %s',
    (kind) => {
      const text = readFileSync(at(kind), 'utf8');
      const { publicKey } = parsePrivateKey(text);
      const bytes = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64');
      for (let length = 0; length < bytes.length; length += 7) {
        expect(() => parsePrivateKey(armor('OPENSSH PRIVATE KEY', bytes.subarray(0, length)))).toThrow(
          expect.objectContaining({ code: 'ssh-format' }),
        );
      }
      for (let at = 0; at < bytes.length; at += 5) {
        const copy = Buffer.from(bytes);
        copy.writeUInt8(copy.readUInt8(at) ^ 0x20, at);
        // A redundant part of the file (comment, a prime's inverse) may change; the key that it stands for may not.
        try {
          expect(parsePrivateKey(armor('OPENSSH PRIVATE KEY', copy)).publicKey.text).toBe(publicKey.text);
        } catch (thrown) {
          expect(thrown).toMatchObject({ name: 'Failure' });
        }
      }
    },
  );
});
