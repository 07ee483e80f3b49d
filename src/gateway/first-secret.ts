/**
 * First secrets of new accounts. The gateway makes one, puts it into the call that makes the account, and seals it at
 * once to whoever the signed authority names for delivery (`delivery`): the help desk, say, whose private key is nowhere
 * on this server. What peers of the socket and the database hold is ciphertext, and only who opened it can say so: a
 * receipt lies inside, and with it the gateway forgets the secret.
 */
import { z } from 'zod';
import type { Authority } from '../authority/authority.ts';
import { canonical, sha256 } from '../canonical.ts';
import { type Clock, isoTime, type Random } from '../clock.ts';
import { Failure } from '../errors.ts';
import type { Leaf } from '../plan/change.ts';
import type { Database } from '../store/database.ts';
import { openBox, sealBox } from './box.ts';

/** What the recipient finds when he has opened it: whose it is stands inside, as the gateway knows it. */
const Delivery = z.strictObject({
  v: z.literal(1),
  system: z.string(),
  login: z.string(),
  /** The attested record on which the account was made. */
  subject: z.strictObject({ feed: z.string(), key: z.string() }).nullable(),
  name: z.string().nullable(),
  secret: z.string(),
  /** Shown to the gateway, it ends the secret's keeping. */
  receipt: z.string(),
});
export type Delivery = z.output<typeof Delivery>;

export interface FirstSecret {
  readonly secret: string;
  /** The account was made, or may have been: kept until it is delivered. */
  keep(): Promise<void>;
}

export interface FirstSecrets {
  /** Sealed before the call is made, so that a key to which nothing can be sealed stops it. */
  make(leaf: Leaf): Promise<FirstSecret>;
  /**
   * Ciphertext, to whoever asks and as often as he asks.
   * @throws Failure `not-found` when none waits, `credential-missing` when the authority names nobody to seal it to
   */
  sealed(system: string, login: string): Promise<string>;
  /** @throws Failure `wrong-use` when the receipt is not the one inside */
  delivered(system: string, login: string, receipt: string): Promise<void>;
}

export function openFirstSecrets(world: {
  readonly database: Database;
  readonly authority: () => Authority;
  /** This gateway's own box key, for what is made while nobody is named for delivery. */
  readonly own: { readonly privatePem: string; readonly publicKey: string };
  /** Seals it to the verifier too, who presents it again after a removal. @returns what leaves it for him */
  readonly tellVerifier: (system: string, login: string, secret: string) => Promise<() => Promise<void>>;
  readonly clock: Clock;
  readonly random: Random;
}): FirstSecrets {
  const { database, authority, own, clock, random } = world;
  const key = (system: string, login: string) => [authority().tenant, system, login];

  return {
    async make(leaf) {
      const { system, object: login } = leaf;
      const secret = random(18).toString('base64url');
      const receipt = random(18).toString('base64url');
      const delivery: Delivery = {
        v: 1,
        system,
        login,
        subject: leaf.subject,
        name: leaf.value?.['displayName'] ?? null,
        secret,
        receipt,
      };
      const recipient = authority().delivery;
      const sealed = sealBox(canonical(delivery), recipient ?? own.publicKey, random);
      const tell = await world.tellVerifier(system, login, secret);
      return {
        secret,
        async keep() {
          await database.query(
            `insert into first_secret (tenant, system, login, sealed, receipt, made_at) values ($1, $2, $3, $4, $5, $6)
             on conflict (tenant, system, login)
             do update set sealed = excluded.sealed, receipt = excluded.receipt, made_at = excluded.made_at`,
            [...key(system, login), sealed, recipient === undefined ? null : sha256(receipt), isoTime(clock.now())],
          );
          await tell();
        },
      };
    },

    async sealed(system, login) {
      const row = await database.maybe<{ sealed: string; receipt: string | null }>(
        'select sealed, receipt from first_secret where tenant = $1 and system = $2 and login = $3',
        key(system, login),
      );
      if (!row) {
        throw new Failure(
          'not-found',
          `no first secret of ${login} on ${system} waits: none was made, or it was delivered`,
        );
      }
      if (row.receipt !== null) return row.sealed;
      // Made while nobody was named: it waits here, sealed to this gateway, and goes to whoever is named by now.
      const recipient = authority().delivery;
      if (recipient === undefined) {
        throw new Failure(
          'credential-missing',
          `the authority names nobody to deliver first secrets; add to writgate.yaml what \`writgate delivery FILE\` prints, and let it be approved; that of ${login} on ${system} is kept until then`,
        );
      }
      const text = openBox(row.sealed, own.privatePem);
      // Before there was a receipt, the secret alone was kept.
      const delivery: Delivery = text.startsWith('{')
        ? Delivery.parse(JSON.parse(text))
        : { v: 1, system, login, subject: null, name: null, secret: text, receipt: random(18).toString('base64url') };
      const sealed = sealBox(canonical(delivery), recipient, random);
      await database.query(
        `update first_secret set sealed = $4, receipt = $5
          where tenant = $1 and system = $2 and login = $3 and receipt is null and sealed = $6`,
        [...key(system, login), sealed, sha256(delivery.receipt), row.sealed],
      );
      return this.sealed(system, login);
    },

    async delivered(system, login, receipt) {
      const gone = await database.query(
        'delete from first_secret where tenant = $1 and system = $2 and login = $3 and receipt = $4 returning 1',
        [...key(system, login), sha256(receipt)],
      );
      if (gone.length === 0)
        throw new Failure('wrong-use', `that is no receipt for the first secret of ${login} on ${system}`);
    },
  };
}

/**
 * Opens what the gateway sealed, where the private key is.
 * @throws Failure `credential-missing` for another key, `wrong-use` when it is somebody else's secret
 */
export function openDelivery(
  sealed: string,
  privatePem: string,
  asked: { readonly system: string; readonly login: string },
): Delivery {
  const delivery = Delivery.parse(JSON.parse(openBox(sealed, privatePem)));
  if (delivery.system !== asked.system || delivery.login !== asked.login) {
    throw new Failure(
      'wrong-use',
      `what came is the first secret of ${delivery.login} on ${delivery.system}, and not that of ${asked.login} on ${asked.system}`,
    );
  }
  return delivery;
}
