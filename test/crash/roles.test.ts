/**
 * kill -9 of each role at each of its effects, on a day of a company; the role is started again, people go on with their
 * work, and in the evening the day is compared with one on which nobody died.
 *
 * A plain run tries a seeded sample, so many points a role as fit into a few minutes (CRASH_SEED, CRASH_POINTS);
 * `CRASH=all npx vitest run test/crash/roles.test.ts` tries every effect, before and after it, which takes hours
 * (CRASH_ROLES, CRASH_SHARD=1/4). A point that fails is named, and the next one begins with a new company.
 */
import { afterAll, expect, test } from 'vitest';
import { ROLES, type Role } from '../../src/role/supervise.ts';
import { chance } from './chance.ts';
import { type Company, differences, type Facts, startCompany, stopCompanies } from './company.ts';
import type { Point } from './effects.ts';

const ALL = process.env['CRASH'] === 'all';
const POINTS = Number(process.env['CRASH_POINTS'] ?? 6);
const [SHARD = 1, SHARDS = 1] = (process.env['CRASH_SHARD'] ?? '1/1').split('/').map(Number);
const NEVER: Point = { at: Number.MAX_SAFE_INTEGER, when: 'before' };
/** Evidence files of changes that no death has touched: all of them, where there are few days. */
const OTHERS = ALL ? 2 : Number.MAX_SAFE_INTEGER;

/** A company on its third day: whoever is to leave and to be deleted is there. */
async function inFullSwing(role: Role): Promise<{ company: Company; usual: Facts; effects: number }> {
  const company = await startCompany();
  await company.day({ others: 0 });
  await company.day({ others: 0 });
  let effects = 0;
  const usual = await company.day({
    morning: () => company.arm(role, NEVER),
    evening: async () => {
      ({ effects } = await company.disarm(role));
    },
  });
  expect(company.surprises).toEqual([]);
  expect(await company.ledger()).toMatchObject({ ok: true, findings: [] });
  return { company, usual, effects };
}

/** Where something was wrong once, or could be worst: tried each time. */
const KNOWN: Readonly<Record<Role, readonly Point[]>> = {
  gateway: [
    // An account is made, and nobody hears that: whose is it, and what is its first secret?
    { of: 'POST /scim/v2/Users', at: 1, when: 'after' },
    { of: 'inetOrgPerson', at: 1, when: 'after' },
    { of: 'create role', at: 1, when: 'after' },
    { of: 'insert into binding', at: 1, when: 'before' },
    // One is stopped, and nobody hears that: its retention goes on, and tomorrow it is deleted.
    { of: 'PATCH /scim/v2/Users', at: 1, when: 'after' },
    // Spent and not said; said and not done; done and not told.
    { of: 'insert into spent', at: 2, when: 'after' },
    { of: 'update spent set state = u.state', at: 2, when: 'after' },
  ],
  control: [
    { of: 'insert into approval', at: 1, when: 'after' },
    { of: 'update ledger_head', at: 9, when: 'after' },
    { of: 'insert into writ', at: 1, when: 'after' },
  ],
  verifier: [{ of: 'ledger.submit', at: 2, when: 'after' }],
  worker: [{ of: '"method":"call"', at: 30, when: 'after' }],
};

function pointsOf(role: Role, effects: number): readonly Point[] {
  const every = Array.from({ length: effects }, (_, index) => index + 1);
  if (ALL) {
    return (['before', 'after'] as const)
      .flatMap((when) => every.map((at) => ({ at, when })))
      .filter((_, index) => index % SHARDS === SHARD - 1);
  }
  // One of each stretch of the day, so that no part of it is left out.
  const sample = Array.from(
    { length: POINTS },
    (_, stretch): Point => ({
      at: 1 + Math.floor(((stretch + chance(role, stretch)) * effects) / POINTS),
      when: chance(role, stretch, 'when') < 0.5 ? 'before' : 'after',
    }),
  );
  return [...KNOWN[role], ...sample];
}

/** What is wrong after a day with these deaths, in words; and whether all of them came. */
async function dayWith(company: Company, usual: Facts, role: Role, points: readonly [Point, ...Point[]]) {
  let hasDied = false;
  const wrong: string[] = [];
  try {
    const facts = await company.day({
      morning: () => company.arm(role, ...points),
      evening: async () => {
        ({ hasDied } = await company.disarm(role));
      },
      others: OTHERS,
    });
    wrong.push(...differences(facts, usual));
    const { ok, findings } = await company.ledger();
    if (!ok) wrong.push(...findings.map(({ message }) => `ledger: ${message}`));
  } catch (thrown) {
    wrong.push(`the day did not end: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
  wrong.push(...company.surprises.splice(0));
  return { hasDied, wrong };
}

afterAll(stopCompanies);

const wanted = (process.env['CRASH_ROLES'] ?? ROLES.join(' ')).split(' ') as Role[];

test.concurrent.each(wanted)(
  'the %s is killed at its effects, and the day ends as it would have',
  async (role) => {
    let { company, usual, effects } = await inFullSwing(role);
    const failures: string[] = [];
    let deaths = 0;
    try {
      const points = pointsOf(role, effects);
      const startedAt = Date.now();
      for (const [index, point] of points.entries()) {
        // Every fourth dies again while it starts, at whatever it does first.
        const again: Point = { at: 1 + Math.floor(chance(role, index, 'again') * 24), when: point.when };
        const { hasDied, wrong } = await dayWith(company, usual, role, index % 4 === 3 ? [point, again] : [point]);
        if (hasDied) deaths += 1;
        if (ALL && index % 25 === 0)
          console.error(`${role}: ${index} of ${points.length}, ${deaths} deaths, ${failures.length} failures`);
        if (wrong.length === 0) continue;
        failures.push(
          `${role} killed ${point.when} ${point.at}${point.of === undefined ? '' : ` of ${point.of}`}${index % 4 === 3 ? `, again ${again.when} ${again.at}` : ''}: ${wrong.join('; ')}`,
        );
        console.error(failures.at(-1), await company.lastWords(role));
        await company.stop();
        ({ company, usual, effects } = await inFullSwing(role));
      }
      console.error(
        `${role}: ${effects} effects on a day, ${points.length} points tried, ${deaths} deaths, ${Math.round((Date.now() - startedAt) / points.length)} ms each`,
      );
    } finally {
      await company.stop();
    }
    expect(failures).toEqual([]);
    // A day has not always the same number of effects, so that the last points may lie behind its end.
    expect(deaths).toBeGreaterThan(POINTS / 2);
  },
  ALL ? 86_400_000 : 900_000,
);
