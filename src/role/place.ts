/** Where things lie in a data folder, and the sockets of the roles. */
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { sha256 } from '../canonical.ts';

export interface Place {
  readonly folder: string;
  readonly ledger: string;
  readonly snapshots: string;
  readonly secrets: string;
  /** First secrets of new accounts, sealed to the verifier, who presents them again after a removal. */
  readonly firstSecrets: string;
  /** What a role without a database of its own has believed before (`trust/memory.ts`), beside its keys. */
  readonly memory: (role: 'control' | 'verifier' | 'worker') => string;
  readonly socket: (role: 'control' | 'gateway' | 'verifier' | 'worker' | 'api') => string;
}

export function placeOf(folder: string): Place {
  const absolute = resolve(folder);
  // A Unix socket's path has at most 107 bytes, and nobody chooses his folders for that.
  const sockets = join(tmpdir(), `writgate-${userInfo().uid}-${sha256(absolute).slice(0, 12)}`);
  return {
    folder: absolute,
    ledger: join(absolute, 'ledger'),
    snapshots: join(absolute, 'snapshots'),
    secrets: join(absolute, 'secrets'),
    firstSecrets: join(absolute, 'first-secrets'),
    memory: (role) => join(absolute, role, 'heads.json'),
    socket: (role) => join(sockets, `${role}.sock`),
  };
}

export const firstSecretPath = (folder: string, system: string, login: string): string =>
  join(folder, `${sha256(`${system}\u0000${login}`).slice(0, 32)}.sealed`);
