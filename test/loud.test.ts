import { expect, test } from 'vitest';
import { loudList } from './loud.ts';

test('where nothing was skipped nothing is said', () => {
  expect(loudList([], [])).toEqual([]);
});

test('what was skipped is counted by its group, and each reason is told once', () => {
  const samba = { file: 'test/counterparts/samba.test.ts', group: 'against Samba AD' };
  const reason = 'SKIPPED: tests against Samba AD: samba-tool is missing';
  expect(loudList([samba, samba, { file: 'src/a.test.ts', group: '' }], [reason, reason])).toEqual([
    '!! NOT RUN on this machine: 3 tests. REQUIRE_COUNTERPARTS=1 makes what is missing an error.',
    '!!   test/counterparts/samba.test.ts: against Samba AD (2)',
    '!!   src/a.test.ts (1)',
    `!!   ${reason}`,
  ]);
});

test('a reason without a skipped test is told too: a machine may lack what a test goes without', () => {
  expect(loudList([], ['NOT TESTED: the tier bwrap'])).toHaveLength(2);
});
