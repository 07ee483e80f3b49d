import { describe, expect, test } from 'vitest';
import type { Call, Reply } from './contract.ts';
import { type Answer, openShared, openSharing } from './share.ts';

const group: Call = { kind: 'http', method: 'GET', path: ['Groups', 'g1'] };
const reply = (body: number): Reply => ({ kind: 'http', status: 200, headers: {}, body });
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A target whose reads take a turn each, and say which of them they were. */
function counting(call: Call = group) {
  const share = openSharing();
  const replyOf = openShared();
  let begun = 0;
  const perform = async () => {
    const mine = ++begun;
    await turn();
    return reply(mine);
  };
  return {
    begun: () => begun,
    ask: async (): Promise<number> => {
      const answer = await share(call, perform);
      return (replyOf(answer) as { body: number }).body;
    },
  };
}

test('those who ask in one turn share a read', async () => {
  const { ask, begun } = counting();
  expect(await Promise.all(Array.from({ length: 100 }, ask))).toEqual(Array.from({ length: 100 }, () => 1));
  expect(begun()).toBe(1);
});

test('nobody is told what was read before he asked, whenever he asks', async () => {
  const { ask, begun } = counting();
  const asked: Promise<void>[] = [];
  for (let n = 0; n < 200; n++) {
    const before = begun();
    asked.push(ask().then((told) => expect(told).toBeGreaterThan(before)));
    for (let wait = 0; wait < n % 4; wait++) await Promise.resolve();
    if (n % 3 === 0) await turn();
  }
  await Promise.all(asked);
  expect(begun()).toBeLessThan(asked.length);
});

describe('is made by itself for each who asks:', () => {
  const alone: readonly (readonly [string, Call])[] = [
    ['a write', { kind: 'http', method: 'PATCH', path: ['Groups', 'g1'], body: {} }],
    ['a delete', { kind: 'ldap', op: 'delete', dn: 'cn=x' }],
    [
      'a page by cookie',
      {
        kind: 'ldap',
        op: 'search',
        base: 'o=x',
        scope: 'sub',
        filter: '(a=b)',
        attributes: [],
        page: { size: 2, cookie: '' },
      },
    ],
    ['a template, which may do anything', { kind: 'sql', statement: 'look', params: {} }],
  ];
  test.each(alone)('%s', async (_, call) => {
    const { ask, begun } = counting(call);
    await Promise.all([ask(), ask(), ask()]);
    expect(begun()).toBe(3);
  });
});

test('another call is another read', async () => {
  const share = openSharing();
  const performed: Call[] = [];
  const perform = async (call: Call) => {
    performed.push(call);
    return reply(0);
  };
  await Promise.all([share(group, perform), share({ ...group, path: ['Groups', 'g2'] }, perform)]);
  expect(performed).toHaveLength(2);
});

test('a read that fails fails for all who shared it, and for nobody after', async () => {
  const share = openSharing();
  const lost = new Error('the gateway is gone');
  const failed = await Promise.allSettled([1, 2, 3].map(() => share(group, () => Promise.reject(lost))));
  expect(failed).toEqual([1, 2, 3].map(() => ({ status: 'rejected', reason: lost })));
  expect(await share(group, async () => reply(7))).toEqual(reply(7));
});

test('a shared reply is let go when the last has it, and one that never came is no reply', () => {
  const replyOf = openShared();
  const first: Answer = { kind: 'shared', number: 1, uses: 2, reply: reply(1) };
  expect(replyOf(first)).toEqual(reply(1));
  expect(replyOf({ kind: 'shared', number: 1 })).toEqual(reply(1));
  expect(() => replyOf({ kind: 'shared', number: 1 })).toThrow('did not come');
});
