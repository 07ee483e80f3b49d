/**
 * What PostgreSQL cannot hold: U+0000 in a text, and in `jsonb` halves of surrogate pairs besides. A foreign program may
 * send either, and one change's words must not fail the batch that they are written with. So they are kept with U+FFFD in
 * the place of what cannot be held. For words and observations only, never for what is signed or hashed.
 */

const REPLACEMENT = '\ufffd';

export const storedText = (text: string): string => text.replaceAll('\0', REPLACEMENT).toWellFormed();

/** @param json as `JSON.stringify` writes it: a surrogate that it escapes has no other half (ECMA-262 section 25.5.2.4) */
export const storedJson = (json: string): string =>
  json.replace(/\\(?:\\|u(?:0000|d[89a-f][0-9a-f]{2}))/g, (found) => (found === '\\\\' ? found : REPLACEMENT));
