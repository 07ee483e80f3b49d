/**
 * What a connector throws when it cannot go on: the only thing it may throw. The population was not read whole, or
 * cannot be. A change never ends this way when a reply is merely odd: that is the receipt `unknown`.
 */
export const FAULT_CODES = [
  /** The population was not read to its end: the target went away, refused, or contradicted itself between pages. */
  'incomplete-read',
  /** A reply to a read that is not what the protocol says. */
  'unreadable-reply',
  /** The target's options are missing something that this connector needs, or contradict each other. */
  'bad-options',
  /** The connector asked for more calls than a bounded population can need. */
  'too-many-steps',
  /** An error of the connector's own, found by whoever runs it; a connector does not throw this. */
  'defect',
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

export class ConnectorFault extends Error {
  override readonly name = 'ConnectorFault';
  readonly code: FaultCode;

  constructor(code: FaultCode, message: string) {
    super(message);
    this.code = code;
  }
}
