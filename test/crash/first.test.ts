/** The first command on a new data folder makes the store. Killed at its effects, the next one finishes that work. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configTemplate } from '../../src/cli/template.ts';
import { systemAmbient, systemClock, systemRandom } from '../../src/clock.ts';
import { generateBoxKey } from '../../src/gateway/box.ts';
import { placeOf } from '../../src/role/place.ts';
import { startCluster } from '../../src/store/embedded.ts';
import { demoGenesis } from '../../src/trust/genesis.ts';
import { chance } from './chance.ts';
import { command, until } from './command.ts';
import { EFFECTS } from './company.ts';

const ALL = process.env['CRASH'] === 'all';
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-crash-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function begin(name: string) {
  const folder = join(root, name, '.writgate');
  const configFile = join(root, name, 'writgate.yaml');
  await mkdir(join(root, name));
  await writeFile(
    configFile,
    configTemplate({ tenant: 'acme', owner: '100', delivery: generateBoxKey().publicKey, expires: '2099-01-01' }),
  );
  const people = ['901', '902', '903'].map((person) => ({ person, name: person, roles: ['security', 'root'] }));
  await demoGenesis({ folder, configFile, people, clock: systemClock, random: systemRandom });
  return { folder, configFile, args: ['status', '--config', configFile] };
}
async function end({ folder }: { readonly folder: string }): Promise<void> {
  const cluster = await startCluster({ ...systemAmbient, folder: join(folder, 'store') });
  await cluster.stop();
  await rm(cluster.host, { recursive: true, force: true });
  await rm(join(placeOf(folder).socket('api'), '..'), { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}
const effectsOf = (file: string) => ({ NODE_OPTIONS: `--import ${EFFECTS}`, WRITGATE_EFFECTS: file });

test(
  'is killed at its effects, and the next one finishes the work',
  async () => {
    const counted = await begin('counted');
    const file = join(root, 'effects');
    expect(await command(counted.args, effectsOf(file)).ended).toMatchObject({ code: 0 });
    const effects = (await readFile(file, 'utf8')).trim().split('\n').length;
    await end(counted);
    expect(effects).toBeGreaterThan(20);

    const strides = ALL ? effects : 4;
    for (let stretch = 0; stretch < strides; stretch++) {
      const at = 1 + Math.floor(((stretch + (ALL ? 0 : chance('first', stretch))) * effects) / strides);
      const when = chance('first', stretch, 'when') < 0.5 ? 'before' : 'after';
      const folder = await begin(`at-${at}`);
      const killed = await command(folder.args, { ...effectsOf(file), WRITGATE_CRASH: `${at} ${when}` }).ended;
      const next = await until([0], folder.args);
      expect({ at, when, code: next.code, said: next.said }).toMatchObject({ code: 0 });
      // Not each run has so many effects; whoever was not killed, finished.
      expect(killed.signal ?? killed.code, `${when} ${at}: ${killed.said}`).toSatisfy(
        (how: string | number) => how === 'SIGKILL' || how === 0,
      );
      await end(folder);
    }
  },
  ALL ? 86_400_000 : 600_000,
);
