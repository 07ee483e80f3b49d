/** Whether the real program that a test runs against is here. Missing is loud, and an error where it must not be. */
export function counterpart(name: string, missing: string | null): boolean {
  if (missing === null) return true;
  if (process.env.REQUIRE_COUNTERPARTS === '1') throw new Error(`${name} is required and missing: ${missing}`);
  console.warn(`SKIPPED: tests against ${name}: ${missing}`);
  return false;
}
