/**
 * Targets that are away, slow, busy, broken or lying, on the whole road: what each change says of it, and that nothing is
 * lost by it. The lies that only a reader of pages meets are in `src/connectors/scim/lies.test.ts`, TLS in
 * `src/gateway/perform/http.test.ts`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Lie } from '../../examples/company/lying-scim.ts';
import { seeded } from '../../src/approval/testing.ts';
import { type Between, HOUR, PEOPLE, type Row, startWorld, type World } from '../company/world.ts';
import { handClock } from '../hand-clock.ts';

const DAY = 24 * HOUR;
const clock = handClock(Date.parse('2031-03-03T08:00:00Z'));
let world: World;
const plan = () => clock.during(world.plan());
const run = () => clock.during(world.run());
const hr = (rows: readonly Row[] = PEOPLE) => {
  clock.move(10 * 60_000);
  return world.exportHr(rows, 60_000);
};
const without = (...ids: readonly string[]) => PEOPLE.filter(({ id }) => !ids.includes(id));
const groupsOf = async (login: string): Promise<string> =>
  (await world.crm.picture()).split('\n').find((line) => line.replace('-', '').startsWith(`${login}:`)) ?? 'nobody';
/** What is said of each change of the newest plan, and when it is due where it waits. */
async function said(): Promise<readonly string[]> {
  const rows = await world.database.query<{ effect: string; stage: string; note: string | null; due: Date }>(
    `select effect, stage, note, next_at as due from change
      where plan = (select max(number) from plan) order by seq`,
  );
  return rows.map(({ effect, stage, note, due }) => {
    const waitsMs = due.getTime() - clock.now();
    // Minutes are what the target asked for; less than that is a pause of ours.
    const waits = waitsMs > 60_000 ? `, for ${(waitsMs / 60_000).toFixed(1)} min` : '';
    return `${effect}: ${stage}${note === null ? '' : `, ${note}`}${waits}`;
  });
}

beforeAll(async () => {
  world = await clock.during(
    startWorld({ grants: 2000, removals: 2000 }, 'report', {}, { ambient: { clock, random: seeded('target') } }),
  );
  await plan();
  await run();
});
afterAll(async () => {
  if (!world) return;
  await clock.during(world.crm.front(null));
  expect(await clock.during(world.ledger())).toMatchObject({ ok: true, findings: [] });
  await clock.during(world.stop());
});

/** Time passes, with an export now and then, until the target shows Lou so; at most two days. */
async function untilShown(shown: string, rows: readonly Row[]): Promise<void> {
  for (const ms of [0, 3 * HOUR, 3 * HOUR, DAY + HOUR, 3 * HOUR]) {
    clock.move(ms);
    await hr(rows);
    await plan();
    await run();
    if ((await groupsOf('lou')) === shown && (await open()).length === 0) return;
  }
  expect([await groupsOf('lou'), await open()]).toEqual([shown, []]);
}
const open = () =>
  world.database.query(
    `select c.plan, c.seq, c.effect, c.stage, c.note from change c join plan p on p.tenant = c.tenant and p.number = c.plan
      where p.state = 'open' and c.stage <> 'verified'`,
  );

/** Lou leaves while `fault` is so; afterwards the target is honest again and time passes. */
async function leaves(begin: () => Promise<void>, end: () => Promise<void>): Promise<readonly string[]> {
  await hr(without('112'));
  await plan();
  await clock.during(begin());
  await run();
  const during = await said();
  await clock.during(end());
  await untilShown('-lou: ', without('112'));
  expect(await said()).not.toContainEqual(expect.stringMatching(/: (failed|refused|expired)/));
  await untilShown('lou: Legal,Staff', PEOPLE);
  return during;
}

/** The same of each of the three changes. */
const all = (what: string): readonly string[] => ['revoke', 'revoke', 'disable'].map((effect) => `${effect}: ${what}`);

const json = { 'content-type': 'application/scim+json' };
const passOn: Between = async (_request, response, pass) => {
  const { status, body } = await pass();
  response.writeHead(status, json).end(body);
};
const later =
  (header: () => Record<string, string>): Between =>
  (_request, response) => {
    response.writeHead(429, { ...json, ...header() }).end();
  };
const httpDate = (at: number): string => new Date(at).toUTCString();

describe.each<[string, readonly string[], Between]>([
  [
    'resets the connection',
    all('waiting, ECONNRESET: read ECONNRESET'),
    (_request, response) => void response.socket?.resetAndDestroy(),
  ],
  [
    'does it and resets the connection',
    all('verified'),
    async (request, response, pass) => {
      if (request.method === 'GET' || request.url?.startsWith('/sign-in')) return passOn(request, response, pass);
      await pass();
      response.socket?.resetAndDestroy();
    },
  ],
  [
    'ends in the middle of each answer',
    all('waiting, UND_ERR_SOCKET: other side closed'),
    async (_request, response, pass) => {
      const { status, body } = await pass();
      response.writeHead(status, { ...json, 'content-length': body.length + 50 });
      response.write(body, () => response.socket?.end());
    },
  ],
  [
    'answers with bytes',
    all('inconclusive, the target answered 200: \ufffd\ufffd\ufffd{'),
    (_request, response) => void response.writeHead(200, json).end(Buffer.of(0, 255, 254, 123)),
  ],
  [
    'answers with 34 MB',
    all('waiting, the answer is longer than 33554432 bytes'),
    (_request, response) => void response.writeHead(200, json).end(Buffer.alloc(34 << 20, 32)),
  ],
  ['never answers', all('waiting, no whole answer within 10000 ms'), () => undefined],
  [
    'knows nobody',
    all('refused, the target answered 401'),
    (_request, response) => void response.writeHead(401, json).end('{}'),
  ],
  [
    'is busy for 90 s, as a date',
    all('waiting, the target answered 429, for 1.5 min'),
    later(() => ({ date: httpDate(clock.now()), 'retry-after': httpDate(clock.now() + 90_000) })),
  ],
  [
    'is busy for three years',
    all('waiting, the target answered 429, for 1440.0 min'),
    later(() => ({ 'retry-after': '99999999' })),
  ],
])('a target that %s', (_what, expected, between) => {
  test('is told, and the removal is made when it is itself again', async () => {
    const during = await leaves(
      () => world.crm.front(between),
      () => world.crm.front(null),
    );
    expect(during).toEqual(expected);
  });
});

describe.each<[Lie, readonly string[]]>([
  ['500-but-done', all('verified')],
  ['late', ['revoke: contradicted, still has legal', 'revoke: contradicted, still has staff', 'disable: verified']],
  // Whether the first look comes before or after it has forgotten is chance; that all is gone in the end is not.
  [
    'forgets',
    [
      'revoke: verified',
      'revoke: verified',
      expect.stringMatching(/^disable: (verified|contradicted, the account is active)$/),
    ],
  ],
  ['changes-id', all('verified')],
  ['ignores-active', ['revoke: verified', 'revoke: verified', 'disable: contradicted, the account is active']],
  ['timeout-after-doing', all('verified')],
  ['html', all('inconclusive, the target answered 200: <!doctype html><title>Sign in</title>')],
  [
    'another-user',
    [
      'revoke: refused, nobody can say whose',
      'revoke: refused, nobody can say whose',
      'disable: inconclusive, the target answered 200',
    ],
  ],
  ['429-with', all('waiting, the target answered 429: too many')],
  ['429-without', all('waiting, the target answered 429: too many')],
])('a target that lies: %s', (lie, expected) => {
  test('is told, and the removal is made when it is itself again', async () => {
    const during = await leaves(
      () => world.crm.lie(lie),
      () => world.crm.lie(null),
    );
    expect(during.map((line) => line.replace(/ account \{.*/, ''))).toEqual(expected);
  });
});

test('a target that sends us elsewhere: nobody there ever hears of it, and the credential least', async () => {
  const heard: string[] = [];
  const elsewhere = createServer((request, response) => {
    heard.push(String(request.headers.authorization));
    response.end();
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/scim/v2/Users`;
  const during = await leaves(
    () => world.crm.front((_request, response) => void response.writeHead(307, { location }).end()),
    () => world.crm.front(null),
  );
  expect(heard).toEqual([]);
  expect(during).toEqual(all('inconclusive, the target answered 307'));
  elsewhere.close();
});
