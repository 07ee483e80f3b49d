/**
 * What dies besides a role: the database server under all of them, a connector's process, the command that a person runs,
 * and everything at once. In the middle of a day, which then ends as it would have.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { ROLES } from '../../src/role/supervise.ts';
import { chance } from './chance.ts';
import { command, type Ended, until } from './command.ts';
import {
  type Company,
  childrenOf,
  differences,
  type Facts,
  killIfThere,
  startCompany,
  stopCompanies,
} from './company.ts';

const ALL = process.env['CRASH'] === 'all';
/** A day takes some seconds; on a machine with other work, a minute. */
const PATIENCE = { timeout: 300_000 };
const { sleep } = systemClock;
let company: Company;
let usual: Facts;

beforeAll(async () => {
  company = await startCompany();
  await company.day({ others: 0 });
  await company.day({ others: 0 });
  usual = await company.day();
  expect(company.surprises).toEqual([]);
}, 300_000);
afterAll(stopCompanies, 60_000);

/** A day on which something happens, which nobody notices in the evening. */
async function dayWith(
  happens: (write: (n: number) => Promise<void>) => Promise<void>,
  carry?: () => Promise<void>,
): Promise<void> {
  let happening: Promise<void> = Promise.resolve();
  const facts = await company.day({
    async morning() {
      happening = happens((n) => company.write(n));
      happening.catch(() => undefined);
    },
    ...(carry ? { carry } : {}),
    evening: () => happening,
  });
  expect(differences(facts, usual)).toEqual([]);
  expect(await company.ledger()).toMatchObject({ ok: true, findings: [] });
  expect(company.surprises.splice(0)).toEqual([]);
}

describe('the database server', PATIENCE, () => {
  const tries = Array.from({ length: ALL ? 12 : 1 }, (_, index) => index);
  test.each(tries)('is killed in the middle of a run (%i)', (index) =>
    dayWith(async (write) => {
      await write(1 + Math.floor(chance('store', index) * 9));
      await company.loseStore('SIGKILL');
    }),
  );
  test.each(tries)('shuts down at once in the middle of a run (%i)', (index) =>
    dayWith(async (write) => {
      await write(1 + Math.floor(chance('immediate', index) * 9));
      await company.loseStore('SIGQUIT');
    }),
  );
});

test('processes of connectors are killed again and again', PATIENCE, () =>
  dayWith(async (write) => {
    for (const n of [1, 3, 5, 8]) {
      await write(n);
      for (const role of ['worker', 'verifier'] as const) {
        for (const pid of await childrenOf(company.pidOf(role))) killIfThere(pid);
      }
    }
  }),
);

describe('everything at once', PATIENCE, () => {
  const tries = Array.from({ length: ALL ? 60 : 2 }, (_, index) => index);
  test.each(tries)('a power cut at a random moment (%i)', (index) =>
    dayWith(async (write) => {
      if (index % 2 === 0) await sleep(chance('cut', index) * 3_000);
      else await write(1 + Math.floor(chance('cut', index) * 9));
      await company.powerCut();
    }),
  );
});

/* ---- the command line ------------------------------------------------------------------------------------------------------ */

describe('the command that carries the plans, with roles of its own', PATIENCE, () => {
  const run = () => ['run', '--config', company.configFile];
  test.each([
    ['Ctrl-C', 'SIGINT', 130],
    ['kill -9', 'SIGKILL', null],
  ] as const)('%s in the middle of it, and the next run resumes', async (_, signal, code) => {
    let ended: Ended | null = null;
    await dayWith(
      async () => undefined,
      async () => {
        await company.halt(...ROLES);
        const { child, ended: ending } = command(run());
        await company.write(3);
        child.kill(signal);
        ended = await ending;
        // 4: pauses between attempts are not over yet; whoever comes later finds the rest.
        const resumed = await until([0, 4], run());
        expect(resumed.said).not.toContain('defect');
        expect([0, 4]).toContain(resumed.code);
        for (const role of ROLES) await company.start(role);
      },
    );
    expect(ended).toMatchObject({ code, signal: code === null ? signal : null });
  });
});
