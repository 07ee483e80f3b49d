/**
 * Where PostgreSQL keeps what it has no column for: the comment of a role. What people wrote there stays in front.
 *
 *     night shift, see wiki writgate:{"department":"50","email":"a@example.com"}
 *
 * The mark also tells a disabled account from a role that never was one: both cannot log in.
 */
import { ATTRIBUTES, type Attributes } from '../../connector/contract.ts';

/** The server's statements have the same expression (`statements.ts`). */
const MARK = /writgate:(\{.*\})$/s;

/** The attributes, or null where there is no mark. One that somebody edited into something else carries none. */
export function readComment(comment: string): Attributes | null {
  const text = MARK.exec(comment)?.[1];
  if (text === undefined) return null;
  try {
    const stored = JSON.parse(text) as Record<string, unknown>;
    return Object.fromEntries(
      ATTRIBUTES.flatMap((name) => (typeof stored[name] === 'string' ? [[name, stored[name]]] : [])),
    );
  } catch {
    return {};
  }
}
