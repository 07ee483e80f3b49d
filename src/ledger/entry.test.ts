import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonical, parseCanonical } from '../canonical.ts';
import { checkBody, openEntry, type Role, sealEntry } from './entry.ts';

const gateway = generateKeyPairSync('ed25519');
const random = (bytes: number) => Buffer.alloc(bytes, 7);
const base = {
  kind: 'decision',
  at: 1767225600000,
  by: 'control' as Role,
  tenant: 'acme',
  refs: { change: 'P7.1', plan: 'P7' },
  body: { verdict: 'permit', reasons: ['default-removal'] },
  random,
};
const sealed = sealEntry(base);
const signed = sealEntry({ ...base, by: 'gateway', kind: 'intent', signWith: gateway.privateKey });
const text = sealed.entry.toString();
const reason = (entry: string | Buffer) => {
  const opened = openEntry(Buffer.from(entry));
  return opened.ok ? 'accepted' : opened.reason;
};
const FORM = 'not in the canonical form of an entry';

describe('refuses an entry', () => {
  it.each([
    ['that is empty', ''],
    ['that is no object', '[]'],
    ['with a blank', text.replace(':', ': ')],
    ['with a newline at the end', `${text}\n`],
    ['with a byte order mark', `\ufeff${text}`],
    ['with members in another order', text.replace(/"at":(\d+),"by":"control"/, '"by":"control","at":$1')],
    ['with a further member', text.replace('"v":1', '"v":1,"x":1')],
    ['without its tenant', text.replace('"tenant":"acme",', '')],
    ['with a member twice', text.replace('"tenant":"acme",', '"tenant":"acme","tenant":"acme",')],
    ['of another version', text.replace('"v":1', '"v":2')],
    ['by nobody known', text.replace('"control"', '"auditor"')],
    ['with a time in the past of time', text.replace('1767225600000', '-1')],
    ['with a fractional time', text.replace('1767225600000', '1.5')],
    ['with a time in scientific notation', text.replace('1767225600000', '1e3')],
    ['with a time with a leading zero', text.replace('1767225600000', '01')],
    ['with a short commitment', text.replace(/"commitment":"../, '"commitment":"')],
    ['with a commitment in upper case', text.replace(/"commitment":"[^"]*"/, `"commitment":"${'A'.repeat(64)}"`)],
    ['with a kind in upper case', text.replace('"decision"', '"Decision"')],
    ['with refs that are no object', text.replace(/"refs":\{[^}]*\}/, '"refs":[]')],
    ['with a ref that is a number', text.replace('"P7.1"', '7')],
    ['with a ref that is nested', text.replace('"P7.1"', '{}')],
    ['with a ref key that is no word', text.replace('"change":', '"chänge":')],
    ['with a needless escape', text.replace('P7.1', '\\u0050')],
    ['with an escaped slash', text.replace('P7.1', '\\/')],
    ['with an escape in upper case', text.replace('P7.1', '\\u001F')],
    ['with a long escape where there is a short one', text.replace('P7.1', '\\u0009')],
    ['with a raw control character', text.replace('P7.1', '\u0001')],
    [
      'with a signature of 63 bytes',
      signed.entry.toString().replace(/"signature":"[^"]*"/, `"signature":"${Buffer.alloc(63).toString('base64')}"`),
    ],
    ['with a signature in a second spelling', signed.entry.toString().replace(/.==",/, 'B==",')],
  ])('%s', (_, entry) => {
    expect(reason(entry)).toBe(FORM);
  });

  it('whose refs are not sorted, or name something twice', () => {
    expect(reason(text.replace('"change":"P7.1","plan":"P7"', '"plan":"P7","change":"P7.1"'))).toContain('sorted');
    expect(reason(text.replace('"change":"P7.1","plan":"P7"', '"change":"P7.1","change":"P7.1"'))).toContain('twice');
  });

  it('whose time is beyond exact numbers', () => {
    expect(reason(text.replace('1767225600000', '9007199254740992'))).toBe('its time is out of range');
  });

  it('that is not UTF-8', () => {
    const bytes = Buffer.from(text.replace('P7.1', 'P7?1'));
    bytes[bytes.indexOf('?')] = 0xff;
    expect(reason(bytes)).toBe('not UTF-8');
  });

  it('of gateway or verifier without its signature', () => {
    for (const role of ['gateway', 'verifier']) {
      expect(reason(text.replace('"control"', `"${role}"`))).toBe(`an entry of the ${role} without its signature`);
    }
  });

  it('longer than 65535 bytes', () => {
    expect(reason(text.replace('P7.1', 'x'.repeat(65_535)))).toContain('at most 65535 bytes');
    const room = 65_535 - text.length + 'P7.1'.length;
    expect(reason(text.replace('P7.1', 'x'.repeat(room)))).toBe('accepted');
  });
});

describe('does not seal', () => {
  it.each([
    ['a kind that is none', { kind: 'Not A Kind' }],
    ['a negative time', { at: -1 }],
    ['a ref under a key that is no word', { refs: { 'a b': 'x' } }],
    ['a tenant without a name', { tenant: '' }],
    ['a word of the gateway without its key', { by: 'gateway' as Role }],
    ['refs that do not fit into an entry', { refs: { change: 'x'.repeat(70_000) } }],
  ])('%s', (_, change) => {
    expect(() => sealEntry({ ...base, ...change })).toThrow(expect.objectContaining({ code: 'ledger-entry' }));
  });

  it.each([
    ['a body without canonical bytes', { body: { share: 0.5 } }],
    ['a ref with a lone surrogate', { refs: { change: '\ud800' } }],
    ['half a millisecond', { at: 0.5 }],
  ])('%s', (_, change) => {
    expect(() => sealEntry({ ...base, ...change })).toThrow(expect.objectContaining({ code: 'canonical-form' }));
  });
});

describe('a sealed entry', () => {
  it('is canonical and says nothing of its body', () => {
    expect(parseCanonical(text)).toMatchObject({
      by: 'control',
      kind: 'decision',
      refs: base.refs,
      tenant: 'acme',
      v: 1,
    });
    expect(text).not.toContain('permit');
    expect(sealed.body).toBe('{"reasons":["default-removal"],"verdict":"permit"}');
    const opened = openEntry(sealed.entry);
    expect(opened.ok && opened.entry).toEqual(parseCanonical(text));
  });

  it('commits to body and salt, and to no others', () => {
    const opened = openEntry(sealed.entry);
    if (!opened.ok) throw new Error(opened.reason);
    const { entry } = opened;
    const { body, salt } = sealed;
    expect(checkBody(entry, body, salt)).toBe(true);
    expect(checkBody(entry, `${body} `, salt)).toBe(false);
    expect(checkBody(entry, body.replace('permit', 'denied'), salt)).toBe(false);
    expect(checkBody(entry, body, Buffer.alloc(16, 8).toString('base64'))).toBe(false);
    // A byte moved from the body to the salt would hash to the same.
    const moved = Buffer.concat([Buffer.alloc(16, 7), Buffer.from('{')]).toString('base64');
    expect(checkBody(entry, body.slice(1), moved)).toBe(false);
    expect(checkBody(entry, body, '')).toBe(false);
    expect(checkBody(entry, body, salt.replace('=', ''))).toBe(false);
    expect(checkBody(entry, '\ud800', salt)).toBe(false);
  });

  it('has another commitment with another salt, so that a guessed body is not confirmed by it', () => {
    const again = sealEntry({ ...base, random: (bytes) => Buffer.alloc(bytes, 8) });
    expect(again.entry.equals(sealed.entry)).toBe(false);
  });
});

describe('the form of an entry', () => {
  const anyString = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.constantFrom(
        '"',
        '\\',
        '\b',
        '\t',
        '\n',
        '\f',
        '\r',
        '\0',
        '\u000b',
        '\u001f',
        '\u007f',
        '\u2028',
        ':',
        ',',
        '{',
        '}',
        '\ufffd',
        'a',
      ),
    }),
  );

  it('admits the canonical bytes of whatever is in refs', () => {
    const refs = fc.dictionary(fc.stringMatching(/^[a-z][A-Za-z0-9]{0,8}$/), anyString, {
      maxKeys: 5,
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(refs, (some) => {
        const { entry } = sealEntry({ ...base, refs: some });
        const opened = openEntry(entry);
        expect(opened.ok && opened.entry.refs).toEqual(some);
      }),
      { numRuns: 500 },
    );
  });

  it('admits nothing that is not canonical, however it was mutated', () => {
    const bytes = signed.entry;
    const place = fc.nat(bytes.length - 1);
    fc.assert(
      fc.property(place, fc.uint8Array({ maxLength: 3 }), fc.nat(3), (at, inserted, removed) => {
        const mutated = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + removed)]);
        const opened = openEntry(mutated);
        if (opened.ok) expect(canonical(opened.entry)).toBe(mutated.toString());
      }),
      { numRuns: 5000 },
    );
  });
});
