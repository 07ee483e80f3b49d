/**
 * Mapping: from a source record to the attributes of a person, by CEL expressions over `row` (M12, M13).
 *
 * The same code runs in control and in the gateway, on the same raw row, and must give the same answer. A record that
 * an expression cannot answer is quarantined alone; the rest of the snapshot goes on.
 */
import { KNOWN_ATTRIBUTES } from '../authority/authority.ts';
import {
  compileExpression,
  type Expression,
  type ExpressionError,
  type Fields,
  isDate,
  type Value,
} from '../expression.ts';
import { suggestion } from '../nearest.ts';
import { type PersonAttributes, STATUSES } from './lifecycle.ts';

/** One record of a feed: text, or null where the source has nothing. */
export type Row = Readonly<Record<string, string | null>>;

export interface MappingError extends ExpressionError {
  readonly attribute: string;
}

export type Mapped =
  | { readonly ok: true; readonly person: PersonAttributes }
  /** Quarantine this record. `message` may be read by anyone and does not carry the whole record. */
  | { readonly ok: false; readonly attribute: string; readonly message: string };

export interface Mapping {
  /** What the expressions give: text, or a flag. Rules over `person` are checked against it. */
  readonly fields: Fields;
  readonly expressions: ReadonlyMap<string, Expression>;
  apply(row: Row): Mapped;
}

export type CompiledMapping =
  | { readonly ok: true; readonly mapping: Mapping }
  | { readonly ok: false; readonly errors: readonly MappingError[] };

/** @param map attribute → expression, as a feed declares it. Tells all errors, each with its place in its expression. */
export function compileMapping(map: Readonly<Record<string, string>>): CompiledMapping {
  const errors: MappingError[] = [];
  const expressions = new Map<string, Expression>();
  for (const [attribute, source] of Object.entries(map)) {
    const compiled = compileExpression(source, { of: 'row' });
    if (!compiled.ok) {
      errors.push(...compiled.errors.map((error) => ({ ...error, attribute })));
    } else if (compiled.expression.type === 'bool' && isKnown(attribute)) {
      const remedy = `give text, or name your own attribute for the flag`;
      errors.push({
        attribute,
        start: 0,
        end: source.length,
        message: `${attribute} is text, not a condition`,
        remedy,
      });
    } else {
      expressions.set(attribute, compiled.expression);
    }
  }
  if (errors.length > 0) return { ok: false, errors };
  const fields = new Map(
    [...expressions].map(([name, { type }]) => [name, type === 'bool' ? 'bool' : 'string'] as const),
  );
  const readers = [...expressions].map(([attribute, expression]) => ({
    attribute,
    expression,
    flag: fields.get(attribute) === 'bool',
  }));
  return { ok: true, mapping: { fields, expressions, apply: (row) => apply(readers, row) } };
}

const isKnown = (attribute: string): boolean => (KNOWN_ATTRIBUTES as readonly string[]).includes(attribute);

/** Once the header is known: which expressions read a column that is not there. */
export function checkMappingAgainst(mapping: Mapping, columns: readonly string[]): readonly MappingError[] {
  const errors: MappingError[] = [];
  for (const [attribute, { references }] of mapping.expressions) {
    for (const { field, start, end } of references) {
      if (columns.includes(field)) continue;
      errors.push({
        attribute,
        start,
        end,
        message: `the feed has no column ${field}`,
        remedy: suggestion(field, columns),
      });
    }
  }
  return errors;
}

interface Reader {
  readonly attribute: string;
  readonly expression: Expression;
  readonly flag: boolean;
}

function apply(readers: readonly Reader[], row: Row): Mapped {
  const person: Record<string, Value> = {};
  for (const { attribute, expression, flag } of readers) {
    try {
      const value = expression.evaluate(row);
      if (typeof value === 'boolean' && !flag) throw new Error('the expression gave a condition, not text');
      person[attribute] = typeof value === 'string' ? normalise(attribute, value) : value;
    } catch (thrown) {
      return { ok: false, attribute, message: (thrown as Error).message };
    }
  }
  const { startsOn, endsOn } = person;
  if (typeof startsOn === 'string' && typeof endsOn === 'string' && endsOn < startsOn) {
    return { ok: false, attribute: 'endsOn', message: `ends on ${endsOn}, before it starts on ${startsOn}` };
  }
  return { ok: true, person };
}

const PLAIN = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const LONGEST = 1000;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are exactly what this finds.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/** Blank text is no value; outer blanks and the spelling of accents (NFC) are no difference between two people. */
function normalise(attribute: string, value: string): string | null {
  if (value.length > LONGEST) throw new Error(`${value.length} characters, limit ${LONGEST}`);
  let text = value;
  if (!PLAIN.test(value)) {
    text = value.trim().normalize('NFC');
    if (text === '') return null;
    // Control and bidirectional marks make one name look like another where people read and sign it.
    if (CONTROL.test(text) || !text.isWellFormed()) throw new Error('the text holds control characters');
  }
  if (attribute === 'startsOn' || attribute === 'endsOn') return calendarDay(text);
  if (attribute === 'status') return status(text);
  return text;
}

/** A time of day and its offset are dropped: the date as HR wrote it is meant, and must not slip by a day. */
const ISO_TIME = /^(\d{4}-\d{2}-\d{2})[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?$/;

function calendarDay(text: string): string {
  const day = ISO_TIME.exec(text)?.[1] ?? text;
  if (isDate(day)) return day;
  throw new Error(`"${text.slice(0, 40)}" is not a date; write YYYY-MM-DD, or map it with .date("DD.MM.YYYY")`);
}

function status(text: string): string {
  const known = STATUSES.find((name) => name === text.toLowerCase());
  if (known !== undefined) return known;
  throw new Error(`status "${text.slice(0, 40)}" is not one of ${STATUSES.join(', ')}`);
}
