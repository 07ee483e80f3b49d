/**
 * First secrets of new accounts. One is kept before it is sent, because an account that was made by a gateway which died
 * before the answer has this secret and no other; and it is delivered once.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../canonical.ts';
import { type Clock, isoTime, type Random } from '../clock.ts';
import type { Database } from '../store/database.ts';
import { openBox, sealBox } from './box.ts';

const SECRET_BYTES = 18;

export interface FirstSecret {
  readonly secret: string;
  /** Before it is sent. One that is held already stays: an earlier attempt may have made the account with it. */
  hold(): Promise<void>;
  /** The account was made with it: kept until it is delivered, and the verifier will present it again after a removal. */
  keep(): Promise<void>;
  /** Certainly nothing was made with it. */
  forget(): Promise<void>;
}

export interface FirstSecrets {
  /** For one attempt to make an account, or to let it in again. */
  make(system: string, login: string): FirstSecret;
  /** Once: then it is gone. null: none waits. */
  deliver(system: string, login: string): Promise<string | null>;
}

export const firstSecretPath = (folder: string, system: string, login: string): string =>
  join(folder, `${sha256(`${system}\u0000${login}`).slice(0, 32)}.sealed`);

export function openFirstSecrets(world: {
  readonly database: Database;
  readonly tenant: string;
  /** Where the verifier finds what was sealed to it. */
  readonly folder: string;
  readonly boxes: { readonly own: string; readonly ownPublic: string; readonly verifier: string };
  readonly clock: Clock;
  readonly random: Random;
}): FirstSecrets {
  const { database, tenant, folder, boxes, clock, random } = world;
  const which = (system: string, login: string) => [tenant, system, login];

  return {
    make(system, login) {
      const secret = random(SECRET_BYTES).toString('base64url');
      const sealed = sealBox(secret, boxes.ownPublic, random);
      const row = () => [...which(system, login), sealed, isoTime(clock.now())];
      const insert = 'insert into first_secret (tenant, system, login, sealed, made_at) values ($1, $2, $3, $4, $5)';
      return {
        secret,
        async hold() {
          await database.query(`${insert} on conflict do nothing`, row());
        },
        async keep() {
          await database.query(
            `${insert} on conflict (tenant, system, login) do update set sealed = excluded.sealed, made_at = excluded.made_at`,
            row(),
          );
          await mkdir(folder, { recursive: true, mode: 0o700 });
          const forVerifier = sealBox(secret, boxes.verifier, random);
          await writeFile(firstSecretPath(folder, system, login), forVerifier, { mode: 0o600 });
        },
        async forget() {
          await database.query(
            'delete from first_secret where tenant = $1 and system = $2 and login = $3 and sealed = $4',
            [...which(system, login), sealed],
          );
        },
      };
    },
    async deliver(system, login) {
      const row = await database.maybe<{ sealed: string }>(
        'delete from first_secret where tenant = $1 and system = $2 and login = $3 returning sealed',
        which(system, login),
      );
      return row && openBox(row.sealed, boxes.own);
    },
  };
}
