import { describe, expect, it } from 'vitest';
import { Feed } from '../authority/authority.ts';
import { sha256 } from '../canonical.ts';
import { MAX_SKEW_MS } from '../clock.ts';
import { checkContract, type Facts, type FindingCode, type LastAccepted } from './contract.ts';
import type { ManifestReading } from './manifest.ts';

const NOW = Date.UTC(2026, 10, 23, 9);
const HOUR = 3_600_000;
const RAW = sha256('raw');
const iso = (at: number) => new Date(at).toISOString();

const feedOf = (contract: object = {}, asOf: object = { manifest: 'm.json' }) =>
  Feed.parse({
    csv: 'hr.csv',
    asOf,
    contract: { key: 'id', maxAge: '26h', count: { min: 90, maxDrop: '5%' }, ...contract },
    map: {},
  });

const manifest = (
  change: object = {},
  kind: 'signed' | 'claimed' = 'signed',
  asOf = NOW - 3 * HOUR,
): ManifestReading => ({
  kind,
  asOf,
  remark: null,
  manifest: { v: 1, file: 'hr.csv', asOf: iso(asOf), rows: 100, sha256: RAW, ...change },
});

const facts = (change: Partial<Facts> = {}): Facts => ({
  receivedAt: NOW,
  file: 'hr.csv',
  rawDigest: RAW,
  trouble: null,
  records: 100,
  quarantined: { count: 0, unkeyed: 0, duplicates: 0, digest: sha256('') },
  stated: null,
  watermark: null,
  fieldAsOf: null,
  header: null,
  manifest: manifest(),
  unchanged: false,
  ...change,
});

const aside = (count: number, duplicates = 0, unkeyed = 0) => ({ count, duplicates, unkeyed, digest: sha256('x') });
const last = (change: Partial<LastAccepted> = {}): LastAccepted => ({
  records: 100,
  asOf: iso(NOW - 27 * HOUR),
  watermark: null,
  ...change,
});

describe('a snapshot is held', () => {
  const cases: [string, FindingCode, Feed, Partial<Facts>, LastAccepted | null][] = [
    [
      'when its payload cannot be framed',
      'truncated',
      feedOf(),
      { trouble: { code: 'truncated', message: 'cut' }, records: 0 },
      null,
    ],
    ['when its manifest is broken', 'manifest-broken', feedOf(), { manifest: { kind: 'broken', reason: 'bad' } }, null],
    [
      'when its manifest is for another file',
      'manifest-file',
      feedOf(),
      { manifest: manifest({ file: 'contractors.csv' }) },
      null,
    ],
    [
      'when its bytes are not the manifest’s',
      'manifest-digest',
      feedOf(),
      { manifest: manifest({ sha256: sha256('other') }) },
      null,
    ],
    [
      'when it has fewer rows than the manifest says',
      'manifest-rows',
      feedOf(),
      { manifest: manifest({ rows: 101 }) },
      null,
    ],
    [
      'when it has more rows than the manifest says',
      'manifest-rows',
      feedOf(),
      { manifest: manifest({ rows: 99 }) },
      null,
    ],
    [
      'when its as-of lies in the future',
      'as-of-future',
      feedOf(),
      { manifest: manifest({}, 'signed', NOW + MAX_SKEW_MS + 1) },
      null,
    ],
    [
      'when its as-of is before the last accepted one',
      'as-of-backwards',
      feedOf(),
      {},
      last({ asOf: iso(NOW - 2 * HOUR) }),
    ],
    [
      'when it has fewer records than the floor',
      'count-floor',
      feedOf(),
      { records: 89, manifest: manifest({ rows: 89 }) },
      null,
    ],
    ['when it is empty', 'count-floor', feedOf(), { records: 0, manifest: manifest({ rows: 0 }) }, null],
    [
      'when it dropped by more than the share',
      'count-drop',
      feedOf(),
      { records: 94, manifest: manifest({ rows: 94 }) },
      last(),
    ],
    [
      'when nobody is left, although no floor is set',
      'count-drop',
      feedOf({ count: { min: 0 } }),
      { records: 0, manifest: manifest({ rows: 0 }) },
      last(),
    ],
    ['when the source says that it has more', 'count-stated', feedOf(), { stated: 101 }, null],
    ['when the source says that it has fewer', 'count-stated', feedOf(), { stated: 99 }, null],
    [
      'when too many records were set aside',
      'quarantine-share',
      feedOf(),
      { records: 94, quarantined: aside(6) },
      null,
    ],
    [
      'when too many keys are there twice',
      'quarantine-share',
      feedOf(),
      { records: 94, quarantined: aside(6, 6) },
      null,
    ],
    [
      'when its counter went back',
      'watermark-backwards',
      feedOf({ watermark: 'seq' }),
      { watermark: '99' },
      last({ watermark: '100' }),
    ],
    [
      'when its time of change went back',
      'watermark-backwards',
      feedOf({ watermark: 'at' }),
      { watermark: '2026-11-22 09:00:00' },
      last({ watermark: '2026-11-22T09:00:01Z' }),
    ],
    [
      'when its watermark became another kind',
      'watermark-backwards',
      feedOf({ watermark: 'at' }),
      { watermark: '2026-11-22' },
      last({ watermark: '5' }),
    ],
    [
      'when its watermark lies in the future',
      'watermark-future',
      feedOf({ watermark: 'at' }),
      { watermark: '9999-01-01' },
      null,
    ],
    ['when no record has a watermark', 'watermark-missing', feedOf({ watermark: 'seq' }), {}, null],
    [
      'when a delta went back',
      'watermark-backwards',
      feedOf({ mode: 'delta', watermark: 'seq' }),
      { watermark: '9' },
      last({ watermark: '10' }),
    ],
  ];
  it.each(cases)('%s', (_, code, feed, change, before) => {
    const judgement = checkContract(feed, facts(change), before);
    expect(judgement.verdict).toBe('held');
    expect(judgement.findings.map((finding) => finding.code)).toContain(code);
  });

  it('also when it is stale besides', () => {
    const judgement = checkContract(
      feedOf(),
      facts({ records: 10, manifest: manifest({ rows: 10 }, 'signed', NOW - 99 * HOUR) }),
      null,
    );
    expect(judgement.verdict).toBe('held');
    expect(judgement.findings.map(({ code }) => code)).toEqual(['as-of-old', 'count-floor']);
  });

  it('with the numbers and the way out in one sentence', () => {
    const { findings } = checkContract(
      feedOf(),
      facts({ records: 94, manifest: manifest({ rows: 94 }) }),
      last({ records: 107 }),
    );
    expect(findings[0]?.message).toBe(
      '94 usable records, 12.1 % fewer than the 107 accepted last, limit 5 %; where people really left, raise `count.maxDrop` and have that approved',
    );
  });

  it('without judging numbers that mean nothing after trouble', () => {
    const trouble = { code: 'binary', message: 'NUL' } as const;
    const { findings } = checkContract(feedOf({ watermark: 'seq' }), facts({ trouble, records: 0 }), last());
    expect(findings.map(({ code }) => code)).toEqual(['binary']);
  });
});

describe('a snapshot is stale', () => {
  it.each<[string, Feed, Partial<Facts>]>([
    ['one millisecond over its age', feedOf(), { manifest: manifest({}, 'signed', NOW - 26 * HOUR - 1) }],
    ['without a manifest where one tells the age', feedOf(), { manifest: { kind: 'none' } }],
    ['when nothing is declared that tells the age, although a manifest came', feedOf({}, {}), {}],
    [
      'when the header that tells the age is missing',
      feedOf({}, { header: 'last-modified' }),
      { manifest: { kind: 'none' } },
    ],
    [
      'when the header cannot be read',
      feedOf({}, { header: 'last-modified' }),
      { manifest: { kind: 'none' }, header: 'today' },
    ],
    [
      'when the header is only our own fetch time',
      feedOf({}, { header: 'Date' }),
      { manifest: { kind: 'none' }, header: iso(NOW) },
    ],
    ['when no record has the as-of field', feedOf({}, { field: 'at' }), { manifest: { kind: 'none' } }],
  ])('%s', (_, feed, change) => {
    expect(checkContract(feed, facts(change), last()).verdict).toBe('stale');
  });
});

describe('a snapshot is accepted', () => {
  it('exactly at its limits', () => {
    const judgement = checkContract(feedOf(), facts({ manifest: manifest({}, 'signed', NOW - 26 * HOUR) }), last());
    expect(judgement).toEqual({
      verdict: 'accepted',
      findings: [],
      asOf: NOW - 26 * HOUR,
      asOfKind: 'signed',
      ageMs: 26 * HOUR,
    });
    const dropped = facts({ records: 95, manifest: manifest({ rows: 95 }) });
    expect(checkContract(feedOf(), dropped, last()).verdict).toBe('accepted');
    const ahead = facts({ manifest: manifest({}, 'signed', NOW + MAX_SKEW_MS) });
    expect(checkContract(feedOf(), ahead, last())).toMatchObject({ verdict: 'accepted', ageMs: 0 });
  });

  it('with a few records set aside, which are named', () => {
    const judgement = checkContract(feedOf(), facts({ records: 95, quarantined: aside(5, 2, 1) }), null);
    expect(judgement.verdict).toBe('accepted');
    expect(judgement.findings.map(({ code }) => code)).toEqual(['duplicates', 'quarantine-unkeyed']);
  });

  it('with one bad record, however small it is', () => {
    const feed = feedOf({ count: { min: 1 } });
    const small = { records: 2, quarantined: aside(1), manifest: manifest({ rows: 3 }) };
    expect(checkContract(feed, facts(small), null).verdict).toBe('accepted');
  });

  it.each<[string, Feed, Partial<Facts>, string, number]>([
    ['claimed', feedOf(), { manifest: manifest({}, 'claimed') }, 'claimed', NOW - 3 * HOUR],
    [
      'transport',
      feedOf({}, { header: 'Last-Modified' }),
      { manifest: { kind: 'none' }, header: 'Mon, 23 Nov 2026 06:00:00 GMT' },
      'transport',
      NOW - 3 * HOUR,
    ],
    ['field', feedOf({}, { field: 'at' }), { manifest: { kind: 'none' }, fieldAsOf: NOW - 5 }, 'field', NOW - 5],
    [
      'signed before all others',
      feedOf({}, { manifest: 'm', header: 'x', field: 'at' }),
      { header: iso(NOW), fieldAsOf: NOW },
      'signed',
      NOW - 3 * HOUR,
    ],
  ])('and tells how its age is known: %s', (_, feed, change, kind, asOf) => {
    expect(checkContract(feed, facts(change), null)).toMatchObject({ verdict: 'accepted', asOfKind: kind, asOf });
  });

  it('as a delta, however short, and empty without a watermark', () => {
    const feed = feedOf({ mode: 'delta', watermark: 'seq' });
    const one = facts({ records: 1, watermark: '101', manifest: manifest({ rows: 1 }) });
    expect(checkContract(feed, one, last({ watermark: '100' })).verdict).toBe('accepted');
    const none = facts({ records: 0, manifest: manifest({ rows: 0 }) });
    expect(checkContract(feed, none, last({ watermark: '100' })).verdict).toBe('accepted');
  });

  it('with the same watermark as before', () => {
    const before = last({ watermark: '100' });
    expect(checkContract(feedOf({ watermark: 'seq' }), facts({ watermark: '0100' }), before).verdict).toBe('accepted');
  });

  it('when its bytes are unchanged, and says so', () => {
    expect(checkContract(feedOf(), facts({ unchanged: true }), last()).findings).toEqual([
      { code: 'unchanged', message: 'the same bytes as the last accepted snapshot' },
    ]);
  });
});
