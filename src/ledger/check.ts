/**
 * The offline checker: needs the ledger's folder and public keys, and neither Writgate nor a database.
 *
 * It believes nothing but the keys it is given. It hashes every entry again, compares with what the log signed and the
 * witnesses cosigned, and reads every entry strictly. What it finds it tells; only unusable arguments throw.
 */
import { open, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { checkBody, type Entry, openEntry, type RoleKeys } from './entry.ts';
import { type Examined, examiner, openExaminers } from './examine.ts';
import { COSIGNATURE, parseVerifier, type Verifier } from './note.ts';
import { parseProof } from './proof.ts';
import { frameEntries, measureEntries, splitEntries, TILE_WIDTH, tilePath, unpackHashes } from './tile.ts';
import { checkInclusion, EMPTY_ROOT, Frontier, leafHash } from './tree.ts';

export interface Finding {
  /** The entry it is about, where it is about one. */
  readonly index?: number;
  readonly code:
    | 'checkpoint-missing' // no checkpoint to hold the log against
    | 'checkpoint-forged' // not signed by the log's key, or not one at all
    | 'log-short' // entries are missing at the end
    | 'log-long' // bytes that no signature covers
    | 'root-differs' // the entries are not those that the log signed
    | 'fork' // the log is not an extension of what it signed or had cosigned before
    | 'witness-quorum' // too few witnesses have cosigned this very checkpoint
    | 'witness-unknown' // nobody says who the witnesses are
    | 'entry-form' // an entry that is none
    | 'entry-signature' // not signed by the role it says it is by
    | 'proof-form' // the proof is malformed
    | 'not-included' // the proof does not lead to the signed root
    | 'body-differs'; // body and salt are not what the entry commits to
  readonly message: string;
}

/** Keys that the auditor was given on a way that is not the operator's. */
export interface TrustedKeys {
  /** The log's vkey; its name is the origin. */
  readonly logKey: string;
  readonly roleKeys: RoleKeys;
  /** vkeys of type cosignature/v1; none: no witness is asked for. */
  readonly witnessKeys?: readonly string[];
  /** How many distinct witnesses must have cosigned; all of `witnessKeys`, unless said otherwise. */
  readonly witnessQuorum?: number;
}

interface Trust {
  readonly logKey: Verifier;
  readonly witnesses: readonly Verifier[];
  readonly quorum: number;
}

function readKeys({ logKey, witnessKeys = [], witnessQuorum }: TrustedKeys): Trust {
  const witnesses = witnessKeys.map(parseVerifier);
  const distinct = new Set(witnesses.map(({ identity }) => identity)).size;
  const quorum = witnessQuorum ?? distinct;
  const least = witnessKeys.length > 0 || witnessQuorum !== undefined ? 1 : 0;
  if (!Number.isSafeInteger(quorum) || quorum < least || quorum > distinct) {
    throw new Failure('wrong-use', `a quorum of ${quorum} among ${distinct} distinct witnesses; give 1 to ${distinct}`);
  }
  return { logKey: parseVerifier(logKey), witnesses, quorum };
}

const orNull = (error: NodeJS.ErrnoException): null => {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
  throw error;
};
const readText = async (path: string): Promise<string | null> =>
  (await readFile(path).catch(orNull))?.toString() ?? null;

/* ---- entries, from the one file or from the bundles ---------------------------------------------------------- */

const READ_BYTES = 1024 * 1024;

/** Whole entries, framed as in a bundle; and, after the last, how many bytes are left over. */
type Framed = AsyncGenerator<Uint8Array<ArrayBuffer>, number, void>;

async function* readEntries(folder: string, size: number): Framed {
  const file = await open(join(folder, 'entries'), 'r').catch(orNull);
  if (!file) return yield* readBundles(folder, size);
  try {
    for (let position = 0; ; ) {
      // Memory of its own each time: it is given to a thread.
      const chunk = new Uint8Array(READ_BYTES);
      const { bytesRead } = await file.read(chunk, 0, READ_BYTES, position);
      const { whole } = measureEntries(chunk.subarray(0, bytesRead));
      // The longest entry fits many times into a chunk: where none is whole, the file ends.
      if (whole === 0) return bytesRead;
      yield chunk.subarray(0, whole);
      position += whole;
    }
  } finally {
    await file.close();
  }
}

async function* readBundles(folder: string, size: number): Framed {
  for (let bundle = 0; bundle * TILE_WIDTH < size; bundle += 1) {
    const width = Math.min(TILE_WIDTH, size - bundle * TILE_WIDTH);
    const bytes = new Uint8Array((await readTile(folder, 'entries', bundle, width)) ?? []);
    const { count, whole } = measureEntries(bytes, width);
    if (count > 0) yield bytes.subarray(0, whole);
    if (count < width) return bytes.length - whole;
  }
  return 0;
}

/** A partial tile may have been replaced by the full one, of which it is the beginning. */
const readTile = async (
  folder: string,
  level: number | 'entries',
  index: number,
  width: number,
): Promise<Buffer | null> =>
  (await readFile(join(folder, tilePath(level, index, width))).catch(orNull)) ??
  (await readFile(join(folder, tilePath(level, index))).catch(orNull));

/** Where the entries first part from the level-0 tiles; null where these tell nothing. */
async function firstDifference(folder: string, size: number): Promise<number | null> {
  let index = 0;
  let hashes: string[] = [];
  for await (const framed of readEntries(folder, size)) {
    for (const entry of splitEntries(Buffer.from(framed.buffer, 0, framed.length), size - index).entries) {
      if (index % TILE_WIDTH === 0) {
        const tile = await readTile(folder, 0, index / TILE_WIDTH, Math.min(TILE_WIDTH, size - index));
        if (!tile) return null;
        hashes = unpackHashes(tile);
      }
      if (leafHash(entry) !== hashes[index % TILE_WIDTH]) return index;
      index += 1;
    }
  }
  return null;
}

/* ---- the whole ledger ----------------------------------------------------------------------------------------- */

export interface LedgerReport {
  /** True when there is no finding. */
  readonly ok: boolean;
  /** Entries that were read. */
  readonly size: number;
  /** Root over them. */
  readonly root: string;
  readonly findings: readonly Finding[];
}

/** More findings of single entries than this help nobody. */
const MOST_FINDINGS = 100;
/** Fewer entries are checked before threads have started. */
const WORTH_THREADS = 20_000;
const MOST_THREADS = 8;

/**
 * Checks a whole ledger: from `entries`, or, where the folder is a copy of the static files, from the bundles.
 * @param options.vouchedWitnesses ask for this many cosignatures of witnesses that the gateway names in the ledger
 * itself, under its own key (entries `gateway.witness`); for an auditor who knows the gateway’s key and no witness’s.
 * @param options.seen checkpoints kept from earlier, which the log must extend.
 * @param options.progress told how many entries are read, about every 3,000.
 * @param options.threads 0: this one alone; as many as there are processors, unless said otherwise, for a large ledger.
 * @throws Failure `ledger-key`, `wrong-use` for unusable arguments; file system errors.
 */
export async function checkLedger(
  options: TrustedKeys & {
    readonly folder: string;
    readonly vouchedWitnesses?: number;
    readonly seen?: readonly string[];
    readonly progress?: (entries: number) => void;
    readonly threads?: number;
  },
): Promise<LedgerReport> {
  const { folder, roleKeys, vouchedWitnesses, seen = [], progress } = options;
  const trust = readKeys(options);
  const findings: Finding[] = [];
  const find = (code: Finding['code'], message: string, index?: number) => {
    if (findings.length < MOST_FINDINGS)
      findings.push(index === undefined ? { code, message } : { index, code, message });
  };

  const note = await readText(join(folder, 'checkpoint'));
  const cosigned = await readText(join(folder, 'checkpoint.cosigned'));
  const head = readCheckpoint('the checkpoint', note, trust, find);
  const earlier = [...(cosigned === null ? [] : [cosigned]), ...seen].map((text) =>
    readCheckpoint('an earlier checkpoint', text, trust, find),
  );

  // Roots are wanted at the sizes that somebody signed.
  const signed = [head, ...earlier].filter((item) => item !== null);
  const roots = new Map<number, string>([[0, EMPTY_ROOT]]);
  const wanted = new Set(signed.map(({ size }) => size));
  const frontier = new Frontier();
  const vouched = new Set<string>();
  const take = ({ leaves, faults, witnesses }: Examined): void => {
    const first = frontier.size;
    for (let at = 0; at < leaves.length; at += 64) {
      frontier.append(leaves.slice(at, at + 64) as Digest);
      if (wanted.has(frontier.size)) roots.set(frontier.size, frontier.root());
    }
    for (const { place, code, message } of faults) find(code, message, first + place);
    for (const vkey of witnesses) vouched.add(vkey);
    progress?.(frontier.size);
  };

  const { threads = (head?.size ?? 0) < WORTH_THREADS ? 0 : Math.min(availableParallelism(), MOST_THREADS) } = options;
  const examiners = openExaminers(roleKeys, threads);
  let leftOver = 0;
  try {
    const reading = readEntries(folder, head?.size ?? 0);
    const examining: Promise<Examined>[] = [];
    let chunk = await reading.next();
    for (; !chunk.done; chunk = await reading.next()) {
      const examined = examiners.examine(chunk.value);
      // Awaited in turn below; until then its failure is nobody’s unhandled one.
      examined.catch(() => undefined);
      examining.push(examined);
      if (examining.length >= examiners.atOnce) take(await examining.shift()!);
    }
    for (const examined of examining) take(await examined);
    leftOver = chunk.value;
  } finally {
    await examiners.close();
  }
  if (head) {
    const witnesses = vouchedWitnesses === undefined ? trust : vouchedFor(trust, [...vouched], vouchedWitnesses, find);
    checkQuorum(head, [note, cosigned], witnesses, find);
  }

  const size = frontier.size;
  if (head && size > head.size)
    find('log-long', `${size - head.size} entries after the ${head.size} that the checkpoint covers`);
  if (leftOver > 0) find('log-long', `${leftOver} bytes after entry ${size - 1} are no entry`);
  for (const { size: claimed, root } of signed) {
    const isHead = claimed === head?.size;
    if (claimed > size) find('log-short', `the log signed ${claimed} entries, here are ${size}`);
    else if (roots.get(claimed) !== root) {
      const index = (isHead ? await firstDifference(folder, claimed) : null) ?? undefined;
      const where = index === undefined ? '' : `; the first that differs from the tiles is ${index}`;
      find(
        isHead ? 'root-differs' : 'fork',
        `the first ${claimed} entries have the root ${roots.get(claimed)}, signed was ${root}${where}`,
        index,
      );
    }
  }
  return { ok: findings.length === 0, size, root: frontier.root(), findings };
}

/** The witnesses that the gateway names, in place of those that nobody brought. */
function vouchedFor(trust: Trust, vkeys: readonly string[], quorum: number, find: Find): Trust {
  const witnesses = vkeys.flatMap((vkey) => {
    const verifier = tryVerifier(vkey);
    return verifier?.type === COSIGNATURE ? [verifier] : [];
  });
  if (witnesses.length === 0)
    find('witness-unknown', 'no entry of the gateway names the key of its witness; name it yourself');
  return { ...trust, witnesses, quorum };
}

function tryVerifier(vkey: string): Verifier | null {
  try {
    return parseVerifier(vkey);
  } catch (thrown) {
    if (thrown instanceof Failure) return null;
    throw thrown;
  }
}

type Find = (code: Finding['code'], message: string, index?: number) => void;

function readCheckpoint(
  what: string,
  note: string | null,
  { logKey, witnesses }: Trust,
  find: Find,
): Checkpoint | null {
  if (note === null) {
    find('checkpoint-missing', 'the folder has no checkpoint');
    return null;
  }
  const opened = openCheckpoint(note, logKey, witnesses);
  if (opened.ok) return opened.checkpoint;
  find('checkpoint-forged', `${what} does not hold: ${opened.reason}`);
  return null;
}

/** The cosignatures must be on the tree that is shown, not on an older one; a signatory counts once. */
function checkQuorum({ size, root }: Checkpoint, notes: readonly (string | null)[], trust: Trust, find: Find): void {
  const by = new Set<string>();
  for (const note of notes) {
    const opened = note === null ? null : openCheckpoint(note, trust.logKey, trust.witnesses);
    if (!opened?.ok || opened.checkpoint.size !== size || opened.checkpoint.root !== root) continue;
    for (const { verifier } of opened.cosigned) by.add(verifier.identity);
  }
  if (by.size < trust.quorum)
    find('witness-quorum', `${by.size} of ${trust.quorum} witnesses have cosigned the ${size} entries`);
}

/* ---- one entry ------------------------------------------------------------------------------------------------ */

export interface ProofReport {
  readonly ok: boolean;
  /** What was proven, when it is; otherwise null. */
  readonly proven: { readonly index: number; readonly size: number; readonly entry: Entry } | null;
  readonly findings: readonly Finding[];
}

/**
 * Checks that an entry is in the log, by its proof (c2sp.org/tlog-proof) and trusted keys alone.
 * @param options.disclosed the body and its salt, where they are not erased.
 * @throws Failure `ledger-key`, `wrong-use` for unusable arguments.
 */
export async function checkProof(
  options: TrustedKeys & {
    readonly entry: Buffer;
    readonly proof: string;
    readonly disclosed?: { readonly body: string; readonly salt: string };
  },
): Promise<ProofReport> {
  const { entry: bytes, roleKeys, disclosed } = options;
  const trust = readKeys(options);
  const findings: Finding[] = [];
  const find: Find = (code, message, index) =>
    findings.push(index === undefined ? { code, message } : { index, code, message });

  const proof = parseProof(options.proof);
  const opened = openEntry(bytes);
  if (!proof) find('proof-form', 'the text is no tlog-proof');
  if (!opened.ok) find('entry-form', opened.reason);
  const head = proof && readCheckpoint('the checkpoint', proof.checkpoint, trust, find);
  if (!proof || !opened.ok || !head) return { ok: false, proven: null, findings };

  const { index, hashes } = proof;
  checkQuorum(head, [proof.checkpoint], trust, find);
  if (!checkInclusion({ leafHash: leafHash(bytes), index, size: head.size, proof: hashes, root: head.root })) {
    find('not-included', `the proof does not lead from entry ${index} to the root of the ${head.size}`, index);
  }
  const { faults } = examiner(roleKeys)(new Uint8Array(frameEntries([bytes])));
  for (const { code, message } of faults) find(code, message, index);
  if (disclosed && !checkBody(opened.entry, disclosed.body, disclosed.salt)) {
    find('body-differs', 'body and salt are not what the entry commits to', index);
  }
  const ok = findings.length === 0;
  return { ok, proven: ok ? { index, size: head.size, entry: opened.entry } : null, findings };
}
