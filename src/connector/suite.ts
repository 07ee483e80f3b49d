/**
 * The contract of every connector, as one exported suite (vitest).
 *
 * A bench holds a connector against a target that really answers: `perform` acts with the writer's credential, `look`
 * with the verifier's, and both go through the real catalogue. Each effect is then tested as done, done again,
 * refused, done although the answer was lost, lost without being done, claimed without being done, and not now. What
 * cannot be told by a server that behaves is told with forged replies.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  Attributes,
  Call,
  Connector,
  Observed,
  Question,
  Receipt,
  Reply,
  Sighting,
  TargetOptions,
  Task,
} from './contract.ts';
import { drive, MAX_CALLS } from './drive.ts';
import { ConnectorFault } from './fault.ts';

export type TaskEffect = Task['effect'];
export const TASK_EFFECTS = [
  'create',
  'update',
  'disable',
  'enable',
  'grant',
  'revoke',
  'delete',
] as const satisfies readonly TaskEffect[];

export interface Bench {
  readonly connector: Connector;
  readonly options: TargetOptions;
  /**
   * Performs with the writer's credential. The call was classified by the real catalogue, and the rebuilt call is what
   * is performed, with a first secret in place of its marker; a classification that refuses is a reply `refused`.
   */
  perform(call: Call): Promise<Reply>;
  /** The same with the verifier's credential, which can read only. */
  look(call: Call): Promise<Reply>;
  /** Configured name of an entitlement that exists on the target. */
  readonly entitlement: string;
  /** What an honest target would answer to this write: for claims that nothing stands behind. */
  success(call: Call): Reply;
  readonly supports: ReadonlySet<TaskEffect>;
  /** What an account of this target can carry. All attributes where this is left out. */
  readonly attributes?: Attributes;
  /** Whether a call writes. HTTP and LDAP calls tell by themselves; a bench of SQL templates has to say. */
  isWrite?(call: Call): boolean;
  close(): Promise<void>;
}

const ALL_ATTRIBUTES: Attributes = {
  employeeId: '4711',
  displayName: 'Zoë Quinn-O’Hara, M.A.',
  givenName: 'Zoë',
  familyName: 'Quinn-O’Hara',
  email: 'zoe+suite@example.com',
  department: 'R & D (north)',
  title: 'Engineer "II" \\ on call',
};

/** Per effect: what must be so before, and which sighting shows it done, or shows it certainly not done. */
interface Expectation {
  readonly before: readonly TaskEffect[];
  readonly done: (sighting: Sighting, attributes: Attributes) => boolean;
  readonly notDone: (sighting: Sighting, attributes: Attributes) => boolean;
}

const has = (sighting: Sighting, attributes: Attributes): boolean =>
  Object.entries(attributes).every(([name, value]) => sighting.attributes?.[name as keyof Attributes] === value);

const EXPECTED: Readonly<Record<TaskEffect, Expectation>> = {
  create: {
    before: [],
    done: (seen, attributes) => seen.account === 'active' && has(seen, attributes),
    notDone: (seen) => seen.account === 'absent',
  },
  update: {
    before: ['create'],
    done: (seen, attributes) => seen.account === 'active' && has(seen, attributes),
    notDone: (seen, attributes) => seen.attributes !== null && !has(seen, attributes),
  },
  disable: {
    before: ['create'],
    done: (seen) => seen.account === 'disabled',
    notDone: (seen) => seen.account === 'active',
  },
  enable: {
    before: ['create', 'disable'],
    done: (seen) => seen.account === 'active',
    notDone: (seen) => seen.account === 'disabled',
  },
  grant: {
    before: ['create'],
    done: (seen) => seen.account === 'active' && seen.holds === true,
    notDone: (seen) => seen.holds === false,
  },
  revoke: {
    before: ['create', 'grant'],
    done: (seen) => seen.account === 'active' && seen.holds === false,
    notDone: (seen) => seen.holds === true,
  },
  delete: {
    before: ['create'],
    done: (seen) => seen.account === 'absent',
    notDone: (seen) => seen.account === 'active',
  },
};

const CLOSED: Reply = { kind: 'down', message: 'connection refused' };
const LOST: Reply = { kind: 'lost', message: 'the connection was lost before the answer came' };
const REFUSED: Reply = { kind: 'refused', code: 'scope', message: 'not in the scope of this connector' };

const writes = (call: Call): boolean => {
  if (call.kind === 'http') return call.method !== 'GET' && call.path.at(-1) !== '.search';
  if (call.kind === 'ldap') return call.op !== 'search';
  if (call.kind === 'file') return false;
  throw new Error('a bench of SQL templates needs isWrite');
};

/** Replies that no target of the call's protocol gives when it has understood and done what was asked. */
function junk(call: Call): readonly Reply[] {
  const http = (status: number, body: unknown): Reply => ({
    kind: 'http',
    status,
    headers: {},
    body: body as Extract<Reply, { kind: 'http' }>['body'],
  });
  const ldap = (code: number): Reply => ({ kind: 'ldap', code, message: 'other', entries: [], cookie: '' });
  const sql = (sqlstate: string | null): Reply => ({ kind: 'sql', rows: [], count: 0, sqlstate, message: 'internal' });
  const every = [
    http(200, '<!doctype html><title>Sign in</title>'),
    http(201, '<!doctype html><title>Sign in</title>'),
    http(200, null),
    http(201, null),
    http(200, { hello: 'world' }),
    http(201, { hello: 'world' }),
    http(200, []),
    http(302, null),
    http(500, '<h1>Internal Server Error</h1>'),
    ldap(80),
    ldap(4711),
    sql('XX000'),
  ];
  return [...every, ...(call.kind === 'ldap' ? [sql(null)] : [ldap(0)])];
}

/** The same without end, for the fuzz. 204, 404 and 409 can be honest answers with any body. */
const anyJunk = fc.oneof(
  fc.record({
    kind: fc.constant('http' as const),
    status: fc.constantFrom(100, 200, 201, 202, 206, 301, 302, 400, 401, 403, 418, 500, 502, 503, 504, 999),
    headers: fc.constantFrom({}, { 'retry-after': 'soon' }, { etag: 'W/"1"' }, { location: '//evil.example/' }),
    body: fc.jsonValue(),
  }),
  fc.record({
    kind: fc.constant('ldap' as const),
    code: fc.constantFrom(1, 2, 3, 4, 10, 11, 49, 50, 51, 52, 53, 80, 4711),
    message: fc.string(),
    entries: fc.constant([]),
    cookie: fc.constantFrom('', 'AAAA'),
  }),
  fc.record({
    kind: fc.constant('sql' as const),
    rows: fc.constant([]),
    count: fc.nat(3),
    sqlstate: fc.constantFrom('XX000', '08006', '57P01', '42501', '25006', ''),
    message: fc.string(),
  }),
  fc.constantFrom(CLOSED, LOST, REFUSED),
) as fc.Arbitrary<Reply>;

/** Junk, and besides it answers that would be honest ones somewhere, out of place. */
const anyReply = fc.oneof(
  anyJunk,
  fc.record({
    kind: fc.constant('http' as const),
    status: fc.constantFrom(200, 201, 204, 404, 409, 412, 429),
    headers: fc.constantFrom({}, { 'retry-after': '-1' }, { 'retry-after': '99999999999999999999' }),
    body: fc.oneof(
      fc.jsonValue(),
      fc.record({
        totalResults: fc.constantFrom(0, 1, 2, -1, 1e9),
        itemsPerPage: fc.nat(2),
        startIndex: fc.nat(2),
        Resources: fc.constantFrom([], [{}], [null], [{ id: 'x' }], [{ id: 'x', userName: 'suite', active: 'False' }]),
      }),
      fc.record({ id: fc.string(), userName: fc.string(), active: fc.jsonValue(), members: fc.jsonValue() }),
    ),
  }),
  fc.record({
    kind: fc.constant('ldap' as const),
    code: fc.constantFrom(0, 5, 6, 16, 20, 32, 68),
    message: fc.string(),
    entries: fc.array(
      fc.record({
        dn: fc.string(),
        attributes: fc.dictionary(fc.constantFrom('uid', 'cn', 'member', 'userAccountControl'), fc.array(fc.string())),
      }),
      { maxLength: 2 },
    ),
    cookie: fc.constantFrom('', 'AAAA'),
  }),
  fc.record({
    kind: fc.constant('sql' as const),
    rows: fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 2 }),
    count: fc.nat(2),
    sqlstate: fc.constantFrom(null, '42710', '42704'),
    message: fc.string(),
  }),
) as fc.Arbitrary<Reply>;

let logins = 0;

/** Holds one connector to the contract of `contract.ts`. Call it at the top of a test file. */
export function connectorSuite(name: string, open: () => Promise<Bench>): void {
  describe(`connector ${name}`, () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await open();
    });
    afterAll(async () => bench?.close());

    const isWrite = (call: Call): boolean => (bench.isWrite ? bench.isWrite(call) : writes(call));
    const carried = (): Attributes => bench.attributes ?? ALL_ATTRIBUTES;
    const freshLogin = (): string => `suite${String(++logins).padStart(4, '0')}`;

    /** Attributes that differ from those the account was created with. */
    const changed = (): Attributes =>
      Object.fromEntries(
        Object.entries(carried()).map(([key, value]) => [key, key === 'email' ? `x${value}` : `${value} x`]),
      );

    const taskOf = (effect: TaskEffect, login: string, id: string | null): Task => ({
      effect,
      account: { login, id },
      ...(effect === 'create' ? { attributes: carried() } : {}),
      ...(effect === 'update' ? { attributes: changed() } : {}),
      ...(effect === 'grant' || effect === 'revoke' ? { entitlement: bench.entitlement } : {}),
    });
    const wanted = (effect: TaskEffect): Attributes => (effect === 'update' ? changed() : carried());

    const apply = async (
      task: Task,
      perform: (call: Call) => Reply | Promise<Reply> = bench.perform,
    ): Promise<Receipt> =>
      (await drive(bench.connector.apply(bench.options, task), perform, { maxSteps: MAX_CALLS })).result;

    const look = async (question: Question): Promise<Sighting> =>
      (await drive(bench.connector.look(bench.options, question), (call) => bench.look(call), { maxSteps: MAX_CALLS }))
        .result;

    const seen = (login: string, id: string | null = null): Promise<Sighting> =>
      look({ account: { login, id }, entitlement: bench.entitlement });

    /** A fresh account for which everything before `effect` is so. */
    const prepare = async (effect: TaskEffect): Promise<{ login: string; id: string | null; task: Task }> => {
      const login = freshLogin();
      let id: string | null = null;
      for (const earlier of EXPECTED[effect].before) {
        const receipt = await apply(taskOf(earlier, login, id));
        expect(receipt, `${earlier} before ${effect}`).toMatchObject({ outcome: 'done' });
        if (earlier === 'create') id = (await seen(login)).id;
      }
      const sighting = await seen(login, id);
      expect(EXPECTED[effect].notDone(sighting, wanted(effect)), `not yet: ${JSON.stringify(sighting)}`).toBe(true);
      return { login, id, task: taskOf(effect, login, id) };
    };

    const expectDone = async (effect: TaskEffect, login: string): Promise<Sighting> => {
      const sighting = await seen(login);
      expect(EXPECTED[effect].done(sighting, wanted(effect)), `done: ${JSON.stringify(sighting)}`).toBe(true);
      return sighting;
    };
    const expectNotDone = async (effect: TaskEffect, login: string): Promise<void> => {
      const sighting = await seen(login);
      expect(EXPECTED[effect].notDone(sighting, wanted(effect)), `not done: ${JSON.stringify(sighting)}`).toBe(true);
    };

    /** Reads go to the target, writes get what `forge` says. */
    const onWrites =
      (forge: (call: Call) => Reply | Promise<Reply>) =>
      (call: Call): Reply | Promise<Reply> =>
        isWrite(call) ? forge(call) : bench.perform(call);

    for (const effect of TASK_EFFECTS) {
      describe(effect, () => {
        const when = (fact: string, body: () => Promise<void>): void => {
          test(fact, async (context) => {
            if (!bench.supports.has(effect)) context.skip(`${name} does not ${effect}`);
            await body();
          });
        };

        when('refused by the gateway, whatever the call: receipt refused, nothing changed', async () => {
          const { login, task } = await prepare(effect);
          expect((await apply(task, () => REFUSED)).outcome).toBe('refused');
          expect(
            (
              await apply(
                task,
                onWrites(() => REFUSED),
              )
            ).outcome,
          ).toBe('refused');
          await expectNotDone(effect, login);
        });

        when('done but the answer lost: unknown, never done; again ends done or already', async () => {
          const { login, task } = await prepare(effect);
          const lost = onWrites(async (call) => {
            await bench.perform(call);
            return LOST;
          });
          expect((await apply(task, lost)).outcome).toBe('unknown');
          expect((await apply(task)).outcome).toMatch(/^(done|already)$/);
          await expectDone(effect, login);
        });

        when('not done and the answer lost: unknown, never done; again ends done', async () => {
          const { login, task } = await prepare(effect);
          expect(
            (
              await apply(
                task,
                onWrites(() => LOST),
              )
            ).outcome,
          ).toBe('unknown');
          await expectNotDone(effect, login);
          expect((await apply(task)).outcome).toBe('done');
          await expectDone(effect, login);
        });

        when('claimed but not done: a look contradicts it', async () => {
          const { login, task } = await prepare(effect);
          const receipt = await apply(
            task,
            onWrites((call) => bench.success(call)),
          );
          expect(receipt.outcome).toMatch(/^(done|unknown)$/);
          await expectNotDone(effect, login);
          if (receipt.outcome === 'done' && receipt.id !== undefined) {
            const byId = await seen(login, receipt.id);
            expect(EXPECTED[effect].done(byId, wanted(effect)), `by id: ${JSON.stringify(byId)}`).toBe(false);
          }
        });

        when('target down: later, and nothing changed', async () => {
          const { login, task } = await prepare(effect);
          expect(await apply(task, () => CLOSED)).toMatchObject({ outcome: 'later', retryAfterMs: null });
          expect(
            (
              await apply(
                task,
                onWrites(() => CLOSED),
              )
            ).outcome,
          ).toBe('later');
          await expectNotDone(effect, login);
        });

        when('rate-limited over HTTP: later, with the time that the target named', async () => {
          const { task } = await prepare(effect);
          const limited = (headers: Record<string, string>) =>
            onWrites((call) => (call.kind === 'http' ? { kind: 'http', status: 429, headers, body: null } : CLOSED));
          expect((await apply(task, limited({}))).outcome).toBe('later');
          const receipt = await apply(task, limited({ 'retry-after': '7' }));
          expect(receipt.outcome).toBe('later');
          const { calls } = await drive(bench.connector.apply(bench.options, task), limited({}), {
            maxSteps: MAX_CALLS,
          });
          if (calls.at(-1)?.kind === 'http') expect(receipt).toMatchObject({ retryAfterMs: 7000 });
        });

        when('an answer that is not understood is never yes', async () => {
          const { login, task } = await prepare(effect);
          const { calls } = await drive(
            bench.connector.apply(bench.options, task),
            onWrites(() => LOST),
            { maxSteps: MAX_CALLS },
          );
          for (const reply of junk(calls.at(-1)!)) {
            const toAll = await apply(task, () => reply);
            expect(toAll.outcome, `all calls: ${JSON.stringify(reply)}`).toMatch(/^(unknown|refused|later)$/);
            const toWrites = await apply(
              task,
              onWrites(() => reply),
            );
            expect(toWrites.outcome, `writes: ${JSON.stringify(reply)}`).toMatch(/^(unknown|refused|later)$/);
          }
          await expectNotDone(effect, login);
        });

        when('done: receipt done, and a look with the other credential sees it', async () => {
          const { login, id, task } = await prepare(effect);
          const receipt = await apply(task);
          expect(receipt.outcome, receipt.message).toBe('done');
          const sighting = await expectDone(effect, login);
          if (effect === 'create' && receipt.outcome === 'done' && receipt.id !== undefined) {
            expect(sighting.id).toBe(receipt.id);
          }
          // On the id, too: what is looked at is the account that was changed and not one of the same name.
          const byId = await seen(login, id ?? sighting.id);
          expect(EXPECTED[effect].done(byId, wanted(effect)), `by id: ${JSON.stringify(byId)}`).toBe(true);
        });

        when('run again: already, and nothing changes', async () => {
          const { login, task } = await prepare(effect);
          expect((await apply(task)).outcome).toBe('done');
          const once = await seen(login);
          const again = await apply(task);
          expect(again.outcome, again.message).toBe('already');
          expect(await seen(login)).toEqual(once);
        });

        when('no sequence of replies throws anything but a ConnectorFault, and junk never ends in yes', async () => {
          const task = taskOf(effect, 'suite', effect === 'create' ? null : 'x');
          await fc.assert(
            fc.asyncProperty(
              fc.array(anyReply, { maxLength: 12 }),
              fc.array(anyJunk, { maxLength: 12 }),
              async (any, bad) => {
                await answered(apply(task, inOrder(any)));
                const receipt = await answered(apply(task, inOrder(bad)));
                expect(receipt?.outcome ?? 'unknown').toMatch(/^(unknown|refused|later)$/);
              },
            ),
            { numRuns: 200 },
          );
        });
      });
    }

    test('refuses what it does not support, without a call', async () => {
      for (const effect of TASK_EFFECTS.filter((one) => !bench.supports.has(one))) {
        const { result, calls } = await drive(
          bench.connector.apply(bench.options, taskOf(effect, 'suite', 'x')),
          () => LOST,
          { maxSteps: MAX_CALLS },
        );
        expect(result.outcome, effect).toBe('refused');
        expect(calls, effect).toEqual([]);
      }
    });

    describe('look', () => {
      test('sees that an account never existed', async () => {
        expect(await seen(freshLogin())).toMatchObject({ account: 'absent', id: null });
      });

      test('what could not be seen is null, never absent and never not held', async () => {
        const { login, id } = await prepare('grant');
        const question: Question = { account: { login, id }, entitlement: bench.entitlement };
        const { calls } = await drive(bench.connector.look(bench.options, question), (call) => bench.look(call));
        for (const reply of [CLOSED, LOST, REFUSED, ...junk(calls[0]!)]) {
          for (const asked of [question, { ...question, account: { login, id: null } }]) {
            const generator = bench.connector.look(bench.options, asked);
            const sighting = (await drive(generator, () => reply, { maxSteps: MAX_CALLS })).result;
            expect(sighting, JSON.stringify(reply)).toMatchObject({ account: null, holds: null });
          }
        }
      });

      test('an answer lost half-way is not taken for no', async () => {
        const { login, id, task } = await prepare('grant');
        expect((await apply(task)).outcome).toBe('done');
        const question: Question = { account: { login, id }, entitlement: bench.entitlement };
        const { calls } = await drive(bench.connector.look(bench.options, question), (call) => bench.look(call));
        for (let broken = 0; broken < calls.length; broken++) {
          for (const reply of [CLOSED, LOST, REFUSED, ...junk(calls[broken]!)]) {
            let index = 0;
            const generator = bench.connector.look(bench.options, question);
            const sighting = (
              await drive(generator, (call) => (index++ === broken ? reply : bench.look(call)), { maxSteps: MAX_CALLS })
            ).result;
            expect(sighting.account, `call ${broken}: ${JSON.stringify(reply)}`).not.toBe('absent');
            expect(sighting.account, `call ${broken}: ${JSON.stringify(reply)}`).not.toBe('disabled');
            expect(sighting.holds, `call ${broken}: ${JSON.stringify(reply)}`).not.toBe(false);
          }
        }
      });

      test('no sequence of replies throws anything but a ConnectorFault, and junk shows nothing', async () => {
        const question: Question = { account: { login: 'suite', id: 'x' }, entitlement: bench.entitlement };
        const looking = (replies: readonly Reply[]) =>
          answered(
            drive(bench.connector.look(bench.options, question), inOrder(replies), { maxSteps: MAX_CALLS }).then(
              ({ result }) => result,
            ),
          );
        await fc.assert(
          fc.asyncProperty(
            fc.array(anyReply, { maxLength: 12 }),
            fc.array(anyJunk, { maxLength: 12 }),
            async (any, bad) => {
              await looking(any);
              expect((await looking(bad)) ?? { account: null, holds: null }).toMatchObject({
                account: null,
                holds: null,
              });
            },
          ),
          { numRuns: 200 },
        );
      });
    });

    describe('observe', () => {
      const observed = async (perform: (call: Call) => Reply | Promise<Reply> = bench.look) =>
        drive(bench.connector.observe(bench.options), perform);
      const ofType = <T extends Observed['type']>(emitted: readonly Observed[], type: T) =>
        emitted.filter((fact): fact is Extract<Observed, { type: T }> => fact.type === type);

      test('sees the whole population once, with the new accounts, their state and their membership', async () => {
        const before = ofType((await observed()).emitted, 'account');
        const holder = await prepare('grant');
        expect((await apply(holder.task)).outcome).toBe('done');
        const other = await prepare(bench.supports.has('disable') ? 'disable' : 'delete');
        if (bench.supports.has('disable')) expect((await apply(other.task)).outcome).toBe('done');

        const { emitted } = await observed();
        const accounts = ofType(emitted, 'account');
        expect(new Set(accounts.map(({ id }) => id)).size).toBe(accounts.length);
        expect(accounts.length).toBe(before.length + 2);
        const account = accounts.find(({ login }) => login === holder.login);
        expect(account).toMatchObject({ id: holder.id, state: 'active', attributes: carried() });
        expect(accounts.find(({ login }) => login === other.login)).toMatchObject({
          id: other.id,
          state: bench.supports.has('disable') ? 'disabled' : 'active',
        });
        const entitlements = ofType(emitted, 'entitlement').filter((one) => one.name === bench.entitlement);
        expect(entitlements).toHaveLength(1);
        const memberships = ofType(emitted, 'membership').filter((one) => one.ref === entitlements[0]!.ref);
        expect(memberships.filter((one) => one.account === holder.id)).toHaveLength(1);
        expect(memberships.filter((one) => one.account === other.id)).toHaveLength(0);
      });

      test('a population that was not read to its end is a fault, never a shorter population', async () => {
        const { calls } = await observed();
        for (let broken = 0; broken < calls.length; broken++) {
          for (const reply of [CLOSED, LOST, REFUSED, ...junk(calls[broken]!)]) {
            let index = 0;
            const reading = observed((call) => (index++ === broken ? reply : bench.look(call)));
            await expect(reading, `call ${broken}: ${JSON.stringify(reply)}`).rejects.toBeInstanceOf(ConnectorFault);
          }
        }
      });

      test('no sequence of replies throws anything but a ConnectorFault', async () => {
        await fc.assert(
          fc.asyncProperty(fc.array(anyReply, { maxLength: 12 }), async (replies) => {
            await answered(observed(inOrder(replies)));
          }),
          { numRuns: 200 },
        );
      });
    });
  });
}

/** These replies, then a target that has gone away. */
const inOrder = (replies: readonly Reply[]): (() => Reply) => {
  let index = 0;
  return () => replies[index++] ?? CLOSED;
};

/** The result, or null when the connector gave up with a fault, which it may. */
const answered = async <T>(run: Promise<T>): Promise<T | null> => {
  try {
    return await run;
  } catch (thrown) {
    if (thrown instanceof ConnectorFault) return null;
    throw thrown;
  }
};
