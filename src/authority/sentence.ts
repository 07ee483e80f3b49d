/** From zod's issues to sentences: what is wrong, with the value that stands there, and the way out. */
import type { z } from 'zod';
import { nearest, suggestion } from '../nearest.ts';
import type { Path } from './position.ts';

export interface Fault {
  readonly path: Path;
  readonly at?: 'key' | 'value';
  readonly message: string;
  readonly remedy: string;
}

type Issue = z.core.$ZodIssue;

/** `raw` is the document as plain data, `schema` what it was held against (for the known keys). */
export function faultsOf(issues: readonly Issue[], raw: unknown, schema: z.ZodType): Fault[] {
  return issues.flatMap((issue) => faultOf(issue, raw, schema));
}

function faultOf(issue: Issue, raw: unknown, schema: z.ZodType): Fault[] {
  const path = issue.path as Path;
  const where = path.length === 0 ? 'the file' : path.join('.');
  const value = valueAt(raw, path);
  const is = `${where} is ${describe(value)}`;
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = keysAt(schema, path);
      return issue.keys.map((key) => ({
        path: [...path, key],
        at: 'key',
        message: path.length === 0 ? `unknown key ${key}` : `unknown key ${key} in ${where}`,
        remedy: suggestion(key, known),
      }));
    }
    case 'invalid_key':
      return [
        {
          path,
          at: 'key',
          message: `${JSON.stringify(path.at(-1))} is no usable name`,
          remedy: `use ${issue.issues[0]?.message}`,
        },
      ];
    case 'invalid_type': {
      if (value === undefined) {
        const parent = path.slice(0, -1).join('.');
        const message = `${path.at(-1)} is missing${parent === '' ? '' : ` in ${parent}`}`;
        return [{ path, message, remedy: `add it: ${article(issue.expected)}` }];
      }
      const remedy =
        issue.expected === 'string' && typeof value === 'number'
          ? 'put it in quotes, exactly as the feed has it: 0108 is not 108'
          : `write ${article(issue.expected)}`;
      return [{ path, message: is, remedy }];
    }
    case 'invalid_value': {
      const options = issue.values.map(String);
      const near = typeof value === 'string' ? nearest(value, options) : null;
      const message = value === undefined ? `${path.at(-1)} is missing` : `${is}, not one of ${options.join(', ')}`;
      return [{ path, message, remedy: near === null ? `write ${options.join(' or ')}` : `did you mean ${near}?` }];
    }
    case 'invalid_union': {
      // The branch that got furthest tells most; none got anywhere: the union's own words.
      const deepest =
        issue.errors.find((branch) => branch.some(({ path: inner }) => inner.length > 0)) ??
        issue.errors.find((branch) => branch[0]?.code === 'unrecognized_keys');
      if (deepest)
        return faultsOf(
          deepest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }) as Issue),
          raw,
          schema,
        );
      if (value === undefined)
        return [
          {
            path,
            message: `${path.at(-1)} is missing in ${path.slice(0, -1).join('.')}`,
            remedy: `add it: ${issue.message}`,
          },
        ];
      return [{ path, message: is, remedy: `write ${issue.message}` }];
    }
    case 'too_small':
      return [{ path, message: is, remedy: `write at least ${issue.minimum}${countOf(issue.origin)}` }];
    case 'too_big':
      return [{ path, message: is, remedy: `write at most ${issue.maximum}${countOf(issue.origin)}` }];
    case 'invalid_format':
      return [{ path, message: is, remedy: `write ${FORMATS[issue.format] ?? issue.message}` }];
    default:
      // Our own rules: those about a whole entry point at its name.
      return typeof value === 'object' && value !== null
        ? [{ path, at: 'key', message: `${where} does not have ${issue.message}`, remedy: `write ${issue.message}` }]
        : [{ path, message: is, remedy: `write ${issue.message}` }];
  }
}

const FORMATS: Readonly<Record<string, string>> = {
  url: 'a whole address, such as https://crm.example/scim/v2',
  date: 'a date as YYYY-MM-DD',
};

const ARTICLES: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'a map of `key: value`',
  record: 'a map of `name: …`',
  array: 'a list, such as [a, b]',
};
const article = (expected: string): string => ARTICLES[expected] ?? expected;
const countOf = (origin: string): string =>
  origin === 'array' ? ' entries' : origin === 'string' ? ' characters' : '';

/** Short, and never the whole of a long value. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return `a map of ${Object.keys(value).length} keys`;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

export function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const segment of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined;
    value = (value as Record<string | number, unknown>)[segment];
  }
  return value;
}

/* ---- which keys a schema knows at a path ------------------------------------------------------------------------- */

interface Definition {
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly valueType?: z.ZodType;
  readonly element?: z.ZodType;
}

/** Optional, default and the like wrap what they apply to; a union offers several. */
function shapesOf(schema: z.ZodType): Definition[] {
  const definition = schema.def as unknown as Definition;
  const inner = definition.innerType ?? definition.in;
  if (inner) return shapesOf(inner);
  return definition.options ? definition.options.flatMap(shapesOf) : [definition];
}

function keysAt(schema: z.ZodType, path: Path): string[] {
  let definitions = shapesOf(schema);
  for (const segment of path) {
    definitions = definitions.flatMap(({ shape, valueType, element }) => {
      const next = shape?.[segment] ?? valueType ?? element;
      return next ? shapesOf(next) : [];
    });
  }
  return definitions.flatMap(({ shape }) => Object.keys(shape ?? {}));
}
