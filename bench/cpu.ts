/** CPU time of other processes by what they do, from `/proc` (Linux; elsewhere nothing is told). */
import { readdirSync, readFileSync } from 'node:fs';

/** `USER_HZ` of proc_pid_stat(5): 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;

interface Process {
  readonly parent: number;
  readonly command: string;
  /** User and system time of it, and of its children that have ended and were waited for. */
  readonly ms: number;
}

function readProcesses(): Map<number, Process> {
  const processes = new Map<number, Process>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The name of the program stands in brackets and may hold anything; fields are counted behind it.
      const [, parent, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = rest.slice(9, 13).reduce((sum, field) => sum + Number(field), 0);
      const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
      processes.set(Number(name), { parent: Number(parent), command, ms: ticks * MS_PER_TICK });
    } catch {
      // It has ended meanwhile.
    }
  }
  return processes;
}

/** What a process does, by its id and command line and what its parent does; null: nothing that is counted. */
export type NameOf = (pid: number, command: string, parent: string | null) => string | null;

/** @returns milliseconds since each began, by name */
export function cpuByName(nameOf: NameOf): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  if (process.platform !== 'linux') return sums;
  const processes = readProcesses();
  const nameAt = (pid: number): string | null => {
    const found = processes.get(pid);
    return found ? nameOf(pid, found.command, nameAt(found.parent)) : null;
  };
  for (const [pid, { ms }] of processes) {
    const name = nameAt(pid);
    if (name !== null) sums.set(name, (sums.get(name) ?? 0) + ms);
  }
  return sums;
}
