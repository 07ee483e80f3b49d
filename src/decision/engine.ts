/**
 * The Cedar engine: 4 MB of WebAssembly, loaded in one place because V8 has to be told something first.
 *
 * By itself V8 optimises, in threads beside ours, each function of it that has run a little. Reading twenty policies at a
 * start is enough for that, and takes 0.8 s of processor time for code that then runs no more: 1.1 s in place of 0.3 s
 * (Node 20.20). With a hundredfold budget it optimises what is in use all day, and not what a start passes through. A
 * V8 that does not know the flag says so on stderr and goes on.
 */
import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--wasm-tiering-budget=200000000');
export const cedar: typeof import('@cedar-policy/cedar-wasm/nodejs') = createRequire(import.meta.url)(
  '@cedar-policy/cedar-wasm/nodejs',
);
