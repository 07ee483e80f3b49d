/**
 * The approval request: exact bytes of what will be done, and the challenge that an approver's key signs over them.
 *
 * From a terminal with nothing but OpenSSH, where CHALLENGE is what `writgate plan show P` prints:
 *   printf %s CHALLENGE | ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n approval@writgate
 */
import { createHash } from 'node:crypto';
import { canonical, type Digest, digestOf, sha256 } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { RISKS, type Risk } from '../plan/change.ts';
import {
  digestText,
  distinct,
  exactly,
  flag,
  integer,
  misfit,
  name,
  oneOf,
  PERSON,
  person,
  readDocument,
  type Shape,
  text,
} from '../shape.ts';
import { type Signer, signSsh } from './sshsig.ts';

export const APPROVAL_NAMESPACE = 'approval@writgate';

export const VERDICTS = ['approve', 'refuse'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface ApprovalRequest {
  readonly v: 1;
  readonly tenant: string;
  /** Origin line of the ledger in which the request is logged first. */
  readonly logOrigin: string;
  readonly id: string;
  /** 32 hex characters, fresh for each request. */
  readonly nonce: string;
  readonly planId: string;
  readonly planDigest: Digest;
  /** Digest of the state that the plan was made on. */
  readonly planBase: Digest;
  readonly risk: Risk;
  /** Asks to go over the limits by which the plan refused itself. */
  readonly overLimit: boolean;
  /** A person's id, or `nhi:name`. */
  readonly requester: string;
  /** Names of the connectors that will carry the plan, sorted. */
  readonly executors: readonly string[];
  /** Persons whose access changes: `beneficiariesOf` makes the digest. */
  readonly beneficiaries: { readonly digest: Digest; readonly count: number };
  readonly policyDigest: Digest;
  /** What policy said. A denied plan has no request. */
  readonly decision: 'permit' | 'hold';
  readonly authorityDigest: Digest;
  readonly rosterVersion: number;
  readonly rosterDigest: Digest;
  /** How many distinct persons of which role; `owner:108` is the one person 108. */
  readonly role: string;
  readonly people: number;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
}

/** A set of persons as a request commits to it. */
export interface Beneficiaries {
  readonly digest: Digest;
  readonly count: number;
  has(person: string): boolean;
}

/** Order and repetition of `persons` do not matter. */
export function beneficiariesOf(persons: Iterable<string>): Beneficiaries {
  const set = new Set(persons);
  return { digest: digestOf([...set].sort()), count: set.size, has: (person) => set.has(person) };
}

const label = text(/^[\x21-\x7e]{1,200}$/, 'printable ASCII without blanks, at most 200');

const requester: Shape<string> = (value, place) =>
  typeof value === 'string' && value.startsWith('nhi:') ? `nhi:${name(value.slice(4), place)}` : person(value, place);

const role: Shape<string> = (value, place) =>
  typeof value === 'string' && value.startsWith('owner:')
    ? `owner:${person(value.slice(6), place)}`
    : name(value, place);

const sorted =
  <T extends string>(shape: Shape<readonly T[]>): Shape<readonly T[]> =>
  (value, place) => {
    const items = shape(value, place);
    if (items.some((item, index) => index > 0 && item < (items[index - 1] as T))) throw misfit(place, 'is not sorted');
    return items;
  };

const requestShape = exactly<ApprovalRequest>({
  v: oneOf(1),
  tenant: name,
  logOrigin: label,
  id: label,
  nonce: text(/^[0-9a-f]{32}$/, '32 hex characters'),
  planId: label,
  planDigest: digestText,
  planBase: digestText,
  risk: oneOf(...RISKS),
  overLimit: flag,
  requester,
  executors: sorted(distinct(name)),
  beneficiaries: exactly<ApprovalRequest['beneficiaries']>({ digest: digestText, count: integer(0) }),
  policyDigest: digestText,
  decision: oneOf('permit', 'hold'),
  authorityDigest: digestText,
  rosterVersion: integer(1),
  rosterDigest: digestText,
  role,
  people: integer(1, 20),
  createdAt: integer(1),
  expiresAt: integer(1),
});

/** The exact bytes of a request. @throws Failure `approval-form` when it is not one that could be read back. */
export function requestText(request: ApprovalRequest): string {
  const bytes = canonical(request);
  parseRequest(bytes);
  return bytes;
}

/** @throws Failure `approval-form`, also for zero people and for an end before the beginning. */
export function parseRequest(bytes: string): ApprovalRequest {
  const request = readDocument(bytes, requestShape, 'request');
  if (request.expiresAt <= request.createdAt) throw misfit('request', 'expires before it begins');
  return request;
}

/**
 * SHA-256("writgate/approval/v1\0" ‖ verdict ‖ SHA-256(request)), as 64 characters of lower-case hex: those characters,
 * without a newline, are the message of the SSH signature, so that it can be typed. (The inner hash is its 32 raw bytes.)
 */
export function challenge(verdict: Verdict, bytes: string): string {
  const inner = Buffer.from(sha256(bytes), 'hex');
  return createHash('sha256').update('writgate/approval/v1\0').update(verdict).update(inner).digest('hex');
}

/** An approver's signed verdict over a request. */
export const signVerdict = (signer: Signer, verdict: Verdict, bytes: string): Promise<string> =>
  signSsh({ signer, namespace: APPROVAL_NAMESPACE, message: challenge(verdict, bytes) });

/** Whether a principal is a person, and not `nhi:name` or `group:name`. */
export const isPerson = (principal: string): boolean => PERSON.test(principal);
