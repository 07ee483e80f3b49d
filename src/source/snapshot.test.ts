import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Feed } from '../authority/authority.ts';
import { canonical, sha256 } from '../canonical.ts';
import type { Clock, Instant } from '../clock.ts';
import { buildTree, checkInclusion, EMPTY_ROOT, leafHash } from '../ledger/tree.ts';
import type { ManifestReading } from './manifest.ts';
import { openSnapshot } from './open.ts';
import { type Snapshot, sweep, type Taking, takeSnapshot } from './snapshot.ts';
import { checkStatement, signStatement } from './statement.ts';

const NOW = Date.UTC(2026, 10, 23, 9);
const HOUR = 3_600_000;
const gateway = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');

/** Stands still until it is set. */
class SetClock implements Clock {
  at: Instant = NOW;
  now = () => this.at;
  sleep = () => Promise.reject(new Error('no sleeping in tests'));
}

let folder: string;
let clock: SetClock;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writgate-snapshot-'));
  clock = new SetClock();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const feedOf = (change: object = {}, contract: object = {}) =>
  Feed.parse({
    csv: 'hr/employees.csv',
    asOf: { manifest: 'm.json' },
    contract: { key: 'id', maxAge: '26h', count: { min: 1, maxDrop: '50%' }, ...contract },
    map: {},
    ...change,
  });

async function* chunksOf(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A signed manifest that fits the payload, unless the test says otherwise. */
const stamped = (bytes: Buffer, rows: number, asOf = clock.at - HOUR): ManifestReading => ({
  kind: 'signed',
  asOf,
  remark: null,
  manifest: { v: 1, file: 'employees.csv', asOf: new Date(asOf).toISOString(), rows, sha256: sha256(bytes) },
});

function take(
  payload: string | Buffer,
  change: Partial<Taking> & { rows?: number; size?: number } = {},
): Promise<Snapshot> {
  const bytes = Buffer.from(payload as string);
  const { rows = bytes.toString('utf8').trimEnd().split('\n').length - 1, size = 1000, ...rest } = change;
  return takeSnapshot({
    tenant: 'acme',
    name: 'hr',
    feed: feedOf(),
    payload: chunksOf(bytes, size),
    origin: 'hr/employees.csv',
    tlsPeer: null,
    manifest: stamped(bytes, rows),
    header: null,
    folder,
    previous: null,
    clock,
    key: gateway.privateKey,
    ...rest,
  });
}

const opened = <T>(snapshot: Snapshot, look: (open: ReturnType<typeof openSnapshot>) => T): T => {
  const open = openSnapshot(folder, snapshot.statement.id);
  try {
    return look(open);
  } finally {
    open.close();
  }
};

describe('a bad payload is kept and held, and no record of it counts', () => {
  const million = `id${',column'.repeat(1_000_000)}\n1\n`;
  const bad: [string, Buffer, string][] = [
    ['empty', Buffer.alloc(0), 'empty'],
    ['truncated inside a quote', Buffer.from('id,name\n1,King\n2,"Ya'), 'truncated'],
    ['truncated inside a record', Buffer.from('id,name,mail\n1,King,k\n2,Ya'), 'truncated'],
    ['wrongly encoded', Buffer.from('id,name\n1,Müller\n', 'latin1'), 'encoding'],
    ['a million columns wide', Buffer.from(million), 'header'],
    ['a spreadsheet', Buffer.concat([Buffer.from('PK\x03\x04\x14'), Buffer.alloc(400)]), 'binary'],
    ['a program', Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01'), Buffer.alloc(64)]), 'binary'],
    ['an HTML page', Buffer.from('<html><body>Please log in</body></html>'), 'column-missing'],
    [
      'wrongly encoded after a hundred good records',
      Buffer.concat([Buffer.from(`id,name\n${'1,a\n'.repeat(100)}`), Buffer.from([0x39, 0xff])]),
      'encoding',
    ],
  ];
  it.each(bad)('%s', async (_, bytes, code) => {
    const snapshot = await take(bytes);
    expect(snapshot.statement).toMatchObject({
      verdict: 'held',
      records: 0,
      recordsRoot: EMPTY_ROOT,
      rawDigest: sha256(bytes),
    });
    expect(snapshot.statement.findings).toContain(code);
    expect((await readFile(join(folder, snapshot.statement.id, 'raw'))).equals(bytes)).toBe(true);
    expect(await readFile(join(folder, snapshot.statement.id, 'records.ndjson'), 'utf8')).toBe('');
    expect(opened(snapshot, (open) => open.has('1'))).toBe(false);
    expect(opened(snapshot, (open) => open.find('1'))).toBe('quarantined');
  });

  it('names the line and the byte', async () => {
    const { judgement } = await take(Buffer.from('id,name\n1,King\n2,M\xfcller\n', 'latin1'));
    expect(judgement.findings[0]?.message).toMatch(/^line 3, byte 18: byte 0xfc is not UTF-8/);
  });

  it('a header and nothing else, by the contract’s floor', async () => {
    expect((await take('id,name\n')).statement.findings).toEqual(['count-floor']);
  });

  it('bytes that are not those of the manifest', async () => {
    const snapshot = await take('id\n1\n2\n', { manifest: stamped(Buffer.from('id\n1\n'), 1) });
    expect(snapshot.statement).toMatchObject({ verdict: 'held', findings: ['manifest-digest', 'manifest-rows'] });
  });

  it('another feed’s signed file', async () => {
    const snapshot = await take('id\n1\n', { origin: 'https://hr.example/x/contractors.csv?token=1' });
    expect(snapshot.statement).toMatchObject({ verdict: 'held', findings: ['manifest-file'] });
  });
});

describe('nothing at all is kept', () => {
  it('of a payload that breaks off', async () => {
    async function* broken() {
      yield Buffer.from('id,name\n1,King\n');
      throw new Error('socket hang up');
    }
    const taking = take('', { payload: broken() });
    await expect(taking).rejects.toMatchObject({
      code: 'feed-unreadable',
      message: expect.stringContaining('after 15 bytes'),
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it('where the disk refuses', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(take('id\n1\n', { folder: join(file, 'hr') })).rejects.toMatchObject({ code: 'feed-store' });
  });

  it('of a snapshot that a crash interrupted', async () => {
    const kept = await take('id\n1\n');
    await mkdir(join(folder, 'incoming-abc'));
    await writeFile(join(folder, 'incoming-abc', 'statement.json'), '{}');
    await sweep(folder);
    expect(await readdir(folder)).toEqual([kept.statement.id]);
    await sweep(join(folder, 'none'));
  });
});

describe('records whose key is there twice', () => {
  const text = 'id,name\n1,a\n2,b\n3,c\n2,other\n4,d\n5,e\n6,f\n7,g\n';
  const feed = feedOf({}, { count: { min: 1 } });

  it('are all set aside, and the rest stands under a root without them', async () => {
    const rest = Array.from({ length: 40 }, (_, index) => `${index + 8},z\n`).join('');
    const snapshot = await take(text + rest, { feed });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted', records: 46, findings: ['duplicates'] });
    expect(snapshot.statement.quarantined).toMatchObject({ count: 2, duplicates: 2, unkeyed: 0 });
    opened(snapshot, (open) => {
      expect(open.find('2')).toBe('quarantined');
      expect(open.has('2')).toBe(false);
      expect(open.prove('2')).toBeNull();
      expect(open.find('3')).toMatchObject({ line: 4, index: 1 });
      expect(open.find('none')).toBeNull();
      expect(open.prove('4')?.proof.length).toBeGreaterThan(0);
      expect(open.quarantined()).toEqual([
        { key: '2', line: 3, reason: 'its key is also on line 5' },
        { key: '2', line: 5, reason: 'its key is also on line 3' },
      ]);
    });
    const lines = (await readFile(join(folder, snapshot.statement.id, 'records.ndjson'), 'utf8')).trimEnd().split('\n');
    expect(buildTree(lines.map((line) => leafHash(line))).root).toBe(snapshot.statement.recordsRoot);
    const aside = await readFile(join(folder, snapshot.statement.id, 'quarantine.ndjson'));
    expect(sha256(aside)).toBe(snapshot.statement.quarantined.digest);
  });

  it('hold the snapshot when they are many', async () => {
    expect((await take(text, { feed })).statement).toMatchObject({
      verdict: 'held',
      findings: ['quarantine-share', 'duplicates'],
    });
  });

  it('are set aside too when the other one is malformed', async () => {
    const rest = Array.from({ length: 60 }, (_, index) => `${index + 8},z\n`).join('');
    const snapshot = await take(`id,name\n1,a\n2,b\n2,b,extra\n${rest}`, { feed });
    expect(snapshot.statement.quarantined).toMatchObject({ count: 2, duplicates: 1 });
    opened(snapshot, (open) => {
      expect(open.has('2')).toBe(false);
      expect(open.find('2')).toBe('quarantined');
      expect(open.has('1')).toBe(true);
    });
  });

  it('even when every record has the same one', async () => {
    const snapshot = await take(`id\n${'1\n'.repeat(5000)}`);
    expect(snapshot.statement).toMatchObject({ verdict: 'held', records: 0, recordsRoot: EMPTY_ROOT });
    expect(snapshot.statement.quarantined.duplicates).toBe(5000);
  });
});

describe('absence is not believed', () => {
  it('while a record is set aside whose key cannot be told', async () => {
    const rest = Array.from({ length: 40 }, (_, index) => `x,${index}\n`).join('');
    const snapshot = await take(`name,id\n${rest}King, Steven,100\n`, { feed: feedOf({}, {}) });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted', findings: ['quarantine-unkeyed'] });
    expect(opened(snapshot, (open) => open.find('999'))).toBe('quarantined');
    expect(opened(snapshot, (open) => open.find('7'))).toMatchObject({ row: { id: '7', name: 'x' }, line: 9 });
  });
});

describe('a snapshot over time', () => {
  const text = 'id,name\n1,a\n2,b\n3,c\n';

  it('is held when it goes backwards, and stale when nothing newer comes', async () => {
    const first = await take(text);
    const older = await take(`${text}4,d\n`, {
      previous: first.statement,
      manifest: stamped(Buffer.from(`${text}4,d\n`), 4, NOW - 2 * HOUR),
    });
    expect(older.statement).toMatchObject({
      verdict: 'held',
      findings: ['as-of-backwards'],
      previous: first.statement.id,
    });
    clock.at += 30 * HOUR;
    const stale = await take(text, { previous: first.statement, manifest: stamped(Buffer.from(text), 3, NOW - HOUR) });
    expect(stale.statement).toMatchObject({ verdict: 'stale', findings: ['as-of-old', 'unchanged'] });
    expect(stale.judgement.ageMs).toBe(31 * HOUR);
  });

  it('is not framed again when its bytes are unchanged, and has a new age', async () => {
    const first = await take(text);
    clock.at += HOUR;
    const second = await take(text, { previous: first.statement });
    expect(second.statement).toMatchObject({
      verdict: 'accepted',
      findings: ['unchanged'],
      asOf: new Date(NOW).toISOString(),
    });
    expect(second.statement.recordsRoot).toBe(first.statement.recordsRoot);
    expect(second.statement.id).not.toBe(first.statement.id);
    await rm(join(folder, first.statement.id), { recursive: true });
    expect(opened(second, (open) => open.prove('2')?.text)).toBe('{"id":"2","name":"b"}');
    const third = await take(text, { previous: first.statement });
    expect(third.statement.findings).toEqual([]);
  });

  it('is framed again when the settings that frame it changed', async () => {
    const first = await take(text);
    const second = await take(text, { previous: first.statement, feed: feedOf({}, { key: 'name' }) });
    expect(second.statement.findings).toEqual([]);
    expect(opened(second, (open) => open.has('a'))).toBe(true);
  });

  it('is held when it shrinks too much', async () => {
    const first = await take(text);
    expect((await take('id,name\n1,a\n', { previous: first.statement })).statement.findings).toEqual(['count-drop']);
  });

  it('keeps the watermark over an empty delta', async () => {
    const feed = feedOf({}, { mode: 'delta', watermark: 'seq' });
    const first = await take('id,seq\n1,10\n2,9\n', { feed });
    expect(first.statement).toMatchObject({ verdict: 'accepted', watermark: '10' });
    const none = await take('id,seq\n', { feed, previous: first.statement });
    expect(none.statement).toMatchObject({ verdict: 'accepted', watermark: '10' });
    const back = await take('id,seq\n1,9\n', { feed, previous: none.statement });
    expect(back.statement).toMatchObject({ verdict: 'held', findings: ['watermark-backwards'] });
  });

  it('is the same when the same is taken twice at one moment', async () => {
    const [one, two] = [await take(text), await take(text)];
    expect(two.signed).toEqual(one.signed);
    expect(await readdir(folder)).toEqual([one.statement.id]);
  });

  it('knows its age by a field, also when its bytes are unchanged', async () => {
    const feed = feedOf({ asOf: { field: 'at' } });
    const dated = 'id,at\n1,2026-11-22\n2,2026-11-23T08:00:00Z\n';
    const first = await take(dated, { feed, manifest: { kind: 'none' } });
    expect(first.statement).toMatchObject({ verdict: 'accepted', asOf: '2026-11-23T08:00:00.000Z', asOfKind: 'field' });
    clock.at += HOUR;
    const second = await take(dated, { feed, manifest: { kind: 'none' }, previous: first.statement });
    expect(second.statement).toMatchObject({ asOf: first.statement.asOf, asOfKind: 'field', findings: ['unchanged'] });
    expect(second.judgement.ageMs).toBe(2 * HOUR);
  });
});

describe('the statement', () => {
  const expected = { publicKey: gateway.publicKey, tenant: 'acme', feed: 'hr' };

  it('is refused under another key, tenant, feed or body', async () => {
    const { signed, statement } = await take('id\n1\n');
    expect(checkStatement(signed, expected)).toEqual({ ok: true, statement });
    const more = { ...signed, body: signed.body.replace('"records":1', '"records":2') };
    expect(more.body).not.toBe(signed.body);
    const refused = [
      checkStatement(signed, { ...expected, publicKey: stranger.publicKey }),
      checkStatement(signed, { ...expected, tenant: 'other' }),
      checkStatement(signed, { ...expected, feed: 'contractors' }),
      checkStatement(more, expected),
      checkStatement({ ...signed, signature: '' }, expected),
      checkStatement({ ...signed, signature: `${signed.signature}AAAA` }, expected),
      checkStatement(signStatement(statement, stranger.privateKey), expected),
      checkStatement({} as never, expected),
    ];
    expect(refused.map(({ ok }) => ok)).toEqual(refused.map(() => false));
  });

  it('lies beside the files, in its canonical bytes', async () => {
    const { signed, statement } = await take('id\n1\n', {
      origin: 'https://hr.example/employees.csv',
      tlsPeer: 'AB:CD',
    });
    expect(JSON.parse(await readFile(join(folder, statement.id, 'statement.json'), 'utf8'))).toEqual(signed);
    expect(signed.body).toBe(canonical(statement));
    expect(statement).toMatchObject({
      origin: 'https://hr.example/employees.csv',
      tlsPeer: 'AB:CD',
      key: 'id',
      mode: 'full',
    });
  });
});

describe('an opened snapshot', () => {
  it('refuses to prove a record that was edited on disk', async () => {
    const snapshot = await take('id,name\n1,King\n2,Yang\n');
    const path = join(folder, snapshot.statement.id, 'records.ndjson');
    await writeFile(path, (await readFile(path, 'utf8')).replace('King', 'Kong'));
    opened(snapshot, (open) => {
      expect(() => open.prove('1')).toThrow(expect.objectContaining({ code: 'snapshot-damaged' }));
    });
  });

  it('refuses files that are too short', async () => {
    const snapshot = await take('id,name\n1,King\n2,Yang\n');
    await writeFile(join(folder, snapshot.statement.id, 'tree'), '');
    opened(snapshot, (open) => {
      expect(() => open.prove('1')).toThrow(expect.objectContaining({ code: 'snapshot-damaged' }));
    });
  });

  /** 1000 people, which is eight pages of the index; odd keys are there, even ones are not. */
  const many = () => take(`id,name\n${Array.from({ length: 1000 }, (_, at) => `${2 * at + 1},a\n`).join('')}`);
  const spoil = async (snapshot: Snapshot, file: string, change: (bytes: Buffer) => Buffer) => {
    const path = join(folder, snapshot.statement.id, file);
    await writeFile(path, change(await readFile(path)));
  };
  const everybody = Array.from({ length: 2000 }, (_, at) => String(at));
  const ENTRY = 30;
  const PAGE = 128 * ENTRY;

  it('says who is there and who is not, on every page', async () => {
    const snapshot = await many();
    opened(snapshot, (open) => {
      for (const key of everybody) expect(open.has(key), key).toBe(Number(key) % 2 === 1);
      expect(open.find('2')).toBe(null);
    });
  });

  const SPOILT: [string, string, (bytes: Buffer) => Buffer][] = [
    ['an index of zeros', 'index', (bytes) => Buffer.alloc(bytes.length)],
    ['an index cut short', 'index', (bytes) => bytes.subarray(0, bytes.length - ENTRY)],
    ['an index with nothing in it', 'index', () => Buffer.alloc(0)],
    ['an index whose pages are exchanged', 'index', (b) => Buffer.concat([b.subarray(PAGE), b.subarray(0, PAGE)])],
    [
      'an index in which one is another',
      'index',
      (bytes) => Buffer.concat([bytes.subarray(0, ENTRY), bytes.subarray(0, ENTRY), bytes.subarray(2 * ENTRY)]),
    ],
    ['a table of zeros', 'pages', (bytes) => Buffer.alloc(bytes.length)],
    ['a table cut short', 'pages', (bytes) => bytes.subarray(44)],
  ];
  it.each(SPOILT)('takes nobody away by %s', async (_, file, change) => {
    const snapshot = await many();
    await spoil(snapshot, file, change);
    const damaged = expect.objectContaining({ code: 'snapshot-damaged' });
    let refused = 0;
    try {
      opened(snapshot, (open) => {
        for (const key of everybody.filter((each) => Number(each) % 2 === 1)) {
          try {
            expect(open.find(key)).toMatchObject({ row: { id: key } });
          } catch (thrown) {
            expect(thrown).toEqual(damaged);
            refused += 1;
          }
        }
      });
    } catch (thrown) {
      expect(thrown).toEqual(damaged);
      refused += 1;
    }
    expect(refused).toBeGreaterThan(0);
  });

  it('takes nobody away by an index and a table that fit each other', async () => {
    const [snapshot, other] = [await many(), await take('id,name\n1,King\n')];
    for (const file of ['index', 'pages']) {
      const bytes = await readFile(join(folder, other.statement.id, file));
      await spoil(snapshot, file, () => bytes);
    }
    expect(() => openSnapshot(folder, snapshot.statement.id)).toThrow(
      expect.objectContaining({ code: 'snapshot-damaged' }),
    );
  });

  it('takes nobody away by an index that is spoilt while it is open', async () => {
    const snapshot = await many();
    const open = openSnapshot(folder, snapshot.statement.id);
    await spoil(snapshot, 'index', (bytes) => Buffer.alloc(bytes.length));
    expect(() => open.find('1')).toThrow(expect.objectContaining({ code: 'snapshot-damaged' }));
    open.close();
  });

  it('does not forget who was set aside', async () => {
    const others = Array.from({ length: 1000 }, (_, at) => `p${at},a\n`).join('');
    const snapshot = await take(`id,name\n${others}2,Yang\n2,Yang\n`);
    expect(snapshot.statement.verdict).toBe('accepted');
    opened(snapshot, (open) => expect(open.find('2')).toBe('quarantined'));
    await spoil(snapshot, 'quarantine.ndjson', () => Buffer.alloc(0));
    opened(snapshot, (open) => {
      expect(() => open.find('2')).toThrow(expect.objectContaining({ code: 'snapshot-damaged' }));
    });
  });

  it('proves no absence under a statement that names no index, and every presence', async () => {
    const snapshot = await many();
    const { index: _, ...before } = snapshot.statement;
    const signed = signStatement(before, gateway.privateKey);
    await writeFile(join(folder, before.id, 'statement.json'), JSON.stringify(signed));
    await rm(join(folder, before.id, 'pages'));
    opened(snapshot, (open) => {
      expect(open.find('2')).toBe('quarantined');
      expect(open.prove('3')).toMatchObject({ index: 1 });
    });
    const again = await take(await readFile(join(folder, before.id, 'raw')), { previous: before });
    opened(again, (open) => expect(open.find('2')).toBe(null));
  });

  it('is not found under an id that is not there', () => {
    expect(() => openSnapshot(folder, 'abc')).toThrow(expect.objectContaining({ code: 'not-found' }));
  });

  it('finds, proves and lists every record, for any keys', async () => {
    const keys = fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 9 }), {
      minLength: 1,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(keys, fc.integer({ min: 1, max: 50 }), async (all, size) => {
        const usable = all.filter((key) => key.trim() !== '' && !key.includes('\0'));
        const text = `id,n\n${usable.map((key, index) => `"${key.replaceAll('"', '""')}",${index}\n`).join('')}`;
        const snapshot = await take(text, { rows: usable.length, size, feed: feedOf({}, { count: { min: 0 } }) });
        expect(snapshot.statement).toMatchObject({ verdict: 'accepted', records: usable.length });
        const open = openSnapshot(folder, snapshot.statement.id);
        for (const [index, key] of usable.entries()) {
          expect(open.find(key)).toMatchObject({ row: { id: key, n: String(index) }, index });
          const proof = open.prove(key)!;
          expect(
            checkInclusion({ ...proof, leafHash: leafHash(proof.text), root: snapshot.statement.recordsRoot }),
          ).toBe(true);
          expect(open.has(`${key}·`)).toBe(usable.includes(`${key}·`));
        }
        const listed = [];
        for await (const batch of open.records()) listed.push(...batch);
        expect(listed.map(({ text: line }) => JSON.parse(line).id)).toEqual(usable);
        open.close();
      }),
      { numRuns: 20 },
    );
  });

  it('is one, when several fetches come within one millisecond', async () => {
    const taken = await Promise.all(Array.from({ length: 8 }, () => take('id,name\r\n1,Ada\r\n2,Ben\r\n')));
    expect(new Set(taken.map(({ statement }) => statement.id)).size).toBe(1);
    expect((await readdir(folder)).length).toBe(1);
  });

  it('is the same however the payload was cut', async () => {
    const text = `id,näme\r\n${Array.from({ length: 300 }, (_, index) => `${index},"ü\n${index}"\r\n`).join('')}`;
    const whole = await take(text, { rows: 300, size: 1 << 20 });
    for (const size of [1, 3, 1021]) {
      expect((await take(text, { rows: 300, size })).statement).toEqual(whole.statement);
    }
  });

  it('holds more than its buffers do, in files of the expected size', async () => {
    const rows = 40_000;
    const text = `id,name\n${Array.from({ length: rows }, (_, index) => `${index},${'n'.repeat(60)}\n`).join('')}`;
    const snapshot = await take(text, { size: 1 << 16 });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted', records: rows });
    const lines = (await readFile(join(folder, snapshot.statement.id, 'records.ndjson'), 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(rows);
    const tree = buildTree(lines.map((line) => leafHash(line)));
    expect(tree.root).toBe(snapshot.statement.recordsRoot);
    expect((await readFile(join(folder, snapshot.statement.id, 'tree'))).length).toBe(32 * (2 * rows - bits(rows)));
    opened(snapshot, (open) => {
      for (const index of [0, 1, 8191, 8192, 32_767, 32_768, rows - 1]) {
        expect(open.prove(String(index))?.proof).toEqual(tree.prove(index));
        expect(open.find(String(index))).toMatchObject({ line: index + 2 });
      }
    });
  });
});

const bits = (value: number) => value.toString(2).replaceAll('0', '').length;

describe('other formats', () => {
  it('NDJSON, with bad lines set aside', async () => {
    const feed = feedOf({ csv: undefined, ndjson: 'hr/employees.csv' });
    const text = `${Array.from({ length: 40 }, (_, index) => `{"n":${index}.50,"id":${index}}\n`).join('')}broken\n`;
    const snapshot = await take(text, { feed, rows: 41 });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted', records: 40, findings: ['quarantine-unkeyed'] });
    expect(opened(snapshot, (open) => open.find('7'))).toMatchObject({ text: '{"id":"7","n":"7.50"}', line: 8 });
  });

  const json = (change: object = {}) =>
    feedOf({
      csv: undefined,
      asOf: { header: 'last-modified' },
      json: { url: 'https://hr.example/people', total: '/total', ...change },
    });
  async function* pages(...texts: string[]) {
    for (const text of texts) yield Buffer.from(text);
  }
  const transport = { manifest: { kind: 'none' }, header: 'Mon, 23 Nov 2026 08:00:00 GMT' } as const;

  it('JSON pages, kept as they came and counted against what the source says', async () => {
    const [one, two] = ['{"items":[{"id":1},{"id":2}],"total":3,\n"next":"b"}', '{"items":[{"id":3}],"total":3}'];
    const snapshot = await take('', { feed: json(), payload: pages(one, two), ...transport });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted', records: 3, asOfKind: 'transport', findings: [] });
    const raw = await readFile(join(folder, snapshot.statement.id, 'raw'), 'utf8');
    expect(raw).toBe(`${one}\n${two}\n`);
    expect(sha256(raw)).toBe(snapshot.statement.rawDigest);
    expect(opened(snapshot, (open) => open.find('3'))).toMatchObject({ line: 3 });
  });

  it('JSON pages with a page missing are held', async () => {
    const snapshot = await take('', { feed: json(), payload: pages('{"items":[{"id":1}],"total":3}'), ...transport });
    expect(snapshot.statement).toMatchObject({ verdict: 'held', findings: ['count-stated'] });
  });

  it('a page that is not JSON holds the whole', async () => {
    const snapshot = await take('', { feed: json(), payload: pages('{"items":[{"id":1}]}', '<html>'), ...transport });
    expect(snapshot.statement).toMatchObject({ verdict: 'held', records: 0, findings: ['page'] });
  });
});

describe('the example company', () => {
  const data = new URL('../../examples/company/data/', import.meta.url);
  const hr = feedOf(
    {},
    { key: 'employee_id', required: ['last_name', 'email', 'hire_date', 'job_id'], count: { min: 90, maxDrop: '5%' } },
  );

  it('has 107 employees, all of them whole', async () => {
    const bytes = await readFile(new URL('employees.csv', data));
    expect(bytes.includes('\r\n')).toBe(true);
    const snapshot = await take(bytes, { feed: hr, rows: 107 });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted', records: 107, findings: [], asOfKind: 'signed' });
    expect(opened(snapshot, (open) => open.find('100'))).toMatchObject({
      line: 2,
      row: { last_name: 'King', manager_id: null, department_id: '90' },
    });
  });

  it('one employee without a department is one quarantined record, and he does not count as gone', async () => {
    const text = (await readFile(new URL('employees.csv', data), 'utf8')).replace(/^(179,.*),80\r$/m, '$1,\r');
    const feed = feedOf({}, { key: 'employee_id', required: ['department_id'], count: { min: 90, maxDrop: '5%' } });
    const snapshot = await take(text, { feed, rows: 107 });
    expect(snapshot.statement).toMatchObject({ verdict: 'accepted' });
    expect(opened(snapshot, (open) => open.find('179'))).toBe('quarantined');
  });

  it('half an export is held', async () => {
    const lines = (await readFile(new URL('employees.csv', data), 'utf8')).split('\r\n');
    const whole = await take(lines.join('\r\n'), { feed: hr, rows: 107 });
    const half = await take(lines.slice(0, 55).join('\r\n'), { feed: hr, rows: 54, previous: whole.statement });
    expect(half.statement).toMatchObject({ verdict: 'held', findings: ['count-floor', 'count-drop'] });
  });
});
