/**
 * The offline checker: needs the ledger's folder and public keys, and neither Writgate nor a database.
 *
 * It believes nothing but the keys it is given. It hashes every entry again, compares with what the log signed and the
 * witnesses cosigned, and reads every entry strictly. What it finds it tells; only unusable arguments throw.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { checkBody, type Entry, openEntry, type RoleKeys } from './entry.ts';
import { type Examined, examiner, openExaminers } from './examine.ts';
import { COSIGNATURE, parseVerifier, type Verifier } from './note.ts';
import { parseProof } from './proof.ts';
import { frameEntries, measureEntries, TILE_WIDTH, tilePath } from './tile.ts';
import { TiledTree } from './tiled.ts';
import { checkInclusion, EMPTY_ROOT, leafHash } from './tree.ts';

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
    | 'tile-differs' // a static file is not what the entries make it
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

/** @param bundles is filled with the offsets at which bundles start in the entries file; left empty without that file */
async function* readEntries(folder: string, size: number, bundles: number[]): Framed {
  const file = await open(join(folder, 'entries'), 'r').catch(orNull);
  if (!file) return yield* readBundles(folder, size);
  bundles.push(0);
  let count = 0;
  try {
    for (let position = 0; ; ) {
      // Memory of its own each time: it is given to a thread.
      const chunk = new Uint8Array(READ_BYTES);
      const { bytesRead } = await file.read(chunk, 0, READ_BYTES, position);
      const { whole } = measureEntries(chunk.subarray(0, bytesRead), Number.POSITIVE_INFINITY, (end) => {
        count += 1;
        if (count % TILE_WIDTH === 0 || count === size) bundles.push(position + end);
      });
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
    const tile = readTile(folder, tilePath('entries', bundle, width));
    const bytes = new Uint8Array(tile?.bytes ?? []);
    const { count, whole } = measureEntries(bytes, width);
    if (count > 0) yield bytes.subarray(0, whole);
    if (count < width || (bytes.length > whole && !tile?.goesOn)) return bytes.length - whole;
  }
  return 0;
}

/** Null where there is none. At once: a ledger has two small files for each 256 entries, and waiting costs more. */
function fileBytes(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (thrown) {
    return orNull(thrown as NodeJS.ErrnoException);
  }
}

/** A partial tile may have been replaced by the full one, of which it is the beginning: then `goesOn`. */
function readTile(folder: string, path: string): { bytes: Buffer; goesOn: boolean } | null {
  const own = fileBytes(join(folder, path));
  if (own || !path.includes('.p/')) return own && { bytes: own, goesOn: false };
  const full = fileBytes(join(folder, path.replace(/\.p\/\d+$/, '')));
  return full && { bytes: full, goesOn: true };
}

/* ---- the static files, which the entries make ----------------------------------------------------------------- */

interface Difference {
  readonly path: string;
  /** Of the first byte that differs; null: the file is missing. */
  readonly offset: number | null;
}

/** Where a static file first differs from what it should be; null where it does not. */
function differs(folder: string, path: string, bytes: Buffer): Difference | null {
  const found = readTile(folder, path);
  if (found === null) return { path, offset: null };
  const same = found.goesOn ? found.bytes.subarray(0, bytes.length) : found.bytes;
  if (same.equals(bytes)) return null;
  let offset = 0;
  while (offset < same.length && same[offset] === bytes[offset]) offset += 1;
  return { path, offset };
}

/** The bundles, compared with the entries file. */
function* bundleDifferences(folder: string, size: number, bundles: readonly number[]): Generator<Difference> {
  const file = openSync(join(folder, 'entries'), 'r');
  try {
    for (let bundle = 0; bundle * TILE_WIDTH < size && bundle + 1 < bundles.length; bundle += 1) {
      const [start, end] = [bundles[bundle]!, bundles[bundle + 1]!];
      const bytes = Buffer.allocUnsafe(end - start);
      readSync(file, bytes, 0, bytes.length, start);
      const width = Math.min(TILE_WIDTH, size - bundle * TILE_WIDTH);
      const found = differs(folder, tilePath('entries', bundle, width), bytes);
      if (found) yield found;
    }
  } finally {
    closeSync(file);
  }
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
  const earlier = [
    ...(cosigned === null ? [] : [readCheckpoint('checkpoint.cosigned', cosigned, trust, find)]),
    ...seen.map((text) => readCheckpoint('an earlier checkpoint', text, trust, find)),
  ];

  // Roots are wanted at the sizes that somebody signed.
  const signed = [head, ...earlier].filter((item) => item !== null);
  const roots = new Map<number, string>([[0, EMPTY_ROOT]]);
  const wanted = [...new Set(signed.map(({ size }) => size))].sort((a, b) => a - b);
  const tree = new TiledTree();
  const vouched = new Set<string>();
  const hasTiles = (await readdir(join(folder, 'tile')).catch(orNull)) !== null;
  const differences: Difference[] = [];
  function compareTiles(tiles: readonly [path: string, bytes: Buffer][]): void {
    for (const [path, bytes] of tiles) {
      const found = hasTiles ? differs(folder, path, bytes) : null;
      if (found && differences.length < MOST_FINDINGS) differences.push(found);
      tree.saved(path);
    }
  }
  function take({ leaves, faults, witnesses }: Examined): void {
    const first = tree.size;
    const count = leaves.length / 64;
    const hashes = Array.from({ length: count }, (_, at) => leaves.slice(at * 64, at * 64 + 64) as Digest);
    const stops = wanted.filter((size) => size > first && size <= first + count);
    for (const stop of [...stops, first + count]) {
      tree.commit(tree.grow(hashes.slice(tree.size - first, stop - first)));
      roots.set(stop, tree.root());
      if (stop === head?.size) compareTiles(tree.partials());
      if (head && stop <= head.size) compareTiles(tree.unsaved());
    }
    for (const { place, code, message } of faults) find(code, message, first + place);
    for (const vkey of witnesses) vouched.add(vkey);
    progress?.(tree.size);
  }

  const { threads = (head?.size ?? 0) < WORTH_THREADS ? 0 : Math.min(availableParallelism(), MOST_THREADS) } = options;
  const examiners = openExaminers(roleKeys, threads);
  const bundles: number[] = [];
  let leftOver = 0;
  try {
    const reading = readEntries(folder, head?.size ?? 0, bundles);
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

  const size = tree.size;
  if (head && size > head.size)
    find('log-long', `${size - head.size} entries after the ${head.size} that the checkpoint covers`);
  if (leftOver > 0) find('log-long', `${leftOver} bytes after entry ${size - 1} are no entry`);
  for (const { size: claimed, root } of signed) {
    const isHead = claimed === head?.size;
    if (claimed > size) find('log-short', `the log signed ${claimed} entries, here are ${size}`);
    else if (roots.get(claimed) !== root) {
      const index = isHead ? firstDifferent(differences) : undefined;
      const where =
        index === undefined
          ? ''
          : `; the first that differs from the tiles is ${index}, in ${bundles.length > 0 ? 'entries' : tilePath('entries', Math.floor(index / TILE_WIDTH))}`;
      find(
        isHead ? 'root-differs' : 'fork',
        `the first ${claimed} entries have the root ${roots.get(claimed)}, signed was ${root}${where}`,
        index,
      );
    } else if (isHead) {
      // The entries are those that were signed: whatever differs from them is at fault itself.
      if (hasTiles && bundles.length > 0)
        for (const found of bundleDifferences(folder, claimed, bundles)) differences.push(found);
      for (const { path, offset } of differences)
        find(
          'tile-differs',
          offset === null ? `${path} is missing` : `${path} is not what the entries make it, from byte ${offset}`,
        );
    }
  }
  return { ok: findings.length === 0, size, root: tree.root(), findings };
}

/** The first entry that is another one than the tiles of the lowest level say. */
function firstDifferent(differences: readonly Difference[]): number | undefined {
  const indexes = differences.flatMap(({ path, offset }) => {
    const [, groups] = /^tile\/0\/([x0-9/]+)/.exec(path) ?? [];
    if (groups === undefined || offset === null) return [];
    return Number(groups.replace(/[x/]/g, '')) * TILE_WIDTH + Math.floor(offset / 32);
  });
  return indexes.length === 0 ? undefined : Math.min(...indexes);
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
