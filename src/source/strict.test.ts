import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonical } from '../canonical.ts';
import { compact, Numeral, pointTo, readStrict } from './strict.ts';

describe('strict JSON refuses', () => {
  it.each([
    ['a member that is there twice', '{"id":1,"id":2}', 'twice'],
    ['a member that is there twice in another spelling', '{"id":1,"\\u0069d":2}', 'twice'],
    ['a member that is there twice further inside', '[{"a":{"b":1,"b":1}}]', 'twice'],
    ['nothing', '', 'too early'],
    ['blanks', ' \n', 'too early'],
    ['two values', '1 2', 'follows'],
    ['a trailing comma', '[1,]', 'value was expected'],
    ['a trailing comma in an object', '{"a":1,}', 'member name'],
    ['a missing comma', '[1 2]', 'comma'],
    ['a missing colon', '{"a" 1}', 'colon'],
    ['a bare word', '{"a":NaN}', 'value was expected'],
    ['a number with a leading zero', '01', 'follows'],
    ['a number with a plus', '+1', 'value was expected'],
    ['single quotes', "{'a':1}", 'member name'],
    ['a comment', '{/*x*/"a":1}', 'member name'],
    ['a byte order mark', '\ufeff{}', 'value was expected'],
    ['a raw line end in a string', '"a\nb"', 'control character'],
    ['an unknown escape', '"\\x41"', 'escape'],
    ['an open string', '"abc', 'never closed'],
    ['a string whose last quote is escaped', '"abc\\"', 'never closed'],
    ['a no-break space between tokens', '[1,\u00a02]', 'value was expected'],
    ['nesting without end', '['.repeat(100_000), 'nested deeper'],
  ])('%s', (_, text, reason) => {
    const read = readStrict(text);
    expect(read.ok ? 'accepted' : read.reason).toContain(reason);
  });

  it('whatever JSON.parse refuses, and accepts the rest but for duplicates', () => {
    const text = fc.oneof(fc.json(), fc.stringMatching(/^[[\]{}",:0-9.eE+\- \\untrlfas]{0,16}$/));
    fc.assert(
      fc.property(text, (text) => {
        const read = readStrict(text);
        let accepted = true;
        try {
          JSON.parse(text);
        } catch {
          accepted = false;
        }
        if (!read.ok && read.reason.includes('twice')) return;
        expect(read.ok).toBe(accepted);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('strict JSON keeps', () => {
  it('the spelling of every number', () => {
    for (const text of ['1.50', '-0', '1e400', '12345678901234567890', '0.1']) {
      expect(readStrict(` ${text} `)).toEqual({ ok: true, value: new Numeral(text) });
    }
  });

  it('the same value as JSON.parse, and canonical text of it', () => {
    const plain = fc
      .jsonValue({ noUnicodeString: false })
      .filter((value) => !/\d\.\d|e[+-]\d|-0|\d{16}/.test(JSON.stringify(value)));
    fc.assert(
      fc.property(plain, (value) => {
        const read = readStrict(JSON.stringify(value, null, 1));
        if (!read.ok) throw new Error(read.reason);
        expect(compact(read.value)).toBe(canonical(JSON.parse(JSON.stringify(value))));
      }),
    );
  });
});

describe('JSON pointers', () => {
  const read = readStrict('{"data":{"items":[{"a/b":1}],"m~n":2},"":3}');
  const root = read.ok ? read.value : null;
  it('find members, items and escaped names (RFC 6901 section 5)', () => {
    expect(pointTo(root, '/data/items/0/a~1b')).toEqual(new Numeral('1'));
    expect(pointTo(root, '/data/m~0n')).toEqual(new Numeral('2'));
    expect(pointTo(root, '/')).toEqual(new Numeral('3'));
    expect(pointTo(root, '')).toBe(root);
  });
  it('find nothing where there is nothing, nor what JavaScript objects inherit', () => {
    for (const pointer of [
      '/none',
      '/data/items/1',
      '/data/items/-',
      '/data/items/00',
      '/data/items/length',
      '/constructor',
    ]) {
      expect(pointTo(root, pointer), pointer).toBeUndefined();
    }
  });
});
