/** The program of one examining thread: chunks in, what was found in each out, in order. */
import { parentPort, workerData } from 'node:worker_threads';
import type { RoleKeys } from './entry.ts';
import { examiner } from './examine.ts';

const examine = examiner(workerData as RoleKeys);
parentPort?.on('message', (framed: Uint8Array<ArrayBuffer>) => parentPort?.postMessage(examine(framed)));
