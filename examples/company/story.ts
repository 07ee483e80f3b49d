/**
 * What happens at the example company, told through the same API that the command line uses. Each chapter does
 * something, says what came of it, and fails aloud when it came out otherwise.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Planned, PlanShown, PlanSummary, Ran, Status } from '../../src/api/contract.ts';
import { parsePrivateKey } from '../../src/approval/private.ts';
import { signVerdict } from '../../src/approval/request.ts';
import { deliver } from '../../src/cli/delivery.ts';
import type { Session } from '../../src/cli/session.ts';
import { Failure } from '../../src/errors.ts';
import { companyOn, DAY_ONE, DAY_TWO, type Employee, LEAVER } from './exports.ts';
import type { Systems } from './systems.ts';

export interface Stage {
  readonly session: Session;
  readonly systems: Systems;
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Puts an export into place, stamped and signed by the HR system. @param ageMs how old what it says is */
  readonly exportHr: (employees: readonly Employee[], ageMs: number) => Promise<void>;
  readonly say: (line: string) => void;
  /** Starts a chapter: its title, and its time is measured until the next one. */
  readonly chapter: (title: string) => void;
}

const HOUR = 3_600_000;
const people = (names: readonly string[], most = 4): string =>
  names.length <= most
    ? names.join(', ') || 'nobody'
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;

/** A story that comes out otherwise is a defect, and says so. */
function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the story came out otherwise: ${what}`);
}

/** Signs with a person's own SSH key, as `writgate approve` does. @returns null, or why it was refused */
async function signAs({ session, folder }: Stage, plan: string, person: string): Promise<string | null> {
  const { request } = await session.ask<PlanShown>('planShow', { plan });
  if (request === null) return `${plan} needs no signature`;
  const signer = parsePrivateKey(await readFile(join(folder, 'people', `${person}.key`), 'utf8'));
  try {
    await session.ask('sign', {
      plan,
      person,
      verdict: 'approve',
      armored: await signVerdict(signer, 'approve', request.bytes),
      reason: null,
    });
    return null;
  } catch (thrown) {
    if (thrown instanceof Failure) return thrown.message;
    throw thrown;
  }
}

async function signedBy(stage: Stage, plan: string, ...persons: readonly string[]): Promise<void> {
  for (const person of persons) {
    const why = await signAs(stage, plan, person);
    expect(why === null, `${person} signs ${plan}: ${why}`);
  }
}

const planned = ({ session, signal }: Stage): Promise<Planned> => session.follow<Planned>('plan', signal);
const ran = ({ session, signal }: Stage): Promise<Ran> => session.follow<Ran>('run', signal);

function verified(plans: readonly PlanSummary[]): number {
  return plans.reduce((sum, { stages }) => sum + (stages.verified ?? 0), 0);
}

/** What the gateway made for a new account opens with the help desk's key alone, and once. */
async function handOut({ folder, say }: Stage, account: { system: string; login: string }): Promise<void> {
  const where = { folder, configFile: join(folder, 'writgate.yaml') };
  await deliver(where, account, undefined, ({ system, login, name, secret }) =>
    say(
      `            first password of ${login} on ${system} (${name}): ${secret.length} characters, opened by the help desk’s key`,
    ),
  );
  const twice = await deliver(where, account, undefined, () => undefined).catch((thrown: unknown) => thrown);
  expect(twice instanceof Failure && twice.code === 'not-found', 'a first password is delivered once');
}

export async function tell(stage: Stage): Promise<void> {
  const { session, say, chapter, systems, exportHr } = stage;

  chapter('The first load');
  await exportHr(await companyOn(DAY_ONE), 3 * HOUR);
  const first = await planned(stage);
  const big = first.plans.find(({ state }) => state === 'refused');
  expect(big !== undefined, 'the first load is over the limits');
  if (!big) return;
  say(
    `hr          ${first.report.people.joined.length} people, as of 3 h ago, signed by the HR system, attested by the gateway`,
  );
  say(`${big.plan} REFUSED  ${big.refusal.map(({ message }) => message).join('; ')}`);
  const over = await session.ask<PlanShown>('overLimit', { plan: big.plan });
  const own = first.plans.filter(({ state, needs }) => state === 'open' && needs === null);
  say(`${over.summary.plan} asks to go over it: ${over.request?.phrase}`);
  await signedBy(stage, over.summary.plan, '102', '205');
  say('            signed by Lex Garcia and Shelley Higgins with their own SSH keys');
  say(`            the approvers’ own accounts are ${own.length} plans of their own: nobody approves what he gains by`);
  for (const waiting of first.plans.filter(({ needs }) => needs?.role === 'owner:205'))
    await signedBy(stage, waiting.plan, '205');
  for (const waiting of first.plans.filter(({ needs }) => needs?.role === 'security'))
    await signedBy(stage, waiting.plan, '102', '103');
  const loaded = await ran(stage);
  say(`            ${verified(loaded.plans)} accounts and grants made and verified, each by another credential`);
  if (systems.withoutLdap === null) await handOut(stage, { system: 'corp', login: 'bmiller' });

  chapter('Once more');
  const again = await planned(stage);
  const idle = await ran(stage);
  expect(again.report.made.length === 0 && idle.report.moved === 0, 'running again does nothing');
  say('            nothing to do: what should be is what is');

  chapter('Four months later');
  const spring = await companyOn(DAY_TWO);
  await exportHr(spring, 2 * HOUR);
  const second = await planned(stage);
  const { joined, moved, left } = second.report.people;
  say(`joined      ${people(joined)}`);
  say(`moved       ${people(moved)}`);
  expect(joined.length === 11 && moved.length >= 3 && left.length === 0, 'eleven join, three move');
  const settled = await ran(stage);
  const losing = settled.plans.filter(({ risk, stages }) => risk === 'removal' && (stages.verified ?? 0) > 0);
  say(
    `            ${verified(settled.plans)} changes verified; the movers lost first what they had to lose (${losing.map(({ plan }) => plan).join(', ')})`,
  );

  chapter('A leaver, and a target that lies');
  await systems.lie('keeps-account');
  const dayTwo = spring.filter(({ employee_id }) => employee_id !== LEAVER);
  await exportHr(dayTwo, HOUR);
  const third = await planned(stage);
  say(`left        ${people(third.report.people.left)}`);
  expect(third.report.people.left.length === 1, 'one leaves');
  const gone = await ran(stage);
  const stood = await session.ask<Status>('status');
  const lies = stood.alarms.filter((change) => change.stage === 'contradicted');
  expect(lies.length === 2, 'the lying desk is caught, in both mechanisms');
  for (const lie of lies) {
    const what = `${lie.effect} ${lie.entitlement ?? 'account'} of ${lie.login}`;
    say(
      `LIED        ${lie.change} ${what} on ${lie.system}: said "${lie.receipt?.outcome}"; desk-verify saw: ${lie.verification?.saw}`,
    );
  }
  say(
    `            proven gone everywhere else (${verified(gone.plans)} changes); on the desk it stays open and alarmed`,
  );

  chapter('A privileged grant');
  const { request } = await session.ask<{ request: string }>('ask', {
    person: '206',
    entitlement: 'payroll-admin',
    for: '8h',
    reason: 'closing the books of the quarter',
    by: '205',
  });
  const asked = await planned(stage);
  const high = asked.plans.find(({ risk, state }) => risk === 'high' && state === 'open');
  expect(high !== undefined, 'the request becomes a plan');
  if (!high) return;
  say(
    `${high.plan} high     payroll-admin → wgietz for 8 h, asked by Shelley Higgins (${request.split(' ')[0]}); needs ${high.needs?.people} of ${high.needs?.role}`,
  );
  const wrong = await signAs(stage, high.plan, '205');
  expect(wrong !== null, 'who asked may not approve');
  say(`REFUSED     ${wrong}`);
  await signedBy(stage, high.plan, '102', '103');
  say('            signed by Lex Garcia and Alexander James');
  await ran(stage);
  const granted = await session.ask<PlanShown>('planShow', { plan: high.plan });
  expect(
    granted.changes.every((change) => change.stage === 'verified'),
    'the privileged grant is verified',
  );
  say(`            ${granted.changes.map((change) => change.verification?.saw).join(', ')}, seen by pay-verify`);

  chapter('A stale feed');
  const stranger = {
    ...(dayTwo[0] as Employee),
    employee_id: '999',
    first_name: 'Mallory',
    last_name: 'Late',
    email: 'MLATE',
  };
  await exportHr([...dayTwo, stranger], 40 * HOUR);
  const stale = await planned(stage);
  const [feed] = stale.report.feeds;
  expect(feed?.verdict === 'stale' || feed?.verdict === 'held', 'an old feed is not accepted');
  expect(stale.report.people.joined.length === 0, 'an old feed grants nothing');
  say(`${(feed?.verdict ?? '').toUpperCase().padEnd(11)} ${feed?.findings.map(({ message }) => message).join('; ')}`);
  say('            Mallory Late gets nothing; everybody else keeps what he has');

  chapter('A bad rule');
  const mass = dayTwo.map((employee) =>
    employee['department_id'] === '50' ? { ...employee, department_id: '270' } : employee,
  );
  await exportHr(mass, HOUR / 2);
  const bad = await planned(stage);
  const refused = bad.plans.filter(({ state, risk }) => state === 'refused' && risk === 'removal');
  expect(refused.length > 0, 'the mass removal refuses itself');
  for (const plan of refused) say(`${plan.plan} REFUSED ${plan.refusal.map(({ message }) => message).join('; ')}`);
  await exportHr(dayTwo, HOUR / 4);
  const mended = await planned(stage);
  expect(
    mended.plans.every(({ state }) => state !== 'refused'),
    'the mended export needs no removal',
  );
  say('            HR mends its export; nobody lost anything');
}

/** The last export again, a little newer: everything is as it should be. */
export async function tellAgain(stage: Stage): Promise<void> {
  stage.chapter('Once more');
  await stage.exportHr(
    (await companyOn(DAY_TWO)).filter(({ employee_id }) => employee_id !== LEAVER),
    HOUR / 4,
  );
  const plan = await planned(stage);
  const run = await ran(stage);
  const { alarms } = await stage.session.ask<Status>('status');
  const open = alarms.filter((change) => change.stage === 'contradicted');
  stage.say(
    plan.report.made.length === 0
      ? '            nothing to do: what should be is what is'
      : `            ${plan.report.made.length} plans were due; ${verified(run.plans)} changes are verified`,
  );
  if (open.length > 0)
    stage.say(`            ${open.map(({ change }) => change).join(', ')} stay open: the desk still lies`);
}
