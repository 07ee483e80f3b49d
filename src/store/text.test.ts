import { expect, test } from 'vitest';
import { storedJson, storedText } from './text.ts';

test.each<[unknown, unknown]>([
  ['a\0b', 'a\ufffdb'],
  ['\ud800', '\ufffd'],
  ['x\udc00\ud800y', 'x\ufffd\ufffdy'],
  ['😀 stays', '😀 stays'],
  ['a backslash and u0000: \\u0000', 'a backslash and u0000: \\u0000'],
  ['\\\0', '\\\ufffd'],
  ['"\0"\n', '"\ufffd"\n'],
  [{ 'k\0': ['\0', { deep: '\ud83d' }] }, { 'k\ufffd': ['\ufffd', { deep: '\ufffd' }] }],
])('of %j stays what can be held', (value, held) => {
  expect(JSON.parse(storedJson(JSON.stringify(value)))).toEqual(held);
  if (typeof value === 'string') expect(storedText(value)).toBe(held);
});
