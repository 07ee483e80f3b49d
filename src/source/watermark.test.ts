import { describe, expect, it } from 'vitest';
import { readInstant, readMark } from './watermark.ts';

describe('a time is not read', () => {
  it.each([
    'yesterday',
    '',
    '2026-02-30',
    '2026-13-01',
    '2026-00-10',
    '23/11/2026',
    '11/23/2026',
    '20261123',
    '1764000000',
    '2026-11-23T24:00:00Z',
    '2026-11-23T10:60:00Z',
    '2026-11-23T10:00:61Z',
    '2026-11-23T10Z',
    '2026-11-23T10:00:00 CET',
    '2026-11-23T10:00:00+25:00',
    '2026-11-23T10:00:00Z and more',
  ])('%j', (text) => {
    expect(readInstant(text, 'utc')).toBeNull();
  });

  it('without a zone where an age depends on it', () => {
    expect(readInstant('2026-11-23T10:00:00', 'refused')).toBeNull();
    expect(readInstant('2026-11-23T10:00:00', 'utc')).toBe(Date.UTC(2026, 10, 23, 10));
  });
});

describe('a time is read', () => {
  it.each([
    ['2026-11-23', Date.UTC(2026, 10, 23)],
    ['2026-11-23T10:00Z', Date.UTC(2026, 10, 23, 10)],
    ['2026-11-23 10:00:05+02:00', Date.UTC(2026, 10, 23, 8, 0, 5)],
    ['2026-11-23T10:00:05.123456-0130', Date.UTC(2026, 10, 23, 11, 30, 5, 123)],
    ['2024-02-29', Date.UTC(2024, 1, 29)],
  ])('%s', (text, at) => {
    expect(readInstant(text, 'refused')).toBe(at);
  });
});

describe('a watermark', () => {
  it('is a counter of any length or a time, and nothing else', () => {
    expect(readMark('00123')).toMatchObject({ kind: 'counter', value: 123n });
    expect(readMark('9'.repeat(30))?.value).toBe(10n ** 30n - 1n);
    expect(readMark('2026-11-23 10:00:00')?.kind).toBe('time');
    for (const text of ['-1', '1.5', 'abc', '9'.repeat(31), '']) expect(readMark(text), text).toBeNull();
  });
});
