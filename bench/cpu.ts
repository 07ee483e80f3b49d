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

/** What a process does, by its id and command line; null: what its parent does. */
export type NameOf = (pid: number, command: string) => string | null;

/** @returns milliseconds since each began, by name; processes that nobody names, nor their ancestors, are left out */
export function cpuByName(nameOf: NameOf): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  if (process.platform !== 'linux') return sums;
  const processes = readProcesses();
  for (const [own, { ms }] of processes) {
    let name: string | null = null;
    for (let pid = own, at = processes.get(pid); at && name === null; pid = at.parent, at = processes.get(pid)) {
      name = nameOf(pid, at.command);
    }
    if (name !== null) sums.set(name, (sums.get(name) ?? 0) + ms);
  }
  return sums;
}
