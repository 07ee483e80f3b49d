import { expect, it } from 'vitest';
import { nearest, suggestion } from './nearest.ts';

const KNOWN = ['grant', 'revoke', 'verify', 'read'];

it.each([
  ['something else', 'payroll', null],
  ['nothing', '', null],
  ['two faults in a short word', 'raed2', null],
  ['endless text', 'g'.repeat(100_000), null],
  ['a letter left out', 'gran', 'grant'],
  ['a letter too many', 'revokee', 'revoke'],
  ['another letter', 'verigy', 'verify'],
  ['neighbours swapped', 'raed', 'read'],
  ['another case', 'GRANT', 'grant'],
])('%s', (_, typed, expected) => {
  expect(nearest(typed, KNOWN)).toBe(expected);
});

it('lists what there is when nothing is near', () => {
  expect(suggestion('payroll', KNOWN)).toBe('known are: grant, revoke, verify, read');
  expect(
    suggestion(
      'payroll',
      Array.from({ length: 20 }, (_, number) => `x${number}`),
    ),
  ).toMatch(/x11 and 8 more$/);
  expect(suggestion('payroll', [])).toContain('there is none yet');
});
