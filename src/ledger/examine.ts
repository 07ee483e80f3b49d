/**
 * What is checked of each entry by itself: its form, its role’s signature, and its leaf hash for the tree. This is what
 * takes the time of a check, and no entry needs another for it, so threads share it.
 */
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type Role, type RoleKeys, signatureOf, splitEntry } from './entry.ts';
import { signatureChecker } from './joint.ts';
import { splitEntries } from './tile.ts';
import { leafHash } from './tree.ts';

export interface Examined {
  /** Leaf hashes in order, 64 hex digits each. */
  readonly leaves: string;
  readonly faults: readonly {
    /** In this chunk, from 0. */
    readonly place: number;
    readonly code: 'entry-form' | 'entry-signature';
    readonly message: string;
  }[];
  /** vkeys that the gateway vouches for as its witness, with its own signature. */
  readonly witnesses: readonly string[];
}

/** @param framed whole entries, framed as in a bundle */
export type Examine = (framed: Uint8Array<ArrayBuffer>) => Examined;

export function examiner(roleKeys: RoleKeys): Examine {
  const checkers = new Map(
    Object.entries(roleKeys).map(([role, keys]) => [role as Role, keys.map((key) => signatureChecker(key))]),
  );
  return (framed) => {
    const faults: Examined['faults'][number][] = [];
    const witnesses: string[] = [];
    const { entries } = splitEntries(Buffer.from(framed.buffer, framed.byteOffset, framed.byteLength));
    let leaves = '';
    for (const [place, bytes] of entries.entries()) {
      leaves += leafHash(bytes);
      const parts = splitEntry(bytes);
      if (typeof parts === 'string') {
        faults.push({ place, code: 'entry-form', message: parts });
        continue;
      }
      const signed = signatureOf(parts);
      if (signed === null) continue;
      if (!checkers.get(signed.by)?.some((check) => check(signed.text, signed.signature))) {
        faults.push({ place, code: 'entry-signature', message: `not signed by a known key of the ${signed.by}` });
      } else if (parts.kind === 'gateway.witness' && signed.by === 'gateway') {
        const { witness } = JSON.parse(parts.refs) as { readonly witness?: string };
        if (witness !== undefined) witnesses.push(witness);
      }
    }
    return { leaves, faults, witnesses };
  };
}

export interface Examiners {
  /** How many chunks are worth handing out before the first is answered. */
  readonly atOnce: number;
  /** The chunk is given away: its memory is the examiner’s. @throws what ended the thread */
  examine(framed: Uint8Array<ArrayBuffer>): Promise<Examined>;
  close(): Promise<void>;
}

/** Compiled beside this file; running from sources there is none, and then this thread does the work. */
const PROGRAM = new URL('./examine-thread.js', import.meta.url);

/** @param threads 0: in this thread */
export function openExaminers(roleKeys: RoleKeys, threads: number): Examiners {
  if (threads === 0 || !existsSync(PROGRAM)) {
    const examine = examiner(roleKeys);
    return { atOnce: 1, examine: async (framed) => examine(framed), close: async () => undefined };
  }
  interface Asked {
    readonly resolve: (examined: Examined) => void;
    readonly reject: (cause: unknown) => void;
  }
  const workers = Array.from({ length: threads }, () => {
    const worker = new Worker(PROGRAM, { workerData: roleKeys });
    const asked: Asked[] = [];
    let ended: unknown = null;
    worker.on('message', (examined: Examined) => asked.shift()?.resolve(examined));
    const end = (cause: unknown): void => {
      ended ??= cause;
      for (const { reject } of asked.splice(0)) reject(cause);
    };
    worker.on('error', end);
    worker.on('exit', (code) => end(new Error(`an examining thread ended with ${code}`)));
    const examine = (framed: Uint8Array<ArrayBuffer>): Promise<Examined> =>
      new Promise((resolve, reject) => {
        if (ended !== null) return reject(ended);
        asked.push({ resolve, reject });
        worker.postMessage(framed, [framed.buffer]);
      });
    return { worker, examine };
  });
  let turn = 0;
  return {
    // One under way and one waiting, so that none stands idle while the tree is built here.
    atOnce: threads * 2,
    examine: (framed) => workers[turn++ % threads]!.examine(framed),
    close: async () => {
      await Promise.all(workers.map(({ worker }) => worker.terminate()));
    },
  };
}
