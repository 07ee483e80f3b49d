import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ScratchCluster, scratchCluster, scratchFolder, servers } from '../../test/scratch.ts';
import { systemAmbient, systemClock, systemRandom } from '../clock.ts';
import { type Handlers, type Listener, listenPipe } from '../connector/pipe.ts';
import { openDisk } from '../ledger/disk.ts';
import { memoryHead } from '../ledger/head.ts';
import { type Log, openLog } from '../ledger/log.ts';
import { keepBodies } from '../ledger/outbox.ts';
import { leafHash } from '../ledger/tree.ts';
import { createWitness } from '../ledger/witness.ts';
import { parseLeaf } from '../plan/change.ts';
import { openGreeting } from '../role/greet.ts';
import { type Place, placeOf } from '../role/place.ts';
import { type Database, openDatabase, packageFolder } from '../store/database.ts';
import { migrate } from '../store/migrate.ts';
import type { InForce, SignedAuthority } from '../trust/force.ts';
import { keepAuthority } from '../trust/kept.ts';
import { collectEvidence } from './bundle.ts';
import { checkEvidence } from './check.ts';
import { controlSources } from './collect.ts';
import {
  authority,
  CHANGE,
  genesisSigned,
  logSigner,
  makeParts,
  ORIGIN,
  signAuthority,
  TRUSTED,
  trustRoot,
  witnessSigner,
} from './testing.ts';

/** Control's own parts: a database, a log in a folder, a gateway at its socket that cosigns and proves. */
let cluster: ScratchCluster;
let database: Database;
let log: Log;
let place: Place;
let gateway: Listener;
let witnessing = true;
const decision = generateKeyPairSync('ed25519');

beforeAll(async () => {
  const [server] = await servers();
  cluster = await scratchCluster(server ? { binaries: server[1] } : {});
  database = openDatabase(cluster.superuser, { clock: systemClock });
  await migrate(database, join(packageFolder(), 'src', 'store', 'control'), 'control');
  place = placeOf(await scratchFolder());
  log = await openLog({
    ...systemAmbient,
    folder: place.ledger,
    origin: ORIGIN,
    signer: logSigner,
    head: memoryHead(),
    disk: openDisk(systemRandom),
  });
  const witness = createWitness({
    key: witnessSigner,
    logKey: logSigner.verifier,
    store: memoryHead(),
    clock: systemClock,
  });
  const { sealed, header, leaves, lines, recordTree, signedForce } = await makeParts();

  const handlers: Handlers = {
    ...openGreeting(async () => decision.publicKey, systemRandom).handlers,
    catchUp: () => ({ sealed: 0 }),
    cosign: async (params) => {
      if (!witnessing) return null;
      const { checkpoint } = params as { checkpoint: string };
      const from = await witness.size();
      const cosigned = await witness.cosign(checkpoint, {
        from,
        hashes: from === 0 ? [] : await log.consistency(from, log.size),
      });
      if (cosigned.ok) await log.publishCosigned(checkpoint + cosigned.line);
      return null;
    },
    prove: (params) => {
      const { key } = params as { key: string };
      const text = lines[1] as string;
      return key === '301' ? { text, leaf: leafHash(text), index: 1, size: 3, proof: recordTree.prove(1) } : null;
    },
  };
  await mkdir(dirname(place.socket('gateway')), { recursive: true, mode: 0o700 });
  gateway = await listenPipe(place.socket('gateway'), handlers);

  const { tenant } = authority;
  const at = new Date(0).toISOString();
  await database.query(
    `insert into plan (tenant, number, risk, digest, content, header, size, state, role, people, critique, created_at)
     values ($1, 7, 'high', '', '', $2, 3, 'open', 'security', 2, '[]', $3)`,
    [tenant, header, at],
  );
  for (const leaf of leaves) {
    const { seq, system, object, effect, cause } = parseLeaf(leaf);
    await database.query(
      `insert into change (tenant, plan, seq, leaf, system, login, effect, cause, stage, next_at, updated_at)
       values ($1, 7, $2, $3, $4, $5, $6, $7, 'verified', $8, $8)`,
      [tenant, seq, leaf, system, object, effect, cause, at],
    );
  }
  const places = await log.submitAll(sealed.map(({ entry }) => entry));
  await keepBodies(
    database,
    tenant,
    sealed.map((item, position) => ({ ...item, index: places[position]?.index ?? -1 })),
  );
  await Promise.all([
    writeFile(join(place.folder, 'trust-root.json'), trustRoot),
    writeFile(join(place.folder, 'roster.json'), JSON.stringify([genesisSigned])),
    keepAuthority(place.folder, { term: JSON.parse(signedForce.term), signed: signedForce } as InForce),
  ]);
});
afterAll(async () => {
  await gateway?.close();
  await log?.close();
  await database?.close();
  await cluster?.remove();
  if (place) await rm(place.folder, { recursive: true, force: true });
});

const sources = () =>
  controlSources({
    world: { authority, decisionKey: decision.privateKey, clock: { ...systemClock, sleep: async () => {} } } as never,
    log,
    place,
    database,
    demo: false,
    settle: async () => {},
  });

test('says that the gateway has not cosigned yet, with both numbers', async () => {
  witnessing = false;
  await expect(collectEvidence(sources(), CHANGE)).rejects.toThrow(
    `the gateway has cosigned 0 of the ${log.size} entries`,
  );
  witnessing = true;
});

test('collects from control’s own parts what the offline checker accepts', async () => {
  const report = checkEvidence(await collectEvidence(sources(), CHANGE), TRUSTED);
  expect(report.findings).toEqual([]);
  expect(report.verdict).toBe('verified');
});

test('a change stays provable when another authority is in force, and not by one that was tampered with', async () => {
  const next = await signAuthority({ ...authority, limits: { grants: { count: 5 }, removals: { count: 5 } } });
  await keepAuthority(place.folder, { term: { ...JSON.parse(next.term), serial: 2 }, signed: next } as InForce);
  expect(checkEvidence(await collectEvidence(sources(), CHANGE), TRUSTED).findings).toEqual([]);

  const kept = join(place.folder, 'authorities');
  const [name = ''] = (await readdir(kept)).filter((file) => file.startsWith('1-'));
  const whole = await readFile(join(kept, name), 'utf8');
  const signed = JSON.parse(whole) as SignedAuthority;
  await writeFile(join(kept, name), JSON.stringify({ ...signed, signatures: signed.signatures.slice(0, 1) }));
  const report = checkEvidence(await collectEvidence(sources(), CHANGE), TRUSTED);
  expect(report.findings.map(({ code }) => code)).toEqual(['authority']);
  for (const damaged of ['', '{}', '[]', 'null', JSON.stringify({ ...signed, document: next.document })]) {
    await writeFile(join(kept, name), damaged);
    await expect(collectEvidence(sources(), CHANGE)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('from a backup'),
    });
  }
  await writeFile(join(kept, name), whole);
  expect(checkEvidence(await collectEvidence(sources(), CHANGE), TRUSTED).ok).toBe(true);
});

test('a body that was changed in control’s database is found by the checker', async () => {
  await database.query(
    `update ledger_entry set body = replace(body, 'HTTP 204', 'HTTP 500') where tenant = $1 and kind = 'gateway.outcome'`,
    [authority.tenant],
  );
  const report = checkEvidence(await collectEvidence(sources(), CHANGE), TRUSTED);
  expect(report.findings.map(({ code }) => code)).toContain('body-differs');
});

test.each(['P7.9', 'P8.1', 'P7.0', 'nothing', "P7.1' or 1=1"])('there is no change %s', async (name) => {
  await expect(collectEvidence(sources(), name)).rejects.toMatchObject({ code: 'not-found' });
});
