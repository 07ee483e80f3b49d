/**
 * CEL (Common Expression Language) as Writgate lets people use it: one record in, one value out, no side effects.
 *
 * The language is cut down to what can be bounded. An expression is at most 2,000 characters and 200 nodes; macros
 * (`map`, `exists`, `bind` …) and whatever else could make work or text grow faster than the expression are not in the
 * table below and are refused by name; a regular expression is a literal of a shape that cannot backtrack without end.
 * So evaluation costs at most the nodes of the expression times the size of the record, whatever the source sends.
 */
import { type ASTNode, Environment, type ParseResult } from '@marcbachmann/cel-js';
import { suggestion } from './nearest.ts';

export const MAX_EXPRESSION = 2000;
const MAX_NODES = 200;
const MAX_DEPTH = 24;
/** Longest text that `replace` may make; a name or a title is far shorter. */
const MAX_TEXT = 1000;
/** Longest text that `matches` looks at: backtracking grows with its third power. */
const MAX_MATCHED = 256;

export type Value = string | boolean | null;
export type Fields = ReadonlyMap<string, 'string' | 'bool'>;

/** The record that expressions read: `row` of a feed, whose columns are text, or `person` with its known attributes. */
export type Scope = { readonly of: 'row' } | { readonly of: 'person'; readonly fields: Fields };

export interface ExpressionError {
  /** UTF-16 offsets into the expression. */
  readonly start: number;
  readonly end: number;
  readonly message: string;
  readonly remedy: string;
}

export interface Reference extends Pick<ExpressionError, 'start' | 'end'> {
  readonly field: string;
}

export interface Expression {
  readonly source: string;
  /** What it gives; `any` where only the record will tell. */
  readonly type: 'string' | 'bool' | 'null' | 'any';
  /** The fields it reads, with their places. */
  readonly references: readonly Reference[];
  /** @throws Error with one sentence when this record has no answer: that record is quarantined, never guessed. */
  evaluate(record: Readonly<Record<string, Value>>): Value;
}

export type Compiled =
  | { readonly ok: true; readonly expression: Expression }
  | { readonly ok: false; readonly errors: readonly ExpressionError[] };

/* ---- the language --------------------------------------------------------------------------------------------- */

/** Letters that Unicode does not take apart (NFKD) but that people write with ASCII letters in logins. */
const FOLDED: Readonly<Record<string, string>> = {
  ß: 'ss',
  ẞ: 'SS',
  æ: 'ae',
  Æ: 'AE',
  œ: 'oe',
  Œ: 'OE',
  ø: 'o',
  Ø: 'O',
  ł: 'l',
  Ł: 'L',
  đ: 'd',
  Đ: 'D',
  ð: 'd',
  Ð: 'D',
  þ: 'th',
  Þ: 'Th',
  ħ: 'h',
  Ħ: 'H',
  ı: 'i',
};

const IS_ASCII = /^[\x20-\x7e]*$/;

/** é → e, ß → ss, ø → o; a letter without an ASCII counterpart is left out. */
export function foldAscii(text: string): string {
  if (IS_ASCII.test(text)) return text;
  return text
    .replace(/[^\x20-\x7e]/gu, (letter) => FOLDED[letter] ?? letter)
    .normalize('NFKD')
    .replace(/[^\x20-\x7e]/gu, '');
}

/** Reads a date in a declared layout of YYYY, MM, DD: `"31.12.2026".date("DD.MM.YYYY")` is `2026-12-31`. */
function readDate(text: string, layout: string): string {
  const parts = { YYYY: '', MM: '', DD: '' };
  const fits =
    text.length === layout.length &&
    layout.replace(/YYYY|MM|DD/g, (token, at: number) => {
      parts[token as keyof typeof parts] = text.slice(at, at + token.length);
      return text.slice(at, at + token.length);
    }) === text;
  const date = `${parts.YYYY}-${parts.MM}-${parts.DD}`;
  if (!fits || !isDate(date)) throw new Error(`"${text.slice(0, 40)}" is not a date written ${layout}`);
  return date;
}

/** Whether the text is a day of the calendar, as `YYYY-MM-DD`. */
export function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const [year, month, day] = [Number(text.slice(0, 4)), Number(text.slice(5, 7)), Number(text.slice(8))];
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  return month >= 1 && month <= 12 && day >= 1 && day <= days;
}

const patterns = new Map<string, RegExp>();

function matchesBounded(text: string, pattern: string): boolean {
  if (text.length > MAX_MATCHED)
    throw new Error(`matches() takes ${MAX_MATCHED} characters at most, found ${text.length}`);
  let compiled = patterns.get(pattern);
  if (compiled === undefined) patterns.set(pattern, (compiled = new RegExp(pattern, 'u')));
  return compiled.test(text);
}

function replaceBounded(text: string, what: string, by: string): string {
  if (what === '') throw new Error('replace() needs something to look for, found ""');
  const result = text.replaceAll(what, () => by);
  if (result.length > MAX_TEXT) throw new Error(`replace() made ${result.length} characters, limit ${MAX_TEXT}`);
  return result;
}

/** All functions there are: whatever is not here is refused, so a new release of the library adds nothing unseen. */
const FUNCTIONS = ['has', 'size', 'string', 'int', 'double', 'bool', 'orEmpty'];
const METHODS = [
  'contains',
  'startsWith',
  'endsWith',
  'lowerAscii',
  'upperAscii',
  'trim',
  'indexOf',
  'lastIndexOf',
  'substring',
  'size',
  'split',
  'matches',
  'replace',
  'foldAscii',
  'date',
];

function environment(): Environment {
  const sync = { async: false };
  return (
    new Environment({ limits: { maxAstNodes: MAX_NODES, maxDepth: MAX_DEPTH }, homogeneousAggregateLiterals: false })
      // Null is compared with text all the time: a column may be empty.
      .registerOperator('string == null', (left, right) => left === right)
      .registerOperator('bool == null', (left, right) => left === right)
      .registerFunction('orEmpty(dyn): string', (value) => (value === null ? '' : String(value)), sync)
      .registerFunction('string.replace(string, string): string', replaceBounded, sync)
      .registerFunction('string.foldAscii(): string', foldAscii, sync)
      .registerFunction('string.date(string): string', readDate, sync)
      // The library's own `matches` compiles its pattern for each record and takes it from anywhere; `walk` renames to this.
      .registerFunction('string.matchesBounded(string): bool', matchesBounded, sync)
  );
}

/** Evaluates; a field may hold null, which the library accepts only where it expects anything. */
const RUN = {
  row: environment().registerVariable('row', 'map<string, dyn>'),
  person: environment().registerVariable('person', 'map<string, dyn>'),
};
/** Checks types: columns of a row are text, so `row.salary > 5` is an error before the first record is read. */
const CHECK_ROW = environment().registerVariable('row', 'map<string, string>');
const checkPerson = new WeakMap<Fields, Environment>();

function checker(scope: Scope): Environment {
  if (scope.of === 'row') return CHECK_ROW;
  let known = checkPerson.get(scope.fields);
  if (known === undefined) {
    known = environment().registerVariable({ name: 'person', schema: Object.fromEntries(scope.fields) });
    checkPerson.set(scope.fields, known);
  }
  return known;
}

/* ---- compile -------------------------------------------------------------------------------------------------- */

/** Compiles once, for many records. Everything that is wrong with the expression is told, with its place. */
export function compileExpression(source: string, scope: Scope): Compiled {
  if (source.length > MAX_EXPRESSION) {
    const message = `the expression has ${source.length} characters, limit ${MAX_EXPRESSION}`;
    return failed([{ start: 0, end: source.length, message, remedy: 'prepare the value in the export instead' }]);
  }
  let checked: ParseResult;
  let runnable: ParseResult;
  try {
    checked = checker(scope).parse(source);
    runnable = RUN[scope.of].parse(source);
  } catch (thrown) {
    return failed([fromLibrary(thrown as LibraryError, source)]);
  }
  const found = walk(checked.ast, scope);
  if (found.errors.length > 0) return failed(found.errors);
  walk(runnable.ast, scope);

  const verdict = checked.check();
  if (!verdict.valid) return failed([fromLibrary(verdict.error!, source)]);
  const type = verdict.type === 'dyn' ? 'any' : verdict.type;
  if (type !== 'string' && type !== 'bool' && type !== 'null' && type !== 'any') {
    const remedy = 'make it text with string(…), or a condition with a comparison';
    return failed([{ start: 0, end: source.length, message: `the expression gives ${verdict.type}`, remedy }]);
  }
  runnable.check();
  const evaluate = evaluator(runnable, scope);
  return { ok: true, expression: { source, type, references: found.references, evaluate } };
}

const evaluator =
  (runnable: ParseResult, scope: Scope): Expression['evaluate'] =>
  (record) => {
    let value: unknown;
    try {
      value = scope.of === 'row' ? runnable({ row: record }) : runnable({ person: record });
    } catch (thrown) {
      throw new Error((thrown as LibraryError).summary ?? (thrown as Error).message);
    }
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
    throw new Error(`the expression gave ${typeof value === 'bigint' ? 'a number' : typeof value}, not text`);
  };

const failed = (errors: readonly ExpressionError[]): Compiled => ({ ok: false, errors });

const REMEDIES: Readonly<Record<string, string>> = {
  no_such_overload: 'values are text: compare with quoted text, or convert with int(…) first',
  incompatible_ternary_branches: 'give both branches one type; "" counts as no value',
};

/** What the library's three error classes have in common. */
type LibraryError = Error & {
  readonly code: string;
  readonly summary: string;
  readonly range?: { start: number; end: number } | undefined;
};

function fromLibrary(error: LibraryError, source: string): ExpressionError {
  const start = Math.min(error.range?.start ?? 0, source.length);
  return {
    start,
    end: Math.max(start, Math.min(error.range?.end ?? start, source.length)),
    message: (error.summary ?? error.message).replaceAll(/\s+/g, ' ').slice(0, 300),
    remedy: REMEDIES[error.code] ?? 'write one CEL expression, such as row.first_name + " " + row.last_name',
  };
}

/** Holds the tree against the tables above, collects the fields that are read, and puts the bounded `matches` in place. */
function walk(root: ASTNode, scope: Scope): { errors: ExpressionError[]; references: Reference[] } {
  const errors: ExpressionError[] = [];
  const references: Reference[] = [];
  const refuse = (node: ASTNode, message: string, remedy: string) =>
    errors.push({ start: node.range.start, end: node.range.end, message, remedy });

  const visit = (node: ASTNode): void => {
    switch (node.op) {
      case 'value':
        return;
      case 'id':
        // Reached only where the record itself, or another name, is used as a value.
        if (node.args === scope.of) refuse(node, `${scope.of} alone is no value`, `read a field: ${scope.of}.name`);
        else
          refuse(node, `${node.args} is not known here`, `fields are read as ${scope.of}.${node.args}; text is quoted`);
        return;
      case '.':
      case '[]': {
        const [receiver, key] = node.args;
        if (receiver.op !== 'id' || receiver.args !== scope.of) {
          visit(receiver);
          if (typeof key !== 'string') visit(key);
          return;
        }
        const field = typeof key === 'string' ? key : key.op === 'value' ? key.args : null;
        if (typeof field !== 'string') {
          refuse(node, `which field of ${scope.of} this reads is not written down`, `name it: ${scope.of}["name"]`);
          return;
        }
        const start = receiver.range.start;
        if (scope.of === 'person' && !scope.fields.has(field)) {
          const message = `person has no attribute ${field}`;
          errors.push({ start, end: node.range.end, message, remedy: suggestion(field, scope.fields.keys()) });
        }
        references.push({ field, start, end: node.range.end });
        return;
      }
      case 'call': {
        const [name, args] = node.args;
        if (!FUNCTIONS.includes(name)) refuse(node, `there is no function ${name}()`, suggestion(name, FUNCTIONS));
        else args.forEach(visit);
        return;
      }
      case 'rcall': {
        const [name, receiver, args] = node.args;
        if (!METHODS.includes(name)) {
          refuse(node, `there is no function .${name}()`, suggestion(name, METHODS));
          return;
        }
        visit(receiver);
        args.forEach(visit);
        if (name === 'matches') {
          const wrong = patternProblem(args[0]);
          if (wrong !== null)
            refuse(node, wrong, 'use a short literal pattern, startsWith(), endsWith() or contains()');
          else node.args[0] = 'matchesBounded';
        }
        return;
      }
      case 'list':
        node.args.forEach(visit);
        return;
      case 'map':
        for (const [key, value] of node.args) {
          visit(key);
          visit(value);
        }
        return;
      case '!_':
      case '-_':
        visit(node.args);
        return;
      case '.?':
      case '[?]':
        refuse(node, 'optional access is not part of this language', 'compare with null instead');
        return;
      default:
        (node.args as ASTNode[]).forEach(visit);
    }
  };
  visit(root);
  return { errors, references };
}

/**
 * Backtracking costs up to (length of the text) to the power of the open repetitions + 1, doubled by each further
 * choice. Repeated groups, back-references and look-arounds escape that count and are refused; the rest is weighed so
 * that the worst pattern over 256 characters stays in tenths of a second.
 */
function patternProblem(argument: ASTNode | undefined): string | null {
  if (argument?.op !== 'value' || typeof argument.args !== 'string')
    return 'the pattern of matches() must be literal text';
  const pattern = argument.args;
  if (pattern.length > 200) return `the pattern of matches() has ${pattern.length} characters, limit 200`;
  try {
    new RegExp(pattern, 'u');
  } catch (thrown) {
    return (thrown as Error).message;
  }
  const bare = pattern.replace(/\\[^1-9k]/gu, '_').replace(/\[[^\]]*\]/gu, '_');
  if (/\)[*+?{]/.test(bare)) return 'the pattern repeats a group, which can take for ever';
  if (/\(\?(?!:)/.test(bare) || bare.includes('\\')) return 'the pattern looks around or back, which can take for ever';
  const open = bare.match(/[*+]|\{\d+,\d*\}/g)?.length ?? 0;
  const choices = bare.replaceAll('(?:', '(').match(/[?|]/g)?.length ?? 0;
  if (open > 2 || 4 * open + choices > 10) {
    return `the pattern has ${open} open repetitions and ${choices} further choices, which can take for ever`;
  }
  return null;
}
