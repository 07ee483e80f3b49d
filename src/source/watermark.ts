/** Points in time and in sequence as sources write them. What cannot be read is null, and null is never fresh. */
import type { Instant } from '../clock.ts';

const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s?(Z|[+-]\d\d:?\d\d)?)?$/;

/**
 * A date (its first moment, UTC) or a date and time (RFC 3339 section 5.6).
 * @param zoneless what a time without a zone is: `utc`, or `refused`, since an age wrong by hours is no age
 */
export function readInstant(text: string, zoneless: 'utc' | 'refused'): Instant | null {
  const match = ISO.exec(text.trim());
  if (!match) return null;
  const [, year, month, day, hour, minute = '00', second = '00', fraction = '0', zone] = match;
  if (hour !== undefined && zone === undefined && zoneless === 'refused') return null;
  const date = `${year}-${month}-${day}`;
  const midnight = Date.parse(`${date}T00:00:00Z`);
  // Date.parse takes 2026-02-30 for the second of March.
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== date) return null;
  if (Number(hour ?? 0) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  const ms = fraction.padEnd(3, '0').slice(0, 3);
  const offset = zone === undefined || zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const at = Date.parse(`${date}T${hour ?? '00'}:${minute}:${second}.${ms}${offset}`);
  return Number.isNaN(at) ? null : at;
}

/** How far a source has come: a counter, or a time. */
export type Mark = { readonly kind: 'counter' | 'time'; readonly value: bigint; readonly text: string };

/** A time without a zone counts as UTC: only the order of marks matters. */
export function readMark(text: string): Mark | null {
  if (/^\d{1,30}$/.test(text)) return { kind: 'counter', value: BigInt(text), text };
  const at = readInstant(text, 'utc');
  return at === null ? null : { kind: 'time', value: BigInt(at), text };
}
