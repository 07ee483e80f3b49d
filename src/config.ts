/**
 * `writgate.yaml`: from text to the proposed authority and the local settings, or to everything that is wrong with it.
 *
 * What is signed must be what was read. So the file has one spelling per meaning: no anchors and aliases (which also
 * leaves no room for a bomb), no tags, no duplicate keys, no number without its unit. Pure: no file, no clock, no network.
 */
import { isAbsolute, resolve } from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { Authority } from './authority/authority.ts';
import { crossCheck } from './authority/cross.ts';
import { lineAndColumn, locate, locateInside, type Path, type Span } from './authority/position.ts';
import { type Fault, faultsOf } from './authority/sentence.ts';
import { canonical, type Digest, sha256 } from './canonical.ts';

const MAX_CHARACTERS = 1_000_000;
const MAX_DEPTH = 16;
/** More tell nobody anything, and a generated file may have a fault in each of its thousand entries. */
const MAX_PROBLEMS = 100;

/** Settings of this machine. They change nothing that anybody signs. */
const Local = z.strictObject({
  /** Data folder, relative to the file. */
  data: z.string().min(1).default('.writgate'),
  listen: z
    .string()
    .regex(/^(\[[0-9a-f:]+\]|[a-z0-9.-]+):\d{1,5}$/i, 'an address and port, such as 127.0.0.1:7400')
    .default('127.0.0.1:7400'),
});
export type Local = z.output<typeof Local>;

const Config = Authority.extend({ local: Local.prefault({}) });

export interface Problem {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly column: number;
  /** Characters to underline, on that line. */
  readonly length: number;
  readonly message: string;
  /** The way out. */
  readonly remedy: string;
}

export type CheckedConfig =
  | { readonly ok: true; readonly authority: Authority; readonly local: Local; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };

/** Tells all problems of one pass, in the order of the file. @param file only for the messages */
export function checkConfig(text: string, file: string): CheckedConfig {
  const lines = new LineCounter();
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const problemAt = (span: Span, message: string, remedy: string): Problem => {
    const place = lineAndColumn(lines, span.start);
    const endOfLine = text.indexOf('\n', span.start);
    const end = Math.min(span.end, endOfLine < 0 ? text.length : endOfLine);
    return { file, ...place, length: Math.max(1, end - span.start), message, remedy };
  };
  const refused = (): CheckedConfig => ({
    ok: false,
    problems: inOrder(problems).slice(0, MAX_PROBLEMS),
    warnings: inOrder(warnings),
  });

  if (text.length > MAX_CHARACTERS) {
    const message = `the file has ${text.length} characters, limit ${MAX_CHARACTERS}`;
    problems.push(problemAt({ start: 0, end: 1 }, message, 'people belong into feeds, not into the configuration'));
    return refused();
  }

  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2', schema: 'core' });
  const found = yamlFaults(document, text);
  for (const { span, message, remedy } of found) problems.push(problemAt(span, message, remedy));
  // After a duplicate key the rest can still be judged; after anything else it would only be guessed at.
  if (found.some(({ isDuplicate }) => !isDuplicate)) return refused();

  const raw: unknown = document.toJS({ maxAliasCount: 0 });
  if (!isMap(document.contents)) {
    problems.push(
      problemAt({ start: 0, end: 1 }, 'the file is empty or no map', 'start with `version: 1`, or run `writgate init`'),
    );
    return refused();
  }
  const parsed = Config.safeParse(raw);
  const faults: Fault[] = parsed.success ? [] : faultsOf(parsed.error.issues, raw, Config);
  for (const fault of faults)
    problems.push(problemAt(locate(document, fault.path, fault.at), fault.message, fault.remedy));
  crossCheck(raw, {
    problem: (path, message, remedy, inside) =>
      problems.push(problemAt(spanOf(document, text, path, inside), message, remedy)),
    warning: (path, message, remedy) => warnings.push(problemAt(locate(document, path), message, remedy)),
  });
  if (!parsed.success || problems.length > 0) return refused();
  const { local, ...authority } = parsed.data;
  return { ok: true, authority, local, warnings: inOrder(warnings) };
}

function spanOf(document: Document, text: string, path: Path, inside: Span | 'key' | undefined): Span {
  if (inside === undefined || inside === 'key') return locate(document, path, inside);
  return locateInside(document, path, text, inside);
}

const inOrder = (problems: readonly Problem[]): Problem[] =>
  [...problems].sort((a, b) => a.line - b.line || a.column - b.column);

/* ---- YAML itself ------------------------------------------------------------------------------------------------- */

interface YamlFault {
  readonly isDuplicate?: boolean;
  readonly span: Span;
  readonly message: string;
  readonly remedy: string;
}

const REMEDIES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'keep one of them; the others would be lost without a word',
  TAB_AS_INDENT: 'indent with blanks',
  BLOCK_AS_IMPLICIT_KEY: 'put an expression that holds a colon into single quotes: \'row.a == "x" ? "y" : "z"\'',
  UNEXPECTED_TOKEN: 'put an expression that begins with a quote into single quotes: \'"x" + row.a\'',
  MULTIPLE_DOCS: 'one file is one configuration: remove the --- line and what follows',
  TAG_RESOLVE_FAILED: 'remove the tag: values are plain text, numbers, lists and maps',
};

function yamlFaults(document: Document, text: string): YamlFault[] {
  const tooDeep = document.errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION');
  if (tooDeep) return [{ span: toSpan(tooDeep.pos), ...TOO_DEEP }];
  const faults: YamlFault[] = [...document.errors, ...document.warnings].map(({ code, message, pos }) => {
    const remedy = REMEDIES[code] ?? 'mend the YAML here, or just before';
    if (code !== 'DUPLICATE_KEY') return { span: toSpan(pos), message, remedy };
    const [start] = pos;
    const key = /^[\w.-]+/.exec(text.slice(start, start + 64))?.[0] ?? '?';
    return { span: { start, end: start + key.length }, isDuplicate: true, message: 'the key is there twice', remedy };
  });
  if (document.directives?.yaml.explicit) {
    const message = 'the file names a YAML version, which changes what its words mean';
    faults.push({ span: { start: 0, end: 1 }, message, remedy: 'remove the %YAML line' });
  }
  visit(document, {
    Alias: (_, { range }) => {
      faults.push({ span: toSpan(range), message: 'the value is an alias of another', remedy: ALIAS_REMEDY });
    },
    Pair: (_, { key }) => {
      if (!isScalar(key) || key.value !== '<<') return;
      faults.push({ span: toSpan(key.range), message: '<< merges another map', remedy: ALIAS_REMEDY });
    },
    Collection: (_, { range }, ancestors) => {
      // A pair and its map are two ancestors for one level.
      if (ancestors.length <= 2 * MAX_DEPTH) return;
      faults.push({ span: toSpan(range), ...TOO_DEEP });
      return visit.BREAK;
    },
  });
  return faults;
}

const toSpan = (range: readonly [number, number, ...number[]] | null | undefined): Span => ({
  start: range?.[0] ?? 0,
  end: range?.[1] ?? 0,
});

const TOO_DEEP = { message: 'the file is nested too deeply', remedy: `${MAX_DEPTH} levels are enough` };
const ALIAS_REMEDY = 'write the value out: each line is reviewed and signed where it stands';

/* ---- faces ------------------------------------------------------------------------------------------------------- */

/** `file:line:column`, what is wrong, the line with a caret, and the way out. */
export function formatProblem(problem: Problem, text: string): string {
  const { file, line, column, length, message, remedy } = problem;
  const source = (text.split('\n')[line - 1] ?? '').replace(/\r$/, '').replaceAll('\t', ' ');
  // A window of 100 characters around the place, so that one long line does not fill the terminal.
  const from = source.length > 100 ? Math.max(0, column - 40) : 0;
  const excerpt = source.slice(from, from + 100);
  const caret =
    ' '.repeat(column - 1 - from) + '^'.repeat(Math.max(1, Math.min(length, excerpt.length - (column - 1 - from))));
  const gutter = String(line).length;
  return [
    `${file}:${line}:${column}: ${message}`,
    `${' '.repeat(gutter)} |`,
    `${line} | ${excerpt}`,
    `${' '.repeat(gutter)} | ${caret}`,
    `  ${remedy}`,
  ].join('\n');
}

/** What is proposed for signature: its canonical bytes and their digest. */
export function authorityOf(config: { readonly authority: Authority }): {
  readonly authority: Authority;
  readonly bytes: string;
  readonly authorityDigest: Digest;
} {
  const bytes = canonical(config.authority);
  return { authority: config.authority, bytes, authorityDigest: sha256(bytes) };
}

/** A path as the file has it, relative to the folder of the file. */
export const resolvePath = (folder: string, path: string): string => (isAbsolute(path) ? path : resolve(folder, path));
