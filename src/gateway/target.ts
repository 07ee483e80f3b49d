/** The open connections to targets. The gateway's are its own, the verifier's are its own: nobody shares a pool. */
import type { Authority } from '../authority/authority.ts';
import { protocolOf } from '../authority/authority.ts';
import { isLoopback } from '../authority/loopback.ts';
import { addressOf } from '../authority/target.ts';
import { digestOf } from '../canonical.ts';
import type { Call, Reply } from '../connector/contract.ts';
import { originOf } from './credential.ts';
import type { Address, Performer, Secret } from './perform/contract.ts';

export interface Targets {
  perform(system: string, call: Call, secret: Secret): Promise<Reply>;
  /** Presents a login's own secret: was it let in? null: there is no way to present one. */
  present(system: string, login: string, password: string): Promise<'accepted' | 'refused' | 'unknown' | null>;
  close(): Promise<void>;
}

/** @param loopbackOnly a trust root made with `--demo` opens nothing beyond this machine */
export function openTargets(
  performers: Readonly<Record<string, (address: Address) => Promise<Performer>>>,
  authority: () => Authority,
  loopbackOnly: () => boolean,
): Targets {
  const open = new Map<string, { origin: string; performer: Promise<Performer> }>();

  async function performerOf(system: string): Promise<Performer | string> {
    const target = authority().targets[system];
    if (!target) return `${system} is no target`;
    const address = addressOf(target);
    if (loopbackOnly() && !(isLoopback(address.url) && isLoopback(address.signIn?.url ?? address.url))) {
      return `${system} is not on this machine, and a trust root made with --demo opens nothing else`;
    }
    const origin = digestOf([originOf(address), address.signIn ?? null]);
    const known = open.get(system);
    if (known?.origin === origin) return known.performer;
    void known?.performer.then((old) => old.close()).catch(() => undefined);
    const opener = performers[protocolOf(target)];
    if (!opener) return `no way to speak ${protocolOf(target)}`;
    const performer = opener(address);
    open.set(system, { origin, performer });
    return performer;
  }

  return {
    async perform(system, call, secret) {
      const performer = await performerOf(system);
      return typeof performer === 'string' ? { kind: 'down', message: performer } : performer.perform(call, secret);
    },
    async present(system, login, password) {
      const performer = await performerOf(system);
      if (typeof performer === 'string') return 'unknown';
      return performer.present ? performer.present(login, password) : null;
    },
    async close() {
      const opened = await Promise.allSettled([...open.values()].map(({ performer }) => performer));
      await Promise.all(opened.map((one) => (one.status === 'fulfilled' ? one.value.close() : undefined)));
    },
  };
}
