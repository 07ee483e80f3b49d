/**
 * The verifier role: looks whether it is true, with credentials and a signing key of its own. It can read and nothing
 * else: its calls are classified by the same catalogues, and whatever is not a read is refused before it leaves.
 */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { type Authority, protocolOf } from '../authority/authority.ts';
import { nameOnSystem, optionsOf } from '../authority/target.ts';
import { digestOf } from '../canonical.ts';
import type { PerformCall, Runner } from '../connector/confinement.ts';
import type { Question, Reply, Sighting } from '../connector/contract.ts';
import type { Handlers, Listener, Peer } from '../connector/pipe.ts';
import { Failure } from '../errors.ts';
import { openBox } from '../gateway/box.ts';
import { openCredentials } from '../gateway/credential.ts';
import { checkScope, connectorFor } from '../gateway/scope.ts';
import { openTargets } from '../gateway/target.ts';
import { parseVerifier } from '../ledger/note.ts';
import { openScribe, type Submit } from '../ledger/scribe.ts';
import { isMechanism } from '../plan/change.ts';
import type { InForce } from '../trust/force.ts';
import { readKey, readKeyText } from '../trust/key.ts';
import { believe, fileMemory } from '../trust/memory.ts';
import {
  judge,
  judgePresented,
  type Looked,
  type LookOrder,
  pausesMs,
  signVerification,
  type VerificationBody,
} from '../verification/look.ts';
import { ADDING } from '../writ/tuple.ts';
import { rawPublicKey } from '../writ/writ.ts';
import { publishBox } from './box.ts';
import type { Outside } from './outside.ts';
import { firstSecretPath, placeOf } from './place.ts';
import { CATALOGUES } from './protocol.ts';

export async function startVerifier(folder: string, outside: Outside): Promise<Listener> {
  const { clock, random, network } = outside;
  const place = placeOf(folder);
  const key = await readKey(folder, 'verifier');
  const boxKey = await readKeyText(folder, 'verifierBox');
  const memory = fileMemory(place.memory('verifier'));
  const readSigned = (): Promise<InForce> =>
    believe(folder, clock.now(), memory, ({ trustRoot }) => {
      if (rawPublicKey(key) !== trustRoot.verifierKey) {
        throw new Failure('authority-invalid', 'this verifier’s key is not the one in the trust root');
      }
    });
  let inForce = await readSigned();
  await publishBox(folder, 'verifier', boxKey, key);
  const authority = (): Authority => inForce.authority;
  const targets = openTargets(network.performers, authority, () => inForce.trustRoot.demo);
  const credentials = openCredentials(place.secrets, boxKey, authority, clock);
  const runners = new Map<string, Runner>();
  let control: Peer | null = null;
  const submit: Submit = async (submissions, again) => {
    if (control === null) {
      const peer = await network.connect(place.socket('control'));
      void peer.closed.then(() => {
        if (control === peer) control = null;
      });
      control = peer;
    }
    return (await control.request('ledger.submit', { submissions, again })) as Awaited<ReturnType<Submit>>;
  };
  const scribe = openScribe({
    role: 'verifier',
    tenant: inForce.authority.tenant,
    key,
    logKey: parseVerifier(inForce.trustRoot.logKey),
    submit,
    journal: null,
    seen: () => undefined,
    clock,
    random,
  });

  function readerOf(system: string): { perform: PerformCall; runner: Runner } | string {
    const target = authority().targets[system];
    const connector = connectorFor(authority(), system, 'verify');
    if (!target || !connector) return `no connector may verify ${system}`;
    const catalogue = CATALOGUES[protocolOf(target)];
    const perform: PerformCall = async (call): Promise<Reply> => {
      const classification = catalogue.classify(call, optionsOf(target));
      if (!classification.ok) return { kind: 'refused', code: 'not-classified', message: classification.reason };
      const { classified } = classification;
      if (classified.effect !== 'read') {
        return {
          kind: 'refused',
          code: 'out-of-scope',
          message: `a verifier only reads, this is ${classified.operation}`,
        };
      }
      const scope = checkScope(connector, classified.operation, 'read', null);
      if (!scope.ok) return { kind: 'refused', code: 'out-of-scope', message: scope.why };
      return targets.perform(system, classified.call, await credentials.of(connector));
    };
    let runner = runners.get(connector.name);
    if (!runner) {
      runner = network.startRunner(protocolOf(target));
      runners.set(connector.name, runner);
    }
    return { perform, runner };
  }

  /** @param id null: as the target knows the login. Never only by an id that control gave: it could be somebody else's. */
  async function sight(order: LookOrder, id: string | null): Promise<Sighting> {
    const nothing = (message: string): Sighting => ({
      account: null,
      id: null,
      attributes: null,
      holds: null,
      path: 'none',
      message,
    });
    const { system, object, entitlement } = order.tuple;
    const reader = readerOf(system);
    const target = authority().targets[system];
    if (typeof reader === 'string' || !target)
      return nothing(typeof reader === 'string' ? reader : `${system} is no target`);
    const configured = entitlement === null ? undefined : authority().entitlements[entitlement];
    const name =
      entitlement === null || isMechanism(entitlement)
        ? entitlement
        : configured
          ? nameOnSystem(target, configured)
          : null;
    if (entitlement !== null && name === null) return nothing(`${entitlement} is no configured entitlement`);
    const question: Question = {
      account: { login: object, id },
      ...(name === null ? {} : { entitlement: name }),
    };
    try {
      return await reader.runner.look(optionsOf(target), question, reader.perform);
    } catch (thrown) {
      return nothing(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  /** Presents the account's first secret, where the verifier has it: the old access, tried again. */
  async function present(system: string, login: string, seen: Sighting): Promise<VerificationBody['presented']> {
    const path = firstSecretPath(place.firstSecrets, system, login);
    const sealed = existsSync(path) ? await readFile(path, 'utf8').catch(() => null) : null;
    if (sealed === null) return null;
    const target = authority().targets[system];
    // A directory lets in by the name of the entry, a form by what it asks for, everything else by the login.
    const email = target?.signIn?.is === 'email';
    const name = target?.ldap !== undefined ? seen.id : email ? (seen.attributes?.email ?? null) : login;
    return name === null ? 'unknown' : targets.present(system, name, openBox(sealed.trim(), boxKey));
  }

  async function look(order: LookOrder): Promise<Looked> {
    const { tuple } = order;
    // What to expect is in the tuple's digest, not in what control says beside it.
    const expected = tuple.valueDigest === null ? null : order.attributes;
    const known = (expected === null ? null : digestOf(expected)) === tuple.valueDigest;
    let sighting = await sight(order, null);
    const judgeIt = () =>
      known
        ? judge(tuple, expected, sighting)
        : {
            verdict: 'inconclusive' as const,
            mechanism: 'account',
            saw: 'nobody said what to look for: the attributes are not those of the change',
          };
    let judged: ReturnType<typeof judge> = judgeIt();
    for (const pauseMs of pausesMs(authority().targets[tuple.system]?.settles)) {
      if (judged.verdict === 'confirmed' || !known) break;
      await clock.sleep(pauseMs);
      sighting = await sight(order, null);
      judged = judgeIt();
    }
    // Renamed at the target, an account is not where its login was; what the id leads to may then still be in. An id can
    // only contradict here, and confirm nothing.
    if (judged.verdict === 'confirmed' && order.id !== null && !ADDING.has(tuple.effect)) {
      const byId = await sight(order, order.id);
      const again = judge(tuple, expected, byId);
      if (again.verdict === 'contradicted') [sighting, judged] = [byId, again];
    }
    let presented: VerificationBody['presented'] = null;
    if (judged.verdict === 'confirmed' && judged.mechanism === 'account') {
      presented = await present(tuple.system, tuple.object, sighting);
      judged = judgePresented(tuple, judged, presented);
      // A secret that never opened anything: that it is refused again one day would prove nothing.
      if (tuple.effect === 'create' && presented === 'refused') {
        await rm(firstSecretPath(place.firstSecrets, tuple.system, tuple.object), { force: true });
      }
    }
    const body: VerificationBody = {
      v: 1,
      tenant: order.tenant,
      plan: order.plan,
      change: order.change,
      tuple,
      verdict: judged.verdict,
      mechanism: judged.mechanism,
      path: sighting.path,
      saw: judged.saw,
      presented,
      at: clock.now(),
    };
    const signed = signVerification(body, key);
    const sealed = await scribe.write(
      'verifier.looked',
      { change: order.change, plan: order.plan },
      { verification: signed },
      { mayWait: true },
    );
    // What the ledger has not heard closes nothing.
    if (!sealed.ok) throw new Failure('ledger-away', sealed.why);
    return { ...signed, id: sighting.id, attributes: sighting.attributes, account: sighting.account };
  }

  const handlers: Handlers = {
    ping: () => ({ role: 'verifier' }),
    reload: async () => {
      inForce = await readSigned();
      for (const runner of runners.values()) await runner.stop();
      runners.clear();
    },
    look: (params) => look((params as { order: LookOrder }).order),
  };
  const listener = await network.listen(place.socket('verifier'), handlers);
  return {
    async close() {
      await listener.close();
      await Promise.all([...runners.values()].map((runner) => runner.stop()));
      await targets.close();
      control?.close();
    },
  };
}
