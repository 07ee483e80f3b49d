/**
 * Exact shapes of what evidence is made of. What control wrote is read strictly, because control may be who lies; what
 * gateway and verifier signed has the form that they give it.
 */

import type { Digest } from '../canonical.ts';
import { fromBase64 } from '../ledger/note.ts';
import { anyText, digestText, integer, listOf, misfit, oneOf, readDocument, type Shape } from '../shape.ts';

/** Base64 in its one spelling: a signature with two would be a file with two texts and one meaning. */
export const base64: Shape<string> = (value, place) => {
  if (typeof value !== 'string' || fromBase64(value) === null) throw misfit(place, 'is not canonical base64');
  return value;
};

/** An object that has these members; others may stand beside them, as in bodies that later versions extend. */
export const having =
  <T extends object>(members: { readonly [K in keyof T]-?: Shape<T[K]> }): Shape<T> =>
  (value, place) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw misfit(place, 'is not an object');
    const names = Object.keys(members) as (keyof T & string)[];
    const missing = names.find((member) => !Object.hasOwn(value, member));
    if (missing !== undefined) throw misfit(place, `lacks "${missing}"`);
    return Object.fromEntries(
      names.map((member) => [member, members[member]((value as T)[member], `${place}.${member}`)]),
    ) as T;
  };

/* ---- bodies of ledger entries, by kind ---- */

const signedShape = having<{ body: string; signature: string }>({ body: anyText, signature: base64 });

export interface Decided {
  readonly change: string;
  readonly verdict: 'permit' | 'deny' | 'hold';
  readonly reasons: readonly string[];
}

export const BODIES = {
  'plan.made': having<{ digest: Digest }>({ digest: digestText }),
  'plan.refused': having<{ digest: Digest }>({ digest: digestText }),
  'plan.decided': having<{ plan: Digest; policy: Digest; decisions: readonly Decided[] }>({
    plan: digestText,
    policy: digestText,
    decisions: listOf(
      having<Decided>({ change: anyText, verdict: oneOf('permit', 'deny', 'hold'), reasons: listOf(anyText) }),
    ),
  }),
  'request.made': having<{ request: string }>({ request: anyText }),
  'approval.given': having<{ request: Digest; armored: string }>({ request: digestText, armored: anyText }),
  'approval.refused': having<{ request: Digest; armored: string }>({ request: digestText, armored: anyText }),
  'writ.sealed': having<{ writ: string; seal: string }>({ writ: anyText, seal: base64 }),
  'gateway.witness': having<{ witness: string }>({ witness: anyText }),
  'gateway.force': having<{ authority: Digest; roster: Digest }>({ authority: digestText, roster: digestText }),
  'gateway.snapshot': having<{ statement: { body: string; signature: string } }>({ statement: signedShape }),
  'gateway.intent': having<{ leaf: unknown; connector: string; attempt: number; people: readonly string[] }>({
    leaf: (value) => value,
    connector: anyText,
    attempt: integer(1),
    people: listOf(anyText),
  }),
  'gateway.outcome': having<{ result: string; detail: string }>({ result: anyText, detail: anyText }),
  'gateway.refused': having<{ code: string; message: string }>({ code: anyText, message: anyText }),
  'verifier.looked': having<{ verification: { body: string; signature: string } }>({ verification: signedShape }),
} as const;

export type Kind = keyof typeof BODIES;
export type BodyOf<K extends Kind> = ReturnType<(typeof BODIES)[K]>;
export const isKind = (kind: string): kind is Kind => Object.hasOwn(BODIES, kind);

/** Kinds whose bodies nobody may erase: who agreed, who refused, and on what. */
export const KEPT: ReadonlySet<Kind> = new Set([
  'request.made',
  'approval.given',
  'approval.refused',
  'writ.sealed',
  'gateway.refused',
  'gateway.witness',
  'gateway.force',
]);

export const readBody = <K extends Kind>(kind: K, body: string): BodyOf<K> =>
  readDocument(body, BODIES[kind] as Shape<BodyOf<K>>, kind);
