/**
 * Operating failures: one class, one table of codes.
 *
 * Expected verdicts (held, denied, contradicted …) are values and never come through here. Each failure has two faces:
 * `message` may be read by anyone and carries the numbers; `cause` goes to the log.
 */

interface Meaning {
  /** HTTP status at the API's edge (RFC 9457). */
  readonly status: number;
  /** Exit code of the CLI: 1 failed, 2 wrong use or configuration, 3 refused by a guard, 4 waits for people, 5 proof failed. */
  readonly exit: 1 | 2 | 3 | 4 | 5;
  readonly meaning: string;
  readonly remedy: string;
}

const define = <T extends Record<string, Meaning>>(table: T): T => table;

/** Every code, in the order of the road. `docs/errors.md` is generated from this table. */
export const CODES = define({
  'wrong-use': {
    status: 400,
    exit: 2,
    meaning: 'The command or request has an argument that does not fit.',
    remedy: 'Read the message, then the command’s help.',
  },
  'not-found': {
    status: 404,
    exit: 2,
    meaning: 'No such plan, change, person or system.',
    remedy: 'List what there is with `writgate status`.',
  },
  'canonical-form': {
    status: 400,
    exit: 1,
    meaning: 'A value has no canonical bytes, or bytes that should be canonical are not.',
    remedy: 'Use integers, strings, booleans, null, arrays and plain objects only.',
  },
});

export type Code = keyof typeof CODES;

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  get status(): number {
    return CODES[this.code].status;
  }

  get exit(): number {
    return CODES[this.code].exit;
  }
}

/** Whether something thrown is a failure with this code. */
export const hasCode = (thrown: unknown, code: Code): boolean => thrown instanceof Failure && thrown.code === code;
