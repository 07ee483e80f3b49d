/**
 * The gateway role: the only holder of writer credentials. It attests feeds, checks writs, performs calls, spends
 * budgets, cosigns the ledger; and it reads the signed authority for itself.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { every } from '../clock.ts';
import type { Call } from '../connector/contract.ts';
import type { Connection, Handlers, Listener, Peer } from '../connector/pipe.ts';
import { CallShape } from '../connector/shape.ts';
import { Failure } from '../errors.ts';
import { openBindings } from '../gateway/binding.ts';
import { publicBoxKey, sealBox } from '../gateway/box.ts';
import { openCredentials } from '../gateway/credential.ts';
import { fetchFeed } from '../gateway/feed.ts';
import { openFirstSecrets } from '../gateway/first-secret.ts';
import { openGate } from '../gateway/gate.ts';
import { openJournal } from '../gateway/journal.ts';
import { openSnapshots } from '../gateway/snapshots.ts';
import { openSpender } from '../gateway/spend.ts';
import { openSubjects } from '../gateway/subject.ts';
import { openTargets } from '../gateway/target.ts';
import { openTokens } from '../gateway/token.ts';
import { witnessHead } from '../gateway/witnessed.ts';
import { openCheckpoint, parseCheckpoint } from '../ledger/checkpoint.ts';
import { COSIGNATURE, createSigner, formatVerifier, parseNote, parseVerifier } from '../ledger/note.ts';
import { openScribe, type Submit } from '../ledger/scribe.ts';
import { checkConsistency } from '../ledger/tree.ts';
import { createWitness } from '../ledger/witness.ts';
import { packageFolder } from '../store/database.ts';
import { migrate } from '../store/migrate.ts';
import { readConnection } from '../store/prepare.ts';
import type { InForce } from '../trust/force.ts';
import { publicKeyOf, readKey, readKeyText } from '../trust/key.ts';
import { believe, databaseMemory } from '../trust/memory.ts';
import { ed25519PublicKey, rawPublicKey, type Writ } from '../writ/writ.ts';
import { publishBox, readPublicBox, readWorkerKey, vouchForWorker } from './box.ts';
import { type Caller, openGreeting } from './greet.ts';
import type { Outside } from './outside.ts';
import { firstSecretPath, placeOf } from './place.ts';
import { CATALOGUES } from './protocol.ts';

export async function startGateway(folder: string, configFolder: string, outside: Outside): Promise<Listener> {
  const { clock, random, network, storage } = outside;
  const place = placeOf(folder);
  const database = await storage.openDatabase(await readConnection(folder, 'gateway'));
  await migrate(database, join(packageFolder(), 'src', 'store', 'gateway'), 'gateway');

  const key = await readKey(folder, 'gateway');
  const boxKey = await readKeyText(folder, 'gatewayBox');
  const memory = databaseMemory(database);
  const readSigned = (): Promise<InForce> =>
    believe(folder, clock.now(), memory, ({ trustRoot }) => {
      if (rawPublicKey(key) !== trustRoot.gatewayKey) {
        throw new Failure('authority-invalid', 'this gateway’s key is not the one in the trust root');
      }
    });
  let inForce = await readSigned();

  /* ---- the ledger: written through control's sequencer, witnessed here ---- */
  const logKey = parseVerifier(inForce.trustRoot.logKey);
  let control: Peer | null = null;
  async function controlPeer(): Promise<Peer> {
    if (control) return control;
    const peer = await network.connect(place.socket('control'));
    void peer.closed.then(() => {
      if (control === peer) control = null;
    });
    control = peer;
    return peer;
  }
  const submit: Submit = async (submissions, again) =>
    (await (await controlPeer()).request('ledger.submit', { submissions, again })) as Awaited<ReturnType<Submit>>;
  const witnessSigner = createSigner(`${logKey.name}/witness`, await readKey(folder, 'witness'), COSIGNATURE);
  const witness = createWitness({
    key: witnessSigner,
    logKey,
    store: witnessHead(database, logKey.name),
    clock,
  });
  /** Cosigns a checkpoint when it extends what was cosigned before; otherwise somebody shows us another log. */
  async function cosignNow(note: string): Promise<void> {
    const size = parseCheckpoint(parseNote(note)?.text ?? '')?.size ?? 0;
    const from = await witness.size();
    if (size <= from) return;
    const peer = await controlPeer();
    const hashes = from === 0 ? [] : ((await peer.request('ledger.consistency', { from, to: size })) as string[]);
    const cosigned = await witness.cosign(note, { from, hashes });
    if (cosigned.ok) await peer.request('ledger.cosigned', { note: note + cosigned.line });
    else console.error(`ALARM: the ledger’s checkpoint ${size} is not an extension of ${from}: ${cosigned.reason}`);
  }
  /** The newest head that was held consistent; what is cosigned follows it a moment later. */
  let head: { readonly size: number; readonly root: string } | null = await witnessHead(database, logKey.name).load();
  /** Each checkpoint must extend the one before: an intent in a log that is thrown away later is none. */
  async function extend(note: string): Promise<void> {
    const opened = openCheckpoint(note, logKey);
    if (!opened.ok) throw new Error(opened.reason);
    const { size, root } = opened.checkpoint;
    if (head !== null && size < head.size) {
      // Two answers that overtook each other: then this one must be a beginning of what is known.
      const proof = (await (
        await controlPeer()
      ).request('ledger.consistency', { from: size, to: head.size })) as string[];
      if (checkConsistency({ from: size, fromRoot: root, to: head.size, toRoot: head.root, proof })) return;
      console.error(`ALARM: the ledger of ${size} entries is no beginning of the ${head.size} that this gateway knows`);
      throw new Error(`the ledger of ${size} entries is not the one of ${head.size} known here`);
    }
    if (head !== null && head.size > 0) {
      const peer = await controlPeer();
      const proof =
        size === head.size
          ? []
          : ((await peer.request('ledger.consistency', { from: head.size, to: size })) as string[]);
      const grown = checkConsistency({ from: head.size, fromRoot: head.root, to: size, toRoot: root, proof });
      if (!grown) {
        console.error(
          `ALARM: the ledger of ${size} entries is not an extension of the ${head.size} that this gateway knows`,
        );
        throw new Error(`the ledger of ${size} entries does not extend the ${head.size} known here`);
      }
    }
    head = { size, root };
  }
  /** One after the other: a proof belongs to the head that it was asked for. */
  let extending: Promise<void> = Promise.resolve();
  const extendInTurn = (note: string): Promise<void> => {
    const turn = extending.then(() => extend(note));
    extending = turn.catch(() => undefined);
    return turn;
  };
  let newestSeen: string | null = null;
  let cosigning: Promise<void> | null = null;
  /** One cosignature covers everything before it: a few a second are plenty. */
  const cosign = (): Promise<void> => {
    cosigning ??= (async () => {
      for (let note = newestSeen; note !== null; note = newestSeen) {
        newestSeen = null;
        await cosignNow(note);
        if (!closing) await clock.sleep(250);
      }
    })()
      // The sequencer is away; the next checkpoint that is seen covers this one.
      .catch(() => undefined)
      .finally(() => {
        cosigning = null;
      });
    return cosigning;
  };
  let closing = false;
  const scribe = openScribe({
    role: 'gateway',
    tenant: inForce.authority.tenant,
    key,
    logKey,
    submit,
    journal: openJournal(database),
    seen: async (checkpoint) => {
      await extendInTurn(checkpoint);
      newestSeen = checkpoint;
      void cosign();
    },
    clock,
    random,
  });
  // The trust root pins the gateway's key; with it the gateway says, once for each start, which key it witnesses with.
  // In the refs as well, so that whoever has but the ledger and that trust root knows whose cosignature to ask for.
  const witnessKey = formatVerifier(witnessSigner.verifier);
  void scribe.write('gateway.witness', { witness: witnessKey }, { witness: witnessKey }, { mayWait: false });
  void sayForce();
  /** Under which authority and roster it judges from now on: an auditor asks for old ones by this. */
  async function sayForce(): Promise<void> {
    const { authorityDigest, roster, term } = inForce;
    const refs = { authority: authorityDigest, roster: roster.digest };
    await scribe.write('gateway.force', refs, { ...refs, serial: term.serial }, { mayWait: false });
  }
  const stopCatchingUp = every(clock, 2_000, () => void scribe.catchUp().catch(() => 0));

  /* ---- the gate ---- */
  const authority = () => inForce.authority;
  const targets = openTargets(network.performers, authority, () => inForce.trustRoot.demo);
  const credentials = openCredentials(place.secrets, boxKey, authority, clock);
  const snapshots = openSnapshots(database, place.snapshots, authority, publicKeyOf(key), clock);
  const bindings = openBindings(
    database,
    authority,
    CATALOGUES,
    async (name, call) => {
      const connector = authority().connectors[name];
      if (!connector) return { kind: 'refused', code: 'out-of-scope', message: `${name} is not in the register` };
      return targets.perform(connector.on, call, await credentials.of({ name, ...connector }));
    },
    clock,
  );
  let subjects = openSubjects(inForce.authority, snapshots);
  const spender = openSpender(database, authority, clock);
  await publishBox(folder, 'gateway', boxKey, key);
  await vouchForWorker(folder, key);
  const firstSecrets = openFirstSecrets({
    database,
    authority,
    own: { privatePem: boxKey, publicKey: publicBoxKey(boxKey) },
    async tellVerifier(system, login, secret) {
      const sealed = sealBox(secret, await readPublicBox(folder, 'verifier', inForce.trustRoot), random);
      return async () => {
        await mkdir(place.firstSecrets, { recursive: true, mode: 0o700 });
        await writeFile(firstSecretPath(place.firstSecrets, system, login), sealed, { mode: 0o600 });
      };
    },
    clock,
    random,
  });

  const decisionKey = ed25519PublicKey(inForce.trustRoot.controlKey);
  const gate = openGate({
    force: () => ({
      authority: inForce.authority,
      authorityDigest: inForce.authorityDigest,
      roster: inForce.roster,
      logOrigin: logKey.name,
      decisionKey,
    }),
    catalogues: CATALOGUES,
    targets,
    credentials,
    bindings,
    spender,
    scribe,
    subjectOf: (leaf, now) => subjects(leaf, now),
    firstSecrets,
    clock,
    random,
  });
  const tokens = openTokens(clock, random);

  /** Control's key is pinned by the trust root; for the worker's this gateway vouches. */
  const keyOf = async (role: Caller) => (role === 'control' ? decisionKey : readWorkerKey(folder, key));

  const forAnybody: Handlers = {
    ping: () => ({ role: 'gateway', authority: inForce.term.serial }),
    reload: async () => {
      inForce = await readSigned();
      subjects = openSubjects(inForce.authority, snapshots);
      await sayForce();
      return { authority: inForce.term.serial };
    },
    // To whoever asks: it opens only where the key of the authority's `delivery` is, and is gone when that one says so.
    firstSecret: async (params) => {
      const { system, login } = params as { system: string; login: string };
      return { sealed: await firstSecrets.sealed(system, login) };
    },
    delivered: async (params) => {
      const { system, login, receipt } = params as { system: string; login: string; receipt: string };
      await firstSecrets.delivered(system, login, receipt);
      await scribe.write('gateway.delivered', { system }, { login }, { mayWait: false });
    },
    budget: async () => ({
      grants: await spender.used('grants'),
      removals: await spender.used('removals'),
      envelope: authority().envelope ?? null,
    }),
  };
  const forControl: Handlers = {
    fetch: async (params) => {
      const { feed } = params as { feed: string };
      const snapshot = await fetchFeed(
        {
          authority,
          database,
          configFolder,
          snapshots: place.snapshots,
          key,
          publicKey: publicKeyOf(key),
          clock,
          request: network.request,
        },
        feed,
      );
      const { statement, signed, judgement } = snapshot;
      snapshots.forget(feed);
      await scribe.write(
        'gateway.snapshot',
        { feed, snapshot: statement.id },
        { statement: signed },
        { mayWait: false },
      );
      return {
        feed,
        id: statement.id,
        verdict: statement.verdict,
        asOf: statement.asOf === null ? null : Date.parse(statement.asOf),
        asOfKind: statement.asOfKind,
        receivedAt: Date.parse(statement.receivedAt),
        records: statement.records,
        rawDigest: statement.rawDigest,
        findings: judgement.findings,
        statement: JSON.stringify(signed),
      };
    },
    admit: (params) => gate.admit((params as { writ: Writ }).writ),
    own: async (params) => {
      const { writ, seq } = params as { writ: string; seq: number };
      const reply = await gate.passOwn(writ, seq);
      return {
        ok: reply.kind === 'sql',
        message: 'message' in reply ? reply.message : reply.kind,
        refusal: reply.kind === 'refused' ? reply.code : null,
      };
    },
    terminated: () => spender.terminated(),
    catchUp: async () => ({ sealed: await scribe.catchUp() }),
    cosign: async (params) => {
      await cosigning;
      await cosignNow((params as { checkpoint: string }).checkpoint);
      return null;
    },
    prove: async (params) => {
      const { feed, id, key: record } = params as { feed: string; id: string; key: string };
      return snapshots.prove(feed, id, record);
    },
  };
  const forWorker = (connection: Connection): Handlers => ({
    token: (params) => {
      const { connector } = params as { connector: string };
      if (!authority().connectors[connector]) throw new Failure('token-refused', `${connector} is not in the register`);
      return tokens.issue(connector, connection);
    },
    call: async (params) => {
      const { token, writ, call } = params as { token: string; writ: string | null; call: unknown };
      const connector = tokens.check(token, connection);
      const shaped = CallShape.safeParse(call);
      if (!shaped.success) {
        return { kind: 'refused', code: 'not-classified', message: 'the call has not the form of any protocol' };
      }
      return gate.pass(connector, writ, shaped.data as Call);
    },
  });
  await gate.tellOfTheDead();
  const handlers = (connection: Connection): Handlers => {
    const greeting = openGreeting(keyOf, random);
    return {
      ...forAnybody,
      ...greeting.handlers,
      ...greeting.only('control', forControl),
      ...greeting.only('worker', forWorker(connection)),
    };
  };
  const listener = await network.listen(place.socket('gateway'), handlers);
  return {
    async close() {
      stopCatchingUp();
      closing = true;
      await listener.close();
      // The last word: what was sealed until now is cosigned, so that an auditor needs nobody who still runs.
      await cosigning;
      await controlPeer()
        .then(async (peer) => cosignNow((await peer.request('ledger.settle', {})) as string))
        .catch(() => undefined);
      control?.close();
      await targets.close();
      await database.close();
    },
  };
}
