import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateSshKey, parsePrivateKey } from '../approval/private.ts';
import { checkSshSignature, signSsh } from '../approval/sshsig.ts';
import { Feed } from '../authority/authority.ts';
import { sha256 } from '../canonical.ts';
import { systemRandom } from '../clock.ts';
import { type ManifestReading, NAMESPACE, readManifest, stamp } from './manifest.ts';

const SAMPLE = { v: 1, file: 'hr.csv', asOf: '2026-11-23T06:00:00Z', rows: 3, sha256: 'a'.repeat(64) };

function exporter() {
  const files = generateSshKey({ random: systemRandom, comment: 'payroll@example' });
  const signer = parsePrivateKey(files.privateText);
  return {
    publicKey: files.publicText,
    sign: (message: string, namespace = NAMESPACE) => signSsh({ signer, namespace, message }),
  };
}

const payroll = exporter();
const mallory = exporter();
const read = (text: string | null, signature: string | null, named: typeof payroll | null = payroll): ManifestReading =>
  readManifest({
    bytes: text === null ? null : Buffer.from(text),
    signature,
    exporter: named?.publicKey,
    check: checkSshSignature,
  });

describe('a manifest is broken', () => {
  it.each<[string, string]>([
    ['when it is not JSON', 'asOf: now'],
    ['when it names its as-of twice', `{"asOf":"2020-01-01",${JSON.stringify(SAMPLE).slice(1)}`],
    ['when it has a member that nobody knows', JSON.stringify({ ...SAMPLE, fresh: true })],
    ['when its as-of has no zone', JSON.stringify({ ...SAMPLE, asOf: '2026-11-23T06:00:00' })],
    ['when its rows are text', JSON.stringify({ ...SAMPLE, rows: '3' })],
    ['when its rows are negative', JSON.stringify({ ...SAMPLE, rows: -1 })],
    ['when its digest is short', JSON.stringify({ ...SAMPLE, sha256: 'abc' })],
    ['when its version is another', JSON.stringify({ ...SAMPLE, v: 2 })],
    ['when it is a list', '[]'],
    ['when it is empty', ''],
    ['when it is huge', JSON.stringify({ ...SAMPLE, exportedBy: 'x'.repeat(70_000) })],
  ])('%s', (_, text) => {
    expect(read(text, null)).toMatchObject({ kind: 'broken' });
  });

  it('when it was changed after it was signed', async () => {
    const signature = await payroll.sign(JSON.stringify(SAMPLE));
    const younger = JSON.stringify({ ...SAMPLE, asOf: '2026-11-24T06:00:00Z' });
    expect(read(younger, signature)).toMatchObject({
      kind: 'broken',
      reason: expect.stringContaining('does not verify'),
    });
  });

  it('when the signature was made for another purpose', async () => {
    const text = JSON.stringify(SAMPLE);
    const signature = await payroll.sign(text, 'approval@writgate');
    expect(read(text, signature)).toMatchObject({
      kind: 'broken',
      reason: expect.stringContaining('approval@writgate'),
    });
  });

  it('when its signature file is garbage', () => {
    expect(read(JSON.stringify(SAMPLE), 'garbage')).toMatchObject({ kind: 'broken' });
  });
});

describe('a manifest only claims', () => {
  const text = JSON.stringify(SAMPLE, null, 2);
  it('when nobody signed it', () => {
    expect(read(text, null)).toMatchObject({ kind: 'claimed', remark: 'nobody signed it' });
    expect(read(text, null, null)).toMatchObject({ kind: 'claimed', remark: null });
  });
  it('when another key than the exporter’s signed it', async () => {
    expect(read(text, await mallory.sign(text))).toMatchObject({
      kind: 'claimed',
      remark: expect.stringContaining('another key'),
    });
  });
  it('when the feed names no exporter', async () => {
    expect(read(text, await payroll.sign(text), null)).toMatchObject({ kind: 'claimed' });
  });
});

describe('a manifest is evidence', () => {
  it('when the exporter signed exactly these bytes', async () => {
    const text = JSON.stringify(SAMPLE);
    expect(read(text, await payroll.sign(text))).toEqual({
      kind: 'signed',
      manifest: SAMPLE,
      asOf: Date.UTC(2026, 10, 23, 6),
      remark: null,
    });
  });

  it('is none where there is none', () => {
    expect(read(null, null)).toEqual({ kind: 'none' });
  });
});

describe('stamping', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'writgate-manifest-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const feed = Feed.parse({ csv: 'hr.csv', contract: { key: 'id', maxAge: '1d', count: {} }, map: {} });
  const write = async (text: string) => {
    const path = join(folder, 'hr.csv');
    await writeFile(path, text);
    return path;
  };

  it.each([
    ['is empty', ''],
    ['was cut off', 'id,name\n1,"Ki'],
    ['has another header', 'ID\n1\n'],
  ])('refuses a file that %s', async (_, text) => {
    const stamping = stamp({ path: await write(text), feed, asOf: 0 });
    await expect(stamping).rejects.toMatchObject({
      code: 'feed-malformed',
      message: expect.stringContaining('hr.csv'),
    });
  });

  it('counts records, not lines, and makes what readManifest reads', async () => {
    const text = 'id,name\r\n1,"two\r\nlines"\r\n2,b\r\n,keyless\r\n';
    const manifest = await stamp({
      path: await write(text),
      feed,
      asOf: Date.UTC(2026, 10, 23),
      exportedBy: 'payroll',
    });
    expect(manifest).toEqual({
      v: 1,
      file: 'hr.csv',
      asOf: '2026-11-23T00:00:00.000Z',
      rows: 3,
      sha256: sha256(text),
      exportedBy: 'payroll',
    });
    expect(read(JSON.stringify(manifest), null)).toMatchObject({ kind: 'claimed', manifest });
  });

  it('fits a stock ssh-keygen', async (context) => {
    const key = join(folder, 'exporter');
    try {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key], { stdio: 'pipe' });
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
      if (process.env['REQUIRE_COUNTERPARTS'] === '1') throw new Error('counterpart missing: ssh-keygen');
      console.warn('counterpart missing: ssh-keygen (Debian package openssh-client)');
      return context.skip();
    }
    const path = join(folder, 'manifest.json');
    await writeFile(path, JSON.stringify(SAMPLE));
    execFileSync('ssh-keygen', ['-Y', 'sign', '-n', NAMESPACE, '-f', key, path], { stdio: 'pipe' });
    const reading = readManifest({
      bytes: await readFile(path),
      signature: await readFile(`${path}.sig`, 'utf8'),
      exporter: await readFile(`${key}.pub`, 'utf8'),
      check: checkSshSignature,
    });
    expect(reading).toMatchObject({ kind: 'signed' });
  });
});
