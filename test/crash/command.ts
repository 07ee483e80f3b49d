/** The command line as a person has it: a process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/clock.ts';

const CLI = fileURLToPath(new URL('../../bin/writgate.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly said: string;
}

export function command(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const env = { PATH: process.env['PATH'], ...environment };
  const child: ChildProcess = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes) => (said += bytes));
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, said }));
  return { child, ended };
}

/** A person who is told that roles are still on their way out tries again. */
export async function until(codes: readonly number[], args: readonly string[]): Promise<Ended> {
  for (let again = 0; ; again++) {
    const ended = await command(args).ended;
    if (codes.includes(ended.code ?? -1) || again === 20) return ended;
    await systemClock.sleep(500);
  }
}
