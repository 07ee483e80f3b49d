/** What the documents say that a program can check: commands, the road, and the tests that they name. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ROAD } from '../src/advance.ts';
import { tell } from '../src/cli/testing.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  ...readdirSync(join(ROOT, 'docs/design')).map((name) => `docs/design/${name}`),
];

/** Command lines of the fenced `sh` snippets, a line that goes on with `\` as one. */
const snippets = (text: string): string[] =>
  [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap((match) => match[1]!.replaceAll('\\\n', ' ').split('\n'));

/** What is given to `writgate` in a line, also behind a pipe and between backticks; null when it is not called there. */
function argumentsOf(line: string): string[] | null {
  const called = /(?:^|\| )(?:npx writgate|node bin\/writgate\.js) +([^|>#]+)/.exec(line);
  return called ? called[1]!.trim().split(/\s+/) : null;
}

interface Known {
  readonly commands: ReadonlySet<string>;
  readonly options: ReadonlySet<string>;
}

/** By its own `--help`: the names under "Commands:", and every option with its long and short name. */
async function known(command: readonly string[]): Promise<Known> {
  const { exit, out } = await tell([...command, '--help']);
  if (exit !== 0) return { commands: new Set(), options: new Set() };
  const commands = /^Commands:\n((?: .*\n?)+)/m.exec(out)?.[1] ?? '';
  return {
    commands: new Set([...commands.matchAll(/^ {2}([a-z-]+)/gm)].map((match) => match[1]!)),
    options: new Set([...out.matchAll(/^ {2}(?:(-\w), )?(--[a-z-]+)/gm)].flatMap((match) => match.slice(1, 3))),
  };
}

/** What is wrong with a command line, by the command line's own help; null when nothing is. */
async function wrongWith(args: readonly string[]): Promise<string | null> {
  const path: string[] = [];
  let at = await known([]);
  while (at.commands.has(args[path.length] ?? '')) {
    path.push(args[path.length]!);
    at = await known(path);
  }
  if (path.length === 0) return `${args[0]} is no command`;
  const strange = args.find((argument) => argument.startsWith('-') && !at.options.has(argument.split('=')[0]!));
  return strange === undefined ? null : `${path.join(' ')} has no option ${strange}`;
}

describe('the command lines in the documents', () => {
  test.each([
    ['frobnicate', 'frobnicate is no command'],
    ['plan show P2 --colour', 'plan show has no option --colour'],
    ['evidence check FILE --roots FILE', 'evidence check has no option --roots'],
  ])('a line that is wrong is found: %s', async (line, why) => {
    expect(await wrongWith(line.split(' '))).toBe(why);
  });

  test.each(DOCUMENTS)('are commands with options that there are: %s', async (path) => {
    for (const line of snippets(read(path))) {
      const args = argumentsOf(line);
      if (args) expect(await wrongWith(args), line).toBeNull();
    }
  });

  test('README.md shows the whole way with one’s own data, in its order', () => {
    const commands = snippets(read('README.md')).flatMap((line) => argumentsOf(line)?.[0] ?? []);
    const wanted = ['init', 'secret', 'check', 'plan', 'approve', 'run', 'trace', 'evidence', 'ledger'];
    expect([...new Set(commands)].filter((command) => wanted.includes(command))).toEqual(wanted);
  });

  test('README.md has the two commands, its npm scripts, and at most 150 lines', () => {
    const text = read('README.md');
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const command of ['npm ci && npm start', 'npm ci && npm test']) expect(text).toContain(command);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['start', 'test']));
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
  });
});

test('docs/flow.md has the stages of src/advance.ts, in its order and with its meanings', () => {
  const rows = [...read('docs/flow.md').matchAll(/^\| `(\w+)` \| (.*?) \|/gm)].map((row) => [row[1], row[2]]);
  expect(rows).toEqual(Object.entries(ROAD).map(([stage, { meaning }]) => [stage, meaning]));
});

test('docs/flow.md says of each stage at which nothing moves by itself who acts next, as src/advance.ts does', () => {
  const next = new Map(
    [...read('docs/flow.md').matchAll(/^\| `(\w+)` \| .*? \| (.*) \|$/gm)].map((row) => [row[1], row[2]]),
  );
  for (const [stage, step] of Object.entries(ROAD)) if ('by' in step) expect(next.get(stage), stage).toBe(step.by);
});

/** `docs/threats.md` names a test in backticks. */
const testsIn = (text: string): string[] => [...new Set(text.match(/(?<=`)[\w./-]+\.test\.ts(?=`)/g))];

describe('docs/threats.md', () => {
  const text = read('docs/threats.md');

  test.each(testsIn(text))('names a test that there is: %s', (path) => {
    expect(existsSync(join(ROOT, path))).toBe(true);
  });

  test('has for each line a test, or says that there is none yet', () => {
    const lines = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| compromised'));
    expect(lines.length).toBeGreaterThan(10);
    for (const line of lines) {
      const last = line.split(' | ').at(-1)!;
      expect(testsIn(last).length > 0 || last.includes('no test yet'), line.slice(0, 60)).toBe(true);
    }
  });

  const forgeries = readdirSync(join(ROOT, 'test/forgeries'))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/forgeries/${name}`);

  test('names every test of forgeries', () => {
    expect(forgeries.filter((path) => !text.includes(path))).toEqual([]);
  });

  test('lists the attacks that work today, as they stand in the tests, and no other', () => {
    const works = forgeries.flatMap((path) =>
      [...read(path).matchAll(/\btest\.fails\(\s*'([^']+)'/g)].map((match) => match[1]!),
    );
    const section = text.split('\n## ').find((part) => part.startsWith('Attacks that work today')) ?? '';
    const listed = [...section.matchAll(/\*\*([^*]+)\*\*/g)].map((match) => match[1]!.replace(/\s+/g, ' '));
    expect(listed.sort()).toEqual(works.sort());
  });
});
