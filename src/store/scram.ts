/**
 * SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802 section 3, RFC 7677). A password that reaches the server
 * as its verifier stands in no statement, no log and no `pg_stat_activity`, and cannot be used to log in elsewhere.
 */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { assert } from '../assert.ts';
import type { Random } from '../clock.ts';

/** PostgreSQL's own default, and the least that RFC 7677 section 4 allows. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;

/** @param password printable ASCII, which SASLprep (RFC 4013) leaves as it is. */
export function scramVerifier(password: string, random: Random): string {
  assert(/^[\x21-\x7e]+$/.test(password), 'a password that we make is printable ASCII');
  const salt = random(SALT_BYTES);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const keyOf = (name: string) => createHmac('sha256', salted).update(name).digest();
  const storedKey = createHash('sha256').update(keyOf('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${keyOf('Server Key').toString('base64')}`;
}
