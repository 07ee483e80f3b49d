/** A person's signed verdict over a plan: what he saw is what he signs, worked out here and not taken from the server. */

import { readFile } from 'node:fs/promises';
import type { PlanShown } from '../api/contract.ts';
import { phrase } from '../approval/phrase.ts';
import { APPROVAL_NAMESPACE, challenge, parseRequest, signVerdict, type Verdict } from '../approval/request.ts';
import { checkSshSignature } from '../approval/sshsig.ts';
import { sha256 } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { leafHash, treeRoot } from '../ledger/tree.ts';
import { parseLeaf, planDigest } from '../plan/change.ts';
import { drawAsked, drawShown } from './draw/show.ts';
import { clean } from './draw/text.ts';
import { askYes, type Face } from './face.ts';
import { type KeyOptions, personSigner } from './key.ts';
import type { Session } from './session.ts';
import { inForceAt, type Where } from './where.ts';

export interface VerdictOptions extends KeyOptions {
  readonly overLimit?: true;
  readonly yes?: true;
  readonly reason?: string;
  /** Armored signature over the challenge, made elsewhere. */
  readonly signature?: string;
  readonly json?: true;
}

export type Request = NonNullable<PlanShown['request']>;

/** That plan, request, phrase and digests belong together. @throws Failure `approval-form` when they do not */
export function checkShown({ header, digest, changes, leaves, request }: PlanShown): Request {
  if (request === null)
    throw new Failure('wrong-use', `${header.plan} needs no signature; \`writgate run\` carries it`);
  const asked = parseRequest(request.bytes);
  const faults = [
    [planDigest(header) === digest, 'the plan is not the one of its digest'],
    [header.size === changes.length, `the plan has ${header.size} changes, and ${changes.length} are shown`],
    [treeRoot(leaves.map(leafHash)) === header.root, 'the changes are not those under the root of the plan'],
    [leaves.every((leaf, index) => isSame(leaf, changes[index])), 'a change is shown as something else than it is'],
    [sha256(request.bytes) === request.digest, 'the request is not the one of its digest'],
    [asked.planDigest === digest && asked.planId === header.plan, 'the request is for another plan'],
    [asked.risk === header.risk && asked.overLimit === header.overLimit, 'the request calls the plan something else'],
    [phrase(sha256(request.bytes)) === request.phrase, 'the phrase is another request’s'],
  ] as const;
  const fault = faults.find(([holds]) => !holds);
  if (fault)
    throw new Failure(
      'approval-form',
      `what control shows does not hold together: ${fault[1]}; sign nothing, and look at its machine`,
    );
  return request;
}

/** Whether what is drawn of a change is what its bytes say: the picture must be the bytes. */
function isSame(bytes: string, shown: PlanShown['changes'][number] | undefined): boolean {
  const { system, object, effect, entitlement, subject, cause, until } = parseLeaf(bytes);
  return (
    shown?.system === system &&
    shown.login === object &&
    shown.effect === effect &&
    shown.entitlement === entitlement &&
    shown.subject === (subject === null ? null : `${subject.feed}:${subject.key}`) &&
    shown.cause === cause &&
    shown.until === until
  );
}

export async function giveVerdict(
  session: Session,
  where: Where,
  face: Face,
  plan: string,
  verdict: Verdict,
  options: VerdictOptions,
): Promise<{ readonly person: string; readonly after: PlanShown }> {
  const shown = await planToSign(session, plan, options);
  const request = checkShown(shown);
  const { roster } = await inForceAt(where, face);
  if (!options.json) face.out(drawShown(clean(shown), face.paint));
  const candidates = request.candidates.map(({ person }) => person);
  const [person, armored] =
    options.signature === undefined ? await signHere(request) : await signedElsewhere(options.signature);

  async function signHere({ bytes }: Request): Promise<readonly [string, string]> {
    const { person, signer } = await personSigner(
      options,
      roster,
      request.verdict === 'waiting' ? candidates : null,
      face,
    );
    await confirm(person);
    return [person, await signVerdict(signer, verdict, bytes)];
  }
  async function signedElsewhere(file: string): Promise<readonly [string, string]> {
    const text = await readFile(file, 'utf8');
    const check = checkSshSignature({
      armored: text,
      namespace: APPROVAL_NAMESPACE,
      message: challenge(verdict, request.bytes),
    });
    if (!check.ok) throw new Failure('not-approved', `${file} is no signature that would count: ${check.reason}`);
    const holder = roster.holders.get(check.publicKey.text);
    if (!holder) throw new Failure('not-approved', `${file} is signed with a key that is in no roster`);
    return [holder.person, text];
  }
  async function confirm(who: string): Promise<void> {
    if (options.yes) return;
    if (!face.canAsk)
      throw new Failure('wrong-use', 'nobody sits at this terminal to confirm; --yes signs without a question');
    face.out(`\n${drawAsked(shown.header.plan, request, shown.changes.length, face.paint)}`);
    if (!(await askYes(`${verdict === 'approve' ? 'Approve' : 'Refuse'} ${shown.header.plan} as ${who}?`))) {
      throw new Failure('wrong-use', 'nothing was signed');
    }
  }

  const after = await session.ask<PlanShown>('sign', {
    plan: shown.header.plan,
    person,
    verdict,
    armored,
    reason: options.reason ?? null,
  });
  return { person, after };
}

/** The plan itself; for one that refused itself, the one that asks to go over its limits, when that was asked for. */
async function planToSign(session: Session, plan: string, { overLimit }: VerdictOptions): Promise<PlanShown> {
  const shown = await session.ask<PlanShown>('planShow', { plan });
  if (shown.summary.state !== 'refused') return shown;
  if (overLimit) return session.ask<PlanShown>('overLimit', { plan });
  const [first] = shown.summary.refusal;
  throw new Failure(
    'plan-refused',
    `${shown.header.plan} refused itself: ${first?.message}; if that is right, add --over-limit`,
  );
}
