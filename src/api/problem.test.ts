import { describe, expect, test } from 'vitest';
import { CODES, Failure } from '../errors.ts';
import { ROUTES } from './contract.ts';
import { HANDLERS, STREAMS } from './handlers.ts';
import { problemOf } from './problem.ts';

describe('a problem', () => {
  test('tells code, status and message of a failure', () => {
    expect(problemOf(new Failure('not-found', 'there is no plan P9'))).toEqual({
      type: 'urn:writgate:problem:not-found',
      code: 'not-found',
      title: CODES['not-found'].meaning,
      status: 404,
      detail: 'there is no plan P9',
    });
  });
  test('tells nothing of a defect', () => {
    const problem = problemOf(new Error('password=hunter2'));
    expect(problem.code).toBe('internal');
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });
});

test('every route has exactly one handler, and every handler a route', () => {
  expect([...Object.keys(HANDLERS), ...Object.keys(STREAMS)].sort()).toEqual(Object.keys(ROUTES).sort());
});

describe('input is refused before a handler sees it', () => {
  test.each<[keyof typeof HANDLERS, unknown]>([
    ['sign', { plan: 'P1', person: '102', verdict: 'maybe', armored: 'x' }],
    ['sign', { plan: 'P1', person: '102', verdict: 'approve', armored: 'x'.repeat(20_001) }],
    ['ask', { person: '102', entitlement: 'staff', by: '103' }],
    ['terminate', { person: '102', by: '103', reason: '' }],
    ['protect', { system: 'crm', logins: [] }],
    ['planShow', {}],
  ])('%s %j', (route, input) => {
    expect(HANDLERS[route].input.safeParse(input).success).toBe(false);
  });
});
