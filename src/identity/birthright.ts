/**
 * Birthright: which entitlements the rules give a person. Nobody who does not work gets any, whatever a rule says; a
 * rule that has no answer for a person is told, because "no" would take access away.
 */
import type { Authority } from '../authority/authority.ts';
import { withDerived } from '../authority/fields.ts';
import { compileExpression, type Expression, type ExpressionError, type Fields, type Value } from '../expression.ts';
import { isWorking, type PersonAttributes, type State } from './lifecycle.ts';

export interface Desired {
  readonly entitlement: string;
  readonly rule: string;
}

export type DesiredFor =
  /** In the order of the rules; an entitlement that two rules give is there twice, once per cause. */
  | { readonly ok: true; readonly desired: readonly Desired[] }
  /** Freeze this person: no grant, no removal. */
  | { readonly ok: false; readonly rule: string; readonly message: string };

export interface BirthrightRules {
  desiredFor(state: State, attributes: PersonAttributes): DesiredFor;
}

export type CompiledRules =
  | { readonly ok: true; readonly rules: BirthrightRules }
  | { readonly ok: false; readonly errors: readonly (ExpressionError & { readonly rule: string })[] };

/** A condition over `person`. */
export function compileRule(when: string, fields: Fields): ReturnType<typeof compileExpression> {
  const compiled = compileExpression(when, { of: 'person', fields });
  if (!compiled.ok || compiled.expression.type === 'bool') return compiled;
  const message = `a rule needs a condition, this gives ${compiled.expression.type === 'any' ? 'something else' : 'text'}`;
  const remedy = 'compare it, for example person.department == "100"';
  return { ok: false, errors: [{ start: 0, end: when.length, message, remedy }] };
}

/** @param mapped the attributes that the feeds map */
export function compileBirthright(birthright: Authority['birthright'], mapped: Fields): CompiledRules {
  const fields = withDerived(mapped);
  const errors: (ExpressionError & { rule: string })[] = [];
  const rules: { readonly rule: string; readonly when: Expression; readonly grant: readonly string[] }[] = [];
  for (const [rule, { when, grant }] of Object.entries(birthright)) {
    const compiled = compileRule(when, fields);
    if (compiled.ok) rules.push({ rule, when: compiled.expression, grant });
    else errors.push(...compiled.errors.map((error) => ({ ...error, rule })));
  }
  if (errors.length > 0) return { ok: false, errors };
  const blank: Record<string, Value> = Object.fromEntries(
    [...fields].map(([name, type]) => [name, type === 'bool' ? false : null]),
  );

  const desiredFor = (state: State, attributes: PersonAttributes): DesiredFor => {
    if (!isWorking(state)) return { ok: true, desired: [] };
    const person = { ...blank, ...attributes, active: true, state };
    const desired: Desired[] = [];
    for (const { rule, when, grant } of rules) {
      try {
        if (when.evaluate(person) !== true) continue;
      } catch (thrown) {
        return { ok: false, rule, message: (thrown as Error).message };
      }
      for (const entitlement of grant) desired.push({ entitlement, rule });
    }
    return { ok: true, desired };
  };
  return { ok: true, rules: { desiredFor } };
}
