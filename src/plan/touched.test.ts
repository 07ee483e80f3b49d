/**
 * Planning looks only at whom something touched. What that must never change is the answer: after any sequence of events
 * the differences are those that a look at everybody finds.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ScratchCluster, scratchCluster, servers } from '../../test/scratch.ts';
import { Authority } from '../authority/authority.ts';
import { type Digest, sha256 } from '../canonical.ts';
import { type Instant, isoTime, systemClock } from '../clock.ts';
import type { Observed } from '../connector/contract.ts';
import { ingest, settlePersons } from '../identity/ingest.ts';
import { dateOf } from '../identity/lifecycle.ts';
import { observe } from '../identity/observe.ts';
import { compileRules } from '../identity/rules.ts';
import { type Database, openDatabase, packageFolder, type Queryable } from '../store/database.ts';
import { migrate } from '../store/migrate.ts';
import { parseLeaf } from './change.ts';
import { diff } from './diff.ts';
import { giveLogins } from './logins.ts';
import { makePlans, type OpenPlan, treeOf } from './make.ts';

const target = { match: 'userName == person.login', leaver: { disable: 'now', delete: '30d' }, protected: ['svc-*'] };
const authority = Authority.parse({
  version: 1,
  tenant: 'acme',
  owner: '100',
  feeds: {
    hr: {
      csv: 'hr.csv',
      contract: { key: 'id', maxAge: '26h', count: {}, mode: 'delta' },
      map: {
        employeeId: 'row.id',
        name: 'row.name',
        login: 'row.login',
        department: 'row.department',
        startsOn: 'row.starts',
        endsOn: 'row.ends',
      },
    },
  },
  correlate: ['employeeId'],
  targets: {
    crm: { scim: 'http://127.0.0.1:1/scim', ...target },
    wiki: { scim: 'http://127.0.0.1:2/scim', ...target },
  },
  entitlements: {
    staff: { on: 'crm', group: 'Staff', privilege: 'low' },
    sales: { on: 'crm', group: 'Sales', privilege: 'normal', owner: '101' },
    pages: { on: 'wiki', group: 'Pages', privilege: 'low' },
  },
  birthright: {
    everyone: { when: 'person.active', grant: ['staff', 'pages'] },
    selling: { when: 'person.department == "sales"', grant: ['sales', 'staff'] },
    // No answer for who has no department: he keeps what he has.
    numbered: { when: 'int(person.department.replace("sales", "1").replace("legal", "2")) > 5', grant: ['sales'] },
  },
  limits: { grants: { count: 1000 }, removals: { count: 1000 } },
  approvals: { low: 0, normal: { people: 1, role: 'owner' }, high: { people: 2, role: 'security' } },
  envelope: { grants: { count: 1000 }, removals: { count: 1000 }, expires: '2027-12-31' },
});
const rules = compileRules(authority);
const BOTH = ['crm', 'wiki'];
const DAY = 86_400_000;
const START = Date.parse('2026-03-01T09:00:00Z');
const EVERYBODY = 'insert into touched (tenant, person) select tenant, id from person';

interface Row {
  readonly id: string;
  readonly name: string;
  readonly login: string;
  readonly department: string | null;
  readonly starts: string | null;
  readonly ends: string | null;
}
const row = (id: number, over: Partial<Row> = {}): Row => ({
  id: String(id),
  name: `Person ${id}`,
  login: `user${id}`,
  department: 'legal',
  starts: null,
  ends: null,
  ...over,
});

/** Marsaglia's xorshift32: each seed its own story, the same on each run. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

class RolledBack extends Error {}

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    let cluster: ScratchCluster;
    let database: Database;
    let runs = 0;
    beforeAll(async () => {
      cluster = await scratchCluster({ binaries });
    });
    beforeEach(async () => {
      await database?.close();
      const admin = openDatabase(cluster.superuser, { clock: systemClock });
      await admin.query(`create database run${++runs}`);
      await admin.close();
      database = openDatabase({ ...cluster.superuser, database: `run${runs}` }, { clock: systemClock });
      await migrate(database, join(packageFolder(), 'src', 'store', 'control'), 'control');
    });
    afterAll(async () => {
      await database?.close();
      await cluster?.remove();
    });

    const take = (tx: Queryable, rows: readonly Row[], now: Instant) =>
      ingest(
        tx,
        authority,
        rules,
        {
          feed: 'hr',
          id: `s${now}`,
          records: async function* () {
            yield rows.map((item, index) => ({ line: index + 2, text: JSON.stringify(item) }));
          },
          quarantined: [],
        },
        dateOf(now),
        now,
      );
    const settle = (tx: Queryable, now: Instant, everybody = false) =>
      settlePersons(tx, authority, rules, dateOf(now), now, everybody);
    const found = (tx: Queryable) =>
      tx.query<{ found: string }>(
        `select concat_ws(' ', effect, system, coalesce(login, '-'), coalesce(id, '-'), coalesce(entitlement, '-'), person, cause, until) as found
           from difference order by 1`,
      );

    /** What planning finds. @param whole looks at everybody, and leaves no trace */
    async function differences(now: Instant, systems: readonly string[], whole: boolean): Promise<string[]> {
      let rows: { found: string }[] = [];
      const work = async (tx: Queryable) => {
        await settle(tx, now, whole);
        await diff(tx, authority, systems, now);
        rows = await found(tx);
        if (whole) throw new RolledBack();
      };
      await database.tx(work).catch((thrown) => {
        if (!(thrown instanceof RolledBack)) throw thrown;
      });
      return rows.map((item) => item.found);
    }

    const hire = async (rows: readonly Row[], now: Instant = START) => database.tx((tx) => take(tx, rows, now));
    const see = (system: string, now: Instant, observed: readonly Observed[]) =>
      database.tx((tx) => observe(tx, authority, system, now, (onChunk) => onChunk(observed)));
    /** What targets would show after each plan was carried out. */
    async function carryOut(now: Instant): Promise<void> {
      await database.tx(async (tx) => {
        await settle(tx, now);
        await tx.query(EVERYBODY);
        await diff(tx, authority, BOTH, now);
        await giveLogins(tx, authority, rules);
        const login = `coalesce(d.login, (select n.login from named n where n.person = d.person and n.system = d.system))`;
        await tx.query(
          `insert into account (tenant, system, login, id, person, management, state, attributes, observed_at)
           select 'acme', d.system, ${login}, 'id-' || d.person, d.person, 'managed', 'active',
                  jsonb_build_object('employeeId', p.attributes ->> 'employeeId', 'displayName', p.attributes ->> 'name',
                                     'department', p.attributes ->> 'department'), $1
             from difference d join person p on p.id = d.person where d.effect = 'create'`,
          [isoTime(now)],
        );
        await tx.query(
          `insert into held (tenant, system, login, entitlement, observed_at)
           select 'acme', d.system, ${login}, d.entitlement, $1 from difference d where d.effect = 'grant' on conflict do nothing`,
          [isoTime(now)],
        );
        await tx.query(
          `delete from held h using difference d where d.effect = 'revoke' and h.system = d.system and h.login = d.login
              and h.entitlement = d.entitlement`,
        );
        await tx.query(
          `update account a set state = case d.effect when 'enable' then 'active' else 'disabled' end,
                  disabled_at = case d.effect when 'disable' then $1::timestamptz end
             from difference d where d.effect in ('enable', 'disable') and a.system = d.system and a.login = d.login`,
          [isoTime(now)],
        );
        await tx.query(
          `update account a set attributes = jsonb_build_object('employeeId', p.attributes ->> 'employeeId',
                  'displayName', p.attributes ->> 'name', 'department', p.attributes ->> 'department')
             from difference d join person p on p.id = d.person
            where d.effect = 'update' and a.system = d.system and a.login = d.login`,
        );
        await tx.query(
          `delete from account a using difference d where d.effect = 'delete' and a.system = d.system and a.login = d.login`,
        );
      });
    }

    describe('whatever happens, the touched are everybody who differs', () => {
      test.each([1, 2, 3])('story %i', { timeout: 240_000 }, async (seed) => {
        const next = seeded(seed * 7919);
        const people = 14;
        let now = START;
        const someone = () => 100 + next(people);
        const day = () => dateOf(now + (next(80) - 40) * DAY);
        const day0 = (id: number) => row(id, next(3) === 0 ? { ends: day() } : {});
        await hire(Array.from({ length: people }, (_, index) => day0(100 + index)));
        const events: (() => Promise<unknown>)[] = [
          () => hire([row(someone(), { department: ['sales', 'legal', '7', null][next(4)]! })], now),
          () => hire([row(someone(), { starts: day() })], now),
          () => hire([row(someone(), { ends: day() })], now),
          // Nothing that he is called may be one long word: set aside, and mended by a later event.
          () => hire([row(someone(), { name: 'x'.repeat(2000) })], now),
          () => hire([row(200 + next(50))], now),
          () =>
            database.query(
              `insert into cause (tenant, person, entitlement, kind, ref, starts_at, ends_at)
               select 'acme', id, 'sales', 'request', $1, $2, $3 from person order by md5(id || $1) limit 1`,
              [`R${next(1_000_000)}`, isoTime(now), next(2) === 0 ? null : isoTime(now + next(9) * DAY + 1)],
            ),
          () => database.query(`delete from cause where ref = (select min(ref) from cause)`),
          () =>
            database.query(
              `insert into termination (tenant, person, reason, by, since)
               select 'acme', id, 'T1 by 101', '101', now() from person order by md5(id || $1) limit 1 on conflict do nothing`,
              [String(next(1_000_000))],
            ),
          () => database.query('delete from termination'),
          () => database.query(`delete from held where login = (select min(login) from held)`),
          () => database.query(`update account set attributes = '{}' where login = (select max(login) from account)`),
          () => database.query(`update account set management = 'protected' where login = $1`, [`user${someone()}`]),
          () => database.query(`update account set management = 'managed' where management = 'protected'`),
          () => database.query(`delete from account where login = $1`, [`user${someone()}`]),
          () =>
            database.query(
              `update account set person = (select max(person) from account where system = 'crm') where login = $1`,
              [`user${someone()}`],
            ),
          () => carryOut(now),
          () => carryOut(now),
          async () => {
            now += (1 + next(25)) * DAY;
          },
          async () => {
            now += DAY;
          },
        ];
        let nobody = 0;
        for (let step = 0; step < 40; step += 1) {
          const happened = next(events.length);
          await events[happened]!();
          const systems = [BOTH, BOTH, BOTH, ['crm']][next(4)]!;
          const everybody = await differences(now, systems, true);
          expect(await differences(now, systems, false), `step ${step}, event ${happened}`).toEqual(everybody);
          if (everybody.length === 0) nobody += 1;
          now += 1000;
        }
        // A story in which everybody always differs would prove nothing.
        expect(nobody).toBeLessThan(40);
        const rest = await database.one<{ count: number }>(
          `select count(distinct person)::int as count from touched where due <= $1`,
          [isoTime(now)],
        );
        expect(rest.count).toBeLessThan(people);
      });
    });

    test('who is in order is looked at no more; whoever is not stays, as one row', async () => {
      await hire([row(100), row(101), row(102)]);
      await carryOut(START);
      await differences(START, BOTH, false);
      expect(await database.query('select 1 from touched')).toEqual([]);
      await hire([row(101, { department: 'sales' })]);
      for (let again = 0; again < 3; again += 1) await differences(START, BOTH, false);
      expect(await database.query('select person from touched')).toHaveLength(1);
    });

    test('while a target is away nobody is known to be in order', async () => {
      await hire([row(100)]);
      await carryOut(START);
      await differences(START, ['crm'], false);
      expect(await database.query('select person from touched')).toHaveLength(1);
    });

    test('a planning that dies in the middle leaves everybody to the next', async () => {
      await hire([row(100), row(101)]);
      const before = await differences(START, BOTH, true);
      const dying = database.tx(async (tx) => {
        await settle(tx, START);
        await diff(tx, authority, BOTH, START);
        throw new RolledBack();
      });
      await expect(dying).rejects.toThrow(RolledBack);
      expect(await differences(START, BOTH, false)).toEqual(before);
      expect(before).toHaveLength(8);
    });

    test('what happens while a planning looks is left to the next one', async () => {
      await hire([row(100)]);
      await carryOut(START);
      await database.tx(async (tx) => {
        await settle(tx, START);
        await diff(tx, authority, BOTH, START);
        expect(await found(tx)).toEqual([]);
        await database.query(`delete from held where entitlement = 'staff'`);
      });
      expect(await differences(START, BOTH, false)).toHaveLength(1);
    });

    test('the same people and accounts again touch nobody', async () => {
      const rows = [row(100), row(101)];
      const accounts: Observed[] = [
        { type: 'entitlement', ref: 'g1', name: 'Staff' },
        { type: 'account', id: 'a1', login: 'user100', state: 'active', attributes: { displayName: 'Person 100' } },
        { type: 'membership', ref: 'g1', account: 'a1' },
      ];
      await hire(rows);
      await see('crm', START, accounts);
      await database.query(`update account set person = 'p1', management = 'managed'`);
      await database.query('delete from touched');
      expect(await hire(rows)).toMatchObject({ read: 2, changed: 0, joined: 0 });
      expect(await see('crm', START + 1000, accounts)).toMatchObject({ accounts: 1, unmanaged: 0 });
      expect(await database.query('select person from touched')).toEqual([]);
      // Without its membership it is another.
      await see('crm', START + 2000, accounts.slice(0, 2));
      expect(await database.query('select person from touched')).toEqual([{ person: 'p1' }]);
    });

    test('a read that breaks off changes nothing', async () => {
      await see('crm', START, [{ type: 'account', id: 'a1', login: 'ann', state: 'active', attributes: {} }]);
      const broken = database.tx((tx) =>
        observe(tx, authority, 'crm', START, async (onChunk) => {
          await onChunk([{ type: 'account', id: 'a2', login: 'bob', state: 'active', attributes: {} }]);
          throw new Error('the connection broke');
        }),
      );
      await expect(broken).rejects.toThrow('the connection broke');
      expect(await database.query('select login from account')).toEqual([{ login: 'ann' }]);
    });

    test('where a rule has no answer, its last one stands', async () => {
      await hire([row(100, { department: 'sales' })]);
      await carryOut(START);
      await hire([row(100, { department: 'somewhere' })], START + 1);
      // `department` of the accounts is another; nothing is taken.
      const now = await differences(START + 1, BOTH, false);
      expect(now.map((line) => line.split(' ')[0])).toEqual(['update', 'update']);
    });

    test('namesakes get names one after the other, and nobody gets a name that somebody has or had', async () => {
      const same = { login: 'jo' };
      await hire([
        row(100, same),
        row(101, same),
        row(102, same),
        row(103, { login: 'kim' }),
        row(104, { login: 'kit' }),
      ]);
      await database.query(`insert into login (tenant, system, login, person) values ('acme', 'crm', 'jo2', 'p99')`);
      await database.query(`insert into login (tenant, system, login, person) values ('acme', 'crm', 'kay', 'p5')`);
      await see('crm', START, [{ type: 'account', id: 'a1', login: 'kim', state: 'active', attributes: {} }]);
      await database.tx(async (tx) => {
        await settle(tx, START);
        await diff(tx, authority, ['crm'], START);
        const left = await giveLogins(tx, authority, rules);
        expect(await tx.query('select person, login from named order by person')).toEqual([
          { person: 'p1', login: 'jo' },
          { person: 'p2', login: 'jo3' },
          { person: 'p3', login: 'jo4' },
          // He had it before.
          { person: 'p5', login: 'kay' },
        ]);
        expect(left).toEqual([{ system: 'crm', login: 'kim', person: 'p4', why: expect.stringContaining('adopt') }]);
        expect(await tx.query(`select 1 from difference where person = 'p4'`)).toEqual([]);
      });
    });

    test('whose name is protected, or who has none, is left alone and told', async () => {
      await hire([row(100, { login: 'jo' }), row(101, { login: '-' })]);
      await database.query(`insert into login (tenant, system, login, person) values ('acme', 'crm', 'svc-jo', 'p1')`);
      await database.tx(async (tx) => {
        await settle(tx, START);
        await diff(tx, authority, ['crm'], START);
        const left = await giveLogins(tx, authority, rules);
        expect([...new Set(left.map(({ person, login, why }) => `${person} ${login} ${why}`))]).toEqual([
          'p2 null no login is free for this person',
          'p1 svc-jo protected',
        ]);
        expect(await tx.query('select 1 from difference')).toEqual([]);
      });
    });

    describe('plans', () => {
      const plan = (tx: Queryable, open: readonly OpenPlan[], next: number, terminated: readonly string[]) =>
        makePlans(tx, {
          authority,
          roster: { people: [{ person: '103', name: 'An Approver' }] } as never,
          base: { authorityDigest: sha256('a'), snapshots: { hr: 's1' }, observedAt: START, policy: sha256('p') },
          existing: async () => ({ things: 100 }),
          terminated,
          now: START,
          open,
          next,
        });
      const planned = async (open: readonly OpenPlan[] = [], next = 1, terminated: readonly string[] = []) =>
        database.tx(async (tx) => {
          await settle(tx, START);
          await diff(tx, authority, BOTH, START);
          await giveLogins(tx, authority, rules);
          return plan(tx, open, next, terminated);
        });
      const stored = async (number: number) =>
        (await database.query<{ leaf: string }>('select leaf from change where plan = $1 order by seq', [number])).map(
          ({ leaf }) => parseLeaf(leaf),
        );

      test('their digests are over what is stored, in order, and an account comes before what is on it', async () => {
        await hire([row(20), row(100), row(3), row(103), row(9, { department: 'sales' })]);
        const plans = await planned();
        expect(plans.map(({ made }) => `${made?.header.risk} ${made?.header.size}`)).toEqual([
          'low 16',
          'low 4',
          'normal 1',
        ]);
        for (const { number, made } of plans) {
          const leaves = await stored(number);
          expect(treeOf(leaves).root).toBe(made?.header.root);
          expect(leaves.map(({ seq }) => seq)).toEqual(leaves.map((_, index) => index + 1));
          for (const { effect, after, system } of leaves) {
            const makers = after.map((seq) => leaves[seq - 1]);
            if (effect !== 'grant') expect(makers).toEqual([]);
            else if (made?.header.risk === 'low') expect(makers).toMatchObject([{ effect: 'create', system }]);
          }
        }
        // Numbers by their value; an approver's own changes are a plan of their own.
        expect([...new Set((await stored(1)).map(({ subject }) => subject?.key))]).toEqual(['3', '9', '20', '100']);
        // What is held on an account that an earlier plan makes waits for it.
        expect(await stored(3)).toMatchObject([{ entitlement: 'sales', waitsFor: ['P1'] }]);
      });

      test('one that says the same stays, and is not stored again, whatever it waits for', async () => {
        await hire([row(100, { department: 'sales' }), row(101)]);
        const first = await planned();
        const open = first.map(({ number, content, made }) => ({
          number: number + 40,
          content: content as string,
          risk: made!.header.risk,
          size: made!.header.size,
        }));
        const again = await planned(open, 7);
        expect(again).toEqual(first.map(({ number, content }) => ({ number: number + 40, content, made: null })));
        // As large and as risky, and not the same: a new plan.
        const other = await planned(
          open.map((item) => ({ ...item, content: sha256('other') as Digest })),
          7,
        );
        expect(other.map(({ number, content }) => ({ number, content }))).toEqual(
          first.map(({ content }, index) => ({ number: 7 + index, content })),
        );
      });

      test('to whom signatures took is given by a plan of its own, which is another than the same one without', async () => {
        await hire([row(100), row(101)]);
        const [both] = await planned();
        const [plain, again] = await planned([], 10, ['hr:101']);
        expect(both?.made?.header).toMatchObject({ role: null, size: 8 });
        expect(plain?.made?.header).toMatchObject({ role: null, size: 4 });
        expect(again?.made?.header).toMatchObject({ role: 'security', size: 4 });
        expect(again?.made?.critique[0]).toMatch('by their signatures');
        await hire([row(100, { ends: '2026-01-01' })]);
        const [alone] = await planned([], 20);
        expect(alone?.made?.header).toMatchObject({ role: null, size: 4 });
        expect((await stored(20)).map(({ object }) => object)).toEqual((await stored(11)).map(({ object }) => object));
        expect(alone?.content).not.toBe(again?.content);
      });

      test('what a person loses comes before what he gains', async () => {
        await hire([row(100, { department: 'sales' })]);
        await carryOut(START);
        await hire([row(100, { department: 'legal' })]);
        await database.query(`insert into cause (tenant, person, entitlement, kind, ref, starts_at)
          values ('acme', 'p1', 'pages', 'request', 'R1 by 101', '2026-01-01')`);
        await database.query(`delete from held where entitlement = 'pages'`);
        const plans = await planned();
        expect(plans.map(({ made }) => made?.header.risk)).toEqual(['removal', 'low']);
        const gains = await stored(2);
        expect(gains.every(({ waitsFor }) => waitsFor.join() === 'P1')).toBe(true);
        expect(gains.map(({ effect }) => effect)).toContain('grant');
      });
    });
  });
}
