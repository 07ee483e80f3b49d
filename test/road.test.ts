import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWorld, type World } from './company/world.ts';

let world: World;
beforeAll(async () => {
  const t = Date.now();
  world = await startWorld();
  console.log('start', Date.now() - t);
});
afterAll(() => world?.stop());
test('x', async () => {
  let t = Date.now();
  const r = await world.plan();
  console.log('plan', Date.now() - t, JSON.stringify(r).slice(0, 600));
  t = Date.now();
  const rr = await world.run();
  console.log('run', Date.now() - t, rr);
  console.log(await world.crm.picture());
  console.log(await world.ledger());
  console.log(JSON.stringify(await world.plans()));
  expect(1).toBe(1);
});
