/**
 * What a compromised control plane can make by itself: plans, requests and writs under the real decision key. People's
 * signatures come only from people's keys.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ApprovalRequest,
  beneficiariesOf,
  requestText,
  signVerdict,
  type Verdict,
} from '../../src/approval/request.ts';
import {
  parseRoster,
  ROSTER_NAMESPACE,
  type Roster,
  type RosterDocument,
  rosterText,
  type SignedRoster,
} from '../../src/approval/roster.ts';
import { type Signer, signSsh } from '../../src/approval/sshsig.ts';
import { canonical, type Digest, digestOf, sha256 } from '../../src/canonical.ts';
import { systemRandom } from '../../src/clock.ts';
import { type Attributes, type Call, FIRST_SECRET, type Reply } from '../../src/connector/contract.ts';
import type { Peer } from '../../src/connector/pipe.ts';
import {
  activePatch,
  addMember,
  attributesPatch,
  removeMember,
  userBody,
} from '../../src/connectors/scim/attributes.ts';
import { Failure } from '../../src/errors.ts';
import { type Leaf, leafBytes, type PlanHeader, planDigest } from '../../src/plan/change.ts';
import { treeOf } from '../../src/plan/make.ts';
import { AUTHORITY_NAMESPACE, type AuthorityTerm, type SignedAuthority, termText } from '../../src/trust/force.ts';
import { sealWrit, type Writ, type WritBody } from '../../src/writ/writ.ts';
import type { World } from '../company/world.ts';

/* ---- changes and plans --------------------------------------------------------------------------------------------- */

/** What a case says of a change; the rest is ordinary. */
export type Wish = Partial<Leaf> & Pick<Leaf, 'effect' | 'object'> & { readonly key?: string };

export const leafOf = ({ key, ...wish }: Wish, seq = 1): Leaf => ({
  seq,
  system: 'crm',
  entitlement: null,
  value: null,
  valueDigest: wish.value ? digestOf(wish.value) : null,
  subject: key === undefined ? null : { feed: 'hr', key },
  person: key === undefined ? null : `p-${key}`,
  id: null,
  cause: 'birthright everyone',
  until: null,
  after: [],
  waitsFor: [],
  ...wish,
});

export interface Frozen {
  readonly header: PlanHeader;
  readonly leaves: readonly Leaf[];
}

let lastPlan = 9000;

export function freeze(world: World, wishes: readonly Wish[], over: Partial<PlanHeader> = {}): Frozen {
  const leaves = wishes.map((wish, index) => leafOf(wish, index + 1));
  const { authority, authorityDigest, policyDigest } = world.control().world;
  const at = new Date().toISOString();
  const header: PlanHeader = {
    v: 1,
    tenant: authority.tenant,
    plan: `P${++lastPlan}`,
    risk: 'high',
    role: 'security',
    root: treeOf(leaves).root,
    size: leaves.length,
    base: { authority: authorityDigest, snapshots: {}, observedAt: at },
    policy: policyDigest,
    overLimit: false,
    createdAt: at,
    ...over,
  };
  return { header, leaves };
}

export function writBody(world: World, { header, leaves }: Frozen, over: Partial<WritBody> = {}): WritBody {
  const tree = treeOf(leaves);
  const now = Date.now();
  return {
    v: 1,
    tenant: world.control().world.authority.tenant,
    id: `W-${systemRandom(6).toString('hex')}`,
    header,
    decisions: sha256('whatever control says'),
    request: null,
    approvals: [],
    beneficiaries: [],
    changes: leaves.map((leaf) => ({ leaf: leafBytes(leaf), proof: tree.prove(leaf.seq - 1) })),
    snapshots: {},
    issuedAt: now,
    expiresAt: now + 600_000,
    ...over,
  };
}

export const sealed = (world: World, body: WritBody): Writ => sealWrit(body, world.keys.decision);

/* ---- requests and signatures --------------------------------------------------------------------------------------- */

/** The request that an honest control would make for the plan, but for `over`. */
export function requestOf(
  world: World,
  { header, leaves }: Frozen,
  over: Partial<ApprovalRequest> = {},
  roster: Roster = world.control().world.roster,
): ApprovalRequest {
  const { authority, authorityDigest, logOrigin, policyDigest } = world.control().world;
  const { digest, count } = beneficiariesOf(beneficiaries(leaves));
  const asked = /by (\S+)/.exec(leaves[0]?.cause ?? '')?.[1];
  return {
    v: 1,
    tenant: authority.tenant,
    logOrigin,
    id: `${header.plan}-${systemRandom(4).toString('hex')}`,
    nonce: systemRandom(16).toString('hex'),
    planId: header.plan,
    planDigest: planDigest(header),
    planBase: digestOf(header.base),
    risk: header.risk,
    overLimit: header.overLimit,
    requester: asked ?? 'nhi:writgate',
    executors: ['crm-grant'],
    beneficiaries: { digest, count },
    policyDigest,
    decision: 'permit',
    authorityDigest,
    rosterVersion: roster.version,
    rosterDigest: roster.digest,
    role: 'security',
    people: 2,
    createdAt: Date.now() - 1000,
    expiresAt: Date.now() + 3_600_000,
    ...over,
  };
}

export const beneficiaries = (leaves: readonly Leaf[]): string[] =>
  [...new Set(leaves.flatMap(({ subject }) => (subject === null ? [] : [subject.key])))].sort();

export interface SignedCase {
  readonly wishes: readonly Wish[];
  readonly header?: Partial<PlanHeader>;
  readonly request?: Partial<ApprovalRequest>;
  readonly roster?: Roster;
  /** Persons who sign, or the keys with which somebody signs in a person's name. */
  readonly by: readonly (string | { readonly person: string; readonly key: Signer; readonly verdict?: Verdict })[];
  readonly body?: Partial<WritBody>;
}

/** A writ with a request and the signatures of `by` over exactly that request. */
export async function signedWrit(world: World, wanted: SignedCase): Promise<Writ> {
  const frozen = freeze(world, wanted.wishes, wanted.header);
  const request = requestText(requestOf(world, frozen, wanted.request, wanted.roster));
  const approvals = await Promise.all(
    wanted.by.map(async (who) => {
      const {
        person,
        key,
        verdict = 'approve',
      } = typeof who === 'string' ? { person: who, key: world.signer(who) } : who;
      return { person, armored: await signVerdict(key, verdict, request) };
    }),
  );
  return sealed(
    world,
    writBody(world, frozen, { request, approvals, beneficiaries: beneficiaries(frozen.leaves), ...wanted.body }),
  );
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

const http = (method: 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'GET', path: string[], body?: unknown): Call =>
  ({ kind: 'http', method, path, ...(body === undefined ? {} : { body }) }) as Call;

export const CALL = {
  http,
  grant: (group: string, user: string) => http('PATCH', ['Groups', group], addMember(user)),
  revoke: (group: string, user: string) => http('PATCH', ['Groups', group], removeMember(user, 'path')),
  active: (user: string, active: boolean) => http('PATCH', ['Users', user], activePatch(active)),
  update: (user: string, attributes: Attributes) => http('PATCH', ['Users', user], attributesPatch(attributes)),
  create: (login: string, attributes: Attributes) =>
    http('POST', ['Users'], userBody(login, attributes, { active: true, password: true })),
  remove: (user: string) => http('DELETE', ['Users', user]),
  marker: FIRST_SECRET,
};

/** How something ended, in one word: the code of a refusal, `done`, or what else came. */
export async function outcome(attempt: () => Promise<unknown>): Promise<string> {
  try {
    const reply = (await attempt()) as Reply;
    if (reply.kind === 'refused') return reply.code;
    if (reply.kind === 'http') return reply.status < 300 ? 'done' : `HTTP ${reply.status}`;
    return reply.kind;
  } catch (thrown) {
    if (thrown instanceof Failure) return thrown.code;
    throw thrown;
  }
}

/** The worker's door, as anybody on the socket has it. */
export async function callAs(door: Peer, connector: string, writ: string | null, call: unknown): Promise<Reply> {
  const { token } = (await door.request('token', { connector })) as { token: string };
  return (await door.request('call', { token, writ, call })) as Reply;
}

/** Admits a writ and makes one call under it: how it ended. */
export const attempt = (door: Peer, writ: Writ, connector: string, call: unknown): Promise<string> =>
  outcome(async () => {
    const { id } = (await door.request('admit', { writ })) as { id: string };
    return callAs(door, connector, id, call);
  });

/* ---- signed files -------------------------------------------------------------------------------------------------- */

const fileOf = (world: World, name: string): string => join(world.folder, name);
export const readText = (world: World, name: string): Promise<string> => readFile(fileOf(world, name), 'utf8');
export const writeText = (world: World, name: string, text: string): Promise<void> =>
  writeFile(fileOf(world, name), text);

/** A next roster, signed by these people of the one before. */
export async function nextRoster(
  world: World,
  change: (document: RosterDocument) => Partial<RosterDocument>,
  by: readonly Signer[],
): Promise<Roster> {
  const chain = JSON.parse(await readText(world, 'roster.json')) as SignedRoster[];
  const head = JSON.parse(chain.at(-1)!.text) as RosterDocument;
  const text = rosterText({
    ...head,
    version: head.version + 1,
    previous: sha256(chain.at(-1)!.text),
    ...change(head),
  });
  const signatures = await Promise.all(
    by.map((signer) => signSsh({ signer, namespace: ROSTER_NAMESPACE, message: text })),
  );
  await writeText(world, 'roster.json', JSON.stringify([...chain, { text, signatures }]));
  return parseRoster(text);
}

/** An authority that would take the place of the one in force. */
export async function nextAuthority(
  world: World,
  edit: (document: Record<string, unknown>) => void,
  signers: readonly Signer[],
  over: Partial<AuthorityTerm> = {},
): Promise<SignedAuthority> {
  const now = JSON.parse(await readText(world, 'authority.json')) as SignedAuthority;
  const before = JSON.parse(now.term) as AuthorityTerm;
  const document = JSON.parse(now.document) as Record<string, unknown>;
  edit(document);
  const text = canonical(document);
  const term = termText({
    v: 1,
    tenant: before.tenant,
    serial: before.serial + 1,
    previous: sha256(now.term) as Digest,
    authority: sha256(text),
    ...over,
  });
  const signatures = await Promise.all(
    signers.map((signer) => signSsh({ signer, namespace: AUTHORITY_NAMESPACE, message: term })),
  );
  return { term, document: text, signatures };
}
