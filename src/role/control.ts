/**
 * The control role: plans, decides, collects approvals, seals writs, advances changes, and sequences the ledger.
 * It holds no credential of any target and no approver's key, and the gateway believes none of its database.
 */
import { join } from 'node:path';
import { every } from '../clock.ts';
import type { Observed, Receipt, Task } from '../connector/contract.ts';
import type { Handlers, Peer } from '../connector/pipe.ts';
import type { Fetched, World } from '../control/world.ts';
import { decider } from '../decision/decide.ts';
import { loadPolicies, readDefaultPolicies } from '../decision/policy.ts';
import { compileRules } from '../identity/rules.ts';
import { parseCheckpoint } from '../ledger/checkpoint.ts';
import { openIntake } from '../ledger/intake.ts';
import { type Log, openLog } from '../ledger/log.ts';
import { createSigner, parseNote, parseVerifier } from '../ledger/note.ts';
import { openOutbox } from '../ledger/outbox.ts';
import type { Submission } from '../ledger/scribe.ts';
import { databaseHead } from '../ledger/store-head.ts';
import { openSnapshot } from '../source/open.ts';
import { type Database, packageFolder } from '../store/database.ts';
import { migrate } from '../store/migrate.ts';
import { readConnection } from '../store/prepare.ts';
import { keepAuthority } from '../trust/kept.ts';
import { readKey } from '../trust/key.ts';
import { believe, fileMemory } from '../trust/memory.ts';
import type { Looked, LookOrder } from '../verification/look.ts';
import { ed25519PublicKey } from '../writ/writ.ts';
import { greet } from './greet.ts';
import type { Outside } from './outside.ts';
import { type Place, placeOf } from './place.ts';
import { openSequencer } from './sequencer.ts';

export interface Control {
  readonly world: World;
  readonly log: Log;
  readonly place: Place;
  readonly database: Database;
  readonly demo: boolean;
  /** Seals what the outbox holds; resolves when the ledger has all of it. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export async function startControl(folder: string, outside: Outside): Promise<Control> {
  const { clock, random, network, storage } = outside;
  const place = placeOf(folder);
  const database = await storage.openDatabase(await readConnection(folder, 'control'), { maxConnections: 16 });
  await migrate(database, join(packageFolder(), 'src', 'store', 'control'), 'control');
  const inForce = await believe(folder, clock.now(), fileMemory(place.memory('control')));
  await keepAuthority(folder, inForce);
  const { tenant } = inForce.authority;
  const logVerifier = parseVerifier(inForce.trustRoot.logKey);
  const signer = createSigner(logVerifier.name, await readKey(folder, 'log'));
  const openLedger = async (): Promise<Log> =>
    openLog({
      folder: place.ledger,
      origin: logVerifier.name,
      signer,
      head: databaseHead(database, tenant),
      disk: storage.disk,
      clock,
      random,
      publishPauseMs: 1_000,
    });
  const log = await openSequencer(openLedger, clock, (line) => console.error(line));

  /* ---- the ledger, for the other roles and for our own outbox ---- */
  const intake = await openIntake({ log, database, tenant });
  const handlers: Handlers = {
    ping: () => ({ role: 'control' }),
    'ledger.submit': async (params) => {
      const { submissions, again } = params as { submissions: readonly Submission[]; again: boolean };
      const items = submissions.map(({ entry, body, salt }) => ({ entry: Buffer.from(entry, 'base64'), body, salt }));
      const indexes = await intake.submit(items, again);
      const checkpoint = log.checkpoint();
      const size = parseCheckpoint(parseNote(checkpoint)?.text ?? '')?.size ?? log.size;
      const placed = await Promise.all(
        indexes.map(async (index) => ({ index, proof: await log.inclusion(index, size) })),
      );
      return { checkpoint, placed };
    },
    'ledger.consistency': (params) => {
      const { from, to } = params as { from: number; to: number };
      return log.consistency(from, to);
    },
    'ledger.settle': async () => {
      await settle();
      return log.checkpoint();
    },
    'ledger.cosigned': async (params) => {
      await log.publishCosigned((params as { note: string }).note);
      return null;
    },
  };
  const listener = await network.listen(place.socket('control'), handlers);

  let draining: Promise<void> | null = null;
  const settle = (): Promise<void> => {
    draining ??= (async () => {
      while ((await intake.drain()) > 0);
    })().finally(() => {
      draining = null;
    });
    return draining;
  };
  const stopDraining = every(clock, 200, () => void settle().catch(() => undefined));

  /* ---- the neighbours ---- */
  const decisionKey = await readKey(folder, 'decision');
  const observers = new Map<number, (observed: readonly Observed[]) => Promise<void>>();
  let lastObservation = 0;
  const peers = new Map<string, Promise<Peer>>();
  function peerOf(role: 'gateway' | 'verifier' | 'worker'): Promise<Peer> {
    const known = peers.get(role);
    if (known) return known;
    const answering: Handlers = {
      observed: async (params) => {
        const { id, observed } = params as { id: number; observed: readonly Observed[] };
        await observers.get(id)?.(observed);
        return null;
      },
    };
    const calling = network.connect(place.socket(role), answering);
    const connecting = role === 'gateway' ? calling.then((peer) => greet(peer, 'control', decisionKey)) : calling;
    peers.set(role, connecting);
    const forget = () => {
      if (peers.get(role) === connecting) peers.delete(role);
    };
    connecting.then((peer) => peer.closed.then(forget), forget);
    return connecting;
  }
  const ask = async <T>(role: 'gateway' | 'verifier' | 'worker', method: string, params: unknown): Promise<T> =>
    (await (await peerOf(role)).request(method, params)) as T;

  const policies = loadPolicies(readDefaultPolicies());
  const world: World = {
    database,
    authority: inForce.authority,
    authorityDigest: inForce.authorityDigest,
    roster: inForce.roster,
    logOrigin: logVerifier.name,
    rules: compileRules(inForce.authority),
    decide: decider(policies),
    policyDigest: policies.policyDigest,
    decisionKey,
    verifierKey: ed25519PublicKey(inForce.trustRoot.verifierKey),
    gateway: {
      fetch: (feed) => ask<Fetched>('gateway', 'fetch', { feed }),
      rows: (feed, id) => {
        const snapshot = openSnapshot(join(place.snapshots, feed), id);
        return {
          quarantined: snapshot.quarantined(),
          records: () => snapshot.records(),
          lineOf: (key) => {
            const found = snapshot.find(key);
            return found === null || found === 'quarantined' ? null : found.line;
          },
          close: () => snapshot.close(),
        };
      },
      admit: async (writ) => {
        await ask('gateway', 'admit', { writ });
      },
      own: (writ, seq) => ask('gateway', 'own', { writ, seq }),
      terminated: () => ask('gateway', 'terminated', {}),
    },
    worker: {
      apply: (connector, writ, task: Task) =>
        ask<{ receipt: Receipt; refusal: string | null; retryAt?: number | null }>('worker', 'apply', {
          connector,
          writ,
          task,
        }),
      observe: async (connector, onChunk) => {
        const id = ++lastObservation;
        observers.set(id, onChunk);
        try {
          await ask('worker', 'observe', { connector, id });
        } finally {
          observers.delete(id);
        }
      },
    },
    verifier: { look: (order: LookOrder) => ask<Looked>('verifier', 'look', { order }) },
    record: openOutbox(tenant, clock, random),
    settle,
    clock,
    random,
  };

  return {
    world,
    log,
    place,
    database,
    demo: inForce.trustRoot.demo,
    settle,
    async close() {
      stopDraining();
      await settle().catch(() => undefined);
      await listener.close();
      for (const peer of peers.values()) (await peer.catch(() => null))?.close();
      await log.close();
      await database.close();
    },
  };
}
