/**
 * The writ: decision + approvals + the exact tuples, sealed and short-lived. It is what the gateway opens for.
 *
 * Control seals it, but a seal alone opens nothing: the gateway checks each change's place in the plan, and either
 * people's signatures over that plan or, change by change, the automatic envelope (`gateway/envelope.ts`).
 */

import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { canonical, type Digest, sha256 } from '../canonical.ts';
import { type Instant, MAX_SKEW_MS } from '../clock.ts';
import { Failure } from '../errors.ts';
import { checkInclusion, leafHash } from '../ledger/tree.ts';
import { headerShape, type Leaf, type PlanHeader, parseLeaf, planDigest } from '../plan/change.ts';
import { anyText, digestText, exactly, integer, listOf, mapOf, name, oneOf, orNull, readDocument } from '../shape.ts';

/** A writ lives at most this long. A change that could not be made by then gets a new writ, after a new look at it. */
export const WRIT_LIFETIME_MS = 15 * 60_000;

export interface WritBody {
  readonly v: 1;
  readonly tenant: string;
  readonly id: string;
  readonly header: PlanHeader;
  /** Digest over the decisions of these changes, as the ledger has them. */
  readonly decisions: Digest;
  /** The exact request that people signed, and their signatures; null for a writ inside the envelope. */
  readonly request: string | null;
  readonly approvals: readonly { readonly person: string; readonly armored: string }[];
  /** Everybody whose access the whole plan changes (keys of feeds, sorted); the request commits to it. Empty without one. */
  readonly beneficiaries: readonly string[];
  readonly changes: readonly { readonly leaf: string; readonly proof: readonly string[] }[];
  /** The snapshot statements that the changes rest on: feed → id. */
  readonly snapshots: { readonly [feed: string]: string };
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
}

export interface Writ {
  /** Canonical bytes of the body. */
  readonly body: string;
  /** Ed25519 over `writgate/writ/v1\0` and the body, by control's decision key; base64. */
  readonly seal: string;
}

const sealed = (body: string): Buffer => Buffer.from(`writgate/writ/v1\0${body}`);

export function sealWrit(body: WritBody, decisionKey: KeyObject): Writ {
  const bytes = canonical(body);
  return { body: bytes, seal: sign(null, sealed(bytes), decisionKey).toString('base64') };
}

/** A raw 32-byte Ed25519 public key, base64, as the trust root holds it. */
export const ed25519PublicKey = (raw: string): KeyObject =>
  createPublicKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw, 'base64').toString('base64url') },
  });

export const rawPublicKey = (key: KeyObject): string =>
  Buffer.from(
    (key.type === 'public' ? key : createPublicKey(key as never)).export({ format: 'jwk' }).x as string,
    'base64url',
  ).toString('base64');

/** The exact form. A member of another type would slip past comparisons: `"never" <= now` is false. */
const writShape = exactly<WritBody>({
  v: oneOf(1),
  tenant: name,
  id: anyText,
  header: headerShape,
  decisions: digestText,
  request: orNull(anyText),
  approvals: listOf(exactly<WritBody['approvals'][number]>({ person: anyText, armored: anyText })),
  beneficiaries: listOf(anyText, 10_000_000),
  changes: listOf(exactly<WritBody['changes'][number]>({ leaf: anyText, proof: listOf(digestText, 64) })),
  snapshots: mapOf(anyText),
  issuedAt: integer(1),
  expiresAt: integer(1),
});

export const readWrit = (bytes: string): WritBody => readDocument(bytes, writShape, 'writ');

export interface OpenWrit {
  readonly body: WritBody;
  readonly digest: Digest;
  readonly planDigest: Digest;
  readonly leaves: readonly Leaf[];
}

/**
 * Everything about a writ that needs no state: seal, form, lifetime, and the place of each change in the plan.
 * @throws Failure `writ-invalid` | `writ-expired` with what is wrong
 */
export function openWrit(writ: Writ, held: { tenant: string; decisionKey: KeyObject; now: Instant }): OpenWrit {
  const refuse = (why: string): never => {
    throw new Failure('writ-invalid', `the writ is not accepted: ${why}`);
  };
  if (!verify(null, sealed(writ.body), held.decisionKey, Buffer.from(writ.seal, 'base64')))
    refuse('its seal is not control’s');
  const formed = <T>(read: () => T): T => {
    try {
      return read();
    } catch (thrown) {
      return refuse(thrown instanceof Failure ? thrown.message : 'it cannot be read');
    }
  };
  const body = formed(() => readWrit(writ.body));
  if (body.tenant !== held.tenant || body.header.tenant !== held.tenant) refuse(`it is for tenant ${body.tenant}`);
  if (body.expiresAt - body.issuedAt > WRIT_LIFETIME_MS) refuse('it would live longer than 15 minutes');
  if (body.issuedAt > held.now + MAX_SKEW_MS) refuse('it was issued in the future');
  if (held.now >= body.expiresAt) {
    throw new Failure(
      'writ-expired',
      `writ ${body.id} expired ${Math.round((held.now - body.expiresAt) / 1000)} s ago`,
    );
  }
  if (body.changes.length === 0) refuse('it permits nothing');

  const leaves = body.changes.map(({ leaf: bytes, proof }) => {
    const leaf = formed(() => parseLeaf(bytes));
    const included = checkInclusion({
      leafHash: leafHash(Buffer.from(bytes)),
      index: leaf.seq - 1,
      size: body.header.size,
      proof,
      root: body.header.root,
    });
    if (!included) refuse(`change ${leaf.seq} is not in plan ${body.header.plan}`);
    return leaf;
  });
  if (new Set(leaves.map((leaf) => leaf.seq)).size !== leaves.length) refuse('a change is listed twice');
  return { body, digest: sha256(writ.body), planDigest: planDigest(body.header), leaves };
}
