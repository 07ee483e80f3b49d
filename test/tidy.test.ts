/** Applies the house rules of `tidy.ts` to this repository, and shows for each rule that it would catch a breach. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CODES } from '../src/errors.ts';
import {
  ambientTime,
  brokenLinks,
  connectors,
  cycles,
  deadFiles,
  direction,
  EXCEPTIONS,
  emptyNames,
  errorsPage,
  importsOf,
  KEYS_MADE,
  machineWords,
  ownNetwork,
  ownTime,
  type Tree,
  unfinished,
  untestedFolders,
  unusedCodes,
} from './tidy.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ERRORS_PAGE = 'docs/errors.md';
const NOT_OURS = new Set(['node_modules', 'dist', 'coverage', '.git', '.writgate', 'package-lock.json']);
const TEXT = /\.(ts|js|mjs|md|json|sql|yaml|yml|cedar|sh)$|^\.ci\/|^\.npmrc$/;

function readTree(folder = ''): [string, string][] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (NOT_OURS.has(entry.name)) return [];
    if (entry.isDirectory()) return readTree(path);
    return TEXT.test(path) ? [[path, readFileSync(join(ROOT, path), 'utf8')] satisfies [string, string]] : [];
  });
}

if (process.env['UPDATE_DOCS']) {
  mkdirSync(join(ROOT, 'docs'), { recursive: true });
  writeFileSync(join(ROOT, ERRORS_PAGE), errorsPage(CODES));
}
const tree: Tree = new Map(readTree());

type Rule = (tree: Tree) => string[];
type Breaches = Readonly<Record<string, Record<string, string>>>;

/** Each rule, why there is one, and small trees that break it once each. */
const RULES: readonly (readonly [fact: string, rule: Rule, breaches: Breaches])[] = [
  // What a station knows of later ones it would soon depend on; then no part could be read, or trusted, alone.
  [
    'imports go backwards on the road only',
    direction,
    {
      'a later station': { 'src/writ/writ.ts': "import { gate } from '../gateway/gate.ts';\n" },
      'a later station, for a type': { 'src/writ/writ.ts': "import type { Gate } from '../gateway/gate.ts';\n" },
      'a folder outside the road': { 'src/misc/word.ts': 'export const word = 1;\n' },
      'what only tests use': { 'src/writ/writ.ts': "import {\n  key,\n} from '../approval/testing.ts';\n" },
      'an example': { 'src/writ/writ.ts': "import { lie } from '../../examples/company/lying-scim.ts';\n" },
    },
  ],
  // Isolation is the natural state of a connector as long as it imports nothing that can reach out.
  [
    'a connector imports the contract and nothing else',
    connectors,
    {
      'a library': { 'src/connectors/crm/a.ts': "import { z } from 'zod';\n" },
      'a socket': { 'src/connectors/crm/a.ts': "import net from 'node:net';\n" },
      'a file system, late': { 'src/connectors/crm/a.ts': "const fs = () => import('node:fs');\n" },
      'another connector': { 'src/connectors/crm/a.ts': "import { dn } from '../ldap/dn.ts';\n" },
      'the clock itself': { 'src/connectors/crm/a.ts': "import { systemClock } from '../../clock.ts';\n" },
      'a station': { 'src/connectors/crm/a.ts': "import type { Gate } from '../../gateway/gate.ts';\n" },
    },
  ],
  // Files that need each other are one file.
  [
    'no import cycles',
    cycles,
    {
      'of three': {
        'src/plan/a.ts': "import { b } from './b.ts';\n",
        'src/plan/b.ts': "export { c } from './c.ts';\n",
        'src/plan/c.ts': "import { a } from './a.ts';\n",
      },
    },
  ],
  // Code that nothing runs is read, maintained and believed all the same.
  [
    'no dead files',
    deadFiles,
    { 'left over': { 'src/plan/old.ts': '', 'src/cli/main.ts': "import '../plan/new.ts';\n", 'src/plan/new.ts': '' } },
  ],
  // The whole platform can later run in a simulation with a seed.
  [
    'time and randomness are passed in',
    ambientTime,
    {
      time: { 'src/plan/make.ts': 'const at = Date.now();\n' },
      date: { 'src/plan/make.ts': 'const at = new Date();\n' },
      'date as text': { 'src/plan/make.ts': 'const at = Date();\n' },
      'a timer': { 'src/gateway/gate.ts': 'setTimeout(stop, 5);\n' },
      'a timer that repeats': { 'src/role/control.ts': 'const timer = setInterval(settle, 200);\n' },
      'a time limit': { 'src/gateway/gate.ts': 'const limit = AbortSignal.timeout(5);\n' },
      'a pause': { 'src/gateway/gate.ts': "import { setTimeout as pause } from 'node:timers/promises';\n" },
      'time since the start': { 'src/control/run.ts': 'const began = process.hrtime.bigint();\n' },
      randomness: { 'src/writ/writ.ts': "import { randomBytes } from 'node:crypto';\n" },
      'a random id': { 'src/writ/writ.ts': 'const id = crypto.randomUUID();\n' },
      'a key': { 'src/writ/writ.ts': "const { privateKey } = generateKeyPairSync('ed25519');\n" },
      network: { 'src/gateway/feed.ts': 'const answer = await fetch(url);\n' },
    },
  ],
  [
    'only who starts a process gives it the machine’s own time',
    ownTime,
    {
      'a role that takes it': { 'src/role/worker.ts': 'const clock = systemClock;\n' },
      'a default': { 'src/ledger/log.ts': 'const { random = systemRandom } = options;\n' },
    },
  ],
  [
    'a role opens nothing but through its Outside',
    ownNetwork,
    {
      'a database': { 'src/role/control.ts': 'const database = openDatabase(connection);\n' },
      'another role': { 'src/role/worker.ts': 'const gateway = connectPipe(path);\n' },
      'a socket': { 'src/role/gateway.ts': "import { connect } from 'node:net';\n" },
      'a feed': { 'src/role/gateway.ts': "import { request } from 'undici';\n" },
    },
  ],
  // A name is the first thing that a reader gets, and often the last.
  [
    'no empty words in names',
    emptyNames,
    {
      'of a file': { 'src/plan/plan-utils.ts': '' },
      'of a class': { 'src/plan/make.ts': 'export class PlanManager {}\n' },
      'of a base class': { 'src/plan/make.ts': 'export abstract class BasePlan {}\n' },
    },
  ],
  ['nothing is left to do', unfinished, { 'in a comment': { 'src/plan/make.ts': '// TODO limits\n' } }],
  [
    'nothing tells of one machine',
    machineWords,
    {
      'a home': { 'docs/a.md': 'see /home/me/notes' },
      'a registry': { '.npmrc': 'registry=https://registry.example.com/' },
    },
  ],
  ['every folder with code has a test', untestedFolders, { 'none at all': { 'src/plan/make.ts': '' } }],
  ['links lead somewhere', brokenLinks, { 'to a page': { 'README.md': 'see [the flow](docs/flow.md)' } }],
];

describe.each(RULES)('%s', (_fact, rule, breaches) => {
  test('here', () => {
    expect(rule(tree)).toEqual([]);
  });
  test.each(Object.entries(breaches))('a breach would be found: %s', (_what, breach) => {
    expect(rule(new Map(Object.entries(breach)))).toHaveLength(1);
  });
});

describe('errors', () => {
  test('every code is used', () => {
    expect(unusedCodes(tree, CODES)).toEqual([]);
  });
  test('an unused code would be found', () => {
    const unused = { 'never-used': { status: 400, exit: 1, meaning: '', remedy: '' } };
    expect(unusedCodes(tree, unused)).toHaveLength(1);
  });
  test('docs/errors.md is what src/errors.ts says; if not, run UPDATE_DOCS=1 npx vitest run test/tidy', () => {
    expect(tree.get(ERRORS_PAGE)).toBe(errorsPage(CODES));
  });
  test.each(Object.entries(CODES))('%s has a meaning and a remedy that are sentences', (_name, { meaning, remedy }) => {
    expect(meaning).toMatch(/^\S.{8,}[.!?]$/s);
    expect(remedy).toMatch(/^\S.{8,}[.!?`]$/s);
  });
});

describe('the rules themselves', () => {
  test('see the forms of an import that there are here', () => {
    const text = [
      "import type { A } from './a.ts';",
      "import { b, type B } from '../b.ts';",
      "import {\n  c,\n  d,\n} from './c.ts';",
      "import './e.ts';",
      "export { f } from './f.ts';",
      "const later = () => import('./g.ts');",
      "import net from 'node:net';",
      "const text = 'no import from here';",
    ].join('\n');
    const found = importsOf('src/plan/x.ts', text).map(({ to, typeOnly }) => `${typeOnly ? 'type ' : ''}${to}`);
    expect(found.sort()).toEqual(
      [
        'type src/plan/a.ts',
        'src/b.ts',
        'src/plan/c.ts',
        'src/plan/e.ts',
        'src/plan/f.ts',
        'src/plan/g.ts',
        'node:net',
      ].sort(),
    );
  });
  test('have no exception for a key that is made no more', () => {
    for (const path of Object.keys(KEYS_MADE)) expect(tree.get(path), path).toContain('generateKeyPairSync(');
  });
  test('have no exception for an import that is gone', () => {
    for (const [from, { to }] of Object.entries(EXCEPTIONS)) {
      expect(
        importsOf(from, tree.get(from) ?? '').map((one) => one.to),
        from,
      ).toContain(to);
    }
  });
});
