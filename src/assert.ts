/** Programmer errors. An assertion that fails is a defect in Writgate, never a verdict about input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Makes a `switch` refuse to compile until each case of a union is handled. */
export function unreachable(value: never): never {
  throw new Error(`assertion failed: unhandled case ${JSON.stringify(value)}`);
}
