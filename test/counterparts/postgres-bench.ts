/** A PostgreSQL target with a writer that is no superuser and a reader that may only look, and the suite's bench on it. */
import pg from 'pg';
import { systemAmbient } from '../../src/clock.ts';
import type { Call, Reply } from '../../src/connector/contract.ts';
import { type Bench, TASK_EFFECTS } from '../../src/connector/suite.ts';
import { connector } from '../../src/connectors/postgres/connector.ts';
import { catalogue } from '../../src/gateway/catalogue/postgres.ts';
import type { Address, Secret } from '../../src/gateway/perform/contract.ts';
import { openSql } from '../../src/gateway/perform/sql.ts';
import type { Binaries } from '../../src/store/binaries.ts';
import { type ScratchCluster, scratchCluster } from '../scratch.ts';

type Basic = Extract<Secret, { kind: 'basic' }>;

export interface Target {
  readonly cluster: ScratchCluster;
  readonly address: Address;
  readonly writer: Basic;
  readonly reader: Basic;
  /** As the superuser, who is nobody of Writgate's: what a hand at the console does. */
  admin(sql: string): Promise<Record<string, unknown>[]>;
  /** Logs in as somebody. The caller ends it. */
  login(user: string, password: string): Promise<pg.Client>;
  close(): Promise<void>;
}

export const FIRST_PASSWORD = 'correct-horse-7-battery';

export async function startTarget(binaries: Binaries): Promise<Target> {
  const cluster = await scratchCluster({ binaries, loopbackPort: 0, settings: { log_statement: 'all' } });
  const login = async (user: string, password: string): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port: cluster.port, database: 'pay', user, password });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const maker = new pg.Client(cluster.superuser);
  await maker.connect();
  await maker.query('create database pay');
  await maker.end();
  const root = new pg.Client({ ...cluster.superuser, database: 'pay' });
  await root.connect();
  const isNew = binaries.major >= 16;
  for (const statement of [
    "create role writer login createrole password 'w'",
    "create role reader login password 'r'",
    'create role staff',
    'create role payroll_admin',
    // As the README tells: the right to hand a role on, without the role.
    ...['staff', 'payroll_admin'].map(
      (role) => `grant ${role} to writer with ${isNew ? 'admin true, inherit false, set false' : 'admin option'}`,
    ),
    'grant pg_signal_backend to writer',
  ]) {
    await root.query(statement);
  }
  return {
    cluster,
    address: { url: `postgres://127.0.0.1:${cluster.port}/pay`, ca: null, timeoutMs: 10_000 },
    writer: { kind: 'basic', username: 'writer', password: 'w' },
    reader: { kind: 'basic', username: 'reader', password: 'r' },
    admin: async (sql) => (await root.query(sql)).rows,
    login,
    async close() {
      await root.end();
      await cluster.remove();
    },
  };
}

export function openPostgresBench(target: Target): Bench {
  const performer = openSql(target.address, systemAmbient);
  const performAs = (secret: Secret) => async (call: Call) => {
    const verdict = catalogue.classify(call, {});
    if (!verdict.ok) return { kind: 'refused', code: 'not-classified', message: verdict.reason } satisfies Reply;
    const { call: rebuilt, wantsSecret } = verdict.classified;
    return performer.perform(wantsSecret ? catalogue.withSecret(rebuilt, FIRST_PASSWORD) : rebuilt, secret);
  };
  return {
    connector,
    options: { pageSize: 40 },
    perform: performAs(target.writer),
    look: performAs(target.reader),
    entitlement: 'staff',
    success: () => ({ kind: 'sql', rows: [{ outcome: 'done' }], count: 1, sqlstate: null, message: '' }),
    supports: new Set(TASK_EFFECTS),
    isWrite: (call) => {
      const verdict = catalogue.classify(call, {});
      return verdict.ok && verdict.classified.effect !== 'read';
    },
    close: () => performer.close(),
  };
}
