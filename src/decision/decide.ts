/**
 * The decision over one change: permit, deny or hold, with the ids of the policies that decided.
 *
 * Cedar knows allow and deny only. A hold is told by asking twice: first as if nobody looked (`attended: false`), and
 * where that is denied, as if a person did. Denied both times: deny. Allowed only then: hold, for the reasons of the
 * first answer. So "waits for a person" is an ordinary condition, `unless { context.attended }`, which reads as it
 * works and which Cedar's own tools can analyse; an annotation `@verdict("hold")` would mean nothing to them.
 *
 * Unknown is never yes: a policy that errors, an input outside the schema and an engine that fails all deny, with an alarm.
 */
import type { AuthorizationAnswer } from '@cedar-policy/cedar-wasm/nodejs';
import type { Digest } from '../canonical.ts';
import type { Effect, Privilege } from '../writ/tuple.ts';
import { cedar } from './engine.ts';
import type { PolicySet } from './policy.ts';

/** All that a policy may look at. Small and closed, so that few different inputs exist and answers can be kept. */
export interface DecisionInput {
  readonly effect: Exclude<Effect, 'read'>;
  /** Name of the target. */
  readonly system: string;
  readonly privilege: Privilege;
  readonly cause: 'birthright' | 'absence' | 'request' | 'ticket' | 'exception' | 'adoption' | 'revert' | 'lifecycle';
  readonly sourceVerdict: 'fresh' | 'stale' | 'held' | 'none';
  readonly asOf: 'signed' | 'claimed' | 'transport' | 'field' | 'none';
  readonly personState: 'prehire' | 'active' | 'leave' | 'notice' | 'left' | 'none';
  readonly protected: boolean;
  readonly managed: boolean;
  readonly overLimit: boolean;
  readonly automated: boolean;
}

export interface Decision {
  readonly verdict: 'permit' | 'deny' | 'hold';
  /** Ids of the policies that decided, sorted; empty when no policy permits. */
  readonly reasons: readonly string[];
  readonly policyDigest: Digest;
  /** Something is wrong with the policies or the input, not with the change: tell people. Else null. */
  readonly alarm: string | null;
}

export type Decide = (input: DecisionInput) => Decision;

/** Many times what one run of a large company brings (bench: 144 over three targets); the oldest answer goes first. */
const KEPT = 4_096;

/** @returns the decision function of this policy set; equal inputs are answered from memory, for as long as the set lives. */
export function decider(policySet: PolicySet): Decide {
  const kept = new Map<string, Decision>();
  return (input) => {
    const key = keyOf(input);
    const known = kept.get(key);
    if (known !== undefined) return known;
    const decision = decideAnew(policySet, input);
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value as string);
    kept.set(key, decision);
    return decision;
  };
}

/** JSON of a fixed list: no two inputs share it, whatever stands in their texts. */
const keyOf = (input: DecisionInput): string =>
  JSON.stringify([
    input.effect,
    input.system,
    input.privilege,
    input.cause,
    input.sourceVerdict,
    input.asOf,
    input.personState,
    input.protected,
    input.managed,
    input.overLimit,
    input.automated,
  ]);

/** Without memory: two questions to the engine at most. */
export function decideAnew({ policyDigest }: PolicySet, input: DecisionInput): Decision {
  const alone = ask(policyDigest, input, false);
  if (alone.alarm !== null) return alone;
  if (alone.verdict === 'permit') return alone;
  const attended = ask(policyDigest, input, true);
  if (attended.verdict === 'permit') return Object.freeze({ ...alone, verdict: 'hold' as const });
  return attended;
}

function ask(policyDigest: Digest, input: DecisionInput, attended: boolean): Decision {
  const answer = (verdict: 'permit' | 'deny', reasons: readonly string[], alarm: string | null): Decision =>
    Object.freeze({ verdict, reasons: Object.freeze([...reasons].sort()), policyDigest, alarm });
  const word = (type: string, id: string) => ({ __entity: { type, id } });
  let result: AuthorizationAnswer;
  try {
    result = cedar.statefulIsAuthorized({
      principal: { type: 'Cause', id: input.cause },
      action: { type: 'Action', id: input.effect },
      resource: { type: 'System', id: input.system },
      context: {
        privilege: word('Privilege', input.privilege),
        source: word('Source', input.sourceVerdict),
        asOf: word('AsOf', input.asOf),
        person: word('PersonState', input.personState),
        protected: input.protected,
        managed: input.managed,
        overLimit: input.overLimit,
        automated: input.automated,
        attended,
      },
      preparsedSchemaName: policyDigest,
      validateRequest: true,
      preparsedPolicySetId: policyDigest,
      entities: [],
    });
  } catch (thrown) {
    return answer('deny', [], `the policy engine failed: ${(thrown as Error).message}`);
  }
  if (result.type === 'failure') {
    return answer(
      'deny',
      [],
      `the decision's input does not fit the schema: ${result.errors.map(({ message }) => message).join('; ')}`,
    );
  }
  const { decision, diagnostics } = result.response;
  const [error] = diagnostics.errors;
  if (error !== undefined) {
    const others = diagnostics.errors.length - 1;
    const alarm = `policy ${error.policyId} failed: ${error.error.message}${others > 0 ? ` (and ${others} more)` : ''}`;
    return answer(
      'deny',
      diagnostics.errors.map(({ policyId }) => policyId),
      alarm,
    );
  }
  return answer(decision === 'allow' ? 'permit' : 'deny', diagnostics.reason, null);
}
