/** The error body at the edge, RFC 9457. The cause stays in the log. */
import { CODES, Failure } from '../errors.ts';

export interface Problem {
  readonly type: string;
  readonly code: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
}

export function problemOf(thrown: unknown): Problem {
  const failure =
    thrown instanceof Failure
      ? thrown
      : new Failure('internal', 'a defect in Writgate; its log has the cause', { cause: thrown });
  return {
    type: `urn:writgate:problem:${failure.code}`,
    code: failure.code,
    title: CODES[failure.code].meaning,
    status: failure.status,
    detail: failure.message,
  };
}
