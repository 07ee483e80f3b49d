/** Each `.txt` here is a scenario: its steps are done, and what is indented below them must come out again, word for word. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageFolder } from '../../src/store/database.ts';
import { startWorld, type Unmanaged } from '../company/world.ts';
import { Story } from './steps.ts';

const folder = join(packageFolder(), 'test', 'scenarios');

test.each(readdirSync(folder).filter((name) => name.endsWith('.txt')))('%s', async (name) => {
  const text = readFileSync(join(folder, name), 'utf8');
  const unmanaged = /^given the authority says unmanaged: (adopt|revert)$/m.exec(text)?.[1] as Unmanaged | undefined;
  const world = await startWorld(undefined, unmanaged);
  try {
    const story = new Story(world);
    const told: string[] = [];
    for (const line of text.split('\n').filter((one) => !one.startsWith('    '))) {
      told.push(line);
      if (/^(given|when|then) /.test(line)) for (const said of await story.step(line)) told.push(`    ${said}`);
      else if (line !== '' && !line.startsWith('#')) throw new Error(`"${line}" is no given, when or then`);
    }
    await expect(told.join('\n')).toMatchFileSnapshot(join(folder, name));
  } finally {
    await world.stop();
  }
});
