import { describe, expect, test } from 'vitest';
import type { Call, Observed, Reply, Step } from './contract.ts';
import { drive } from './drive.ts';

const CALL: Call = { kind: 'http', method: 'GET', path: ['accounts'] };
const OK: Reply = { kind: 'http', status: 200, headers: {}, body: null };
const FACT: Observed = { type: 'entitlement', ref: 'g1', name: 'staff' };

function* endless(): Generator<Step, void, Reply> {
  for (;;) yield { call: CALL };
}
function* endlessFacts(): Generator<Step, void, Reply> {
  for (;;) yield { emit: [FACT] };
}
function* twice(): Generator<Step, string, Reply> {
  const first = yield { call: CALL };
  yield { emit: [FACT] };
  const second = yield { call: CALL };
  return `${first.kind} ${second.kind}`;
}

describe('drive', () => {
  test('stops a generator that calls without end, after exactly the bound', async () => {
    let performed = 0;
    const driven = drive(
      endless(),
      () => {
        performed++;
        return OK;
      },
      { maxSteps: 7 },
    );
    await expect(driven).rejects.toMatchObject({ name: 'ConnectorFault', code: 'too-many-steps' });
    expect(performed).toBe(7);
  });

  test('stops a generator that emits without end', async () => {
    const driven = drive(endlessFacts(), () => OK, { maxSteps: 7, onEmit: () => undefined });
    await expect(driven).rejects.toMatchObject({ code: 'too-many-steps' });
  });

  test('lets what the performer throws through, and calls no more', async () => {
    let performed = 0;
    const broken = new Error('the gateway is gone');
    await expect(
      drive(twice(), () => {
        performed++;
        return Promise.reject(broken);
      }),
    ).rejects.toBe(broken);
    expect(performed).toBe(1);
  });

  test('lets what the taker of facts throws through', async () => {
    const full = new Error('disk full');
    await expect(drive(twice(), () => OK, { onEmit: () => Promise.reject(full) })).rejects.toBe(full);
  });

  test('hands each reply to the call that it answers', async () => {
    const replies: Reply[] = [OK, { kind: 'down', message: 'gone' }];
    const driven = await drive(twice(), () => replies.shift()!);
    expect(driven).toEqual({ result: 'http down', calls: [CALL, CALL], emitted: [FACT] });
  });

  test('takes exactly as many steps as the bound allows', async () => {
    expect((await drive(twice(), () => OK, { maxSteps: 3 })).result).toBe('http http');
  });
});
