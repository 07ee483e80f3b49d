/**
 * The worker role: drives connectors' generators, each in its own confined process, and holds nothing but a token of
 * minutes. Each call goes to the gateway, which judges it from the call alone.
 */
import { type Authority, protocolOf } from '../authority/authority.ts';
import { optionsOf } from '../authority/target.ts';
import { type PerformCall, probeConfinement, type Runner } from '../connector/confinement.ts';
import type { Call, Observed, Reply, Task } from '../connector/contract.ts';
import type { Connection, Handlers, Listener, Peer } from '../connector/pipe.ts';
import { Failure, hasCode } from '../errors.ts';
import { believe, fileMemory } from '../trust/memory.ts';
import type { Outside } from './outside.ts';
import { placeOf } from './place.ts';

interface Token {
  readonly token: string;
  readonly expiresAt: number;
  readonly peer: Peer;
}

export async function startWorker(folder: string, outside: Outside): Promise<Listener> {
  const { clock, network } = outside;
  const place = placeOf(folder);
  const memory = fileMemory(place.memory('worker'));
  let { authority } = await believe(folder, clock.now(), memory);
  const runners = new Map<string, Runner>();
  const tokens = new Map<string, Token>();
  let gateway: Promise<Peer> | null = null;

  function gatewayPeer(): Promise<Peer> {
    if (gateway) return gateway;
    const connecting = network.connect(place.socket('gateway'));
    gateway = connecting;
    const forget = () => {
      if (gateway === connecting) gateway = null;
    };
    connecting.then((peer) => peer.closed.then(forget), forget);
    return connecting;
  }

  async function tokenOf(connector: string): Promise<Token> {
    const peer = await gatewayPeer();
    const held = tokens.get(connector);
    if (held && held.peer === peer && held.expiresAt - clock.now() > 10_000) return held;
    const issued = (await peer.request('token', { connector })) as { token: string; expiresAt: number };
    const token = { ...issued, peer };
    tokens.set(connector, token);
    return token;
  }

  function performAs(connector: string, writ: string | null, refusedWith: (code: string) => void): PerformCall {
    return async (call: Call): Promise<Reply> => {
      for (let attempt = 0; ; attempt++) {
        try {
          const { token, peer } = await tokenOf(connector);
          const reply = (await peer.request('call', { token, writ, call })) as Reply;
          if (reply.kind === 'refused') refusedWith(reply.code);
          return reply;
        } catch (thrown) {
          tokens.delete(connector);
          if (hasCode(thrown, 'token-refused') && attempt === 0) continue;
          // The connection broke while the call was on its way: it may have been made.
          if (hasCode(thrown, 'peer-lost')) return { kind: 'lost', message: 'the gateway went away' };
          throw thrown;
        }
      }
    };
  }

  const targetOf = (authority: Authority, name: string) => {
    const connector = authority.connectors[name];
    const target = connector && authority.targets[connector.on];
    if (!target) throw new Failure('not-found', `no connector ${name}`);
    return { kind: protocolOf(target), options: optionsOf(target) };
  };

  function runnerOf(name: string): Runner {
    let runner = runners.get(name);
    if (!runner) {
      runner = network.startRunner(targetOf(authority, name).kind);
      runners.set(name, runner);
    }
    return runner;
  }

  const handlers = (connection: Connection): Handlers => ({
    ping: () => ({ role: 'worker', confinement: probeConfinement() }),
    reload: async () => {
      ({ authority } = await believe(folder, clock.now(), memory));
      for (const runner of runners.values()) await runner.stop();
      runners.clear();
    },
    apply: async (params) => {
      const { connector, writ, task } = params as { connector: string; writ: string; task: Task };
      let refusal: string | null = null;
      const perform = performAs(connector, writ, (code) => {
        refusal = code;
      });
      const receipt = await runnerOf(connector).apply(targetOf(authority, connector).options, task, perform);
      // A refused read that the connector got round is no refusal of the task.
      return { receipt, refusal: receipt.outcome === 'refused' ? refusal : null };
    },
    observe: async (params) => {
      const { connector, id } = params as { connector: string; id: number };
      const perform = performAs(connector, null, () => undefined);
      await runnerOf(connector).observe(
        targetOf(authority, connector).options,
        perform,
        async (observed: readonly Observed[]) => {
          await connection.peer().request('observed', { id, observed });
        },
      );
      return { whole: true };
    },
  });
  const listener = await network.listen(place.socket('worker'), handlers);
  return {
    async close() {
      await listener.close();
      await Promise.all([...runners.values()].map((runner) => runner.stop()));
      (await gateway?.catch(() => null))?.close();
    },
  };
}
