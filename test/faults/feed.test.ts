/** What `writgate check` says of a broken export and of a broken configuration: what, where, and the way out. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tell } from '../../src/cli/testing.ts';
import { handClock } from '../hand-clock.ts';

const clock = handClock(Date.parse('2031-03-03T08:00:00Z'));
let root: string;
let csv: string;
let yaml: string;
let whole: Buffer;
let config: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'writgate-feed-'));
  expect(await tell(['init', '--demo', '--folder', root], { clock })).toMatchObject({ exit: 0 });
  yaml = join(root, 'writgate.yaml');
  config = await readFile(yaml, 'utf8');
  csv = join(root, /csv: (\S+)/.exec(config)?.[1] ?? '');
  whole = await readFile(csv);
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** What is said, on one line and without the sentence that the payload is not the stamped one. */
async function check(): Promise<{ readonly exit: number; readonly said: string }> {
  const { exit, out, err } = await tell(['check', '-c', yaml], { clock });
  return { exit, said: `${out} ${err}`.replaceAll(root, 'DATA').replace(/\s+/g, ' ') };
}
const header = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.indexOf('\n') + 1);

describe('an export that is', () => {
  test.each<[string, (bytes: Buffer) => Buffer, string]>([
    ['empty', () => Buffer.alloc(0), 'the file is empty, without even a header: look whether its export failed'],
    ['a header alone', header, '0 usable records, the contract wants 1; see its export'],
    ['cut off', (bytes) => bytes.subarray(0, -2), 'the file ends inside line 4, after 6 of 7 fields: it was cut off'],
    [
      'there twice',
      (bytes) => Buffer.concat([bytes, bytes.subarray(header(bytes).length)]),
      '6 records share their key with another; all of them are quarantined',
    ],
    [
      'in another encoding',
      (bytes) => Buffer.concat([bytes, Buffer.from('9,Zo\u00eb,Z,zoe,Sales,2024-03-01,\n', 'latin1')]),
      'byte 0xeb is not UTF-8; export it as UTF-8, or declare `encoding: windows-1252` if that is what it is',
    ],
    [
      'a million columns wide',
      () => Buffer.from(`${Array.from({ length: 1_000_000 }, (_, index) => `c${index}`).join(',')}\n`),
      'the header is longer than 65536 characters: this is no table',
    ],
    [
      'a program',
      () => Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0xff, 0x0a]),
      'line 1, byte 7: the file holds a NUL byte: it is not text',
    ],
  ])('%s is held, with the reason, and changes nothing', async (_what, change, reason) => {
    await writeFile(csv, change(whole));
    const { exit, said } = await check();
    await writeFile(csv, whole);
    expect(said).toContain(reason);
    expect(said).toMatch(/feed hr 0 records, as of 2031\S+ \(claimed\): held .*Nothing was changed\./);
    expect(exit).toBe(3);
  });

  test('older than its contract is stale, and says by how much', async () => {
    clock.move(30 * 3_600_000);
    const { exit, said } = await check();
    clock.move(-30 * 3_600_000);
    expect(said).toMatch(
      /feed hr 3 records, as of \S+ \(claimed\): stale as of \S+, 30 h old, limit 26 h; bring a newer export/,
    );
    expect(exit).toBe(3);
  });
});

describe('a configuration with', () => {
  test.each<[string, (text: string) => string, RegExp]>([
    [
      'an unknown key',
      (text) => text.replace(/^feeds:/m, 'feed:'),
      /\/writgate\.yaml:8:1: unknown key feed .* did you mean feeds\?/,
    ],
    ['bad CEL', (text) => text.replace('row.login.lowerAscii()', 'row.login.'), /\/writgate\.yaml:17:\d+: /],
    [
      'an unknown function',
      (text) => text.replace('lowerAscii', 'lowerAscci'),
      /\/writgate\.yaml:17:\d+: .*lowerAscci/,
    ],
  ])('%s says the line, the column and the way out', async (_what, change, place) => {
    await writeFile(yaml, change(config));
    const { exit, said } = await check();
    await writeFile(yaml, config);
    expect(said).toMatch(place);
    expect(exit).toBe(2);
  });
});
