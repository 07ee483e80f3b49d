import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { formatCheckpoint, openCheckpoint, parseCheckpoint, parseSize } from './checkpoint.ts';
import { COSIGNATURE, createSigner, signatureLine, signNote } from './note.ts';
import { EMPTY_ROOT, leafHash } from './tree.ts';

const newKey = () => generateKeyPairSync('ed25519').privateKey;
const log = createSigner('log.example', newKey());
const witness = createSigner('witness.example', newKey(), COSIGNATURE);
const root = leafHash('x');
const TEXT = formatCheckpoint({ origin: 'log.example', size: 7, root });
const [, , ROOT_LINE] = TEXT.split('\n');

describe('refuses a checkpoint', () => {
  it.each([
    ['without a root', 'log.example\n7\n'],
    ['without a newline at the end', TEXT.slice(0, -1)],
    ['with an empty origin', TEXT.replace('log.example', '')],
    ['with a leading zero', TEXT.replace('\n7\n', '\n07\n')],
    ['with a sign', TEXT.replace('\n7\n', '\n+7\n')],
    ['of negative size', TEXT.replace('\n7\n', '\n-7\n')],
    ['with a blank around its size', TEXT.replace('\n7\n', '\n 7\n')],
    ['of hexadecimal size', TEXT.replace('\n7\n', '\n0x7\n')],
    ['of fractional size', TEXT.replace('\n7\n', '\n7.0\n')],
    ['of a size in words', TEXT.replace('\n7\n', '\nseven\n')],
    ['of an empty size', TEXT.replace('\n7\n', '\n\n')],
    ['of a size beyond exact numbers', TEXT.replace('\n7\n', '\n9007199254740992\n')],
    ['of a huge size', TEXT.replace('\n7\n', '\n99999999999999999999999\n')],
    ['with a short root', TEXT.replace(`${ROOT_LINE}`, 'AAAA')],
    ['with a root in hex', TEXT.replace(`${ROOT_LINE}`, root)],
    ['with an empty extension line', `${TEXT}\n`],
    ['with an empty line among extensions', `${TEXT}a\n\nb\n`],
  ])('%s', (_, text) => {
    expect(parseCheckpoint(text)).toBeNull();
  });

  it('that the log has not signed', () => {
    const opened = openCheckpoint(`${TEXT}\n${signatureLine(TEXT, witness, 1)}`, log.verifier, [witness.verifier]);
    expect(opened).toEqual({ ok: false, reason: 'log.example has not signed it' });
  });

  it('of another origin, though signed by the log', () => {
    const other = formatCheckpoint({ origin: 'other.example', size: 7, root });
    expect(openCheckpoint(signNote(other, log), log.verifier)).toEqual({
      ok: false,
      reason: 'it is of the log other.example, not of log.example',
    });
  });

  it('whose signed text is none', () => {
    expect(openCheckpoint(signNote('hello\n', log), log.verifier)).toEqual({
      ok: false,
      reason: 'the signed text is no checkpoint',
    });
  });

  it('as cosigned by its own log under another name', () => {
    const self = createSigner('self.example', log.privateKey, COSIGNATURE);
    const opened = openCheckpoint(signNote(TEXT, log) + signatureLine(TEXT, self, 1), log.verifier, [self.verifier]);
    expect(opened).toMatchObject({ ok: true, cosigned: [] });
  });

  it('that the log has only cosigned', () => {
    const self = createSigner('log.example', log.privateKey, COSIGNATURE);
    const opened = openCheckpoint(`${TEXT}\n${signatureLine(TEXT, self, 1)}`, log.verifier, [self.verifier]);
    expect(opened.ok).toBe(false);
  });
});

describe('a checkpoint', () => {
  it('comes back from its text, with extensions', () => {
    expect(parseCheckpoint(TEXT)).toEqual({ origin: 'log.example', size: 7, root, extensions: [] });
    const extended = { origin: 'log.example', size: 0, root: EMPTY_ROOT, extensions: ['a', 'b c'] };
    expect(parseCheckpoint(formatCheckpoint(extended))).toEqual(extended);
  });

  it('is not written in a form that would not be read', () => {
    expect(() => formatCheckpoint({ origin: '', size: 7, root })).toThrow();
    expect(() => formatCheckpoint({ origin: 'a\nb', size: 7, root })).toThrow();
    expect(() => formatCheckpoint({ origin: 'a', size: -1, root })).toThrow();
    expect(() => formatCheckpoint({ origin: 'a', size: 1, root, extensions: [''] })).toThrow();
  });

  it('tells who has cosigned it', () => {
    const opened = openCheckpoint(signNote(TEXT, log) + signatureLine(TEXT, witness, 9), log.verifier, [
      witness.verifier,
    ]);
    expect(opened).toMatchObject({ ok: true, cosigned: [{ verifier: { name: 'witness.example' }, at: 9 }] });
  });

  it('has sizes up to 2^53 - 1', () => {
    expect(parseSize('0')).toBe(0);
    expect(parseSize('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
  });
});
