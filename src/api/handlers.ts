/** What each route does. The safe way is the only one: input is checked by its schema before a handler sees it. */
import { z } from 'zod';
import { parseDuration } from '../authority/authority.ts';
import { adopt, adoptable, protect, unprotect } from '../control/adopt.ts';
import { ask, terminate } from '../control/ask.ts';
import { onePlan, openPlans, showPerson, showPlan, showPlans, status, trace, usedLimits } from '../control/inspect.ts';
import { plan } from '../control/planning.ts';
import { retry } from '../control/retry.ts';
import { run } from '../control/run.ts';
import { askOverLimit, sign } from '../control/sign.ts';
import { collectEvidence } from '../evidence/bundle.ts';
import { controlSources } from '../evidence/collect.ts';
import type { Control } from '../role/control.ts';
import type { Planned, Ran, ROUTES } from './contract.ts';

export interface Handler {
  readonly input: z.ZodType;
  readonly answer: (control: Control, input: never) => Promise<unknown>;
}

const handler = <S extends z.ZodType>(
  input: S,
  answer: (control: Control, input: z.output<S>) => Promise<unknown>,
): Handler => ({
  input,
  answer: answer as Handler['answer'],
});

/** Changes of a plan in a list; `plan show` has all. */
const FIRST = 12;
const text = z.string().min(1).max(500);
const name = z.string().min(1).max(200);

export const HANDLERS = {
  status: handler(z.object({}), async ({ world, log, demo }) =>
    status(world, { entries: log.size, checkpoint: log.checkpoint() }, demo),
  ),
  plans: handler(z.object({}), ({ world }) =>
    openPlans(world.database, world).then((numbers) => showPlans(world.database, world, numbers, FIRST)),
  ),
  planShow: handler(z.object({ plan: name }), ({ world }, input) => showPlan(world, input.plan)),
  overLimit: handler(z.object({ plan: name }), async ({ world, settle }, input) => {
    const { number } = await onePlan(world.database, world, input.plan);
    const made = await askOverLimit(world, number);
    await settle();
    return showPlan(world, `P${made}`);
  }),
  sign: handler(
    z.object({
      plan: name,
      person: name,
      verdict: z.enum(['approve', 'refuse']),
      armored: z.string().max(20_000),
      reason: text.nullable().default(null),
    }),
    async ({ world, settle }, input) => {
      const { number } = await onePlan(world.database, world, input.plan);
      await sign(world, number, input);
      await settle();
      return showPlan(world, input.plan);
    },
  ),
  trace: handler(z.object({ change: name }), async ({ world, settle }, input) => {
    await settle();
    return trace(world, input.change);
  }),
  evidence: handler(z.object({ change: name }), async (control, input) => {
    await control.settle();
    return collectEvidence(controlSources(control), input.change);
  }),
  person: handler(z.object({ person: name }), ({ world }, input) => showPerson(world, input.person)),
  terminate: handler(z.object({ person: name, reason: text, by: name }), async ({ world }, input) => {
    const key = await terminate(world, input);
    return { person: key };
  }),
  ask: handler(
    z.object({ person: name, entitlement: name, for: z.string().nullable().default(null), reason: text, by: name }),
    async ({ world }, input) => ({
      request: await ask(world, { ...input, forMs: input.for === null ? null : parseDuration(input.for) }),
    }),
  ),
  adoptable: handler(z.object({ system: name }), ({ world }, input) => adoptable(world, input.system)),
  adopt: handler(z.object({ system: name, logins: z.array(name).nullable().default(null) }), async ({ world }, input) =>
    showPlans(world.database, world, await adopt(world, input.system, input.logins), FIRST),
  ),
  protect: handler(
    z.object({ system: name, logins: z.array(name).min(1), lift: z.boolean().default(false) }),
    async ({ world }, { system, logins, lift }) => ({
      protected: await (lift ? unprotect : protect)(world, system, logins),
    }),
  ),
} as const satisfies Partial<Record<keyof typeof ROUTES, Handler>>;

interface Stream {
  readonly input: z.ZodType;
  readonly answer: (
    control: Control,
    input: never,
    progress: (line: string) => void,
    signal: AbortSignal,
  ) => Promise<unknown>;
}

const stream = <S extends z.ZodType>(
  input: S,
  answer: (
    control: Control,
    input: z.output<S>,
    progress: (line: string) => void,
    signal: AbortSignal,
  ) => Promise<unknown>,
): Stream => ({ input, answer: answer as Stream['answer'] });

/** Long answers: lines of progress, and the result as the last one. */
export const STREAMS = {
  plan: stream(z.object({}), async ({ world, settle }, _input, progress): Promise<Planned> => {
    const report = await plan(world, { progress });
    await settle();
    const numbers = await openPlans(world.database, world);
    return {
      report,
      plans: await showPlans(world.database, world, numbers, FIRST),
      limits: await usedLimits(world.database, world),
    };
  }),
  run: stream(
    z.object({ retry: z.boolean().default(false) }),
    async (control, input, progress, signal): Promise<Ran> => {
      const { world, settle } = control;
      const retried = input.retry ? await retry(world) : [];
      const before = await openPlans(world.database, world);
      const report = await run(world, { signal, progress: (done) => progress(`${done} steps done`) });
      await settle();
      return { retried, report, plans: await showPlans(world.database, world, before, FIRST) };
    },
  ),
} as const satisfies Partial<Record<keyof typeof ROUTES, Stream>>;
