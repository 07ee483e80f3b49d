import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DecodeFault, Decoder, type Encoding } from './decode.ts';

/** Decodes the chunks; stops at the first fault. */
function decode(chunks: readonly Buffer[], encoding?: Encoding): { text: string; fault: DecodeFault | null } {
  const decoder = new Decoder(encoding);
  let text = '';
  for (const [index, chunk] of [...chunks, Buffer.alloc(0)].entries()) {
    const part = decoder.push(chunk, index === chunks.length);
    text += part.text;
    if (part.fault) return { text, fault: part.fault };
  }
  return { text, fault: null };
}

const split = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );

describe('decoding refuses', () => {
  const faults: [string, Buffer, Encoding | undefined, DecodeFault['code'], number][] = [
    ['a windows-1252 byte in undeclared UTF-8', Buffer.from('id\n1,Müller', 'latin1'), undefined, 'encoding', 6],
    ['an overlong sequence', Buffer.from([0x61, 0xc0, 0xaf]), undefined, 'encoding', 1],
    ['a surrogate in UTF-8', Buffer.from([0x61, 0x62, 0xed, 0xa0, 0x80]), undefined, 'encoding', 2],
    ['a code point over U+10FFFF', Buffer.from([0xf4, 0x90, 0x80, 0x80]), undefined, 'encoding', 0],
    ['a sequence cut off by the end', Buffer.from([0x61, 0xe2, 0x82]), undefined, 'encoding', 1],
    ['a sequence cut off by a NUL', Buffer.from([0x61, 0xe2, 0x82, 0x00]), undefined, 'encoding', 1],
    [
      'an invalid byte after a UTF-8 mark, counted with the mark',
      Buffer.from([0xef, 0xbb, 0xbf, 0x61, 0xff]),
      undefined,
      'encoding',
      4,
    ],
    ['NUL bytes', Buffer.from('PK\x03\x04\0\0'), undefined, 'binary', 4],
    ['NUL bytes in windows-1252', Buffer.from('a\0b'), 'windows-1252', 'binary', 1],
    ['UTF-16 without its mark', Buffer.from('id,name', 'utf16le'), undefined, 'binary', 1],
    ['UTF-16 big-endian', Buffer.from([0xfe, 0xff, 0x00, 0x61]), undefined, 'encoding', 0],
    ['a UTF-8 mark where windows-1252 is declared', Buffer.from('\ufeffid'), 'windows-1252', 'encoding', 0],
    ['a UTF-16 mark where UTF-8 is declared', Buffer.from('\ufeffid', 'utf16le'), 'utf-8', 'encoding', 0],
    ['half a surrogate pair in UTF-16', Buffer.from('a\ud800b', 'utf16le'), 'utf-16le', 'encoding', 2],
    ['U+0000 in UTF-16', Buffer.from('ab\0', 'utf16le'), 'utf-16le', 'binary', 4],
    ['half a character at the end of UTF-16', Buffer.from([0x61, 0x00, 0x62]), 'utf-16le', 'truncated', 2],
    ['a byte that windows-1252 does not define', Buffer.from([0x61, 0x81]), 'windows-1252', 'encoding', 1],
  ];
  it.each(faults)('%s', (_, bytes, encoding, code, offset) => {
    for (const size of [1, 2, 3, 7, bytes.length]) {
      expect(decode(split(bytes, size), encoding).fault, `chunks of ${size}`).toMatchObject({ code, offset });
    }
  });

  it('never yields a replacement character, and everything before the fault', () => {
    const { text, fault } = decode([Buffer.from([0xc3, 0xa9, 0x0a, 0xff, 0x0a])]);
    expect(text).toBe('é\n');
    expect(fault?.message).toContain('0xff');
  });

  it('any invalid UTF-8 at exactly the byte where a strict decoder stops', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 9 }), (array, size) => {
        const bytes = Buffer.from(array.map((byte) => byte || 1));
        if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) return;
        const { text, fault } = decode(split(bytes, size));
        let expected: string | null = null;
        try {
          expected = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
        } catch {}
        expect(fault === null ? text : null).toBe(expected);
        if (fault) expect(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, fault.offset))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('decoding reads', () => {
  const texts = fc
    .string({ unit: 'binary', maxLength: 60 })
    .map((text) => text.replaceAll('\0', '').replace(/^\ufeff/, ''));

  it.each<[Encoding, Buffer]>([
    ['utf-8', Buffer.alloc(0)],
    ['utf-8', Buffer.from('\ufeff')],
    ['utf-16le', Buffer.from('\ufeff', 'utf16le')],
  ])('the same text from %s however it is cut', (encoding, mark) => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 11 }), (text, size) => {
        const bytes = Buffer.concat([mark, Buffer.from(text, encoding === 'utf-8' ? 'utf8' : 'utf16le')]);
        expect(decode(split(bytes, size))).toEqual({ text, fault: null });
      }),
    );
  });

  it('windows-1252 as its table has it', () => {
    const bytes = Buffer.from([0x80, 0x8a, 0x93, 0x94, 0x99, 0x9f, 0xe9, 0xff]);
    expect(decode([bytes], 'windows-1252').text).toBe('€Š“”™Ÿéÿ');
  });
});
