/** A database that an earlier Writgate left, brought up to date: what it was told stays so. */

import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../src/clock.ts';
import { type Database, openDatabase, packageFolder } from '../src/store/database.ts';
import { migrate } from '../src/store/migrate.ts';
import { ownServers, type ScratchCluster, scratchCluster } from './scratch.ts';

let cluster: ScratchCluster;
let database: Database;
beforeAll(async () => {
  const [server] = await ownServers();
  cluster = await scratchCluster(server ? { binaries: server[1] } : {});
  database = openDatabase(cluster.superuser, { clock: systemClock });
});
afterAll(async () => {
  await database?.close();
  await cluster?.remove();
});

test('what was protected by hand before protections were kept is protected again', async () => {
  const first = join(cluster.folder, 'first');
  await mkdir(first);
  const name = '0001-road.sql';
  await copyFile(join(packageFolder(), 'src/store/control', name), join(first, name));
  await migrate(database, first, 'control');
  const told = (index: number, kind: string, body: unknown) =>
    database.query(
      `insert into ledger_entry (tenant, index, kind, refs, body, salt) values ('acme', $1, $2, '{"system":"crm"}', $3, '')`,
      [index, kind, body === null ? null : JSON.stringify(body)],
    );
  await told(1, 'account.protected', { logins: ['svc-mail', 'break-glass'] });
  await told(2, 'account.protected', { logins: ['svc-mail'] });
  await told(3, 'access.asked', { person: '110' });
  // Its body was erased: whom it was about is not known any more.
  await told(4, 'account.protected', null);
  await migrate(database, 'src/store/control', 'control');
  expect(await database.query('select tenant, system, login from protection order by login')).toEqual([
    { tenant: 'acme', system: 'crm', login: 'break-glass' },
    { tenant: 'acme', system: 'crm', login: 'svc-mail' },
  ]);
  await rm(first, { recursive: true });
});
