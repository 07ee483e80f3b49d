/**
 * Somebody has control's whole database and edits what he likes; the roles are honest. The gateway believes none of it,
 * and no row is a verification.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { generateSshKey, parsePrivateKey } from '../../src/approval/private.ts';
import { signVerdict } from '../../src/approval/request.ts';
import type { SignedRoster } from '../../src/approval/roster.ts';
import { canonical } from '../../src/canonical.ts';
import { systemRandom } from '../../src/clock.ts';
import { ask, terminate } from '../../src/control/ask.ts';
import { showPlan } from '../../src/control/inspect.ts';
import { collectEvidence } from '../../src/evidence/bundle.ts';
import { checkEvidence, type EvidenceReport } from '../../src/evidence/check.ts';
import { controlSources } from '../../src/evidence/collect.ts';
import { HOUR, PEOPLE, startWorld, type World } from '../company/world.ts';

let world: World;
const sql = (text: string, values: unknown[] = []) => world.database.query<{ stage: string }>(text, values);

beforeAll(async () => {
  world = await startWorld();
  await world.plan();
  await world.run();
});
afterAll(() => world?.stop());

/** Lets Jo ask for the administrators' group for an hour. @returns the plan that waits for two signatures */
async function asked(person = '110'): Promise<string> {
  await ask(world.control().world, { person, entitlement: 'admins', forMs: HOUR, reason: 'incident', by: '109' });
  await world.plan();
  const plan = (await world.plans()).find(({ risk, state }) => risk === 'high' && state === 'open');
  if (!plan) throw new Error('no plan asks for signatures');
  return plan.plan;
}
const numberOf = (plan: string): number => Number(plan.slice(1));
const stages = async (plan: string): Promise<readonly string[]> =>
  (await sql('select distinct stage from change where plan = $1 order by 1', [numberOf(plan)])).map(
    ({ stage }) => stage,
  );

/** What an attack left of requests and their plans. */
async function forget(): Promise<void> {
  await sql(`delete from cause where kind = 'request'`);
  await sql(`update change set stage = 'superseded' where stage <> 'verified'`);
  await sql(`update plan set state = 'superseded' where state = 'open'`);
}

/** The target is as it was. */
async function harmless(attack: () => Promise<void>): Promise<void> {
  const before = await world.crm.picture();
  await attack();
  await world.run();
  expect(await world.crm.picture()).toBe(before);
}

describe('approval', () => {
  let plan: string;
  beforeEach(async () => {
    await forget();
    plan = await asked();
  });

  test('a stage set to approved', async () => {
    await harmless(async () => {
      await sql(`update change set stage = 'approved', next_at = now() - interval '1 second' where plan = $1`, [
        numberOf(plan),
      ]);
    });
    expect(await stages(plan)).toEqual(['refused']);
  });
  test('a stage set to permitted, under a writ that was never sealed', async () => {
    await harmless(async () => {
      await sql(
        `update change set stage = 'permitted', writ = 'W1-ffff', next_at = now() - interval '1 second' where plan = $1`,
        [numberOf(plan)],
      );
    });
    expect(await stages(plan)).not.toContain('verified');
  });
  test('a stage set to applied', async () => {
    await harmless(async () => {
      await sql(
        `update change set stage = 'applied', next_at = now() - interval '1 second', attempt = 1 where plan = $1`,
        [numberOf(plan)],
      );
    });
    expect(await stages(plan)).toEqual(['contradicted']);
  });
  test('a plan that says it needs nobody', async () => {
    await harmless(async () => {
      await sql('update plan set people = 0, role = null where number = $1', [numberOf(plan)]);
      await sql(`update change set next_at = now() - interval '1 second' where plan = $1`, [numberOf(plan)]);
    });
    expect(await stages(plan)).toEqual(['refused']);
  });
  test('approvals inserted, signed by keys of the attacker', async () => {
    await harmless(async () => {
      const { request } = await showPlan(world.control().world, plan);
      for (const person of ['102', '103']) {
        const key = parsePrivateKey(generateSshKey({ random: systemRandom, comment: 'x' }).privateText);
        await sql(
          `insert into approval (tenant, plan, request, person, verdict, armored, at) values ('acme', $1, $2, $3, 'approve', $4, now())`,
          [numberOf(plan), request!.digest, person, await signVerdict(key, 'approve', request!.bytes)],
        );
      }
      await sql(`update change set stage = 'approved', next_at = now() - interval '1 second' where plan = $1`, [
        numberOf(plan),
      ]);
    });
    expect(await stages(plan)).toEqual(['refused']);
  });
  test('one person’s approval entered under two names', async () => {
    await harmless(async () => {
      await world.signAs(plan, '102');
      await sql(
        `insert into approval select tenant, plan, request, '103', verdict, reason, armored, at from approval where plan = $1`,
        [numberOf(plan)],
      );
      await sql(`update change set stage = 'approved', next_at = now() - interval '1 second' where plan = $1`, [
        numberOf(plan),
      ]);
    });
    expect(await stages(plan)).toEqual(['refused']);
  });
  test('a request made over to ask for one person', async () => {
    await harmless(async () => {
      const { request } = await showPlan(world.control().world, plan);
      const edited = canonical({ ...(JSON.parse(request!.bytes) as object), people: 1 } as never);
      await sql('update request set bytes = $2 where plan = $1', [numberOf(plan), edited]);
      await sql('update plan set people = 1 where number = $1', [numberOf(plan)]);
      await world.signAs(plan, '102');
    });
    expect(await stages(plan)).not.toContain('verified');
  });
  test('the leaf made over after people signed', async () => {
    await world.signAs(plan, '102');
    await harmless(async () => {
      // Before the last signature: Ivo's account in the place of Jo's.
      const ivo = (await world.crm.user('ivo'))!.id;
      await sql(
        `update change set leaf = replace(replace(leaf, '"jo"', '"ivo"'), id, $2), login = 'ivo' from account
                  where account.login = 'jo' and plan = $1`,
        [numberOf(plan), ivo],
      );
      await world.signAs(plan, '103').catch(() => undefined);
      await sql(`update change set stage = 'approved', next_at = now() - interval '1 second' where plan = $1`, [
        numberOf(plan),
      ]);
    });
    expect(await world.crm.members('Admins')).toEqual([]);
  });
  test('the header made over to a lower risk', async () => {
    await harmless(async () => {
      await sql(
        `update plan set risk = 'low', people = 0, role = null, header = replace(header, '"risk":"high"', '"risk":"low"') where number = $1`,
        [numberOf(plan)],
      );
      await sql(`update change set stage = 'approved', next_at = now() - interval '1 second' where plan = $1`, [
        numberOf(plan),
      ]);
    });
    expect(await stages(plan)).toEqual(['refused']);
  });
});

describe('people and accounts', () => {
  beforeAll(forget);
  /** Gives Jo an answer of the rules that the rules did not give, and sees to it that planning looks at him. */
  const forgeAnswer = async (grants: readonly (readonly [entitlement: string, rule: string])[]) => {
    for (const [entitlement, rule] of grants) {
      await sql(`insert into birthright (tenant, number, entitlement, rule) values ('acme', 99, $1, $2)`, [
        entitlement,
        rule,
      ]);
    }
    await sql(`update person set birthright = 99 where id = (select person from account where login = 'jo')`);
    await touchJo();
  };
  const touchJo = () =>
    sql(`insert into touched (tenant, person) select 'acme', person from account where login = 'jo'`);
  const mend = async () => {
    await sql('update person set birthright = null where birthright = 99');
    await sql('delete from birthright where number = 99');
    await touchJo();
    await world.plan();
  };
  const OWN = [
    ['staff', 'everyone'],
    ['sales', 'sales'],
  ] as const;
  /** An attack that planning does not fall for would prove nothing of the gateway. */
  const planned = async (effect: string, entitlement: string) =>
    expect(
      await sql(
        `select 1 from change c join plan p on p.number = c.plan
          where p.state = 'open' and c.login = 'jo' and c.effect = $1 and c.entitlement = $2`,
        [effect, entitlement],
      ),
    ).toHaveLength(1);

  test('a birthright that no rule gives', async () => {
    await harmless(async () => {
      await forgeAnswer([...OWN, ['legal', 'legal']]);
      await world.plan();
      await planned('grant', 'legal');
    });
    await mend();
  });
  test('a birthright for the administrators', async () => {
    await harmless(async () => {
      await forgeAnswer([...OWN, ['admins', 'everyone']]);
      await world.plan();
      await planned('grant', 'admins');
    });
    await mend();
  });
  test('a birthright taken away', async () => {
    await harmless(async () => {
      await forgeAnswer(OWN.filter(([entitlement]) => entitlement !== 'staff'));
      await world.plan();
      await planned('revoke', 'staff');
    });
    await mend();
  });
  test('a person said to have left', async () => {
    await harmless(async () => {
      await sql(`update person set state = 'left' where id = (select person from account where login = 'ivo')`);
      await sql(`insert into touched (tenant, person) select 'acme', person from account where login = 'ivo'`);
      await world.plan();
    });
    await sql(`update person set state = 'active' where state = 'left'`);
    await world.plan();
  });
  test('an account given to somebody who leaves', async () => {
    // Jo's account is said to be Lou's, and Lou leaves.
    await sql(`update account set person = (select person from account where login = 'lou') where login = 'jo'`);
    await sql(`update login set person = (select person from account where login = 'lou') where login = 'jo'`);
    await world.exportHr(
      PEOPLE.filter(({ id }) => id !== '112'),
      HOUR / 2,
    );
    await world.plan();
    await world.run();
    expect(await world.crm.user('jo')).toMatchObject({ active: true });
    expect(await world.crm.members('Staff')).toContain('jo');
    expect(await world.crm.user('lou')).toMatchObject({ active: false });
  });
  test('a termination that nobody signed', async () => {
    await harmless(async () => {
      await sql(
        `insert into termination (tenant, person, reason, by, since)
         select 'acme', person, 'T1 by 109', '109', now() from account where login = 'kim'`,
      );
      await world.plan();
    });
    await sql('delete from termination');
    await world.plan();
  });
  test('a signed termination struck from the table', async () => {
    await terminate(world.control().world, { person: '107', reason: 'fraud', by: '109' });
    await world.plan();
    const plan = (await world.plans()).find(({ changes }) => changes.some(({ login }) => login === 'gil'))!;
    for (const person of ['102', '103']) await world.signAs(plan.plan, person);
    await world.run();
    expect(await world.crm.user('gil')).toMatchObject({ active: false });
    await sql('delete from termination');
    await world.plan();
    await world.run();
    expect(await world.crm.user('gil')).toMatchObject({ active: false });
  });
  test('a plan that refused itself, opened by hand, stays inside the envelope', async () => {
    await world.exportHr(
      PEOPLE.filter(({ id }) => !['112', '108', '109', '111'].includes(id)),
      HOUR / 4,
    );
    await world.plan();
    const refused = (await world.plans()).filter(({ state }) => state === 'refused');
    expect(refused).toHaveLength(1);
    await sql(`update plan set state = 'open' where state = 'refused'`);
    await world.run();
    const { removals } = (await (await world.door()).request('budget', {})) as {
      removals: { count: number; subjects: number };
    };
    expect(removals.count).toBeLessThanOrEqual(20);
    expect(removals.subjects).toBeLessThanOrEqual(10);
  });
});

describe('verification and ledger', () => {
  const evidenceOf = async (change: string): Promise<EvidenceReport> => {
    const text = await collectEvidence(controlSources(world.control()), change);
    const chain = JSON.parse(await readFile(join(world.folder, 'roster.json'), 'utf8')) as SignedRoster[];
    const trustRoot = await readFile(join(world.folder, 'trust-root.json'), 'utf8');
    return checkEvidence(text, { trustRoot, genesisRoster: chain[0]!.text });
  };

  test('an honest change has sound evidence, so what follows means something', async () => {
    const report = await evidenceOf('P1.1');
    expect(report.findings).toEqual([]);
    expect(report.verdict).toBe('verified');
  });
  test('a stage set to verified is no evidence', async () => {
    const plan = await asked('106');
    await sql(
      `update change set stage = 'verified', verification = '{"verdict":"confirmed","mechanism":"membership","saw":"holds admins"}' where plan = $1`,
      [numberOf(plan)],
    );
    expect((await evidenceOf(`${plan}.1`)).verdict).not.toBe('verified');
  });
  test('a verification written into the copy of the ledger is found', async () => {
    await sql(
      `update ledger_entry set body = replace(body, 'contradicted', 'confirmed') where kind = 'verifier.looked'`,
    );
    await sql(
      `insert into ledger_entry (tenant, index, kind, refs, body, salt)
       select tenant, 1000000, kind, '{"change":"P1.2"}', replace(body, 'confirmed', 'contradicted'), salt
         from ledger_entry where kind = 'verifier.looked' limit 1`,
    );
    const report = await evidenceOf('P1.2').catch(() => null);
    expect(report?.ok ?? false).toBe(false);
    await sql('delete from ledger_entry where index = 1000000');
  });
  test('a decision that was made over is found', async () => {
    await sql(`update ledger_entry set body = replace(body, '"permit"', '"deny"') where kind = 'plan.decided'`);
    const report = await evidenceOf('P1.3').catch(() => null);
    expect(report?.ok ?? false).toBe(false);
    await sql(`update ledger_entry set body = replace(body, '"deny"', '"permit"') where kind = 'plan.decided'`);
  });
  test('the ledger itself holds after all of it', async () => {
    expect((await world.ledger()).findings).toEqual([]);
  });
  test('a head that was turned back stops the sequencer at its next start', async () => {
    await world.halt('control');
    await sql(`update ledger_head set size = size - 10`);
    await expect(world.restart('control')).rejects.toMatchObject({ code: 'ledger-corrupt' });
    await sql(`update ledger_head set size = size + 10`);
    await world.restart('control');
    expect((await world.ledger()).ok).toBe(true);
  });
});
