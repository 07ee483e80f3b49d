/** The attributes that `person` has in rules, from what the feeds map. */
import { compileExpression, type Fields } from '../expression.ts';

/** What rules read beside the mapped attributes. `active`: works now; `state`: the lifecycle's own word. */
const DERIVED = [
  ['active', 'bool'],
  ['state', 'string'],
] as const;

/** @returns attribute → type; a flag only where each feed that maps it gives one, text otherwise. */
export function fieldsOf(feeds: Readonly<Record<string, { readonly map: Readonly<Record<string, string>> }>>): Fields {
  const fields = new Map<string, 'string' | 'bool'>();
  for (const { map } of Object.values(feeds)) {
    for (const [name, source] of Object.entries(map)) {
      const compiled = compileExpression(source, { of: 'row' });
      const type = compiled.ok && compiled.expression.type === 'bool' ? 'bool' : 'string';
      fields.set(name, fields.has(name) && fields.get(name) !== type ? 'string' : type);
    }
  }
  return withDerived(fields);
}

export const withDerived = (fields: Fields): Fields => new Map([...fields, ...DERIVED]);
