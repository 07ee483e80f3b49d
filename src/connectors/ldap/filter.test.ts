import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { and, equal, not, parseFilter, present, writeFilter } from './filter.ts';

describe('what is not a filter here', () => {
  test.each([
    ['nothing', ''],
    ['no parentheses', 'uid=a'],
    ['a substring', '(uid=a*)'],
    ['a substring that matches all', '(uid=**)'],
    ['an ordering', '(uid>=a)'],
    ['an approximate match', '(uid~=a)'],
    ['an extensible match', '(member:1.2.840.113556.1.4.1941:=cn=a)'],
    ['an extensible match on names', '(uid:dn:=a)'],
    ['an empty and', '(&)'],
    ['a not of two', '(!(uid=a)(uid=b))'],
    ['an empty value', '(uid=)'],
    ['text after it', '(uid=a)(uid=b)'],
    ['an unclosed one', '(&(uid=a)'],
    ['a broken escape', '(uid=a\\)'],
    ['an escape that is not hex', '(uid=a\\zz)'],
    ['bytes that are not UTF-8', '(uid=\\ff)'],
    ['a NUL', '(uid=a\0)'],
    ['an attribute option', '(cn;lang-en=a)'],
    ['an OID', '(2.5.4.35=a)'],
    ['nine levels', `${'(!'.repeat(9)}(uid=a)${')'.repeat(9)}`],
    ['more than 4000 characters', `(uid=${'a'.repeat(4000)})`],
  ])('refuses %s', (_what, text) => {
    expect(parseFilter(text)).toBeNull();
  });
});

test('a value cannot end its filter and begin another', () => {
  expect(writeFilter(equal('uid', '*)(objectClass=*'))).toBe('(uid=\\2a\\29\\28objectClass=\\2a)');
});

test('hex pairs and plain characters are the same value, written in one way', () => {
  expect(parseFilter('(cn=Zo\\c3\\ab \\28x\\29)')).toEqual(equal('cn', 'Zoë (x)'));
  expect(writeFilter(parseFilter('(&(cn=Zo\\c3\\ab)(!(mail=*)))')!)).toBe('(&(cn=Zoë)(!(mail=*)))');
});

test('whatever is asked for, the filter that is read is the one that was written', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), (value) => {
      fc.pre(value.isWellFormed());
      const filter = and(equal('uid', value), not(present('mail')));
      expect(parseFilter(writeFilter(filter))).toEqual(filter);
    }),
  );
});
