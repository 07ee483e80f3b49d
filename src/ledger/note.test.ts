import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  COSIGNATURE,
  createSigner,
  ED25519,
  formatVerifier,
  openNote,
  parseNote,
  parseVerifier,
  signatureLine,
  signNote,
} from './note.ts';

const newKey = () => generateKeyPairSync('ed25519').privateKey;
const keyFrom = (seed: Uint8Array) =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
    format: 'der',
    type: 'pkcs8',
  });
const alice = createSigner('alice.example/log', newKey());
const bob = createSigner('bob.example/log', newKey());
const witness = createSigner('witness.example/w1', newKey(), COSIGNATURE);
const TEXT = 'one\n\ntwo\n';
const NOTE = signNote(TEXT, alice);
const refused = (note: string, keys = [alice.verifier]) => {
  const opened = openNote(note, keys);
  return opened.ok ? 'accepted' : opened.reason;
};
const lineOf = (note: string) => note.slice(note.lastIndexOf('\n\n') + 2);

describe('refuses a note', () => {
  const line = lineOf(NOTE);
  const [, , encoded] = line.trimEnd().split(' ');
  it.each([
    ['without signatures', 'text\n'],
    ['without text', line],
    ['without the last newline', NOTE.slice(0, -1)],
    ['with an empty line at the end', `${NOTE}\n`],
    ['that is empty', ''],
    ['with a hyphen for the dash', NOTE.replace('—', '-')],
    ['with a dash of another length', NOTE.replace('—', '–')],
    ['with two spaces', NOTE.replace('— ', '—  ')],
    ['with something after the signature', NOTE.replace(`${encoded}`, `${encoded} x`)],
    ['with a tab', NOTE.replace('one', 'o\tne')],
    ['with a carriage return', NOTE.replace('one\n', 'one\r\n')],
    ['with a null byte', NOTE.replace('one', 'o\0ne')],
    ['with a lone surrogate', NOTE.replace('one', '\ud800')],
    ['with base64 without padding', NOTE.replace('=', '')],
    ['with base64 in a second spelling', NOTE.replace(`${encoded}`, `${encoded?.slice(0, -1)}\u00a0`)],
    ['with base64 in the URL alphabet', NOTE.replace(`${encoded}`, '_-_-_-_-')],
    ['with a signature that has a key id only', NOTE.replace(`${encoded}`, 'AAAAAA==')],
    ['with an empty key name', NOTE.replace('alice.example/log', '')],
    ['with a plus in a key name', NOTE.replace('alice.example/log', 'alice+log')],
    ['with a no-break space in a key name', NOTE.replace('alice.example/log', 'alice\u00a0log')],
    ['with a next-line character in a key name', NOTE.replace('alice.example/log', 'alice\u0085log')],
    ['with more than a hundred signatures', NOTE + line.repeat(100)],
    ['with more than a million characters', signNote(`${'x'.repeat(1_000_000)}\n`, alice)],
  ])('%s', (_, note) => {
    expect(parseNote(note)).toBeNull();
    expect(refused(note)).toBe('the note is malformed');
  });

  it('whose text was changed', () => {
    expect(refused(NOTE.replace('two', 'six'))).toBe('the signature of alice.example/log does not verify');
  });

  it('that was split at the first empty line and so seems to say less than was signed', () => {
    const inner = signNote('one\n', bob);
    const outer = signNote(inner, alice);
    const opened = openNote(outer, [alice.verifier]);
    expect(opened).toMatchObject({ ok: true, text: inner });
    // A splitter at the first empty line would take this for bob's note on "one", with lines to ignore after it.
    expect(refused(outer, [bob.verifier])).toBe('no signature of a known key');
  });

  it('of unknown keys only', () => {
    expect(refused(NOTE, [bob.verifier])).toBe('no signature of a known key');
    expect(refused(NOTE, [])).toBe('no signature of a known key');
  });

  it('signed under a known name by another key', () => {
    expect(refused(signNote(TEXT, createSigner('alice.example/log', newKey())))).toBe('no signature of a known key');
  });

  it('with one bad signature of a known key beside a good one', () => {
    const bad = lineOf(signNote('other\n', bob));
    expect(refused(NOTE + bad, [alice.verifier, bob.verifier])).toBe(
      'the signature of bob.example/log does not verify',
    );
    expect(refused(NOTE + bad, [alice.verifier])).toBe('accepted');
  });

  it('where a key name is used as a pattern', () => {
    const dots = createSigner('a.b', newKey());
    const note = signNote(TEXT, dots).replace('a.b', 'axb');
    expect(refused(note, [dots.verifier])).toBe('no signature of a known key');
    const brackets = createSigner('a(b[c*', newKey());
    expect(refused(signNote(TEXT, brackets), [brackets.verifier])).toBe('accepted');
  });

  it('whose known keys collide in name and key id', () => {
    const twin = { ...bob.verifier, name: alice.verifier.name, keyId: alice.verifier.keyId };
    expect(refused(NOTE, [alice.verifier, twin])).toContain('two known keys share the name');
  });

  it('with a signature that is too short or too long', () => {
    for (const change of [
      (bytes: Buffer) => bytes.subarray(0, -1),
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.of(0)]),
    ]) {
      const changed = change(Buffer.from(`${encoded}`, 'base64')).toString('base64');
      expect(refused(NOTE.replace(`${encoded}`, changed))).toContain('does not verify');
    }
  });
});

describe('counts', () => {
  it('a signatory once, however often it signed', () => {
    const line = signatureLine(TEXT, witness, 5);
    const opened = openNote(`${TEXT}\n${line}${line}${signatureLine(TEXT, witness, 6)}`, [witness.verifier]);
    expect(opened).toMatchObject({ ok: true, signed: [{ at: 5 }] });
    expect(opened.ok && opened.signed).toHaveLength(1);
  });

  it('a signatory once under two names', () => {
    const alias = createSigner('w2.example', witness.privateKey, COSIGNATURE);
    const note = `${TEXT}\n${signatureLine(TEXT, witness, 5)}${signatureLine(TEXT, alias, 5)}`;
    const opened = openNote(note, [witness.verifier, alias.verifier]);
    expect(opened.ok && opened.signed).toHaveLength(1);
  });
});

describe('a cosignature', () => {
  it('does not verify as a plain signature, nor the other way round', () => {
    const plain = createSigner(witness.verifier.name, witness.privateKey, ED25519);
    expect(refused(`${TEXT}\n${signatureLine(TEXT, witness, 5)}`, [plain.verifier])).toBe(
      'no signature of a known key',
    );
    const forged = { ...plain.verifier, keyId: witness.verifier.keyId };
    expect(refused(`${TEXT}\n${signatureLine(TEXT, witness, 5)}`, [forged])).toContain('does not verify');
    expect(refused(signNote(TEXT, plain), [witness.verifier])).toBe('no signature of a known key');
  });

  it('with another time does not verify', () => {
    const bytes = Buffer.from(signatureLine(TEXT, witness, 5).split(' ')[2]!, 'base64');
    bytes.writeBigUInt64BE(6n, 4);
    expect(refused(`${TEXT}\n— ${witness.verifier.name} ${bytes.toString('base64')}\n`, [witness.verifier])).toContain(
      'does not verify',
    );
  });

  it.each([2n ** 64n - 1n, 2n ** 63n, 2n ** 53n])('at time %s is refused and throws nothing', (at) => {
    const bytes = Buffer.from(signatureLine(TEXT, witness, 5).split(' ')[2]!, 'base64');
    bytes.writeBigUInt64BE(at, 4);
    expect(refused(`${TEXT}\n— ${witness.verifier.name} ${bytes.toString('base64')}\n`, [witness.verifier])).toContain(
      'does not verify',
    );
  });

  it('is not made without a time, or with one that is no whole number of seconds', () => {
    expect(() => signatureLine(TEXT, witness)).toThrow('whole seconds');
    expect(() => signatureLine(TEXT, witness, 1.5)).toThrow('whole seconds');
    expect(() => signatureLine(TEXT, witness, -1)).toThrow('whole seconds');
  });

  it('signs what tlog-cosignature says, checked by another implementation', () => {
    const raw = witness.privateKey.export({ format: 'jwk' }).x!;
    const bytes = Buffer.from(signatureLine(TEXT, witness, 1679315147).split(' ')[2]!, 'base64');
    const message = utf8ToBytes(`cosignature/v1\ntime 1679315147\n${TEXT}`);
    expect(bytes.readBigUInt64BE(4)).toBe(1679315147n);
    expect(ed25519.verify(bytes.subarray(12), message, Buffer.from(raw, 'base64url'))).toBe(true);
  });
});

describe('a verifier key', () => {
  const vkey = formatVerifier(alice.verifier);
  it.each([
    ['that is empty', ''],
    ['without key id', vkey.replace(/\+[0-9a-f]{8}\+/, '+')],
    ['with another key id', vkey.replace(/\+[0-9a-f]{8}\+/, '+00000000+')],
    ['with a key id in upper case', vkey.replace(/\+[0-9a-f]{8}\+/, (id) => id.toUpperCase().replace(/\d/g, 'A'))],
    ['with another name', vkey.replace('alice', 'mallory')],
    ['with a blank in the name', vkey.replace('alice', 'al ice')],
    ['of another algorithm', vkey.replace(/\+[^+]*$/, `+${Buffer.alloc(33, 2).toString('base64')}`)],
    ['that is too short', vkey.replace(/\+[^+]*$/, '+AQ==')],
    ['with something after it', `${vkey}\n`],
  ])('%s is refused', (_, text) => {
    expect(() => parseVerifier(text)).toThrow(expect.objectContaining({ code: 'ledger-key' }));
  });

  it('comes back from its text, whatever `+` its base64 contains', () => {
    for (let round = 0; round < 50; round += 1) {
      const { verifier } = createSigner('x.example', newKey(), round % 2 ? ED25519 : COSIGNATURE);
      const parsed = parseVerifier(formatVerifier(verifier));
      expect({ ...parsed, publicKey: 0 }).toEqual({ ...verifier, publicKey: 0 });
      expect(parsed.publicKey.equals(verifier.publicKey)).toBe(true);
    }
  });

  it('is refused for a name that no note can carry', () => {
    for (const name of ['', 'a b', 'a+b', 'a\nb', '\ud800']) {
      expect(() => createSigner(name, newKey())).toThrow(expect.objectContaining({ code: 'ledger-key' }));
    }
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    expect(() => createSigner('a', rsa)).toThrow('Ed25519');
  });

  it('has the key id of the published example of Go’s note package', () => {
    // golang.org/x/mod/sumdb/note, its documentation.
    const peter = parseVerifier('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const note =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n" +
      '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
    expect(openNote(note, [peter]).ok).toBe(true);
    expect(openNote(note.replace('answer', 'Answer'), [peter]).ok).toBe(false);
  });

  it('opens the published example of tlog-cosignature as far as its form goes', () => {
    const note =
      'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n' +
      '— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n' +
      '— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n';
    expect(parseNote(note)?.lines.map(({ name, signature }) => [name, signature.length])).toEqual([
      ['example.com/behind-the-sofa', 64],
      ['witness.example.com/w1', 72],
    ]);
  });
});

describe('signing', () => {
  it('makes the signatures of another implementation, for any text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.string({ unit: 'grapheme' }), (seed, body) => {
        const text = `${body.replace(/\p{Cc}/gu, '')}\n`;
        const signer = createSigner('x.example', keyFrom(seed));
        const bytes = Buffer.from(signatureLine(text, signer).split(' ')[2]!, 'base64');
        expect([...bytes.subarray(4)]).toEqual([...ed25519.sign(utf8ToBytes(text), seed)]);
        expect(openNote(signNote(text, signer), [signer.verifier])).toMatchObject({ ok: true, text });
      }),
      { numRuns: 30 },
    );
  });

  it('refuses a text that no note can carry', () => {
    expect(() => signNote('no newline', alice)).toThrow();
    expect(() => signNote('tab\t\n', alice)).toThrow();
  });

  it('keeps at least 16 signatures apart, and ignores lines of algorithms it does not know', () => {
    const signers = Array.from({ length: 16 }, (_, index) => createSigner(`s${index}`, newKey()));
    const mlDsa = `— pq.example ${Buffer.alloc(4 + 8 + 2420, 6).toString('base64')}\n`;
    const note = `${TEXT}\n${mlDsa}${signers.map((signer) => signatureLine(TEXT, signer)).join('')}`;
    const opened = openNote(
      note,
      signers.map(({ verifier }) => verifier),
    );
    expect(opened.ok && opened.signed).toHaveLength(16);
  });
});
