/**
 * The house rules that a program can see, each a function from the tree to sentences about what breaks it.
 *
 * Imports are found with a regular expression: TypeScript 7 has no compiler API, and the formatter keeps one shape.
 */
import { posix } from 'node:path';

/** Path from the root of the repository, with `/`, to text. */
export type Tree = ReadonlyMap<string, string>;

/**
 * What may import what: a file may import its own layer and those before it. A line names a folder, or one file of it
 * (without `.ts`), and the longest name that fits counts. To add a folder, put it where its place on the road is.
 */
export const ALLOWED: readonly (readonly string[])[] = [
  // Ground: imports nothing of ours but itself.
  ['assert', 'errors', 'clock', 'canonical', 'shape', 'nearest', 'expression'],
  // Vocabulary: the shapes that all stations share.
  ['writ/tuple', 'connector/contract', 'authority/authority', 'plan/change'],
  ['gateway/perform/contract', 'gateway/catalogue/contract'],
  // What the ground is kept with.
  ['connector', 'store'],
  ['ledger', 'connectors'],
  ['authority'],
  ['config'],
  // The stations, in the order of the road.
  ['source'],
  ['identity'],
  ['decision'],
  ['approval', 'authority/ownership'],
  ['plan'],
  ['writ'],
  ['gateway'],
  ['verification'],
  // What is in force and how it began: signed files, checked by every role for itself.
  ['trust'],
  // The road as a whole, and the role that walks it.
  ['advance', 'control'],
  ['role'],
  // The faces, which see everything.
  ['evidence'],
  ['api'],
  ['cli', 'role/main', 'role/supervise'],
];

/** Imports against the direction, each with its reason. */
export const EXCEPTIONS: Readonly<Record<string, { readonly to: string; readonly why: string }>> = {
  'src/connector/runner.ts': { to: 'src/connectors/table.ts', why: 'the process of a connector loads it by name' },
  'src/connector/confinement.ts': { to: 'src/connectors/table.ts', why: 'the type of the names, nothing that runs' },
};

/** Files that a process starts from; bin/ and npm scripts name them. */
export const ENTRIES: readonly RegExp[] = [
  /^src\/cli\/main\.ts$/,
  /^src\/connector\/runner\.ts$/,
  /^src\/ledger\/examine-thread\.ts$/,
  /^src\/role\/main\.ts$/,
  /^test\/fixtures\//,
  /^(bench|examples)\//,
];

/** Tests, and what only tests use. They may import everything and nothing else may import them. */
const PROOF = /\.test\.ts$|^test\/|\/(suite|bench|testing)\.ts$/;
const isProof = (path: string): boolean => PROOF.test(path);

interface Import {
  readonly from: string;
  /** Path of a file of ours, or the name of a package. */
  readonly to: string;
  readonly typeOnly: boolean;
  readonly ours: boolean;
}

export function importsOf(path: string, text: string): Import[] {
  const statements = /^(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?'([^'\n]+)'/gm;
  const dynamic = /\bimport\('([^'\n]+)'\)/g;
  const found = [
    ...[...text.matchAll(statements)].map((match) => ({ name: match[2]!, typeOnly: match[1] !== undefined })),
    ...[...text.matchAll(dynamic)].map((match) => ({ name: match[1]!, typeOnly: false })),
  ];
  return found.map(({ name, typeOnly }) => {
    const ours = name.startsWith('.');
    return { from: path, to: ours ? posix.join(posix.dirname(path), name) : name, typeOnly, ours };
  });
}

const code = (tree: Tree): [string, string][] => [...tree].filter(([path]) => path.endsWith('.ts'));
const source = (tree: Tree): [string, string][] => code(tree).filter(([path]) => path.startsWith('src/'));
const allImports = (files: readonly [string, string][]): Import[] =>
  files.flatMap(([path, text]) => importsOf(path, text));

/** Good enough for text that Biome formats: no comment opens inside a string that a rule below would look for. */
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, '$1');

/* ---- imports ----------------------------------------------------------------------------------------------------------- */

function layerOf(path: string): number {
  const name = path.replace(/^src\//, '').replace(/(\.test)?\.ts$/, '');
  let best = { length: -1, layer: -1 };
  for (const [layer, units] of ALLOWED.entries()) {
    for (const unit of units) {
      const fits = name === unit || name.startsWith(`${unit}/`);
      if (fits && unit.length > best.length) best = { length: unit.length, layer };
    }
  }
  return best.layer;
}

export function direction(tree: Tree): string[] {
  const homeless = source(tree)
    .filter(([path]) => layerOf(path) < 0)
    .map(([path]) => `${path} has no place on the road; give its folder one in ALLOWED (test/tidy.ts)`);
  const wrong = allImports(source(tree))
    .filter(({ from, to, ours }) => ours && !isProof(from) && EXCEPTIONS[from]?.to !== to)
    .flatMap(({ from, to }) => {
      if (!to.startsWith('src/') || isProof(to)) return `${from} imports ${to}, which only tests use`;
      if (layerOf(to) <= layerOf(from)) return [];
      return `${from} imports ${to}, which comes later on the road; move what both need before both, or pass it in`;
    });
  return [...homeless, ...wrong];
}

const CONNECTOR = /^src\/connectors\/([^/]+)\//;
/** What a connector may name in a type, besides `src/connector/`. */
const CONNECTOR_TYPES: readonly string[] = ['src/clock.ts', 'src/writ/tuple.ts'];

/** A connector has no socket, no file, no clock and no library: whatever it could reach, a hostile one would. */
export function connectors(tree: Tree): string[] {
  return allImports(source(tree))
    .filter(({ from }) => CONNECTOR.test(from) && !isProof(from))
    .filter(({ from, to, typeOnly }) => {
      const own = `src/connectors/${CONNECTOR.exec(from)![1]}/`;
      const may = to.startsWith('src/connector/') || to.startsWith(own) || to === 'src/canonical.ts';
      return !(may || (typeOnly && CONNECTOR_TYPES.includes(to)));
    })
    .map(
      ({ from, to }) =>
        `${from} imports ${to}; a connector imports src/connector/, canonical bytes and its own folder, and nothing else`,
    );
}

export function cycles(tree: Tree): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, ours, typeOnly } of allImports(source(tree))) {
    if (ours && !typeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push(`import cycle: ${[...trail.slice(start), path].join(' → ')}; take out what both need`);
    if (start >= 0 || done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return found;
}

export function deadFiles(tree: Tree): string[] {
  const imports = allImports(code(tree));
  const reached = new Set<string>();
  const reach = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { from, to } of imports) if (from === path) reach(to);
  };
  for (const [path] of code(tree))
    if (/\.test\.ts$/.test(path) || ENTRIES.some((entry) => entry.test(path))) reach(path);
  return code(tree)
    .filter(([path]) => (path.startsWith('src/') || path.startsWith('test/')) && !reached.has(path))
    .map(([path]) => `${path} is reached from no entry point and no test; use it, or delete it`);
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

/** Where rule words stand as words. */
const ABOUT_RULES = /^test\/tidy(\.test)?\.ts$|^(STYLE|GLOSSARY)\.md$/;

/** The one file that asks the machine for time and randomness. */
const CLOCK = 'src/clock.ts';
/** Where a process begins, and is given the machine's own. */
const GIVEN: readonly string[] = [CLOCK, 'src/role/main.ts', 'src/cli/face.ts'];

/** Randomness that is not passed in, each with its reason. */
export const KEYS_MADE: Readonly<Record<string, string>> = {
  'src/trust/key.ts': 'a key of a role, from OpenSSL: a seeded one would be nobody’s secret',
  'src/gateway/box.ts': 'a key of one sealed box, likewise; nothing that is decided depends on it',
  'src/cli/check.ts': 'a key that signs a statement which nobody keeps',
};

export function ambientTime(tree: Tree): string[] {
  const ambient = [
    /\bDate\.now\b|\bnew Date\(\)|(?<!new )(?<![\w.])Date\(\)|\bperformance\.(?:now|timeOrigin)\b|\bhrtime\b|\bprocess\.uptime\b/,
    /\bset(?:Timeout|Interval)\(|\bAbortSignal\.timeout\b|\btimers\/promises\b/,
    /\bMath\.random\b|\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b|\bgetRandomValues\b/,
    /\bgenerateKey(?:Pair)?(?:Sync)?\b/,
    /(?<![\w.])fetch\((?!\w+: )/,
  ];
  return source(tree)
    .filter(([path]) => path !== CLOCK && !isProof(path))
    .flatMap(([path, text]) => {
      const plain = withoutComments(text);
      const found = ambient.map((words) => words.exec(plain)?.[0]).find((word) => word !== undefined);
      if (found === undefined || (found.startsWith('generateKey') && Object.hasOwn(KEYS_MADE, path))) return [];
      return [
        `${path} has ${found}; take a Clock, a Random or a Network that is passed in, so that a test can decide it`,
      ];
    });
}

/** Only who starts a process may give it the machine's own time; a default would be taken by whoever forgets to pass it on. */
export function ownTime(tree: Tree): string[] {
  return source(tree)
    .filter(([path]) => !GIVEN.includes(path) && !isProof(path))
    .flatMap(([path, text]) => {
      const found = /\bsystem(?:Clock|Random|Ambient)\b/.exec(withoutComments(text));
      return found ? [`${path} takes ${found[0]}; only ${GIVEN.slice(1).join(' and ')} may, and pass it on`] : [];
    });
}

/** A role acts through what `src/role/outside.ts` gives it, and opens nothing by itself. */
export function ownNetwork(tree: Tree): string[] {
  const opens =
    /\b(?:connectPipe|listenPipe|openPipe|startRunner|openHttp|openLdap|openSql|openDatabase|openDisk)\b(?=\()|from 'node:(?:net|tls|https?|dgram|dns|child_process)'|^import \{[^}]*\} from '(?:undici|pg)'/m;
  return source(tree)
    .filter(([path]) => /^src\/(?:role\/(?:control|gateway|verifier|worker)|control\/\w+)\.ts$/.test(path))
    .flatMap(([path, text]) => {
      const found = opens.exec(withoutComments(text).replaceAll(/\b(?:network|storage)\.\w+\(/g, ''));
      return found ? [`${path} has ${found[0]}; a role opens nothing but through its Outside`] : [];
    });
}

const EMPTY_WORDS = /^(utils?|helpers?|managers?|services?|impl|v2)$/i;
const wordsOf = (name: string): string[] => name.split(/(?<=[a-z0-9])(?=[A-Z])|[-_.]/);

/** Names that say nothing. `base` has meanings here (a plan's, a directory's), so only `BaseThing` and `ThingBase` count. */
export function emptyNames(tree: Tree): string[] {
  const declared = /^(?:export\s+)?(?:abstract\s+)?(class|interface|type|function|async function)\*?\s+(\w+)/gm;
  return code(tree).flatMap(([path, text]) => {
    const file = path
      .split('/')
      .slice(1)
      .flatMap(wordsOf)
      .filter((word) => EMPTY_WORDS.test(word));
    const names = [...text.matchAll(declared)]
      .map((match) => match[2]!)
      .filter((name) => {
        const words = wordsOf(name);
        const based = words.length > 1 && (words[0] === 'Base' || words.at(-1) === 'Base');
        return based || words.some((word) => EMPTY_WORDS.test(word));
      });
    return [...file, ...names].map((name) => `${path}: "${name}" says nothing; name it by what it does (GLOSSARY.md)`);
  });
}

export function unfinished(tree: Tree): string[] {
  return [...tree]
    .filter(([path, text]) => !ABOUT_RULES.test(path) && /\b(TODO|FIXME|XXX)\b/.test(text))
    .map(([path]) => `${path} has something left to do; do it, or open an issue`);
}

/** What would work on the machine where it was written, and tell strangers about it. */
export function machineWords(tree: Tree): string[] {
  const words =
    /(?<![\w.])\/(work|home|root)\/[\w.-]+|\bregistry\.[a-z]|\bartifactory\b|\b(npm|pypi)\.[a-z]+\.(io|net|internal)\b/i;
  return [...tree].flatMap(([path, text]) => {
    const found = ABOUT_RULES.test(path) ? null : words.exec(text);
    return found ? [`${path} has "${found[0]}", which is so on one machine only`] : [];
  });
}

export function untestedFolders(tree: Tree): string[] {
  const tested = new Set([...tree.keys()].filter((path) => path.endsWith('.test.ts')).map(folderOf));
  const folders = new Set(
    source(tree)
      .filter(([path]) => !isProof(path))
      .map(([path]) => folderOf(path)),
  );
  return [...folders]
    .filter((folder) => ![...tested].some((one) => one === folder || one.startsWith(`${folder}/`)))
    .map((folder) => `${folder}/ has code and no test; put the proof beside it as <word>.test.ts`);
}
const folderOf = (path: string): string => posix.dirname(path);

export function brokenLinks(tree: Tree): string[] {
  const exists = (path: string): boolean => [...tree.keys()].some((one) => one === path || one.startsWith(`${path}/`));
  return [...tree]
    .filter(([path]) => path.endsWith('.md'))
    .flatMap(([path, text]) =>
      [...text.matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)/g)]
        .map((match) => posix.join(posix.dirname(path), match[1]!).replace(/\/$/, ''))
        .filter((to) => to !== '.' && !exists(to))
        .map((to) => `${path} links to ${to}, which is not there`),
    );
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------- */

interface Meaning {
  readonly status: number;
  readonly exit: number;
  readonly meaning: string;
  readonly remedy: string;
}

export function unusedCodes(tree: Tree, codes: Readonly<Record<string, Meaning>>): string[] {
  const texts = source(tree)
    .filter(([path]) => path !== 'src/errors.ts' && !isProof(path))
    .map(([, text]) => text)
    .join('\n');
  return Object.keys(codes)
    .filter((name) => !texts.includes(`'${name}'`))
    .map((name) => `no code of ours fails with "${name}"; delete it from src/errors.ts`);
}

/** The text of docs/errors.md. */
export function errorsPage(codes: Readonly<Record<string, Meaning>>): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = Object.entries(codes).map(
    ([name, { status, exit, meaning, remedy }]) =>
      `| \`${name}\` | ${status} | ${exit} | ${cell(meaning)} | ${cell(remedy)} |`,
  );
  return [
    '# Errors',
    '',
    'Generated from `src/errors.ts` by `UPDATE_DOCS=1 npx vitest run test/tidy`; do not edit.',
    '',
    'Exit codes of the command line: 1 failed, 2 wrong use or configuration, 3 refused by a guard, 4 waits for people,',
    '5 a proof failed. Verdicts (held, denied, refused, contradicted …) are not errors and do not stand here.',
    '',
    '| code | HTTP | exit | meaning | what to do |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
