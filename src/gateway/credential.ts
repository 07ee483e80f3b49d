/**
 * Credentials of connectors. Each is sealed, together with the exact origin it may be sent to, to the one process that
 * uses it; so it passes through control unread and cannot be redirected. Kept open in memory for a minute at most.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Authority, ConnectorEntry } from '../authority/authority.ts';
import { addressOf } from '../authority/target.ts';
import { digestOf } from '../canonical.ts';
import type { Clock, Instant, Random } from '../clock.ts';
import { Failure } from '../errors.ts';
import { openBox, sealBox } from './box.ts';
import type { Address, Secret } from './perform/contract.ts';

const filled = z.string().min(1);
/** The shapes of a secret, one for each way to present one. */
export const SECRETS = {
  bearer: z.strictObject({ kind: z.literal('bearer'), token: filled }),
  basic: z.strictObject({ kind: z.literal('basic'), username: filled, password: z.string() }),
  bind: z.strictObject({ kind: z.literal('bind'), dn: filled, password: filled }),
  none: z.strictObject({ kind: z.literal('none') }),
} as const;
const AnySecret = z.discriminatedUnion('kind', [SECRETS.bearer, SECRETS.basic, SECRETS.bind, SECRETS.none]);
const Sealed = z.strictObject({ credential: z.string(), origin: z.string(), secret: AnySecret });

/** Address and trust anchor in one digest: another host, port, path or CA is another origin. */
export const originOf = ({ url, ca }: Address): string => digestOf({ url, ca });

/** The content of `secrets/NAME.sealed`. */
export const sealCredential = (
  credential: string,
  secret: Secret,
  address: Address,
  recipientPublicKey: string,
  random: Random,
): string => sealBox(JSON.stringify({ credential, origin: originOf(address), secret }), recipientPublicKey, random);

export interface Credentials {
  /** @throws Failure `credential-missing`: absent, sealed to somebody else, or for another origin. */
  of(connector: ConnectorEntry & { readonly name: string }): Promise<Secret>;
}

const CACHE_MS = 60_000;

interface Opened {
  readonly secret: Promise<Secret>;
  readonly until: Instant;
  readonly origin: string;
}

export function openCredentials(folder: string, boxKey: string, authority: () => Authority, clock: Clock): Credentials {
  const cache = new Map<string, Opened>();

  async function open(connector: ConnectorEntry & { readonly name: string }, origin: string): Promise<Secret> {
    const path = join(folder, `${connector.credential}.sealed`);
    const text = await readFile(path, 'utf8').catch((cause) => {
      throw new Failure(
        'credential-missing',
        `${connector.name} has no credential ${connector.credential}; bring it with \`writgate secret ${connector.credential}\``,
        { cause },
      );
    });
    const sealed = Sealed.parse(JSON.parse(openBox(text.trim(), boxKey)));
    if (sealed.credential !== connector.credential) {
      throw new Failure('credential-missing', `${path} holds ${sealed.credential}, not ${connector.credential}`);
    }
    if (sealed.origin !== origin) {
      throw new Failure(
        'credential-missing',
        `${connector.credential} was sealed for another address than ${connector.on} has now; bring it again`,
      );
    }
    return sealed.secret;
  }

  return {
    async of(connector) {
      const target = authority().targets[connector.on];
      if (!target) throw new Failure('credential-missing', `${connector.on} is no target`);
      const origin = originOf(addressOf(target));
      const cached = cache.get(connector.credential);
      if (cached && cached.until > clock.now() && cached.origin === origin) return cached.secret;
      // A hundred calls that come at once open it once; what did not open is not kept.
      const opened: Opened = { secret: open(connector, origin), until: clock.now() + CACHE_MS, origin };
      cache.set(connector.credential, opened);
      opened.secret.catch(() => {
        if (cache.get(connector.credential) === opened) cache.delete(connector.credential);
      });
      return opened.secret;
    },
  };
}
