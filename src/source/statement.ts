/**
 * The snapshot statement: the gateway's signature over what a feed was. Each grant's writ names one, so that control
 * can invent neither a person nor a fresh date.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import { canonical, type Digest, parseCanonical } from '../canonical.ts';
import { Failure } from '../errors.ts';
import type { Quarantine } from './archive.ts';
import type { AsOfKind, FindingCode, Verdict } from './contract.ts';

export interface Statement {
  readonly v: 1;
  readonly tenant: string;
  readonly feed: string;
  /** First twelve hex digits of SHA-256 over the canonical bytes of all the other members. */
  readonly id: string;
  /** Where it was fetched: a URL, or the path in the configuration. */
  readonly origin: string;
  /** SHA-256 fingerprint of the TLS peer's certificate, or null without TLS. */
  readonly tlsPeer: string | null;
  readonly rawDigest: Digest;
  /** RFC 6962 root over the lines of `records.ndjson`, in their order. */
  readonly recordsRoot: Digest;
  readonly records: number;
  readonly quarantined: Quarantine;
  /** SHA-256 of the table of the index's pages (`archive.ts`). Statements before it prove no absence. */
  readonly index?: Digest;
  /** ISO times, UTC. */
  readonly receivedAt: string;
  readonly asOf: string | null;
  readonly asOfKind: AsOfKind;
  readonly verdict: Verdict;
  readonly findings: readonly FindingCode[];
  readonly mode: 'full' | 'delta';
  /** The column whose value identifies a record. */
  readonly key: string;
  /** Digest of every setting that decides how bytes become records: other settings, other records. */
  readonly framing: Digest;
  readonly watermark: string | null;
  /** The accepted snapshot that this one was compared with, or null. */
  readonly previous: string | null;
}

export interface SignedStatement {
  /** Canonical bytes of the statement. */
  readonly body: string;
  /** Ed25519 over `writgate/snapshot/v1\0` and the body, by the gateway's key; base64. */
  readonly signature: string;
}

const signedBytes = (body: string): Buffer => Buffer.from(`writgate/snapshot/v1\0${body}`);

export function signStatement(statement: Statement, gatewayKey: KeyObject): SignedStatement {
  const body = canonical(statement);
  return { body, signature: sign(null, signedBytes(body), gatewayKey).toString('base64') };
}

export type StatementCheck =
  | { readonly ok: true; readonly statement: Statement }
  | { readonly ok: false; readonly reason: string };

/** Whether this gateway said so, about this tenant's feed. Never throws on bad input. */
export function checkStatement(
  { body, signature }: SignedStatement,
  expected: { readonly publicKey: KeyObject; readonly tenant: string; readonly feed: string },
): StatementCheck {
  const refuse = (reason: string): StatementCheck => ({ ok: false, reason });
  if (typeof body !== 'string' || typeof signature !== 'string') return refuse('it is no signed statement');
  const bytes = Buffer.from(signature, 'base64');
  // One spelling only: decoding ignores what follows the padding.
  if (bytes.toString('base64') !== signature || !verify(null, signedBytes(body), expected.publicKey, bytes)) {
    return refuse('its signature is not the gateway’s');
  }
  let statement: Statement;
  try {
    // What the gateway signed under this label has the statement's form; only its version may be another.
    statement = parseCanonical(body) as unknown as Statement;
  } catch (thrown) {
    if (thrown instanceof Failure) return refuse(thrown.message);
    throw thrown;
  }
  if (statement.v !== 1) return refuse(`it has version ${statement.v}, not 1`);
  if (statement.tenant !== expected.tenant) return refuse(`it is for tenant ${statement.tenant}`);
  if (statement.feed !== expected.feed) return refuse(`it is about the feed ${statement.feed}`);
  return { ok: true, statement };
}
