/**
 * Whether a request is approved. The gateway, the auditor and the command line run this same function; what the
 * platform's database says counts for nothing in it.
 */
import type { Digest } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import { type Eligibility, eligibilityBasis } from './eligibility.ts';
import { APPROVAL_NAMESPACE, type ApprovalRequest, challenge, parseRequest, type Verdict } from './request.ts';
import { type Roster, reasonOf } from './roster.ts';
import { checkSshSignature } from './sshsig.ts';

export interface SignedVerdict {
  readonly verdict: Verdict;
  /** Who the submitter says it is from. A claim: it must match the key, and never replaces it. */
  readonly person?: string;
  readonly armored: string;
}

/** What the caller knows by itself about what it is going to do, from its own catalogue and the signed authority. */
export interface Expected {
  readonly tenant: string;
  readonly logOrigin: string;
  readonly planDigest: Digest;
  readonly authorityDigest: Digest;
  readonly role: string;
  /** At least this many. */
  readonly people: number;
}

/** A genuine signature that counts for nothing. */
export interface SetAside {
  readonly person: string;
  readonly why: string;
}

export type Approvals =
  | {
      readonly verdict: 'approved';
      readonly request: ApprovalRequest;
      readonly people: readonly string[];
      readonly setAside: readonly SetAside[];
    }
  | { readonly verdict: 'refused'; readonly request: ApprovalRequest; readonly by: readonly string[] }
  | {
      readonly verdict: 'waiting';
      readonly request: ApprovalRequest;
      readonly have: readonly string[];
      readonly need: number;
      /** Who could still sign. */
      readonly candidates: readonly string[];
      readonly setAside: readonly SetAside[];
    }
  | { readonly verdict: 'invalid'; readonly reason: string };

/**
 * Counts distinct persons who approved exactly these bytes.
 *
 * One refusal by an eligible person refuses the whole. A genuine signature of somebody who may not approve is set
 * aside and named; a signature that does not verify, is of an unknown key, or comes under another person's name makes
 * the whole invalid, because somebody put it there. Check each with `checkVerdict` before storing it.
 *
 * @param roster the newest that the caller trusts (`checkRosterChain`).
 * @param now for an auditor, the logged time at which the gateway opened.
 */
export function checkApprovals(input: {
  request: string;
  signatures: readonly SignedVerdict[];
  roster: Roster;
  eligibility: Eligibility;
  expected: Expected;
  now: Instant;
}): Approvals {
  const { signatures, roster, eligibility, expected, now } = input;
  const invalid = (reason: string): Approvals => ({ verdict: 'invalid', reason });
  let request: ApprovalRequest;
  try {
    request = parseRequest(input.request);
  } catch (thrown) {
    return invalid(reasonOf(thrown));
  }
  const fault = misplaced(request, expected, roster, now);
  if (fault !== null) return invalid(fault);
  if (!eligibility.ok) return invalid(eligibility.reason);
  if (eligibility.basis !== eligibilityBasis(request, roster))
    return invalid('eligibility was worked out for another request');

  const { candidates } = eligibility;
  const need = request.people;
  if (!(need >= 1) || candidates.length < need) {
    return invalid(`it needs ${need} of ${request.role}, and ${candidates.length} may approve it`);
  }

  const approved = new Set<string>();
  const refused = new Set<string>();
  const setAside: SetAside[] = [];
  for (const signature of signatures) {
    const check = checkVerdict(input.request, signature, roster);
    if (!check.ok) return invalid(check.reason);
    const { person } = check;
    if (!candidates.includes(person)) setAside.push({ person, why: whyNot(person, eligibility, request) });
    else if (signature.verdict === 'refuse') refused.add(person);
    else approved.add(person);
  }
  if (refused.size > 0) return { verdict: 'refused', request, by: [...refused] };
  if (approved.size >= need) return { verdict: 'approved', request, people: [...approved], setAside };
  const left = candidates.filter((person) => !approved.has(person));
  return { verdict: 'waiting', request, have: [...approved], need, candidates: left, setAside };
}

export type VerdictCheck =
  | { readonly ok: true; readonly person: string }
  | { readonly ok: false; readonly reason: string };

/** Whether one signature is a roster member's over this request and verdict; not whether it counts. */
export function checkVerdict(request: string, signature: SignedVerdict, roster: Roster): VerdictCheck {
  const { verdict, armored, person: claimed } = signature;
  const from = claimed === undefined ? verdict : `${verdict} of ${claimed}`;
  const refuse = (reason: string): VerdictCheck => ({ ok: false, reason: `signature (${from}): ${reason}` });
  const check = checkSshSignature({ armored, namespace: APPROVAL_NAMESPACE, message: challenge(verdict, request) });
  if (!check.ok) return refuse(check.reason);
  const holder = roster.holders.get(check.publicKey.text);
  if (holder === undefined) return refuse(`its key is nobody's in roster version ${roster.version}`);
  if (claimed !== undefined && claimed !== holder.person) return refuse(`its key is that of ${holder.person}`);
  return { ok: true, person: holder.person };
}

/** Why this request cannot be approved here and now, whatever the signatures; null when it can. */
function misplaced(request: ApprovalRequest, expected: Expected, roster: Roster, now: Instant): string | null {
  for (const name of ['tenant', 'logOrigin', 'planDigest', 'authorityDigest', 'role'] as const) {
    if (request[name] !== expected[name]) return `the request is for ${name} ${request[name]}, not ${expected[name]}`;
  }
  if (!(expected.people >= 1 && request.people >= expected.people)) {
    return `the request asks for ${request.people} persons, and policy for ${expected.people}`;
  }
  if (request.tenant !== roster.tenant) return `the roster is of tenant ${roster.tenant}, not ${request.tenant}`;
  if (request.rosterVersion !== roster.version || request.rosterDigest !== roster.digest) {
    return `the request was made under roster version ${request.rosterVersion}, and version ${roster.version} is in force`;
  }
  if (roster.expiresAt <= now) return `roster version ${roster.version} has expired`;
  if (request.expiresAt <= now) return 'the request has expired; plan again';
  return null;
}

function whyNot(person: string, eligibility: Extract<Eligibility, { ok: true }>, request: ApprovalRequest): string {
  const exclusion = eligibility.excluded.find((item) => item.person === person);
  return exclusion?.why ?? `is not of role ${request.role}`;
}
