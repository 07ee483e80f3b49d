/**
 * SSH signatures of files and messages (OpenSSH PROTOCOL.sshsig), the same that `ssh-keygen -Y sign` makes: so a
 * terminal with a stock OpenSSH is enough to approve, and an auditor needs nothing of ours to check.
 */
import { Failure } from '../errors.ts';
import { checkBlob, digest, readPublicKey, type SshPublicKey, type Touch } from './key.ts';
import { armor, fromBase64, WireReader, wireString, wireUint32 } from './wire.ts';

/** Whoever can sign: a private key in memory (`private.ts`) or one inside an agent (`agent.ts`). */
export interface Signer {
  readonly publicKey: SshPublicKey;
  /** @returns the wire signature (RFC 4253 section 6.6) over `message`. */
  sign(message: Buffer): Promise<Buffer>;
}

export type SshSignatureCheck =
  /** `touch` is null unless a security key signed. */
  | { readonly ok: true; readonly publicKey: SshPublicKey; readonly touch: Touch | null }
  | { readonly ok: false; readonly reason: string };

const LABEL = 'SSH SIGNATURE';
const MAGIC = Buffer.from('SSHSIG');
const VERSION = 1;
/** PROTOCOL.sshsig section 4: exactly these two. */
const HASHES = ['sha256', 'sha512'] as const;
/** An 8192-bit RSA key and signature need under 3 KiB. */
const MAX_ARMORED = 8192;
/** Each line ends at `\n`, so the expression cannot backtrack over more than one line. */
const ARMORED =
  /^-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/]{1,76}\n)*[A-Za-z0-9+/]{1,76}={0,2}\n)-----END SSH SIGNATURE-----\n?$/;

/**
 * Signs `message` for one purpose; a signature made for one namespace is worth nothing in another.
 * @returns armored text, as `ssh-keygen -Y sign -n NAMESPACE` writes it.
 * @throws Failure `ssh-key` when what the key or agent made does not verify; the signer's own failures pass through.
 */
export async function signSsh(input: {
  signer: Signer;
  namespace: string;
  message: string | Uint8Array;
}): Promise<string> {
  const { signer, namespace, message } = input;
  const bound = boundBytes(namespace, 'sha512', message);
  const signature = await signer.sign(bound);
  // A faulty key file, agent or device shows here and not, days later, as a refused approval.
  if (!checkBlob(signer.publicKey, bound, signature).valid) {
    throw new Failure('ssh-key', `what ${signer.publicKey.text} signed does not verify; check the key file or agent`);
  }
  const parts = [wireUint32(VERSION), ...[signer.publicKey.blob, namespace, '', 'sha512', signature].map(wireString)];
  return armor(LABEL, Buffer.concat([MAGIC, ...parts]));
}

/**
 * Whether `armored` is a signature over `message` in `namespace`, by the key that it carries itself. Whose key that is,
 * and whether it counts, is the roster's business. Never throws on bad input.
 */
export function checkSshSignature(input: {
  armored: string;
  namespace: string;
  message: string | Uint8Array;
}): SshSignatureCheck {
  try {
    return check(input.armored, input.namespace, input.message);
  } catch (thrown) {
    if (thrown instanceof Failure) return { ok: false, reason: thrown.message };
    throw thrown;
  }
}

function check(armored: string, namespace: string, message: string | Uint8Array): SshSignatureCheck {
  const refuse = (reason: string): SshSignatureCheck => ({ ok: false, reason });
  const base64 = armored.length <= MAX_ARMORED ? ARMORED.exec(armored)?.[1]?.replaceAll('\n', '') : undefined;
  const bytes = base64 === undefined ? null : fromBase64(base64);
  if (bytes === null) return refuse('not one armored SSH signature in canonical base64');

  const wire = new WireReader(bytes, 'signature');
  if (!wire.take(MAGIC.length).equals(MAGIC)) return refuse('the signature does not begin with SSHSIG');
  const version = wire.uint32();
  // ssh-keygen itself lets version 0 pass; one meaning shall have one spelling.
  if (version !== VERSION) return refuse(`the signature has version ${version}, not ${VERSION}`);
  const publicKey = readPublicKey(wire.string());
  const stated = wire.ascii();
  const reserved = wire.string();
  const hashName = wire.ascii();
  const hash = HASHES.find((name) => name === hashName);
  const signature = wire.string();
  wire.end();

  if (namespace === '' || stated !== namespace)
    return refuse(`the signature is for "${stated}", not for "${namespace}"`);
  // Unknown content that is signed but not understood: PROTOCOL.sshsig leaves it empty, and so must we.
  if (reserved.length > 0) return refuse('the signature has a reserved part');
  if (hash === undefined) return refuse('the signature uses another hash than sha256 or sha512');

  const { valid, touch } = checkBlob(publicKey, boundBytes(namespace, hash, message), signature);
  if (!valid) return refuse('the signature does not verify over these bytes');
  if (touch !== null && !touch.present) return refuse('the security key signed without anybody present');
  return { ok: true, publicKey, touch };
}

/** What the key really signs (PROTOCOL.sshsig section 4). */
function boundBytes(namespace: string, hash: (typeof HASHES)[number], message: string | Uint8Array): Buffer {
  return Buffer.concat([MAGIC, ...[namespace, '', hash, digest(hash, message)].map(wireString)]);
}
