/**
 * The contract of a feed, held against one snapshot's facts. Pure.
 *
 * Three verdicts. `accepted`: may grant, and what is absent may have left. `stale`: whole, but too old or of unknown
 * age; it supports access that exists and grants nothing. `held`: not to be believed; nothing follows from it until a
 * person has looked.
 */
import type { Feed } from '../authority/authority.ts';
import type { Digest } from '../canonical.ts';
import { type Instant, isoTime, MAX_SKEW_MS } from '../clock.ts';
import type { Quarantine } from './archive.ts';
import type { ManifestReading } from './manifest.ts';
import type { Trouble } from './records.ts';
import { readInstant, readMark } from './watermark.ts';

export type Verdict = 'accepted' | 'stale' | 'held';

/** `transport`: an HTTP header said so; `field`: the newest value of a record field. */
export type AsOfKind = 'signed' | 'claimed' | 'transport' | 'field' | 'none';

/** More records set aside than this share, in basis points, and more than one: not a bad record but a bad snapshot. */
export const MAX_QUARANTINED = 500;

/** Each finding, and the best verdict that it leaves. */
const FINDINGS = {
  empty: 'held',
  binary: 'held',
  encoding: 'held',
  truncated: 'held',
  header: 'held',
  columns: 'held',
  'column-missing': 'held',
  quoting: 'held',
  'record-size': 'held',
  records: 'held',
  page: 'held',
  'manifest-broken': 'held',
  'manifest-file': 'held',
  'manifest-digest': 'held',
  'manifest-rows': 'held',
  'manifest-claimed': 'accepted',
  'as-of-none': 'stale',
  'as-of-old': 'stale',
  'as-of-future': 'held',
  'as-of-backwards': 'held',
  'count-floor': 'held',
  'count-drop': 'held',
  'count-stated': 'held',
  'quarantine-share': 'held',
  'quarantine-unkeyed': 'accepted',
  duplicates: 'accepted',
  'watermark-missing': 'held',
  'watermark-future': 'held',
  'watermark-backwards': 'held',
  unchanged: 'accepted',
} as const satisfies Record<Trouble['code'] | string, Verdict>;

export type FindingCode = keyof typeof FINDINGS;

/** `message`: one sentence with the numbers and, where the snapshot suffers, the way out. */
export interface Finding {
  readonly code: FindingCode;
  readonly message: string;
}

/** What is known of a snapshot before it is judged. */
export interface Facts {
  readonly receivedAt: Instant;
  /** Base name of the payload, as its origin has it. */
  readonly file: string;
  readonly rawDigest: Digest;
  readonly trouble: Trouble | null;
  /** Usable records. */
  readonly records: number;
  readonly quarantined: Quarantine;
  /** How many records the source itself says it has, or null. */
  readonly stated: number | null;
  readonly watermark: string | null;
  /** Newest value of the as-of field, or null. */
  readonly fieldAsOf: Instant | null;
  /** Value of the response header that the feed names, or null. */
  readonly header: string | null;
  readonly manifest: ManifestReading;
  /** The payload's bytes are those of the last accepted snapshot, so its rows were not framed again. */
  readonly unchanged: boolean;
}

/** The last snapshot that was accepted. */
export interface LastAccepted {
  readonly records: number;
  readonly asOf: string | null;
  readonly watermark: string | null;
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  readonly asOf: Instant | null;
  readonly asOfKind: AsOfKind;
  /** Milliseconds from as-of to receipt; 0 within the clocks' skew; null where the age is unknown. */
  readonly ageMs: number | null;
}

export function checkContract(feed: Feed, facts: Facts, last: LastAccepted | null): Judgement {
  const { asOf, kind } = resolveAsOf(feed, facts);
  const findings = [
    ...(facts.trouble ? [facts.trouble] : []),
    ...manifestFindings(facts),
    ...ageFindings(feed, facts, asOf, last),
    // Numbers of a payload that could not be framed mean nothing.
    ...(facts.trouble ? [] : [...countFindings(feed, facts, last), ...watermarkFindings(feed, facts, last)]),
    ...(facts.unchanged
      ? [{ code: 'unchanged', message: 'the same bytes as the last accepted snapshot' } as const]
      : []),
  ];
  const worst = (verdict: Verdict) => findings.some(({ code }) => FINDINGS[code] === verdict);
  return {
    verdict: worst('held') ? 'held' : worst('stale') ? 'stale' : 'accepted',
    findings,
    asOf,
    asOfKind: kind,
    ageMs: asOf === null ? null : Math.max(0, facts.receivedAt - asOf),
  };
}

/** Whether what was so at `asOf` may be acted on now. What lies in the future is of no known age: some clock is wrong. */
export const isFresh = (asOf: Instant | null, maxAgeMs: number, now: Instant): boolean =>
  asOf !== null && now - asOf <= maxAgeMs && asOf - now <= MAX_SKEW_MS;

/** The strongest evidence that the feed declares and the payload brought. */
function resolveAsOf({ asOf }: Feed, facts: Facts): { asOf: Instant | null; kind: AsOfKind } {
  const { manifest } = facts;
  if (asOf.manifest !== undefined && (manifest.kind === 'signed' || manifest.kind === 'claimed')) {
    return { asOf: manifest.asOf, kind: manifest.kind };
  }
  // `Date` says when the answer was sent (RFC 9110 section 6.6.1), which is our fetch time by another name.
  if (asOf.header !== undefined && asOf.header.toLowerCase() !== 'date' && facts.header !== null) {
    const at = readInstant(facts.header, 'refused') ?? httpDate(facts.header);
    if (at !== null) return { asOf: at, kind: 'transport' };
  }
  if (asOf.field !== undefined && facts.fieldAsOf !== null) return { asOf: facts.fieldAsOf, kind: 'field' };
  return { asOf: null, kind: 'none' };
}

/** IMF-fixdate, the only date form that HTTP lets anybody write (RFC 9110 section 5.6.7). */
function httpDate(text: string): Instant | null {
  const at = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : at;
}

function manifestFindings({ manifest, file, rawDigest, trouble, records, quarantined }: Facts): Finding[] {
  if (manifest.kind === 'none') return [];
  if (manifest.kind === 'broken') {
    return [{ code: 'manifest-broken', message: `the manifest cannot be believed: ${manifest.reason}; export again` }];
  }
  const found: Finding[] = [];
  const { manifest: says, remark } = manifest;
  const total = records + quarantined.count;
  if (says.file !== file) {
    found.push({ code: 'manifest-file', message: `the manifest is for ${says.file}, and this payload is ${file}` });
  }
  if (says.sha256 !== rawDigest) {
    const digests = `says ${says.sha256.slice(0, 12)}…, the payload has ${rawDigest.slice(0, 12)}…`;
    found.push({ code: 'manifest-digest', message: `the manifest ${digests}; export and stamp together, then fetch` });
  }
  if (!trouble && says.rows !== total) {
    found.push({ code: 'manifest-rows', message: `the manifest says ${says.rows} rows, the payload has ${total}` });
  }
  if (remark) found.push({ code: 'manifest-claimed', message: `the age is only claimed by the manifest: ${remark}` });
  return found;
}

function ageFindings(feed: Feed, facts: Facts, asOf: Instant | null, last: LastAccepted | null): Finding[] {
  const { maxAge } = feed.contract;
  if (asOf === null) {
    const way = 'stamp it with `writgate feed stamp FILE`, or declare `asOf`';
    return [{ code: 'as-of-none', message: `nothing tells how old the payload is, so it counts as old; ${way}` }];
  }
  const found: Finding[] = [];
  const age = facts.receivedAt - asOf;
  if (age < -MAX_SKEW_MS) {
    const ahead = `as of ${isoTime(asOf)}, ${span(-age)} in the future (tolerated: ${span(MAX_SKEW_MS)})`;
    found.push({ code: 'as-of-future', message: `${ahead}; set the exporter’s clock` });
  }
  if (age > maxAge) {
    const message = `as of ${isoTime(asOf)}, ${span(age)} old, limit ${span(maxAge)}; bring a newer export`;
    found.push({ code: 'as-of-old', message });
  }
  const before = last?.asOf == null ? null : readInstant(last.asOf, 'refused');
  if (before !== null && asOf < before) {
    const message = `as of ${isoTime(asOf)}, ${span(before - asOf)} before the last accepted snapshot; fetch the newest`;
    found.push({ code: 'as-of-backwards', message });
  }
  return found;
}

function countFindings({ contract }: Feed, facts: Facts, last: LastAccepted | null): Finding[] {
  const found: Finding[] = [];
  const { records, quarantined, stated } = facts;
  const total = records + quarantined.count;
  const { min, maxDrop } = contract.count;
  // A delta is as long as what has changed; only a full snapshot can be short.
  if (contract.mode === 'full') {
    if (records < min) {
      found.push({
        code: 'count-floor',
        message: `${records} usable records, the contract wants ${min}; see its export`,
      });
    }
    const drop = last === null ? 0 : last.records - records;
    if (last !== null && drop * 10_000 > maxDrop * last.records) {
      const numbers = `${records} usable records, ${percent(drop, last.records)} fewer than the ${last.records} accepted last`;
      const way = 'where people really left, raise `count.maxDrop` and have that approved';
      found.push({ code: 'count-drop', message: `${numbers}, limit ${percent(maxDrop, 10_000)}; ${way}` });
    }
  }
  if (stated !== null && stated !== total) {
    found.push({
      code: 'count-stated',
      message: `the source says it has ${stated} records and sent ${total}; fetch again`,
    });
  }
  if (quarantined.count > 1 && quarantined.count * 10_000 > MAX_QUARANTINED * total) {
    const numbers = `${quarantined.count} of ${total} records (${percent(quarantined.count, total)}) are quarantined`;
    found.push({
      code: 'quarantine-share',
      message: `${numbers}, limit ${percent(MAX_QUARANTINED, 10_000)}; mend the export`,
    });
  }
  if (quarantined.duplicates > 0) {
    const message = `${quarantined.duplicates} records share their key with another; all of them are quarantined`;
    found.push({ code: 'duplicates', message });
  }
  if (quarantined.unkeyed > 0) {
    const message = `${quarantined.unkeyed} quarantined records have no key that can be told, so nobody counts as absent`;
    found.push({ code: 'quarantine-unkeyed', message });
  }
  return found;
}

function watermarkFindings({ contract }: Feed, facts: Facts, last: LastAccepted | null): Finding[] {
  if (contract.watermark === undefined) return [];
  const now = facts.watermark === null ? null : readMark(facts.watermark);
  const before = last?.watermark == null ? null : readMark(last.watermark);
  if (now === null) {
    // A delta in which nothing has changed says nothing, and moves nothing.
    if (facts.records === 0 && contract.mode === 'delta') return [];
    return [
      { code: 'watermark-missing', message: `no record has a value in \`${contract.watermark}\`; see the export` },
    ];
  }
  if (now.kind === 'time' && now.value > BigInt(facts.receivedAt + MAX_SKEW_MS)) {
    // Accepted once, it would make every later snapshot go backwards.
    return [{ code: 'watermark-future', message: `the watermark ${now.text} lies in the future; mend that record` }];
  }
  if (before !== null && (before.kind !== now.kind || now.value < before.value)) {
    const message = `the watermark went back from ${before.text} to ${now.text}; the source sent an older state`;
    return [{ code: 'watermark-backwards', message }];
  }
  return [];
}

const percent = (part: number, whole: number): string => `${Math.round((part * 1000) / whole) / 10} %`;

const span = (ms: number): string =>
  ms < 2 * 3_600_000
    ? `${Math.round(ms / 60_000)} min`
    : ms < 72 * 3_600_000
      ? `${Math.round(ms / 3_600_000)} h`
      : `${Math.round(ms / 86_400_000)} d`;
