/** Turns a connector's generator: performs the calls that it yields, hands back the replies, collects what it emits. */
import type { Call, Observed, Reply, Step } from './contract.ts';
import { ConnectorFault } from './fault.ts';

export interface Driven<Result> {
  readonly result: Result;
  readonly calls: readonly Call[];
  /** Empty when `onEmit` took them. */
  readonly emitted: readonly Observed[];
}

export interface DriveBounds {
  /** Calls and emits together. A population of five million in pages of 500 takes some 20,000. */
  readonly maxSteps?: number;
  /** Takes what is emitted instead of collecting it; the generator waits for it, so a slow reader slows the reading. */
  readonly onEmit?: (observed: readonly Observed[]) => void | Promise<void>;
}

/** For a whole population. */
export const MAX_STEPS = 100_000;
/** For one change or one look at one account, whatever the replies. */
export const MAX_CALLS = 50;

/** What a generator is given after an emit, which nobody answers. */
const NO_REPLY: Reply = { kind: 'lost', message: 'an emit has no reply' };

/**
 * @returns what the generator returned, the calls in order, and everything emitted.
 * @throws ConnectorFault `too-many-steps` past the bound, and whatever the generator or `perform` throws.
 */
export async function drive<Result>(
  generator: Generator<Step, Result, Reply>,
  perform: (call: Call) => Reply | Promise<Reply>,
  { maxSteps = MAX_STEPS, onEmit }: DriveBounds = {},
): Promise<Driven<Result>> {
  const calls: Call[] = [];
  const emitted: Observed[] = [];
  let reply = NO_REPLY;
  for (let steps = 0; ; steps++) {
    const next = generator.next(reply);
    if (next.done) return { result: next.value, calls, emitted };
    if (steps >= maxSteps) {
      throw new ConnectorFault('too-many-steps', `the connector took ${maxSteps} steps and was not done`);
    }
    if ('call' in next.value) {
      calls.push(next.value.call);
      reply = await perform(next.value.call);
    } else {
      if (onEmit) await onEmit(next.value.emit);
      else for (const fact of next.value.emit) emitted.push(fact);
      reply = NO_REPLY;
    }
  }
}
