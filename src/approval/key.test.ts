import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, test } from 'vitest';
import { fingerprint, parsePublicKey, readPublicKey } from './key.ts';
import { signerOf } from './testing.ts';
import { WireReader, wireMpint, wireString } from './wire.ts';

const ed25519Blob = (point: Uint8Array) => Buffer.concat([wireString('ssh-ed25519'), wireString(point)]);
const read = (blob: Buffer) => () => readPublicKey(blob);
const jwk = (key: KeyObject) => key.export({ format: 'jwk' }) as Record<string, string>;
const bytes = (text: string | undefined) => Buffer.from(text as string, 'base64url');

function rsaBlob(bits: number, exponent?: Buffer): Buffer {
  const { n, e } = jwk(generateKeyPairSync('rsa', { modulusLength: bits }).publicKey);
  return Buffer.concat([wireString('ssh-rsa'), wireMpint(exponent ?? bytes(e)), wireMpint(bytes(n))]);
}

describe('public keys', () => {
  const good = signerOf('alice').publicKey;

  test('reads a line with and without comment, and forgets the comment', () => {
    for (const line of [good.text, `${good.text} bob@example`, `${good.text} two words\n`]) {
      expect(parsePublicKey(line).text).toBe(good.text);
    }
  });

  test.each([
    ['nothing', ''],
    ['options before the key', `command="sh" ${good.text}`],
    ['two lines', `${good.text}\n${good.text}\n`],
    ['a tab for a blank', good.text.replace(' ', '\t')],
    ['base64 with padding that does not belong', `${good.text}=`],
    ['a name that is not the one in the bytes', good.text.replace('ssh-ed25519', 'ssh-rsa')],
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\n'],
  ])('refuses %s', (_, line) => {
    expect(() => parsePublicKey(line)).toThrow(expect.objectContaining({ code: 'ssh-format' }));
  });

  test('refuses base64 with stray bits', () => {
    // 11 bytes: the last character before the padding carries two bits that mean nothing.
    const text = wireString('ssh-dss').toString('base64');
    const stray = text.replace(/(.)=$/, (_, last: string) => `${String.fromCharCode(last.charCodeAt(0) + 1)}=`);
    expect(Buffer.from(stray, 'base64')).toEqual(Buffer.from(text, 'base64'));
    expect(() => parsePublicKey(`ssh-dss ${text}`)).toThrow(/is of type "ssh-dss"/);
    expect(() => parsePublicKey(`ssh-dss ${stray}`)).toThrow(/not an SSH public key/);
  });

  test('refuses bytes after the end', () => {
    expect(read(Buffer.concat([good.blob, Buffer.of(0)]))).toThrow(/has 1 bytes after its end/);
  });

  test('refuses every truncation', () => {
    for (let length = 0; length < good.blob.length; length += 1) {
      expect(read(good.blob.subarray(0, length))).toThrow(expect.objectContaining({ code: 'ssh-format' }));
    }
  });

  test('refuses a type that is not on the list', () => {
    expect(read(wireString('ssh-dss'))).toThrow(/type "ssh-dss"; taken are ssh-ed25519/);
    expect(read(wireString('constructor'))).toThrow(/type "constructor"/);
    expect(read(wireString('ssh-ed25519-cert-v01@openssh.com'))).toThrow(/taken are/);
  });

  test('refuses RSA under 2048 bits', () => {
    expect(read(rsaBlob(1024))).toThrow(/RSA with 1024 bits; 2048/);
    expect(read(rsaBlob(2047))).toThrow(/2047 bits/);
  });

  test('refuses an RSA exponent of 1, under which anybody signs', () => {
    expect(read(rsaBlob(2048, Buffer.of(1)))).toThrow(/exponent/);
  });

  test('refuses a padded integer, a second spelling of the same key', () => {
    const { n, e } = jwk(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey);
    const padded = wireString(Buffer.concat([Buffer.of(0), bytes(e)]));
    expect(read(Buffer.concat([wireString('ssh-rsa'), padded, wireMpint(bytes(n))]))).toThrow(/needless zeros/);
  });

  test('refuses a P-256 point off the curve, compressed, or of another curve', () => {
    const { x, y } = jwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
    const blob = (curve: string, point: Buffer) =>
      Buffer.concat([wireString('ecdsa-sha2-nistp256'), wireString(curve), wireString(point)]);
    const point = Buffer.concat([Buffer.of(4), bytes(x), bytes(y)]);
    expect(readPublicKey(blob('nistp256', point)).type).toBe('ecdsa-sha2-nistp256');
    const off = Buffer.from(point);
    off.writeUInt8(off.readUInt8(64) ^ 1, 64);
    expect(read(blob('nistp256', off))).toThrow(/not a valid point/);
    expect(read(blob('nistp256', Buffer.concat([Buffer.of(2), bytes(x)])))).toThrow(/not uncompressed/);
    expect(read(blob('nistp384', point))).toThrow(/another curve/);
  });

  test('refuses all eight Ed25519 points of small order, in both signs', () => {
    const torsion = ed25519.Point.fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', true);
    let point = torsion;
    for (let order = 0; order < 8; order += 1, point = point.add(torsion)) {
      expect(point.isSmallOrder()).toBe(true);
      expect(read(ed25519Blob(point.toBytes()))).toThrow(/small order/);
      expect(read(ed25519Blob(point.negate().toBytes()))).toThrow(/small order/);
    }
  });

  test('refuses a second spelling of an Ed25519 point', () => {
    // p + 3 means y = 3.
    const spelling = Buffer.from(`f0${'ff'.repeat(30)}7f`, 'hex');
    expect(read(ed25519Blob(spelling))).toThrow(/canonical spelling/);
    const negative = Buffer.from(`f0${'ff'.repeat(30)}ff`, 'hex');
    expect(read(ed25519Blob(negative))).toThrow(/canonical spelling/);
  });

  test('refuses a security key that was enrolled for a web site', () => {
    const blob = (application: string) =>
      Buffer.concat([wireString('sk-ssh-ed25519@openssh.com'), good.blob.subarray(-36), wireString(application)]);
    expect(readPublicKey(blob('ssh:')).application).toBe('ssh:');
    expect(read(blob('bank.example'))).toThrow(/enrolled for "bank.example"/);
  });

  test('prints the fingerprint as ssh-keygen does', () => {
    expect(fingerprint(good)).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
  });
});

describe('wire format', () => {
  test('refuses negative integers and control characters in names', () => {
    expect(() => new WireReader(wireString(Buffer.of(0x80)), 'x').mpint()).toThrow(/negative/);
    expect(() => new WireReader(wireString('a\nb'), 'x').ascii()).toThrow(/printable ASCII/);
  });

  test('refuses a length beyond the end', () => {
    expect(() => new WireReader(Buffer.from('ffffffff61', 'hex'), 'thing').string()).toThrow(/thing ends early/);
  });

  test('writes an integer in its least form', () => {
    expect(wireMpint(Buffer.of(0, 0, 0x80)).toString('hex')).toBe('000000020080');
    expect(wireMpint(Buffer.of(0, 0)).toString('hex')).toBe('00000000');
    expect(new WireReader(wireMpint(Buffer.of(0, 0x80)), 'x').mpint().toString('hex')).toBe('80');
  });
});
