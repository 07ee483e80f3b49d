/**
 * The manifest of a payload: a small file beside it, in which whoever exports says when it was so, how many rows it
 * has, and which bytes it is. A bare file has no age of its own; its modification time is whoever copied it last.
 *
 * Signed, with the key that the feed's contract names, it is evidence (`ssh-keygen -Y sign -n feed@writgate -f KEY
 * MANIFEST` makes `MANIFEST.sig`). Unsigned, it is a claim, and marked so.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import type { Feed } from '../authority/authority.ts';
import type { Digest } from '../canonical.ts';
import { type Instant, isoTime } from '../clock.ts';
import { Failure } from '../errors.ts';
import { frame } from './frame.ts';
import { readStrict } from './strict.ts';
import { readInstant } from './watermark.ts';

/** SSHSIG namespace of an exporter's signature. */
export const NAMESPACE = 'feed@writgate';

const MAX_MANIFEST = 64 << 10;

const Manifest = z.strictObject({
  v: z.literal(1),
  /** Base name of the payload: so that one feed's signed file is no evidence for another feed. */
  file: z.string().min(1).max(255),
  asOf: z.string().refine((text) => readInstant(text, 'refused') !== null, 'an ISO time with a zone'),
  rows: z.number().int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits'),
  exportedBy: z.string().max(200).optional(),
});
export type Manifest = z.output<typeof Manifest>;

/** `checkSshSignature` of `approval/sshsig.ts`, passed in: sources come before approvals on the road. */
export type CheckSignature = (input: {
  armored: string;
  namespace: string;
  message: Uint8Array;
}) =>
  | { readonly ok: true; readonly publicKey: { readonly text: string } }
  | { readonly ok: false; readonly reason: string };

export type ManifestReading =
  /** `remark`: why it is not `signed` although the feed names an exporter; else null. */
  | {
      readonly kind: 'signed' | 'claimed';
      readonly manifest: Manifest;
      readonly asOf: Instant;
      readonly remark: string | null;
    }
  | { readonly kind: 'none' }
  /** There is one, and it is not to be believed in any part: the snapshot is held. */
  | { readonly kind: 'broken'; readonly reason: string };

/**
 * @param input.bytes the manifest file, or null where there is none
 * @param input.signature the armored signature file, or null where there is none
 * @param input.exporter the feed's `exporter`: an SSH public key, with or without a comment
 */
export function readManifest(input: {
  readonly bytes: Uint8Array | null;
  readonly signature: string | null;
  readonly exporter: string | undefined;
  readonly check: CheckSignature;
}): ManifestReading {
  const { bytes, signature, exporter, check } = input;
  const broken = (reason: string): ManifestReading => ({ kind: 'broken', reason });
  if (bytes === null) return { kind: 'none' };
  if (bytes.length > MAX_MANIFEST) return broken(`it has ${bytes.length} bytes, limit ${MAX_MANIFEST}`);

  const text = Buffer.from(bytes).toString('utf8');
  // Strictly first: `JSON.parse` would let the last of two as-of times win.
  const strict = readStrict(text);
  if (!strict.ok) return broken(`it is not JSON: ${strict.reason}`);
  const parsed = Manifest.safeParse(JSON.parse(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return broken(`\`${issue?.path.join('.') || 'manifest'}\`: ${issue?.message}`);
  }
  const manifest = parsed.data;
  const asOf = readInstant(manifest.asOf, 'refused')!;

  const claimed = (remark: string | null): ManifestReading => ({ kind: 'claimed', manifest, asOf, remark });
  if (signature === null) return claimed(exporter === undefined ? null : 'nobody signed it');
  const checked = check({ armored: signature, namespace: NAMESPACE, message: bytes });
  if (!checked.ok) return broken(`its signature is not good: ${checked.reason}`);
  if (exporter === undefined) return claimed('the feed names no exporter whose signature would count');
  if (checked.publicKey.text !== exporter.trim().split(/\s+/).slice(0, 2).join(' ')) {
    return claimed('another key than the exporter’s signed it');
  }
  return { kind: 'signed', manifest, asOf, remark: null };
}

/**
 * The manifest of an exported file.
 * @param input.asOf when what the file says was so: the moment the export began, not the moment of stamping
 * @throws Failure `feed-malformed` for a file that no feed would accept, with the line
 */
export async function stamp(input: {
  readonly path: string;
  readonly feed: Feed;
  readonly asOf: Instant;
  readonly exportedBy?: string;
}): Promise<Manifest> {
  const { path, feed, asOf, exportedBy } = input;
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path)) digest.update(chunk);
  const { trouble, total } = await frame({ path, pages: null, feed, sink: { record() {}, quarantine() {} } });
  if (trouble) throw new Failure('feed-malformed', `${basename(path)} cannot be stamped: ${trouble.message}`);
  return {
    v: 1,
    file: basename(path),
    asOf: isoTime(asOf),
    rows: total,
    sha256: digest.digest('hex') as Digest,
    ...(exportedBy === undefined ? {} : { exportedBy }),
  };
}
