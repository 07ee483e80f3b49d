import { describe, expect, test } from 'vitest';
import { clean, clip, clockTime, pageWidth, spell, table, WIDTH, wrap } from './text.ts';

describe('names cannot take over the terminal', () => {
  test.each([
    ['moves the cursor', 'Ann\u001b[2A\u001b[2KBob'],
    ['rings and goes back', 'Ann\u0007\rBob'],
    ['makes a line of its own', 'Ann\nP9 verified'],
    ['a C1 sequence', 'Ann\u009b2K'],
    ['turns the direction of reading', 'Ann \u202Egnp.exe'],
    ['isolates', 'Ann \u2066x\u2069'],
    ['a line separator', 'Ann\u2028P9'],
    ['invisible letters', 'A\u200bnn'],
  ])('%s', (_, name) => {
    const cleaned = clean({ changes: [{ name }] }).changes[0]!.name;
    expect(cleaned).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
    expect(cleaned).toMatch(/\\u\{[0-9a-f]{4,6}\}/);
  });

  test('also as the name of an attribute', () => {
    expect(Object.keys(clean({ 'a\u001b[2J': 1 }))).toEqual(['a\\u{001b}[2J']);
  });

  test('what people are called stays as it is', () => {
    for (const name of ['Zoë O’Neill', 'Łukasz', '陳小明', 'محمد', 'Ann  Two Blanks']) expect(clean(name)).toBe(name);
    expect(clean({ at: null, count: 3, yes: true })).toEqual({ at: null, count: 3, yes: true });
  });
});

test('wrapping loses no word and keeps to the page', () => {
  const text = Array.from({ length: 60 }, (_, index) => `word${index}`).join(' ');
  const wrapped = wrap(text, 'cause     ');
  expect(wrapped.every((line) => line.length <= WIDTH)).toBe(true);
  expect(wrapped.slice(1).every((line) => line.startsWith(' '.repeat(10)))).toBe(true);
  expect(wrapped.join(' ').replace(/\s+/g, ' ')).toBe(`cause ${text}`);
});

test.each([
  ['a narrow one has its own width', { columns: 80 }, 80],
  ['a wide one has the page, for nobody reads lines of 200 letters', { columns: 200 }, WIDTH],
  ['a pipe has the page', {}, WIDTH],
  ['one of no width at all has room for a word', { columns: 0 }, 40],
])('a terminal: %s', (_, terminal, width) => {
  expect(pageWidth(terminal)).toBe(width);
  const wrapped = wrap('some words that are not long '.repeat(20).trim(), '  ', 14, width);
  expect(Math.max(...wrapped.map((line) => line.length))).toBeLessThanOrEqual(width);
  expect(Math.max(...wrapped.map((line) => line.length))).toBeGreaterThan(width - 10);
});

test('a word longer than the page stays whole, for it may be a digest to copy', () => {
  const word = 'a'.repeat(150);
  expect(wrap(word, 'digest  ')).toEqual([`digest  ${word}`]);
});

test('columns stand under each other and end without blanks', () => {
  expect(
    table(
      [
        ['a', 'long cell', 'x'],
        ['bbb', 'c', ''],
      ],
      2,
    ),
  ).toEqual(['  a    long cell  x', '  bbb  c']);
  expect(clip('abcdef', 4)).toBe('abc…');
});

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1_500, '1 s'],
  [90_000, '90 s'],
  [3 * 3_600_000, '3 h'],
  [26 * 3_600_000, '26 h'],
  [50 * 3_600_000, '2 d'],
])('%d ms is spelled %s', (ms, words) => {
  expect(spell(ms)).toBe(words);
});

test('a time of another day has its date', () => {
  const now = Date.UTC(2027, 0, 4, 9);
  expect(clockTime('2027-01-04T06:00:00.000Z', now)).toBe('06:00');
  expect(clockTime('2027-01-03T23:59:00.000Z', now)).toBe('2027-01-03 23:59');
});
