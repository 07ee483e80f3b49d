import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalDn, fold, isBelow, parseDn, plainDn, writeDn } from './dn.ts';

const BASE = 'dc=acme,dc=example';

describe('what is not a name', () => {
  test.each([
    ['nothing', ''],
    ['no type', 'sjacobs'],
    ['no value', 'uid='],
    ['only spaces for a value', 'uid=   ,dc=acme'],
    ['a trailing comma', 'uid=a,'],
    ['a leading comma', ',uid=a'],
    ['a trailing plus', 'uid=a+'],
    ['a quoted value (RFC 2253)', 'uid="a,b",dc=acme'],
    ['a semicolon as separator (RFC 2253)', 'uid=a;dc=acme'],
    ['an unescaped bracket', 'uid=a<b'],
    ['a value in BER', 'uid=#04024869'],
    ['a broken escape', 'uid=a\\'],
    ['an escape of something else', 'uid=a\\zb'],
    ['half a hex pair', 'uid=a\\4'],
    ['hex that is not UTF-8', 'uid=a\\ff'],
    ['an escaped NUL', 'uid=a\\00'],
    ['a raw NUL', 'uid=a\0'],
    ['a line break', 'uid=a\nb'],
    ['a zero width space', 'uid=s\u200bjacobs'],
    ['a right-to-left override', 'uid=\u202esbocajs'],
    ['a no-break space', 'uid=a\u00a0b'],
    ['a soft hyphen', 'uid=ja\u00adcobs'],
    ['a variation selector', 'uid=a\ufe0f'],
    ['a lone surrogate', 'uid=\ud800'],
    ['an OID without a name', '1.2.3.4=a,dc=acme'],
    ['a GUID name of Active Directory', '<GUID=1234>'],
    ['a type with an option', 'cn;lang-en=a'],
    ['a type with a space', 'c n=a'],
    ['too many levels', Array.from({ length: 33 }, () => 'ou=a').join(',')],
    ['too long', `uid=${'a'.repeat(2000)}`],
  ])('refuses %s', (_what, text) => {
    expect(parseDn(text)).toBeNull();
    expect(canonicalDn(text, BASE)).toBeNull();
  });
});

describe('one object has one spelling', () => {
  test.each([
    'uid=sjacobs,ou=people,dc=acme,dc=example',
    'UID=SJacobs,OU=People,DC=Acme,DC=Example',
    ' uid = sjacobs , ou = people , dc = acme , dc = example ',
    'userid=sjacobs,organizationalUnitName=people,domainComponent=acme,dc=example',
    '0.9.2342.19200300.100.1.1=sjacobs,2.5.4.11=people,0.9.2342.19200300.100.1.25=acme,dc=example',
    'uid=\\73\\6aacobs,ou=people,dc=acme,dc=example',
    'uid=\\ sjacobs\\ ,ou=people,dc=acme,dc=example',
  ])('%s', (text) => {
    expect(plainDn(text)).toBe('uid=sjacobs,ou=people,dc=acme,dc=example');
  });

  test('inner spaces are one space, and composed and decomposed letters are the same', () => {
    expect(plainDn('cn=a   b')).toBe(plainDn('cn=A b'));
    expect(plainDn('cn=Zoe\u0308')).toBe(plainDn('cn=zo\u00eb'));
    expect(plainDn('cn=zo\\c3\\ab')).toBe('cn=zoë');
  });

  test('the parts of a multi-valued name have one order', () => {
    expect(plainDn('uid=b+cn=a,dc=acme')).toBe('cn=a+uid=b,dc=acme');
  });

  test('a name without the base is relative to it, and one with it is not', () => {
    expect(canonicalDn('cn=finance,ou=groups', BASE)).toBe('cn=finance,ou=groups,dc=acme,dc=example');
    expect(canonicalDn('CN=Finance, OU=Groups, DC=acme, DC=example', BASE)).toBe(
      'cn=finance,ou=groups,dc=acme,dc=example',
    );
    expect(canonicalDn('DC=ACME,dc=example', BASE)).toBe(BASE);
  });

  test('a name that only ends like the base is not below it', () => {
    expect(canonicalDn('cn=x,dc=notacme,dc=example', BASE)).toBe('cn=x,dc=notacme,dc=example,dc=acme,dc=example');
    expect(isBelow(parseDn('cn=x\\,dc=acme,dc=example')!, parseDn(BASE)!)).toBe(false);
    expect(isBelow(parseDn('dc=x\\2cdc=acme,dc=example')!, parseDn(BASE)!)).toBe(false);
    expect(isBelow(parseDn(BASE)!, parseDn(BASE)!)).toBe(false);
  });

  test('whatever a login holds, its name reads back as that login and writes the same again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), (readable, any) => {
        for (const value of [readable, any].map(fold)) {
          if (value === null) continue;
          const written = writeDn([[{ type: 'uid', value }], ...parseDn(`ou=people,${BASE}`)!]);
          const read = parseDn(written);
          expect(read?.[0], written).toEqual([{ type: 'uid', value }]);
          expect(writeDn(read!)).toBe(written);
        }
      }),
    );
  });
});
