/** The API's routes, and the shapes that travel on them. */

export type * from '../control/shown.ts';

/** One line of a long answer (`plan`, `run`): NDJSON over HTTP, the last one is the result. */
export type Progress<Result> =
  | { readonly progress: string }
  | { readonly result: Result }
  | {
      readonly problem: {
        readonly code: string;
        readonly title: string;
        readonly status: number;
        readonly detail: string;
      };
    };

/** Method, path, what it answers. Served on the data folder's Unix socket, and by `serve` on a loopback port with a bearer token. */
export const ROUTES = {
  status: { method: 'GET', path: '/v1/status' },
  plan: { method: 'POST', path: '/v1/plans' },
  plans: { method: 'GET', path: '/v1/plans' },
  planShow: { method: 'GET', path: '/v1/plans/:plan' },
  overLimit: { method: 'POST', path: '/v1/plans/:plan/over-limit' },
  sign: { method: 'POST', path: '/v1/plans/:plan/signatures' },
  run: { method: 'POST', path: '/v1/runs' },
  trace: { method: 'GET', path: '/v1/changes/:change/trace' },
  evidence: { method: 'GET', path: '/v1/changes/:change/evidence' },
  person: { method: 'GET', path: '/v1/people/:person' },
  terminate: { method: 'POST', path: '/v1/people/:person/termination' },
  reinstate: { method: 'POST', path: '/v1/people/:person/reinstatement' },
  ask: { method: 'POST', path: '/v1/people/:person/requests' },
  adoptable: { method: 'GET', path: '/v1/systems/:system/unmanaged' },
  adopt: { method: 'POST', path: '/v1/systems/:system/adoptions' },
  protect: { method: 'POST', path: '/v1/systems/:system/protections' },
} as const;
