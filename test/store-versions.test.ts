/** The road on every PostgreSQL that we say we run on, each a server of somebody else's by `WRITGATE_DATABASE_URL`. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../src/clock.ts';
import { openDatabase } from '../src/store/database.ts';
import { JOINER, PEOPLE, startWorld, type World } from './company/world.ts';
import { type ScratchCluster, scratchCluster, servers } from './scratch.ts';

for (const [name, binaries] of await servers()) {
  describe(name, () => {
    let cluster: ScratchCluster;
    let world: World;
    beforeAll(async () => {
      cluster = await scratchCluster({ binaries, loopbackPort: 0 });
      const administrator = openDatabase(cluster.superuser, { clock: systemClock });
      await administrator.query(`create role dba login superuser password 'dba'`);
      await administrator.close();
      const url = `postgres://dba:dba@127.0.0.1:${cluster.port}/postgres`;
      world = await startWorld(undefined, undefined, { WRITGATE_DATABASE_URL: url });
    });
    afterAll(async () => {
      await world?.stop();
      await cluster?.remove();
    });

    test('it is this one', async () => {
      for (const database of [world.database, world.gatewayDatabase]) {
        const { version } = await database.one<{ version: string }>(
          `select current_setting('server_version') as version`,
        );
        expect(Number.parseInt(version, 10)).toBe(binaries.major);
      }
    });

    test('a joiner, a mover, a leaver, and again nothing; the ledger holds', async () => {
      await world.plan();
      await world.run();
      const moved = PEOPLE.map((row) => (row.id === '111' ? { ...row, department: 'sales' } : row));
      await world.exportHr([...moved.filter(({ id }) => id !== '112'), JOINER], 1_800_000);
      await world.plan();
      await world.run();
      const picture = await world.crm.picture();
      for (const line of ['mia: Sales,Staff', 'kim: Sales,Staff', '-lou: '])
        expect(picture.split('\n')).toContain(line);
      const open = await world.database.query(`select stage from change where stage not in ('verified', 'superseded')`);
      expect(open).toEqual([]);
      expect(await world.plan()).toMatchObject({ made: [], kept: [], superseded: [] });
      expect(await world.run()).toMatchObject({ moved: 0 });
      await world.restart('control', 'gateway', 'worker', 'verifier');
      expect(await world.plan()).toMatchObject({ made: [] });
      expect(await world.ledger()).toMatchObject({ ok: true, findings: [] });
    });
  });
}
