/**
 * A verification: what the verifier saw, with its own credential, from its own process, signed with its own key.
 * Only this closes a change. A receipt is the target's claim; this is whether it is so.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import { canonical, type Digest } from '../canonical.ts';
import type { Instant } from '../clock.ts';
import type { Attributes, Sighting } from '../connector/contract.ts';
import type { Tuple } from '../writ/tuple.ts';

export type Verdict = 'confirmed' | 'contradicted' | 'inconclusive';

/** What control asks the verifier to look at. It says where to look, and cannot say what to see. */
export interface LookOrder {
  readonly tenant: string;
  readonly plan: Digest;
  readonly change: string;
  readonly tuple: Tuple;
  readonly id: string | null;
  readonly attributes: Attributes | null;
}

export interface VerificationBody {
  readonly v: 1;
  readonly tenant: string;
  readonly plan: Digest;
  readonly change: string;
  readonly tuple: Tuple;
  readonly verdict: Verdict;
  /** What was looked at: the state of the account, a membership, open connections; and on which path. */
  readonly mechanism: string;
  readonly path: string;
  readonly saw: string;
  /** The old access, presented again: `refused` proves, `accepted` contradicts, null: nothing to present. */
  readonly presented: 'accepted' | 'refused' | 'unknown' | null;
  readonly at: Instant;
}

export interface Looked {
  /** Canonical bytes of the body. */
  readonly body: string;
  /** Ed25519 by the verifier's key over `writgate/verification/v1\0` and the body; base64. */
  readonly signature: string;
  /** The target's id of the account, for the next call. */
  readonly id: string | null;
  readonly attributes: Attributes | null;
  readonly account: Sighting['account'];
}

const FIRST_PAUSE_MS = 150;
const SETTLES_MS = 2_250;

/**
 * Pauses between the looks at a target that does not show yet what was written: each twice the last, together what the
 * target takes to settle. A lie cannot shorten them, only the signed authority can; and none of them makes a `confirmed`.
 */
export function pausesMs(settlesMs: number = SETTLES_MS): number[] {
  const pauses: number[] = [];
  for (let left = settlesMs, next = FIRST_PAUSE_MS; left > 0; next *= 2) {
    pauses.push(Math.min(next, left));
    left -= next;
  }
  return pauses;
}

const signed = (body: string): Buffer => Buffer.from(`writgate/verification/v1\0${body}`);

export const signVerification = (body: VerificationBody, key: KeyObject): { body: string; signature: string } => {
  const bytes = canonical(body);
  return { body: bytes, signature: sign(null, signed(bytes), key).toString('base64') };
};

/** The body when the signature is the verifier's, else null. */
export function checkVerification(
  looked: { body: string; signature: string },
  key: KeyObject,
): VerificationBody | null {
  const holds = verify(null, signed(looked.body), key, Buffer.from(looked.signature, 'base64'));
  return holds ? (JSON.parse(looked.body) as VerificationBody) : null;
}

/** What a sighting says of a change. Whatever could not be seen is inconclusive, never confirmed. */
export function judge(
  tuple: Tuple,
  expected: Attributes | null,
  sighting: Sighting,
): { readonly verdict: Verdict; readonly mechanism: string; readonly saw: string } {
  const { account, holds } = sighting;
  const say = (verdict: Verdict, mechanism: string, saw: string) => ({ verdict, mechanism, saw });
  switch (tuple.effect) {
    case 'grant':
      if (account === null || holds === null) return say('inconclusive', 'membership', sighting.message);
      return holds
        ? say('confirmed', 'membership', `holds ${tuple.entitlement}`)
        : say('contradicted', 'membership', `does not hold ${tuple.entitlement}`);
    case 'revoke': {
      const mechanism = tuple.entitlement?.startsWith('@') ? tuple.entitlement.slice(1) : 'membership';
      const what = mechanism === 'membership' ? tuple.entitlement : `open ${mechanism}`;
      if (account === 'absent') return say('confirmed', mechanism, 'the account is gone');
      if (holds === null) return say('inconclusive', mechanism, sighting.message);
      return holds ? say('contradicted', mechanism, `still has ${what}`) : say('confirmed', mechanism, `no ${what}`);
    }
    case 'create':
    case 'update':
    case 'enable':
    case 'adopt': {
      if (account === null) return say('inconclusive', 'account', sighting.message);
      if (account !== 'active' && tuple.effect !== 'update' && tuple.effect !== 'adopt')
        return say('contradicted', 'account', `the account is ${account}`);
      if (account === 'absent') return say('contradicted', 'account', 'the account is absent');
      const wrong = differing(expected, sighting.attributes);
      if (wrong === null) return say('inconclusive', 'account', 'its attributes could not be seen');
      return wrong.length === 0
        ? say('confirmed', 'account', `the account is ${account}`)
        : say('contradicted', 'account', `differs in ${wrong.join(', ')}`);
    }
    case 'disable':
      if (account === null) return say('inconclusive', 'account', sighting.message);
      return account === 'active'
        ? say('contradicted', 'account', 'the account is active')
        : say('confirmed', 'account', `the account is ${account}`);
    case 'delete':
      if (account === null) return say('inconclusive', 'account', sighting.message);
      return account === 'absent'
        ? say('confirmed', 'account', 'the account is absent')
        : say('contradicted', 'account', `the account is ${account}`);
    case 'authenticate':
    case 'install':
      return say('inconclusive', tuple.effect, 'no look can tell');
  }
}

type Judged = ReturnType<typeof judge>;

/**
 * What it says of a change that the account's old secret was presented again. Where a target says that the account is
 * stopped and lets its owner in, it lies; where that could not be tried, nobody knows.
 */
export function judgePresented(tuple: Tuple, judged: Judged, presented: VerificationBody['presented']): Judged {
  if (judged.verdict !== 'confirmed' || (tuple.effect !== 'disable' && tuple.effect !== 'delete')) return judged;
  if (presented === 'accepted') return { ...judged, verdict: 'contradicted', saw: 'its old password still lets it in' };
  // What is deleted has no name left to sign in with: there unknown is all that there can be.
  if (presented === 'unknown' && tuple.effect === 'disable') {
    return {
      ...judged,
      verdict: 'inconclusive',
      saw: `${judged.saw}, and whether its old password lets it in could not be tried`,
    };
  }
  return judged;
}

/** Names of expected attributes that were not seen so; null when none could be seen. */
function differing(expected: Attributes | null, seen: Attributes | null): readonly string[] | null {
  if (expected === null) return [];
  if (seen === null) return null;
  return Object.entries(expected)
    .filter(([name, value]) => seen[name as keyof Attributes] !== value)
    .map(([name]) => name);
}
