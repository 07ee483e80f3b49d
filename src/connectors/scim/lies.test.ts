/**
 * The suite of lying targets: what a receipt claims may be false, but it never claims more than the target did, and a
 * look never hides an account or a membership that is still there.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { LATE_AFTER, type Lie, startLyingScim } from '../../../examples/company/lying-scim.ts';
import type { Observed, Receipt, Sighting, Task } from '../../connector/contract.ts';
import { drive } from '../../connector/drive.ts';
import { makeGroup, throughGateway } from './bench.ts';
import { connector } from './connector.ts';

const tokens = { writer: 'writer-token-3', reader: 'reader-token-3' };
const server = await startLyingScim(tokens);
await makeGroup(server.url, tokens.writer, 'Staff');
const options = { dialect: 'patch', pageSize: 3 } as const;
// Short, because one lie is to never answer; the honest answers take a millisecond or two.
const writer = throughGateway(server.url, tokens.writer, options, 500);
const reader = throughGateway(server.url, tokens.reader, options, 500);
afterAll(async () => {
  await Promise.all([writer.close(), reader.close()]);
  await server.close();
});

async function lie(name: Lie | null): Promise<void> {
  const headers = { authorization: `Bearer ${tokens.writer}` };
  const response = await fetch(server.lieUrl, { method: 'POST', headers, body: JSON.stringify({ lie: name }) });
  expect(response.status).toBe(204);
}

const apply = async (task: Task): Promise<Receipt> =>
  (await drive(connector.apply(options, task), writer.perform)).result;
const look = async (login: string, id: string | null = null): Promise<Sighting> =>
  (await drive(connector.look(options, { account: { login, id }, entitlement: 'Staff' }), reader.perform)).result;
const observe = async (): Promise<readonly Observed[]> =>
  (await drive(connector.observe(options), reader.perform)).emitted;

let people = 0;
let login = '';
let id = '';

/** An account that is active and in the group, made while the server is honest. */
beforeEach(async () => {
  await lie(null);
  login = `person${++people}`;
  const attributes = { employeeId: login, displayName: 'Zoë Quinn', title: 'Engineer' };
  const created = await apply({ effect: 'create', account: { login, id: null }, attributes });
  id = created.outcome === 'done' && created.id ? created.id : expect.fail(JSON.stringify(created));
  expect(await apply(granted())).toMatchObject({ outcome: 'done' });
  expect(await look(login, id)).toMatchObject({ account: 'active', id, holds: true });
});

const disabled = (): Task => ({ effect: 'disable', account: { login, id } });
const deleted = (): Task => ({ effect: 'delete', account: { login, id } });
const granted = (): Task => ({ effect: 'grant', account: { login, id }, entitlement: 'Staff' });
const revoked = (): Task => ({ effect: 'revoke', account: { login, id }, entitlement: 'Staff' });
const newcomer = (): Task => ({
  effect: 'create',
  account: { login: `new-${login}`, id: null },
  attributes: { employeeId: 'n' },
});

/** Lets some requests pass, which is how time passes for this server. */
const wait = async (requests: number): Promise<void> => {
  for (let passed = 0; passed < requests; passed++)
    await reader.perform({ kind: 'http', method: 'GET', path: ['Users', id] });
};

describe('an honest server', () => {
  test('does what it says', async () => {
    expect(await apply(revoked())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'active', holds: false });
    expect(await apply(disabled())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'disabled' });
    expect(await apply(deleted())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'absent', id: null });
  });

  test('hides from the reader how to lie', async () => {
    const headers = { authorization: `Bearer ${tokens.reader}` };
    const response = await fetch(server.lieUrl, { method: 'POST', headers, body: '{"lie":"html"}' });
    expect(response.status).toBe(403);
  });
});

describe('keeps-account: 204 and nothing', () => {
  test.each([
    ['disable', disabled],
    ['delete', deleted],
    ['revoke', revoked],
  ] as const)('%s is claimed, and a look sees the account and its membership', async (_effect, task) => {
    await lie('keeps-account');
    expect(await apply(task())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'active', id, holds: true });
    expect(await look(login)).toMatchObject({ account: 'active', id, holds: true });
  });
});

describe('500-but-done', () => {
  test('unknown, never done and never refused; a look sees that it is so, and again is already', async () => {
    await lie('500-but-done');
    expect(await apply(disabled())).toMatchObject({ outcome: 'unknown' });
    expect(await look(login, id)).toMatchObject({ account: 'disabled' });
    expect(await apply(disabled())).toMatchObject({ outcome: 'already' });
  });

  test('a create whose answer was an error is found again by its employee id', async () => {
    await lie('500-but-done');
    expect(await apply(newcomer())).toMatchObject({ outcome: 'unknown' });
    await lie(null);
    const seen = await look(`new-${login}`);
    expect(await apply(newcomer())).toMatchObject({ outcome: 'already', id: seen.id });
  });
});

describe('late', () => {
  test('a look at once still sees the account, a later one sees it gone', async () => {
    await lie('late');
    expect(await apply(deleted())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'active', holds: true });
    await wait(LATE_AFTER);
    expect(await look(login, id)).toMatchObject({ account: 'absent' });
  });
});

describe('forgets', () => {
  test('a look at once sees it done, a later one sees the account back in its group', async () => {
    await lie('forgets');
    expect(await apply(revoked())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'active', holds: false });
    await wait(LATE_AFTER);
    expect(await look(login, id)).toMatchObject({ account: 'active', holds: true });
  });
});

describe('resurrects', () => {
  test.each([
    ['delete', deleted, 'absent'],
    ['disable', disabled, 'disabled'],
  ] as const)('after %s a look at once sees it gone, a later one sees it back', async (_effect, task, gone) => {
    await lie('resurrects');
    expect(await apply(task())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: gone });
    await wait(LATE_AFTER);
    expect(await look(login, id)).toMatchObject({ account: 'active', id });
  });
});

describe('pages that do not add up', () => {
  beforeEach(async () => {
    for (let more = 0; more < 5; more++) {
      await apply({ effect: 'create', account: { login: `${login}-${more}`, id: null }, attributes: {} });
    }
    expect((await observe()).some((fact) => fact.type === 'account' && fact.login === login)).toBe(true);
  });

  test('a gap is a fault', async () => {
    await lie('gaps');
    await expect(observe()).rejects.toMatchObject({ name: 'ConnectorFault', code: 'incomplete-read' });
  });

  test('an entry that comes twice is a fault: another one is missing', async () => {
    await lie('duplicates');
    await expect(observe()).rejects.toThrow(/came twice/);
  });
});

describe('changes-id', () => {
  test('a look by the old id finds the account under its new one', async () => {
    await lie('changes-id');
    expect(await apply({ effect: 'update', account: { login, id }, attributes: { title: 'Director' } })).toMatchObject({
      outcome: 'done',
    });
    const seen = await look(login, id);
    expect(seen).toMatchObject({ account: 'active', holds: true, message: expect.stringContaining('another id') });
    expect(seen.id).not.toBe(id);
  });

  test('disable by the old id finds the account by its login, and so does a look', async () => {
    await lie('changes-id');
    await apply({ effect: 'update', account: { login, id }, attributes: { title: 'Director' } });
    expect(await apply(disabled())).toMatchObject({ outcome: 'done' });
    expect(await look(login, id)).toMatchObject({ account: 'disabled' });
  });

  test('revoke by the old id may be claimed, and a look sees the membership under the new one', async () => {
    await lie('changes-id');
    await apply({ effect: 'update', account: { login, id }, attributes: { title: 'Director' } });
    expect(await apply(revoked())).toMatchObject({ outcome: 'already' });
    expect(await look(login, id)).toMatchObject({ holds: true });
  });
});

describe('ignores-active', () => {
  test('200 with an account that is active is not a disable', async () => {
    await lie('ignores-active');
    expect(await apply(disabled())).toMatchObject({ outcome: 'unknown' });
    expect(await look(login, id)).toMatchObject({ account: 'active' });
  });
});

describe('first-of-two', () => {
  test('an update is claimed, and a look shows the attribute that was left behind', async () => {
    await lie('first-of-two');
    const attributes = { displayName: 'Zoë Okafor', title: 'Director' };
    expect(await apply({ effect: 'update', account: { login, id }, attributes })).toMatchObject({ outcome: 'done' });
    expect((await look(login, id)).attributes).toMatchObject({ displayName: 'Zoë Okafor', title: 'Engineer' });
    expect(await apply({ effect: 'update', account: { login, id }, attributes })).toMatchObject({ outcome: 'done' });
    expect(await apply({ effect: 'update', account: { login, id }, attributes: { title: 'Director' } })).toMatchObject({
      outcome: expect.stringMatching(/^(done|already)$/),
    });
  });
});

describe('timeout-after-doing', () => {
  test('unknown; a look sees that it was done', async () => {
    await lie('timeout-after-doing');
    expect(await apply(deleted())).toMatchObject({ outcome: 'unknown' });
    expect(await look(login, id)).toMatchObject({ account: 'absent' });
    expect(await apply(deleted())).toMatchObject({ outcome: 'already' });
  });
});

describe('answers about nothing', () => {
  test.each(['html', 'redirects'] as const)('%s: unknown, and nothing is seen', async (name) => {
    await lie(name);
    for (const task of [disabled(), deleted(), revoked(), granted(), newcomer()]) {
      expect(await apply(task), task.effect).toMatchObject({ outcome: 'unknown' });
    }
    expect(await look(login, id)).toMatchObject({ account: null, attributes: null, holds: null });
    await expect(observe()).rejects.toMatchObject({ name: 'ConnectorFault' });
    await lie(null);
    expect(await look(login, id)).toMatchObject({ account: 'active', holds: true });
  });

  test('another-user: unknown before anything is written, and nothing is seen', async () => {
    await lie('another-user');
    for (const task of [disabled(), deleted(), newcomer()]) {
      expect(await apply(task), task.effect).toMatchObject({ outcome: 'unknown' });
    }
    expect(await look(login, id)).toMatchObject({ account: null, attributes: null, holds: null });
    await lie(null);
    expect(await look(login, id)).toMatchObject({ account: 'active', holds: true });
  });

  test('another-user: the gateway lets no membership through whose account it cannot tell', async () => {
    await lie('another-user');
    expect(await apply(revoked())).toMatchObject({
      outcome: 'refused',
      message: expect.stringContaining('nobody can say'),
    });
    await lie(null);
    expect(await look(login, id)).toMatchObject({ holds: true });
  });
});

describe('rate limits', () => {
  test.each([
    ['429-with', 17_000],
    ['429-without', null],
  ] as const)('%s: later, and nothing is seen', async (name, retryAfterMs) => {
    await lie(name);
    for (const task of [disabled(), deleted(), revoked(), granted(), newcomer()]) {
      expect(await apply(task), task.effect).toMatchObject({ outcome: 'later', retryAfterMs });
    }
    expect(await look(login, id)).toMatchObject({ account: null, holds: null });
    await expect(observe()).rejects.toMatchObject({ name: 'ConnectorFault' });
  });
});
