/**
 * `writgate init`: a commented writgate.yaml, and the beginning of trust. With `--demo` people are generated and
 * everything is signed at once; with `--person` their own keys are written down, and each signs with `writgate sign`.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parsePublicKey } from '../approval/key.ts';
import { isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { stamp } from '../source/manifest.ts';
import { demoGenesis, type Member, prepareGenesis, writeGenesis } from '../trust/genesis.ts';
import { readProposal } from '../trust/propose.ts';
import { type AddCommand, answer, describe } from './command.ts';
import { deliveryKey } from './delivery.ts';
import { askText, type Face } from './face.ts';
import { expandHome } from './key.ts';
import { configTemplate, DEMO_FEED } from './template.ts';
import { type GlobalOptions, hasBegun } from './where.ts';

interface InitOptions extends GlobalOptions {
  readonly folder: string;
  readonly tenant?: string;
  readonly owner?: string;
  readonly demo?: true;
  readonly person: readonly string[];
}

const ROLES = ['security', 'root'];
const DEMO_PEOPLE: readonly Member[] = [
  { person: '901', name: 'Dana Demo', roles: ROLES },
  { person: '902', name: 'Emil Demo', roles: ROLES },
  { person: '903', name: 'Fay Demo', roles: ROLES },
];
const LEAST_PEOPLE = 3;
const YEAR_MS = 365 * 86_400_000;

interface Begun {
  readonly config: string;
  readonly data: string;
  readonly wrote: readonly string[];
  readonly people: readonly { readonly person: string; readonly name: string; readonly key: string | null }[];
  readonly next: readonly string[];
}

export const addInit: AddCommand = (program, face) => {
  describe(
    program
      .command('init')
      .description('Write a commented writgate.yaml, and begin: keys of the roles, roster, trust root, authority')
      .option('--folder <folder>', 'where', '.')
      .option('--tenant <name>', 'name of your organisation here')
      .option('--owner <person>', 'id of the person who answers for Writgate')
      .option('--demo', 'generated approvers, all signed at once: to try it out, on this machine only')
      .option(
        '--person <id=file.pub>',
        'an approver and his SSH public key; at least three',
        (one: string, all: readonly string[]) => [...all, one],
        [],
      ),
    'writgate init --demo',
  ).action(async (options: InitOptions) => {
    if (options.demo && options.person.length > 0)
      throw new Failure('wrong-use', 'people are generated (--demo) or brought (--person), not both');
    const people = await Promise.all(options.person.map(readPerson));
    if (people.length > 0 && people.length < LEAST_PEOPLE) {
      throw new Failure(
        'wrong-use',
        `a beginning needs at least ${LEAST_PEOPLE} people, here are ${people.length}: two sign where a third asked`,
      );
    }
    const folder = resolve(options.folder);
    await mkdir(folder, { recursive: true });
    const configFile = join(folder, 'writgate.yaml');
    const wrote = await writeConfig(configFile, options, face);
    const { folder: data } = await readProposal(configFile);
    if (await hasBegun(data))
      throw new Failure('wrong-use', `${data} has its beginning already; see \`writgate authority\``);
    const input = { folder: data, configFile, clock: face.clock };
    const from = (path: string): string => relative(process.cwd(), path) || '.';
    const cd = folder === process.cwd() ? [] : [`cd ${from(folder)}`];
    const done = (keys: Begun['people'], next: readonly string[]): void => {
      const begun: Begun = { config: configFile, data, wrote, people: keys, next: [...cd, ...next] };
      answer(face, options, begun, draw(options.demo === true));
    };

    if (options.demo) {
      const made = await demoGenesis({ ...input, people: DEMO_PEOPLE, random: face.random });
      return done(
        made.map(({ person, name, keyFile }) => ({ person, name, key: relative(folder, keyFile) })),
        ['writgate check', 'writgate plan'],
      );
    }
    if (people.length > 0) {
      await writeGenesis(data, await prepareGenesis({ ...input, people, demo: false }), []);
      const files = ['trust-root.json', 'authority.json'].map((name) => relative(folder, join(data, name))).join(' ');
      return done(
        people.map(({ person, name }) => ({ person, name, key: null })),
        [`writgate sign ${files} --key FILE   (each of them, or --agent)`, 'writgate check'],
      );
    }
    done(
      [],
      [
        'writgate init --person ID=FILE.pub --person ID=FILE.pub --person ID=FILE.pub',
        'or, to try it out: writgate init --demo',
      ],
    );
  });
};

const draw =
  (isDemo: boolean) =>
  ({ wrote, data, people, next }: Begun): string =>
    [
      ...(wrote.length > 0 ? [`Wrote ${wrote.join(', ')}.`] : ['writgate.yaml was there and stays.']),
      ...(people.length === 0
        ? ['Nobody can approve yet. A beginning needs three people with an SSH key each: two sign where a third asked.']
        : [`Keys of the roles, roster, trust root and authority are in ${data}.`]),
      ...people.map(({ person, name, key }) => `  ${person}  ${name}${key === null ? '  has to sign' : `  ${key}`}`),
      ...(isDemo
        ? ['DEMO: these people are generated and their keys lie here, so nothing beyond this machine opens.']
        : []),
      ...(wrote.includes('delivery.key')
        ? [
            'delivery.key opens first passwords of new accounts: it belongs to whoever hands them out, and not on this machine.',
          ]
        : []),
      ...next.map((step, index) => `${index === 0 ? 'Next: ' : '      '}${step}`),
    ].join('\n');

/** What is there stays. @returns names of the files that were written */
async function writeConfig(configFile: string, options: InitOptions, face: Face): Promise<readonly string[]> {
  if ((await readFile(configFile).catch(() => null)) !== null) return [];
  const asks = face.canAsk && !options.json && !options.demo;
  const tenant = options.tenant ?? (asks ? await askText('A short name of your organisation', 'acme') : 'acme');
  const owner = options.owner ?? (asks ? await askText('HR id of the person who answers for Writgate', '100') : '100');
  const expires = isoTime(face.clock.now() + YEAR_MS).slice(0, 10);
  const delivery = await deliveryKey(join(configFile, '..', 'delivery.key'));
  await writeFile(configFile, configTemplate({ tenant, owner, delivery, expires }), { flag: 'wx' });
  const { authority } = await readProposal(configFile);
  const feed = join(configFile, '..', 'people.csv');
  const wanted = options.demo && (await readFile(feed).catch(() => null)) === null;
  if (!wanted) return ['writgate.yaml', 'delivery.key'];
  await writeFile(feed, DEMO_FEED, { flag: 'wx' });
  const [declared] = Object.values(authority.feeds);
  if (declared) {
    const manifest = await stamp({
      path: feed,
      feed: declared,
      asOf: face.clock.now(),
      exportedBy: 'writgate init --demo',
    });
    await writeFile(join(configFile, '..', 'people.manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  }
  return ['writgate.yaml', 'delivery.key', 'people.csv', 'people.manifest.json'];
}

/** `102=~/.ssh/id.pub`; the comment in the file, which people make their own, is the name that others see. */
async function readPerson(text: string): Promise<Member & { readonly publicKey: string }> {
  const [, person = '', path = ''] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (path === '') throw new Failure('wrong-use', `"${text}" is no ID=FILE.pub`);
  const publicKey = await readFile(expandHome(path), 'utf8').catch((cause) => {
    throw new Failure('wrong-use', `the public key ${path} of ${person} cannot be read (${cause.code})`, { cause });
  });
  parsePublicKey(publicKey);
  const comment = publicKey.trim().split(' ').slice(2).join(' ');
  return { person, name: comment === '' ? person : comment, roles: ROLES, publicKey: publicKey.trim() };
}
